//! `show`: what is in a database.

use crate::program::{PROGRAM, Program, python, with_a_running_server};

/// One key of each type.
const FILL: &str = "ask 14 'SET cart:1 apples EX 5000' 'RPUSH l a b' 'HSET user:1 name Ada' 'SADD tags x' 'ZADD top 2.5 a' \
    'XADD log 1-1 a b' 'SET \"cart:\\x1b[2J\" \"\\xff\"' >/dev/null";

#[test]
fn keys_are_shown_by_prefix() {
    let ended = with_a_running_server(&format!("{FILL}; '{PROGRAM}' show; ask 14 DBSIZE"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(!ended.stdout.contains('\x1b'), "{ended:?}");
    let words: Vec<Vec<_>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| {
        words.iter().find(|row| row.first() == Some(&name)).unwrap_or_else(|| panic!("no {name} in {}", ended.stdout))
    };
    assert_eq!(words[0][2..], ["14:", "7", "keys"]);
    assert_eq!(row("cart:")[1..], ["2", "keys"]);
    assert_eq!(row("user:")[1..], ["1", "key"]);
    assert_eq!((row("cart:1")[1..4].to_vec(), row("cart:1").last()), (vec!["string", "1h", "23m"], Some(&"apples")));
    assert_eq!(row("cart:\\u{1b}[2J").last(), Some(&"\\xff"));
    assert_eq!(row("user:1")[1..4], ["hash", "no", "TTL"]);
    for (name, kind, value) in [
        ("l", "list", "(2) a, b"),
        ("tags", "set", "(1) x"),
        ("top", "zset", "(1) a=2.5"),
        ("log", "stream", "(1) 1-1, a, b"),
    ] {
        assert_eq!(row(name)[1], kind);
        assert!(row(name).join(" ").ends_with(value), "{ended:?}");
    }
    assert!(row("user:1").join(" ").ends_with("(1) name=Ada"), "{ended:?}");
    assert_eq!(words.last().expect("a line")[..], [":7"]);
}

/// The first line says how many keys match the pattern, even if all do, and without one it does not.
#[test]
fn the_keys_that_match_are_counted() {
    let ended = with_a_running_server(&format!("{FILL}; '{PROGRAM}' show --match '*'; '{PROGRAM}' show"));
    let heads: Vec<_> = ended.stdout.lines().filter(|line| line.contains("database 14")).collect();
    assert_eq!(heads.iter().map(|head| head.matches(" 7 ").count()).collect::<Vec<_>>(), [2, 1], "{ended:?}");
}

#[test]
fn json_has_a_line_for_each_key() {
    let ended = with_a_running_server(&format!(
        "{FILL}; '{PROGRAM}' show --json --match 'cart:*' | (export LC_ALL=C; while read -r line; do echo \"$line\"; done)
        '{PROGRAM}' show --json --database 3; ask 3 'SET a 1'; '{PROGRAM}' show --json --database 3 --url $REDIS_URL"
    ));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let mut lines: Vec<_> = ended.stdout.lines().collect();
    lines[..2].sort_unstable();
    assert_eq!(lines.len(), 4, "{ended:?}");
    assert!(lines[0].starts_with(r#"{"database":14,"key":"cart:1","type":"string","ttl_ms":"#), "{ended:?}");
    assert!(lines[0].ends_with(r#""length":6,"value":[{"text":"apples"}]}"#), "{ended:?}");
    assert!(
        lines[1].starts_with(r#"{"database":14,"key":"cart:\u001b[2J","type":"string","ttl_ms":null"#),
        "{ended:?}"
    );
    assert!(lines[1].ends_with(r#""length":1,"value":[{"text_hex":"ff"}]}"#), "{ended:?}");
    assert_eq!(lines[2], "+OK");
    assert!(lines[3].starts_with(r#"{"database":3,"key":"a","#), "{ended:?}");
}

/// A large database is only looked at, and nobody waits for it.
#[test]
fn a_large_database_is_sampled() {
    let fill = "EVAL \"for i = 1, 100000 do redis.call('SET', 'session:' .. i, i) end\" 0";
    let ended = with_a_running_server(&format!(
        "ask 14 '{}' 'CONFIG SET slowlog-log-slower-than 25000' 'SLOWLOG RESET' >/dev/null
        '{PROGRAM}' show --limit 5; ask 14 'SLOWLOG LEN'",
        fill.replace('\'', "'\\''"),
    ));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("100000 keys") && ended.stdout.ends_with(":0\n"), "{ended:?}");
    // The head, a blank line, the prefix, five keys, and how many more there are.
    assert_eq!(ended.stdout.lines().count(), 10, "{ended:?}");
}

/// While another client keeps the server busy, a scan does not get far in its time.
#[test]
fn a_scan_says_how_far_it_got() {
    let [python, client] = python("client.py");
    let fill = "EVAL \"for i = 1, 20000 do redis.call([[SET]], i, i) end\" 0";
    let busy = "'EVAL \"for i = 1, 10000000 do end\" 0' ".repeat(200);
    let ended = with_a_running_server(&format!(
        "ask 14 '{fill}' >/dev/null
        exec 3< <(exec {python} -u '{client}' $REDIS_URL {busy}); read -r -u 3 line
        '{PROGRAM}' show --limit 1; kill $!
        '{PROGRAM}' show --json | {python} -c 'import sys; print(len(set(sys.stdin)))'"
    ));
    let numbers = ended.stdout.lines().next().expect("a line").split(' ').filter_map(|word| word.parse::<u32>().ok());
    let [all, scanned] = numbers.collect::<Vec<_>>().try_into().expect("how many keys, and how many were scanned");
    assert!(all == 20_000 && (1..all).contains(&scanned), "{ended:?}");
    // All of them are listed.
    assert!(ended.stdout.ends_with("\n20000\n"), "{ended:?}");
}

/// More than `--limit`, if there are many prefixes.
#[test]
fn each_prefix_has_three_keys() {
    let keys: Vec<_> = (0..10).map(|number| format!("'SET {}:{number} x'", ["a", "b"][number % 2])).collect();
    let ended = with_a_running_server(&format!("ask 14 {} >/dev/null; '{PROGRAM}' show --limit 1", keys.join(" ")));
    for prefix in ["  a:", "  b:"] {
        assert_eq!(ended.stdout.lines().filter(|line| line.starts_with(prefix)).count(), 3, "{ended:?}");
    }
}

#[test]
fn a_watched_database_is_shown_again() {
    let ended = with_a_running_server(&format!(
        "'{PROGRAM}' show --watch | while read -r line; do
            echo \"$line\"
            case $line in
                *'14: 0 keys') ask 14 'SET cart:1 apples' >/dev/null;;
                *apples) break;;
            esac
        done
        echo ${{PIPESTATUS[0]}}"
    ));
    assert!(ended.stdout.contains("14: 1 key\n") && ended.stdout.ends_with("apples\n141\n"), "{ended:?}");
    // Nothing but a terminal is cleared.
    assert!(!ended.stdout.contains('\x1b') && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn test_ini_names_the_server() {
    let shop = tempfile::TempDir::new().expect("a directory");
    let ended = with_a_running_server(&format!(
        "ask 14 'SET cart:1 apples' >/dev/null
        cd '{}' && printf '[app:main]\\nredis.sessions.url = %s\\n' \"${{REDIS_URL%/0}}/14\" >test.ini
        unset TRANSIENT_REDIS_URL; TRANSIENT_TEST_INI=$PWD/test.ini '{PROGRAM}' show --json",
        shop.path().display(),
    ));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("\"cart:1\""), "{ended:?}");
}

#[test]
fn a_reader_that_is_gone_is_no_error() {
    let ended = with_a_running_server(&format!(
        "ask 14 'EVAL \"for i = 1, 20000 do redis.call([[SET]], i, i) end\" 0' >/dev/null
        '{PROGRAM}' show --json | read line; echo ${{PIPESTATUS[0]}}"
    ));
    assert_eq!((&*ended.stdout, &*ended.stderr), ("141\n", ""));
}

#[test]
fn without_a_server_there_is_a_remedy() {
    let ended = Program::new(["show", "--url", "redis://127.0.0.1:1"]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("--url") && ended.stderr.lines().count() == 1, "{ended:?}");
}
