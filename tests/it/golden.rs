//! Recognises a report in an output without quoting it, so that its wording can change.

/// The texts of `src/report/golden`, by the names of the report files.
pub(crate) const GOLDEN: [(&str, &str); 20] = [
    ("backup", include_str!("../../src/report/golden/backup.txt")),
    ("command", include_str!("../../src/report/golden/command.txt")),
    ("container", include_str!("../../src/report/golden/container.txt")),
    ("data", include_str!("../../src/report/golden/data.txt")),
    ("download", include_str!("../../src/report/golden/download.txt")),
    ("failure", include_str!("../../src/report/golden/failure.txt")),
    ("faults", include_str!("../../src/report/golden/faults.txt")),
    ("jobs", include_str!("../../src/report/golden/jobs.txt")),
    ("kept", include_str!("../../src/report/golden/kept.txt")),
    ("lease", include_str!("../../src/report/golden/lease.txt")),
    ("lint", include_str!("../../src/report/golden/lint.txt")),
    ("process", include_str!("../../src/report/golden/process.txt")),
    ("races", include_str!("../../src/report/golden/races.txt")),
    ("report", include_str!("../../src/report/golden/report.txt")),
    ("running", include_str!("../../src/report/golden/running.txt")),
    ("session", include_str!("../../src/report/golden/session.txt")),
    ("settings", include_str!("../../src/report/golden/settings.txt")),
    ("snapshot", include_str!("../../src/report/golden/snapshot.txt")),
    ("tap", include_str!("../../src/report/golden/tap.txt")),
    ("travel", include_str!("../../src/report/golden/travel.txt")),
];

/// Words that are values in the golden files. Every word with a character that ordinary words don't have is also a
/// value.
const VALUES: [&str; 11] =
    ["Valkey", "Pyramid", "Sidekiq", "asa", "cap", "hash", "list", "mail", "role", "vectorset", "cluster"];

/// Sentences that quote others.
pub(crate) const QUOTE: [&str; 12] = [
    "data::bad_line",
    "failure::explain",
    "jobs::not_listed",
    "jobs::unreadable",
    "lint::not_checked",
    "report::found_before",
    "report::test_cannot_run",
    "report::warning",
    "running::not_used",
    "running::silent",
    "running::tls_failed",
    "travel::ttl_not_read",
];

/// The longest run of words without values in the golden entry `file::heading` that no other entry has. Every such
/// report contains this text, and no other one does.
#[track_caller]
pub(crate) fn golden(name: &str) -> &'static str {
    let run = own_runs(name).into_iter().max_by_key(|run| run.len());
    run.unwrap_or_else(|| panic!("all words of {name} are in other entries as well: recognise it by a fact"))
}

/// The runs of an entry that are in no other one, except in those that quote it.
pub(crate) fn own_runs(name: &str) -> Vec<&'static str> {
    let (file, heading) = name.split_once("::").expect("file::heading");
    let (_, text) = GOLDEN.iter().find(|(known, _)| *known == file).unwrap_or_else(|| panic!("no golden file {file}"));
    let own = entry(text, heading).unwrap_or_else(|| panic!("no entry {heading} in {file}.txt"));
    let sentence = name.split(", ").next().unwrap_or(name);
    let is_other = |(file, heading, _): &(&str, &str, &str)| {
        let other = format!("{file}::{}", heading.split(", ").next().unwrap_or(heading));
        other != sentence && !QUOTE.contains(&other.as_str())
    };
    let others: Vec<_> = entries().filter(is_other).collect();
    // Several reasons share a remedy.
    let runs = own.lines().filter(|line| !line.starts_with("-> ")).flat_map(runs);
    runs.filter(|run| others.iter().all(|(.., text)| !text.contains(run))).collect()
}

/// All entries: file, heading and text.
pub(crate) fn entries() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    GOLDEN.iter().flat_map(|(file, text)| {
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        headings.filter_map(move |heading| Some((*file, heading, entry(text, heading)?)))
    })
}

/// The text under `## heading`; under its first form, where the heading goes on with `, form`.
fn entry(text: &'static str, heading: &str) -> Option<&'static str> {
    let line = format!("## {heading}");
    let mut places = text.match_indices(&line).map(|(at, found)| &text[at + found.len()..]);
    let entry = places.find(|rest| rest.starts_with(['\n', ',']))?.split_once('\n')?.1;
    Some(entry.split("\n## ").next().unwrap_or(entry).trim())
}

/// The runs of words in a line. A run ends at a colon, which a value often follows; text in parentheses is a value.
pub(crate) fn runs(line: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = None;
    let mut depth = 0;
    for word in line.split(' ') {
        let at = word.as_ptr().addr() - line.as_ptr().addr();
        let bare = word.trim_end_matches([',', '.', ':', ';']);
        depth += word.matches('(').count();
        let is_word = depth == 0
            && !bare.is_empty()
            && bare.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && bare.chars().all(|letter| letter.is_ascii_alphabetic() || "'-".contains(letter))
            && bare.chars().filter(char::is_ascii_uppercase).count() < 2
            && !VALUES.contains(&bare);
        match (is_word, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                runs.push(line[from..at].trim_end());
                start = None;
            }
            _ => {}
        }
        if word.ends_with(':')
            && let Some(from) = start.take()
        {
            runs.push(&line[from..at + bare.len()]);
        }
        depth = depth.saturating_sub(word.matches(')').count());
    }
    runs.extend(start.map(|from| line[from..].trim_end_matches([',', '.', ':', ';'])));
    runs
}
