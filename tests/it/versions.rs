//! The table of docs/versions.md: what this crate can do on which server. Each cell is found out by doing it.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{env, fs};

use redis::{Client, Commands, Connection, Value, cmd};
use transient_fixtures::snapshot::RedisValue;
use transient_fixtures::{Snapshot, TestRequest, get_redis, redis};

use crate::child::Child;
use crate::golden::golden;
use crate::own_server::own_provider;
use crate::pages::{read, root};

const PAGE: &str = "docs/versions.md";

/// It depends on the build of the server, not on its version.
const CLOCK: &str = "`TRANSIENT_CLOCK=whole`: the server's clock moves";

/// Whether the server that it starts does the thing.
type Probe = fn() -> bool;

/// The rows above that of the clock.
const FEATURES: [(&str, Probe); 11] = [
    ("`travel`: keys expire, with the event `expired`", keys_expire),
    ("`travel`: fields of hashes expire", fields_expire),
    ("a TTL of 1 ms ends with `expired`, never with `del`", time_stands_still),
    ("snapshots restore the TTLs of fields", snapshots_have_field_ttls),
    ("snapshots restore how far a consumer group has read", snapshots_have_entries_read),
    ("snapshots compare vector sets", snapshots_have_vectors),
    ("a password for each lease", leases_have_passwords),
    ("functions end with the lease", functions_end_with_the_lease),
    ("taps forward RESP3", taps_forward_resp3),
    ("taps forward sharded pub/sub", taps_forward_sharded_messages),
    ("`races` reuse connections, by RESET", connections_are_reset),
];

/// The rows below it: commands that the server has.
const COMMANDS: [&str; 7] = [
    "`GETEX`, `GETDEL`, `COPY`, `LMOVE`",
    "`EXPIRETIME`, `LMPOP`, `ZMPOP`, `SINTERCARD`",
    "`HEXPIRE`, `HPTTL`, `HPERSIST`",
    "`HGETEX`, `HSETEX`",
    "`HGETDEL`",
    "`XDELEX`, `XACKDEL`",
    "`VADD`, `VSIM`",
];

/// Cells by row, and the columns by server, such as `Redis 7.0.15`.
type Column = BTreeMap<String, String>;

#[test]
fn the_table_is_what_the_servers_do() {
    let (server, found) = column();
    let mut columns = table();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        columns.entry(server).or_default().extend(found);
        let page = read(PAGE);
        let (before, rest) = page.split_once("\n| |").expect("a table");
        let (_, after) = rest.split_once("\n\n").expect("an end of the table");
        let text = format!("{before}\n{}\n{after}", rendered(&columns));
        return fs::write(root().join(PAGE), text).expect("write");
    }
    if let Some(column) = columns.get(&server) {
        for (row, cell) in found {
            assert_eq!(column.get(&row), Some(&cell), "{PAGE}, {server}: {row}\nUPDATE_GOLDEN=1 renews it");
        }
        return;
    }
    // Not one of ours. What an older server can do, this one can do.
    let older: Vec<_> = columns.keys().filter(|column| is_older(column, &server)).collect();
    assert!(!older.is_empty(), "{server}: {:?}", columns.keys());
    for column in older {
        for (row, cell) in found.iter().filter(|(row, cell)| *row != CLOCK && *cell == "no") {
            assert_eq!(columns[column].get(row), Some(cell), "{server} can't do what {column} can: {row}");
        }
    }
}

/// Each server that is checked has a column, and there is no other: it would never be checked.
#[test]
fn the_table_is_complete() {
    let columns = table();
    let rows = FEATURES.map(|(row, _)| row).into_iter().chain([CLOCK]).chain(COMMANDS);
    let rows: Vec<_> = rows.collect();
    assert_eq!(columns.len(), 4, "{:?}", columns.keys());
    for (server, column) in columns {
        assert!(rows.iter().all(|row| column.contains_key(*row)) && column.len() == rows.len(), "{server}: {column:?}");
        assert!(column.values().all(|cell| cell == "yes" || cell == "no"), "{server}: {column:?}");
    }
}

/// Whether every feature of the server in this column is in that other one too. The first Valkey is Redis 7.2.
fn is_older(column: &str, server: &str) -> bool {
    let parts = |text: &str| {
        let (product, version) = text.split_once(' ').expect("a version");
        let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
        (product.to_owned(), numbers)
    };
    let ((product, version), (other, newer)) = (parts(column), parts(server));
    if product == other { version <= newer } else { product == "Redis" && version <= vec![7, 2] }
}

/// The columns of the page's table.
fn table() -> BTreeMap<String, Column> {
    let page = read(PAGE);
    let mut lines = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let servers = cells(lines.next().expect("a table")).split_off(1);
    let rows: Vec<_> = lines.skip(1).map(cells).collect();
    let column = |index: usize| rows.iter().map(|row| (row[0].clone(), row[index + 1].clone())).collect();
    servers.iter().enumerate().map(|(index, server)| (server.clone(), column(index))).collect()
}

fn rendered(columns: &BTreeMap<String, Column>) -> String {
    let line = |first: &str, cells: Vec<&str>| format!("| {} |\n", [&[first], &cells[..]].concat().join(" | "));
    let servers: Vec<_> = columns.keys().map(String::as_str).collect();
    let head = line("", servers).replacen("|  |", "| |", 1);
    let rows = FEATURES.map(|(row, _)| row).into_iter().chain([CLOCK]).chain(COMMANDS);
    // What was not found out yet.
    let cell =
        |column: &Column, row: &str| column.get(row).map_or("?", |cell| if cell == "yes" { "yes" } else { "no" });
    let rows = rows.map(|row| line(row, columns.values().map(|column| cell(column, row)).collect()));
    format!("{head}|{}\n{}", " --- |".repeat(columns.len() + 1), rows.collect::<String>())
}

/// The server that this machine starts, and what it does.
fn column() -> (String, Column) {
    let provider = if env::var_os("TRANSIENT_SERVER_BINARY").is_some() { "process" } else { own_provider() };
    let child = |name: &str| Child::test(name).env("TRANSIENT_PROVIDER", provider);
    let ended = child("versions::prints_its_column").run();
    ended.assert_passed();
    let line = |line: &str| line.split_once('\t').map(|(row, cell)| (row.to_owned(), cell.to_owned()));
    let mut column: Column = ended.output.lines().filter_map(line).collect();
    let server = column.remove("server").expect("a server");

    let ended = child("versions::moves_its_clock").env("TRANSIENT_CLOCK", "whole").run();
    // Without libfaketime it can't be found out.
    if !ended.output.contains(golden("process::no_faketime")) {
        let is_refused = ended.output.contains(golden("process::under_faketime"));
        assert!(ended.passed != is_refused, "{}", ended.output);
        column.insert(CLOCK.to_owned(), cell(ended.passed));
    }
    (server, column)
}

fn cell(works: bool) -> String {
    if works { "yes" } else { "no" }.to_owned()
}

#[test]
#[ignore = "run by the_table_is_what_the_servers_do"]
fn prints_its_column() {
    let request = TestRequest::isolated();
    let server = request.server();
    // The line of the harness has no end yet.
    println!("\nserver\t{} {}", server.product(), server.version().expect("a version"));
    let mut redis = connect(&request);
    for row in COMMANDS {
        let names: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let known: Vec<Value> = cmd("COMMAND").arg("INFO").arg(&names).query(&mut redis).expect("COMMAND INFO");
        println!("{row}\t{}", cell(known.iter().all(|command| *command != Value::Nil)));
    }
    drop((redis, request));
    for (row, works) in FEATURES {
        println!("{row}\t{}", cell(works()));
    }
}

#[test]
#[ignore = "run by the_table_is_what_the_servers_do"]
fn moves_its_clock() {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    let mut time = || cmd("TIME").query::<(u64, u64)>(&mut redis).expect("TIME").0;
    let before = time();
    request.travel(Duration::from_secs(10_000)).expect("travel");
    assert!(time() >= before + 10_000);
}

fn connect(request: &TestRequest) -> Connection {
    get_redis(request).expect("connect")
}

/// Whether the server knows this command, which must then succeed.
fn knows(redis: &mut Connection, words: &[&str]) -> bool {
    match cmd(words[0]).arg(&words[1..]).query::<Value>(redis) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().contains("unknown command"), "{error}");
            false
        }
    }
}

fn keys_expire() -> bool {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    cmd("CONFIG").arg(&["SET", "notify-keyspace-events", "Egx"]).exec(&mut redis).expect("CONFIG");
    redis.set_ex::<_, _, ()>("code", 1, 100).expect("SETEX");
    let mut listener = connect(&request);
    let mut listener = listener.as_pubsub();
    listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    listener.psubscribe("__keyevent@14__:*").expect("PSUBSCRIBE");
    request.travel(Duration::from_secs(101)).expect("travel");
    let mut events =
        std::iter::from_fn(|| Some(listener.get_message().expect("an event").get_channel_name().to_owned()));
    let end = events.find(|event| event.ends_with(":expired") || event.ends_with(":del")).expect("an end");
    end.ends_with(":expired") && !redis.exists::<_, bool>("code").expect("EXISTS")
}

fn fields_expire() -> bool {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    redis.hset::<_, _, _, ()>("visitor", "code", 1).expect("HSET");
    let known = knows(&mut redis, &["HEXPIRE", "visitor", "100", "FIELDS", "1", "code"]);
    request.travel(Duration::from_secs(101)).expect("travel");
    known && !redis.hexists::<_, _, bool>("visitor", "code").expect("HEXISTS")
}

/// A server whose clock does not stand still in a script reads it again to check a new TTL, and deletes the key if the
/// TTL has ended by then.
fn time_stands_still() -> bool {
    let script = "
        redis.call('SET', KEYS[1], 1)
        local time = redis.call('TIME')
        for _ = 1, 5000000 do end
        redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + 1))
        return redis.call('EXISTS', KEYS[1])";
    let request = TestRequest::isolated();
    cmd("EVAL").arg(script).arg(1).arg("code").query(&mut connect(&request)).expect("EVAL")
}

fn snapshots_have_field_ttls() -> bool {
    let request = TestRequest::isolated();
    let saved = Snapshot::from_file(root().join("fixtures/field_timeouts.json")).expect("read");
    match request.restore(&saved) {
        Ok(()) => request.snapshot().expect("snapshot") == saved,
        Err(error) => {
            assert!(error.is_data(), "{error}");
            false
        }
    }
}

fn snapshots_have_entries_read() -> bool {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    for command in ["XADD mail 1-1 to asa", "XADD mail 2-1 to bo", "XGROUP CREATE mail senders 0"] {
        assert!(knows(&mut redis, &command.split(' ').collect::<Vec<_>>()));
    }
    assert!(knows(&mut redis, &["XREADGROUP", "GROUP", "senders", "one", "COUNT", "1", "STREAMS", "mail", ">"]));
    let before = request.snapshot().expect("snapshot");
    request.flush().expect("flush");
    request.restore(&before).expect("restore");
    let after = request.snapshot().expect("snapshot");
    assert_eq!(after, before);
    let RedisValue::Stream(stream) = &after.get("mail").expect("the stream").value else { panic!("{after}") };
    stream.groups.values().all(|group| group.entries_read == Some(1))
}

fn snapshots_have_vectors() -> bool {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    let mut add = |name: &str| knows(&mut redis, &["VADD", "brands", "VALUES", "2", "1", "2", name]);
    if !add("one") {
        return false;
    }
    let before = request.snapshot().expect("snapshot");
    let is_equal = request.snapshot().expect("snapshot") == before;
    is_equal && add("two") && request.snapshot().expect("snapshot") != before
}

fn leases_have_passwords() -> bool {
    let request = TestRequest::isolated();
    let client = Client::open(request.redis_url()).expect("a URL");
    client.get_connection().expect("connect");
    drop(request);
    client.get_connection().is_err()
}

fn functions_end_with_the_lease() -> bool {
    let request = TestRequest::isolated();
    let mut redis = connect(&request);
    let code = "#!lua name=prices\nredis.register_function('price', function() return 129 end)";
    if !knows(&mut redis, &["FUNCTION", "LOAD", code]) {
        return false;
    }
    assert_eq!(cmd("FCALL").arg(&["price", "0"]).query::<u32>(&mut redis), Ok(129));
    let before = request.server().address().to_owned();
    drop((redis, request));
    let request = TestRequest::isolated();
    assert_eq!(request.server().address(), before, "another server");
    let left: Vec<Value> = cmd("FUNCTION").arg("LIST").query(&mut connect(&request)).expect("FUNCTION LIST");
    left.is_empty()
}

fn taps_forward_resp3() -> bool {
    let request = TestRequest::isolated();
    let tap = request.tap().expect("a tap");
    let mut redis = Client::open(tap.redis_url()).expect("a URL").get_connection().expect("connect");
    matches!(cmd("HELLO").arg(3).query(&mut redis), Ok(Value::Map(_)))
}

fn taps_forward_sharded_messages() -> bool {
    let request = TestRequest::isolated();
    let tap = request.tap().expect("a tap");
    let connect = || Client::open(tap.redis_url()).expect("a URL").get_connection().expect("connect");
    let (mut listener, mut sender) = (connect(), connect());
    if !knows(&mut listener, &["SSUBSCRIBE", "news"]) {
        return false;
    }
    assert_eq!(cmd("SPUBLISH").arg(&["news", "sale"]).query::<u32>(&mut sender), Ok(1));
    listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let message: Vec<String> = redis::from_redis_value(listener.recv_response().expect("a message")).expect("words");
    message == ["smessage", "news", "sale"]
}

fn connections_are_reset() -> bool {
    let request = TestRequest::isolated();
    cmd("RESET").query::<String>(&mut connect(&request)).is_ok_and(|reply| reply == "RESET")
}
