//! Snapshots on any server. `.ci/run` tests them on every version.

macro_rules! commands {
    ($($($word:expr),+;)*) => { &[$(&[$(AsRef::<[u8]>::as_ref(&$word)),+]),*] };
}

mod kept;
mod large;
pub(crate) mod shown;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use redis::{Commands, Connection, InfoDict};
use rstest::rstest;
use transient_fixtures::snapshot::{Change, RedisBytes, RedisValue};
use transient_fixtures::{Snapshot, TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::golden::golden;

fn connect(test_request: &TestRequest) -> Connection {
    get_redis(test_request).expect("connect")
}

/// Commands, with binary arguments.
fn run(redis: &mut Connection, commands: &[&[&[u8]]]) {
    for command in commands {
        let mut sent = redis::Cmd::new();
        for argument in *command {
            sent.arg(*argument);
        }
        sent.exec(redis).unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(command[0])));
    }
}

/// Every type with unusual contents, except TTLs of fields.
fn seed(test_request: &TestRequest) {
    let (mut sessions, mut jobs) = (connect(test_request), get_jobs_redis(test_request).expect("connect"));
    run(
        &mut sessions,
        commands![
            // Our own marker is left out.
            "SET", "transient-fixtures:left-by-tests", "";
            "SET", "text", "Ångström \"quoted\" \\ back\n";
            "SET", "empty", "";
            "SET", "", "under the empty key";
            "SET", "number", "42";
            "SET", b"\xff\x00 key\r\n", b"\x00\x01\xfe\xff\r\n";
            "SET", "code:asa", "123456", "EX", "300";
            "SETBIT", "bitmap", "77", "1";
            "RPUSH", "list", "a", "b", b"\xff", "", "a";
            "SADD", "set", "z", "a", b"\xc3\x28";
            "SADD", "numbers", "3", "1", "2";
            "HSET", "hash", "name", "Åsa", "", "empty", b"\xff", b"\x00";
            "ZADD", "ranking", "-inf", "first", "0.1", "b", "0.1", "a", "1e300", "far", "inf", "last";
            "ZADD", "exact", "0.30000000000000004", "sum", "-1.5e-7", "tiny", "9007199254740993", "big";
            "PEXPIRE", "ranking", "3600000";
            "XADD", "events", "1-1", "a", "1", "a", "again";
            "XADD", "events", "2-0", b"\xff", b"\x00";
            "XADD", "events", "3-0", "c", "3";
            "XADD", "events", "5-5", "d", "4";
            "XADD", "events", "6-0", "e", "5";
            "XGROUP", "CREATE", "events", "mail", "0";
            "XGROUP", "CREATE", "events", b"\xfe", "3-0";
            "XGROUP", "CREATECONSUMER", "events", "mail", "idler";
            "XREADGROUP", "GROUP", "mail", "asa", "COUNT", "2", "STREAMS", "events", ">";
            "XREADGROUP", "GROUP", "mail", b"\xfd", "COUNT", "1", "STREAMS", "events", ">";
            "XREADGROUP", "GROUP", "mail", "asa", "COUNT", "2", "STREAMS", "events", "0";
            "XDEL", "events", "2-0", "6-0";
            "XGROUP", "CREATE", "nothing yet", "workers", "$", "MKSTREAM";
            "XADD", "emptied", "7-7", "a", "1";
            "XDEL", "emptied", "7-7";
        ],
    );
    for number in 0..500 {
        let () = redis::cmd("PFADD").arg("visitors").arg(number).query(&mut sessions).expect("PFADD");
    }
    let () = jobs.lpush("celery", "a job").expect("LPUSH");
    let () = jobs.rpush("many", (0..2_500).collect::<Vec<_>>()).expect("RPUSH");
    let () = jobs.hset("unacked", "tag", "[]").expect("HSET");
    let () = jobs.expire("unacked", 86_400).expect("EXPIRE");
}

#[rstest]
#[clean_redis]
fn every_type_is_captured(test_request: TestRequest) {
    seed(&test_request);
    let snapshot = test_request.snapshot().expect("snapshot");
    let of = |key: &[u8]| &snapshot.get(key).unwrap_or_else(|| panic!("{key:?}")).value;
    assert_eq!(*of(b"text"), RedisValue::String("Ångström \"quoted\" \\ back\n".into()));
    assert_eq!(*of(b"\xff\x00 key\r\n"), RedisValue::String(b"\x00\x01\xfe\xff\r\n".as_slice().into()));
    assert_eq!(*of(b"bitmap"), RedisValue::String(b"\0\0\0\0\0\0\0\0\0\x04".as_slice().into()));
    let list = ["a".into(), "b".into(), RedisBytes::from(b"\xff".as_slice()), "".into(), "a".into()];
    assert_eq!(*of(b"list"), RedisValue::List(list.to_vec()));
    let RedisValue::SortedSet(ranking) = of(b"ranking") else { panic!("no sorted set") };
    let scores: Vec<_> = ranking.iter().map(|one| (one.member.to_str().unwrap(), one.score)).collect();
    assert_eq!(scores, [("first", f64::NEG_INFINITY), ("a", 0.1), ("b", 0.1), ("far", 1e300), ("last", f64::INFINITY)]);
    let RedisValue::Hash(hash) = of(b"hash") else { panic!("no hash") };
    assert_eq!(hash.keys().map(|name| name.as_slice().to_vec()).collect::<Vec<_>>(), [&b""[..], b"name", b"\xff"]);
    let RedisValue::Stream(events) = of(b"events") else { panic!("no stream") };
    assert_eq!(events.entries.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>(), ["1-1", "3-0", "5-5"]);
    assert_eq!(events.last_id.to_string(), "6-0");
    let mail = &events.groups[b"mail".as_slice()];
    assert_eq!(mail.last_delivered_id.to_string(), "3-0");
    assert_eq!(mail.consumers.len(), 3);
    let pending: Vec<_> =
        mail.pending.iter().map(|one| (one.id.to_string(), one.consumer.as_slice().to_vec(), one.deliveries)).collect();
    // Entries that a consumer reads again are delivered again, and a deleted entry is still pending.
    assert_eq!(
        pending,
        [("1-1".into(), b"asa".to_vec(), 2), ("2-0".into(), b"asa".to_vec(), 2), ("3-0".into(), b"\xfd".to_vec(), 1)]
    );
    assert!(snapshot.get_in(15, "celery").is_some() && snapshot.get_in(14, "celery").is_none());
    let ttl = snapshot.get("code:asa").and_then(|entry| entry.ttl).expect("a timeout");
    assert!((Duration::from_secs(295)..=Duration::from_secs(300)).contains(&ttl), "{ttl:?}");
    assert_eq!(snapshot.len(), snapshot.entries().count());
    assert!(!snapshot.is_empty());
}

#[rstest]
#[clean_redis]
fn a_restored_snapshot_is_equal(test_request: TestRequest) {
    seed(&test_request);
    let mut redis = connect(&test_request);
    let before = test_request.snapshot().expect("snapshot");
    let visitors: u64 = redis.pfcount("visitors").expect("PFCOUNT");
    run(&mut redis, commands!["SET", "later", "x"; "DEL", "list"; "RPUSH", "text2", "x";]);
    test_request.restore(&before).expect("restore");
    let after = test_request.snapshot().expect("snapshot");
    assert_eq!(after, before);
    // TTLs begin anew.
    let changes = before.diff(&after);
    assert!(changes.changes().iter().all(|change| matches!(change, Change::TtlMoved { .. })), "{changes}");
    assert_eq!(redis.pfcount::<_, u64>("visitors"), Ok(visitors));
    // The counters too, if the server has them, and the next entry to be delivered.
    assert_eq!(
        serde_json::to_string(&without_idle(after)).unwrap(),
        serde_json::to_string(&without_idle(before)).unwrap()
    );
    let next: redis::Value = redis::cmd("XREADGROUP")
        .arg(&["GROUP", "mail", "new", "STREAMS", "events", ">"])
        .query(&mut redis)
        .expect("XREADGROUP");
    assert!(format!("{next:?}").contains("5-5") && !format!("{next:?}").contains("3-0"), "{next:?}");
}

/// Entries that were pending when the stream was trimmed are still pending, and the deletion facts are the same.
#[rstest]
#[clean_redis]
fn a_trimmed_stream_is_restored_as_it_was(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(
        &mut redis,
        commands![
            "XADD", "all", "1-1", "a", "1";
            "XGROUP", "CREATE", "all", "mail", "0";
            "XREADGROUP", "GROUP", "mail", "asa", "STREAMS", "all", ">";
            "XTRIM", "all", "MAXLEN", "0";
            "XADD", "some", "1-1", "a", "1";
            "XADD", "some", "2-18446744073709551615", "a", "2";
            "XADD", "some", "3-1", "a", "3";
            "XADD", "some", "4-1", "a", "4";
            "XGROUP", "CREATE", "some", "mail", "0";
            "XREADGROUP", "GROUP", "mail", "asa", "STREAMS", "some", ">";
            "XDEL", "some", "1-1";
            "XTRIM", "some", "MAXLEN", "1";
        ],
    );
    let before = test_request.snapshot().expect("snapshot");
    test_request.restore(&before).expect("restore");
    let after = test_request.snapshot().expect("snapshot");
    assert_eq!(without_idle(after), without_idle(before));
}

/// As JSON, without values that change with time.
fn without_idle(snapshot: Snapshot) -> serde_json::Value {
    let mut json = serde_json::to_value(snapshot).expect("JSON");
    strip(&mut json);
    json
}

fn strip(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(map) => {
            map.retain(|name, _| !["ttl_ms", "idle_ms"].contains(&name.as_str()));
            map.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of all servers are equal on this one.
#[rstest]
#[clean_redis]
fn files_of_another_server_are_restored(test_request: TestRequest) {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/it/written_by"))
        .expect("files")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.push(root().join("fixtures/every_type.json"));
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let written = Snapshot::from_file(&file).expect("read");
        assert_eq!(written.len(), 20, "{}", file.display());
        let saved = tempfile::NamedTempFile::new().expect("a file");
        written.save(saved.path()).expect("save");
        assert!(fs::read(saved.path()).expect("read") == fs::read(&file).expect("read"), "{}", file.display());
        test_request.restore(&written).expect("restore");
        let here = test_request.snapshot().expect("snapshot");
        assert_eq!(here, written, "{}", file.display());
        assert_eq!(connect(&test_request).pfcount::<_, u64>("visitors"), Ok(503), "{}", file.display());
    }
}

/// Not a test: writes the file of the server that it runs on.
#[rstest]
#[clean_redis]
#[ignore = "writes tests/it/written_by"]
fn writes_its_file(test_request: TestRequest) {
    seed(&test_request);
    let server = test_request.server();
    let name = format!("{}-{}.json", server.product().to_lowercase(), server.version().expect("a version"));
    let snapshot = test_request.snapshot().expect("snapshot");
    snapshot.save(root().join("tests/it/written_by").join(name)).expect("save");
}

#[rstest]
#[clean_redis]
fn hash_fields_keep_their_ttls(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["HSET", "visitor", "code", "1", b"\xff", "2"; "HSET", "other", "a", "b";]);
    let expire = |seconds: u32, redis: &mut Connection| {
        redis::cmd("HEXPIRE").arg("visitor").arg(seconds).arg("FIELDS").arg(1).arg("code").exec(redis)
    };
    if expire(3_000, &mut redis).is_err() {
        let file = root().join("fixtures/field_timeouts.json");
        let before = test_request.snapshot().expect("snapshot");
        let error = test_request.restore(&Snapshot::from_file(file).expect("read")).expect_err("no such timeouts");
        assert!(error.is_data(), "{error}");
        assert!(error.to_string().contains("unknown command") && error.to_string().contains("HPEXPIRE"), "{error}");
        assert!(
            error.to_string().contains("visitor in database 14") && error.to_string().contains("Redis 7.4"),
            "{error}"
        );
        assert_eq!(test_request.snapshot().expect("snapshot"), before, "unchanged");
        return;
    }
    let before = test_request.snapshot().expect("snapshot");
    let file = root().join("fixtures/field_timeouts.json");
    assert_eq!(Snapshot::from_file(file).expect("read"), before);
    assert_eq!(
        shown::rounded(&before.to_string()),
        "database 14: 2 keys\n  other hash {\"a\": \"b\"}\n  visitor hash {\"code\": \"1\" ttl 3000 s, \"\\xff\": \"2\"}\n\
         database 15: no keys"
    );
    expire(1_000, &mut redis).expect("HEXPIRE");
    run(&mut redis, commands!["HSET", "other", "c", "d"; "HEXPIRE", "other", "2000", "FIELDS", "1", "a";]);
    let later = test_request.snapshot().expect("snapshot");
    assert_eq!(
        shown::rounded(&before.diff(&later).to_string()),
        "changed 14 other hash: +\"c\": \"d\"\nTTL moved 14 other field \"a\": none -> 2000 s\n\
         TTL moved 14 visitor field \"code\": 3000 s -> 1000 s"
    );
    test_request.restore(&before).expect("restore");
    assert_eq!(test_request.snapshot().expect("snapshot"), before);
}

#[rstest]
#[clean_redis]
fn thousands_of_keys_are_a_handful_of_round_trips(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    let mut fill = redis::pipe();
    for number in 0..2_500 {
        fill.set(format!("key:{number}"), number).ignore().hset(format!("hash:{number}"), "a", number).ignore();
    }
    fill.exec(&mut redis).expect("fill");
    let reads = |redis: &mut Connection| {
        let info: InfoDict = redis::cmd("INFO").arg("stats").query(redis).expect("INFO");
        info.get::<u64>("total_reads_processed").expect("reads")
    };
    let before = reads(&mut redis);
    let snapshot = test_request.snapshot().expect("snapshot");
    let reads = reads(&mut redis) - before;
    assert_eq!(snapshot.len(), 5_000);
    // The server reads a long pipeline in chunks of 16 kB.
    assert!(reads < 150, "{reads} reads");
}

#[rstest]
#[clean_redis]
fn concurrent_changes_do_no_harm(test_request: TestRequest) {
    /// The writer also ends if the test fails. Otherwise it would never be joined.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
    let writers_turn = AtomicBool::new(true);
    let mut redis = connect(&test_request);
    let mut fill = redis::pipe();
    for number in 0..2_000 {
        fill.pset_ex(format!("ends:{number}"), "x", 100_000 + number * 10).ignore();
    }
    fill.exec(&mut redis).expect("fill");
    thread::scope(|scope| {
        let _over = Over(&writers_turn);
        scope.spawn(|| {
            let mut redis = connect(&test_request);
            while writers_turn.load(Ordering::SeqCst) {
                run(
                    &mut redis,
                    commands![
                        "SET", "flips", "x"; "DEL", "flips"; "RPUSH", "flips", "x"; "DEL", "flips";
                        "XADD", "flips", "1-1", "a", "b"; "DEL", "flips"; "HSET", "flips", "a", "b"; "DEL", "flips";
                        "ZADD", "flips", "1", "a"; "DEL", "flips"; "SADD", "flips", "a"; "DEL", "flips";
                    ],
                );
            }
        });
        // Keys expire while they are captured.
        scope.spawn(|| {
            for _ in 0..40 {
                test_request.travel(Duration::from_secs(3)).expect("travel");
            }
        });
        let mut sizes = Vec::new();
        while sizes.last().is_none_or(|size| *size > 1) {
            let snapshot = test_request.snapshot().expect("snapshot");
            assert!(snapshot.entries().all(|(_, key, entry)| *key == "flips" || entry.ttl.is_some()), "{snapshot}");
            sizes.push(snapshot.len());
        }
    });
}

/// The type that only Redis 8 has without a module.
#[rstest]
#[clean_redis]
fn foreign_types_are_shown_but_not_restored(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    let mut add = |name: &str| redis::cmd("VADD").arg(&["vectors", "VALUES", "2", "1", "2", name]).exec(&mut redis);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let has_vectors = add("a").is_ok();
    let snapshot = if has_vectors {
        test_request.snapshot().expect("snapshot")
    } else {
        let text = r#"{"transient_fixtures_snapshot": 1, "databases": {"14": [{"key": "vectors", "value": {"other": "vectorset"}}]}}"#;
        fs::write(file.path(), text).expect("write");
        Snapshot::from_file(file.path()).expect("read")
    };
    assert_eq!(snapshot.get("vectors").expect("the key").value.type_name(), "vectorset");
    assert!(snapshot.to_string().contains("  vectors vectorset ("), "{snapshot}");
    let error = test_request.restore(&snapshot).expect_err("no commands");
    assert!(error.is_data() && error.to_string().contains("vectorset"), "{error}");
    snapshot.save(file.path()).expect("save");
    let read = Snapshot::from_file(file.path()).expect("read");
    for diff in [read.diff(&snapshot), snapshot.diff(&read), read.diff(&read)] {
        assert!(matches!(diff.changes(), [Change::NotComparable { key, .. }] if *key == "vectors"), "{diff}");
        assert!(!diff.is_empty() && diff.to_string().starts_with("not comparable 14 vectors vectorset: "), "{diff}");
    }
    assert!(read != snapshot && read != read.clone(), "never equal");
    if has_vectors {
        assert_eq!(test_request.snapshot().expect("snapshot"), snapshot);
        add("b").expect("VADD");
        let later = test_request.snapshot().expect("snapshot");
        assert_ne!(later, snapshot);
        let diff = snapshot.diff(&later).to_string();
        let differs = golden("snapshot::OPAQUE_DIFFERS");
        assert!(diff.starts_with("changed 14 vectors vectorset: ") && diff.ends_with(differs), "{diff}");
    }
}
