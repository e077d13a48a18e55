//! The table of `docs/races.md` has the numbers of schedules that are run.

use std::time::Duration;

use redis::RedisResult;
use rstest::rstest;
use transient_fixtures::races::{self, Client, Exploration};
use transient_fixtures::{TestRequest, clean_redis, test_request};

use super::connect;
use crate::pages::read;

type Commands = &'static [&'static str];

/// The first column of the table, the commands and points of each client, and the keys that can expire.
const SHAPES: [(&str, &[Commands], Option<&str>); 6] = [
    ("two with 3 writes, each to its own keys", &[&["SET a 1"; 3], &["SET b 1"; 3]], None),
    ("two with 3 writes to one key", &[&["INCR a"; 3], &["INCR a"; 3]], None),
    ("three with a write each, to their own keys", &[&["SET a 1"], &["SET b 1"], &["SET c 1"]], None),
    (
        "one that reads 3 keys, one that writes them",
        &[&["GET a", "GET b", "GET c"], &["SET a 1", "SET b 1", "SET c 1"]],
        None,
    ),
    (
        "two with 2 writes, each to its own keys, and a point between them",
        &[&["SET a 1", "point", "SET a 2"], &["SET b 1", "point", "SET b 2"]],
        None,
    ),
    (
        "two with 2 writes, each to its own keys, of which one can expire",
        &[&["SETEX a 60 1", "SETEX a 60 2"], &["SETEX b 60 1", "SETEX b 60 2"]],
        Some("*"),
    ),
];

fn explore<'a>(test_request: &'a TestRequest, clients: &[Commands], expiring: Option<&str>) -> Exploration<'a> {
    // Slow machines need longer than the default.
    let mut exploration = races::explore(test_request).within(Duration::from_secs(600));
    for (index, commands) in clients.iter().copied().enumerate() {
        exploration = exploration.client(&index.to_string(), move |client: &Client| -> RedisResult<()> {
            let mut redis = connect(client)?;
            for command in commands {
                let words: Vec<_> = command.split(' ').collect();
                match words[0] {
                    "point" => client.point("work"),
                    name => redis::cmd(name).arg(&words[1..]).exec(&mut redis)?,
                }
            }
            Ok(())
        });
    }
    match expiring {
        Some(pattern) => exploration.expiring(pattern),
        None => exploration,
    }
}

fn factorial(number: usize) -> usize {
    (1..=number).product()
}

#[rstest]
#[clean_redis]
fn the_table_has_the_numbers_of_schedules(test_request: TestRequest) {
    let page = read("docs/races.md");
    let mut rows = Vec::new();
    for (name, clients, expiring) in SHAPES {
        // The start is a step.
        let steps: Vec<_> = clients.iter().map(|commands| commands.len() + 1).collect();
        let orders = factorial(steps.iter().sum()) / steps.iter().map(|steps| factorial(*steps)).product::<usize>();
        let all = explore(&test_request, clients, expiring).check(|_, _| ());
        let fewer = explore(&test_request, clients, expiring).only_redis_is_shared().check(|_, _| ());
        assert!(all.is_complete() && fewer.is_complete());
        // The steps of time come on top.
        assert!(
            if expiring.is_some() { all.schedules() > orders } else { all.schedules() == orders },
            "{name}: {all:?}"
        );
        let each: Vec<_> = steps.iter().map(|steps| format!("{steps}!")).collect();
        let formula = format!("{}! / ({})", steps.iter().sum::<usize>(), each.join(" "));
        let more = if expiring.is_some() { ", and more" } else { "" };
        let row = format!("| {name} | {formula} = {orders}{more} | {} | {} |", all.schedules(), fewer.schedules());
        rows.push(row);
    }
    let table = format!("| --- | --- | --- | --- |\n{}\n\n", rows.join("\n"));
    assert!(page.contains(&table), "docs/races.md should have this table:\n{table}");
}
