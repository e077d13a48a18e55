//! Which tests sent which commands.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use super::outcomes::{Outcomes, Runner};
use super::suite::Ran;
use super::transcript::Transcript;

/// How late a test's announcement may be read, after its first command.
const LATE: Duration = Duration::from_millis(5);

/// The tests that sent each command. Empty where they are not known.
///
/// With a process for each test, its command line has the name. Otherwise a runner that runs one test after another
/// announces each.
pub(super) fn of(transcript: &Transcript, ran: &Ran, outcomes: &Outcomes, command: &[OsString]) -> Vec<Vec<String>> {
    if outcomes.runner == Some(Runner::Nextest) {
        return by_process(transcript, &ran.clients, outcomes);
    }
    if announces(outcomes, command) {
        return by_announcement(transcript, &outcomes.announced);
    }
    vec![Vec::new(); transcript.exchanges.len()]
}

/// Whether tests run one after another, and are announced.
fn announces(outcomes: &Outcomes, command: &[OsString]) -> bool {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let has = |option: &str| words.iter().any(|word| word.contains(option));
    match outcomes.runner {
        Some(Runner::Libtest) => {
            has("--test-threads=1")
                || words.windows(2).any(|pair| pair[0].ends_with("--test-threads") && pair[1] == "1")
                || std::env::var("RUST_TEST_THREADS").is_ok_and(|threads| threads == "1")
        }
        // pytest-xdist says which worker runs a test.
        Some(Runner::Pytest) => !has("-n") && !has("--numprocesses"),
        Some(Runner::Unittest) => true,
        _ => false,
    }
}

fn by_announcement(transcript: &Transcript, announced: &[(Duration, String)]) -> Vec<Vec<String>> {
    let exchanges = &transcript.exchanges;
    // The number of the test that was announced last.
    let last = |index: usize| announced.partition_point(|(from, _)| *from <= transcript.time_of(index)).checked_sub(1);
    let mut tests: Vec<_> = (0..exchanges.len()).map(last).collect();
    let mut connections: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, exchange) in exchanges.iter().enumerate() {
        connections.entry(exchange.connection).or_default().push(index);
    }
    for commands in connections.into_values() {
        let first = tests[commands[0]];
        let next = first.map_or(0, |test| test + 1);
        let Some((from, _)) = announced.get(next) else { continue };
        // A connection that begins just before a test is announced, and goes on in it, is the test's.
        let is_early = transcript.time_of(commands[0]) + LATE >= *from;
        if is_early && commands.iter().any(|index| tests[*index] == Some(next)) {
            commands.into_iter().filter(|index| tests[*index] == first).collect::<Vec<_>>().into_iter().for_each(
                |index| {
                    tests[index] = Some(next);
                },
            );
        }
    }
    tests.into_iter().map(|test| test.map(|test| announced[test].1.clone()).into_iter().collect()).collect()
}

/// `clients` are the command lines of the connections' processes.
fn by_process(transcript: &Transcript, clients: &HashMap<u64, Vec<String>>, outcomes: &Outcomes) -> Vec<Vec<String>> {
    let names: HashMap<u64, String> =
        clients.iter().filter_map(|(connection, line)| Some((*connection, nextest_name(line, outcomes)?))).collect();
    let sender = |connection: &u64| names.get(connection).cloned().into_iter().collect();
    transcript.exchanges.iter().map(|exchange| sender(&exchange.connection)).collect()
}

/// `shop::cart adds`, for `/target/debug/deps/cart-0f1e2d --exact adds --nocapture`.
fn nextest_name(line: &[String], outcomes: &Outcomes) -> Option<String> {
    let at = line.iter().position(|word| word == "--exact")?;
    let around = [line.get(at + 1), line.get(at.checked_sub(1)?)];
    let test = around.into_iter().flatten().find(|word| !word.starts_with('-') && !word.contains('/'))?;
    let binary = line.first()?.rsplit('/').next()?.rsplit_once('-')?.0.to_owned();
    let fits = |name: &&String| name.split_once(' ').is_some_and(|(id, name)| name == test && is_binary(id, &binary));
    let mut named = outcomes.passed.keys().filter(|name| name.ends_with(test.as_str()));
    named.find(fits).cloned()
}

/// `shop::cart` is the binary `cart`, and `shop` is `shop`.
fn is_binary(id: &str, binary: &str) -> bool {
    let last = id.rsplit("::").next().unwrap_or(id).rsplit('/').next().unwrap_or(id);
    last.replace('-', "_") == binary.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_nextest_have_names() {
        let mut outcomes = Outcomes::default();
        for name in ["shop::cart adds", "shop::login adds", "my-shop tests::adds"] {
            outcomes.passed.insert(name.to_owned(), true);
        }
        let name = |line: &str| {
            let line: Vec<_> = line.split(' ').map(str::to_owned).collect();
            nextest_name(&line, &outcomes)
        };
        assert_eq!(name("/t/deps/login-0a1b adds --exact --nocapture").as_deref(), Some("shop::login adds"));
        assert_eq!(name("/t/deps/my_shop-0a1b tests::adds --exact").as_deref(), Some("my-shop tests::adds"));
        assert_eq!(name("/t/deps/cart-0a1b --exact adds --nocapture").as_deref(), Some("shop::cart adds"));
        assert_eq!(name("/t/deps/login-0a1b other --exact"), None);
        assert_eq!(name("python3 suite.py"), None);
    }
}
