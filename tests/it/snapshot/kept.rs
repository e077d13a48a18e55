//! Snapshots in files.

use std::fs;

use proptest::prelude::*;
use rstest::rstest;
use transient_fixtures::{Snapshot, TestRequest, clean_redis, redis, test_request};

use super::connect;

use crate::golden::golden;

#[rstest]
#[clean_redis]
fn invalid_files_are_reported_with_their_line(test_request: TestRequest) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let form =
        |entries: &str| format!("{{\"transient_fixtures_snapshot\": 1, \"databases\": {{\n\"14\": [\n{entries}]}}}}");
    for (text, words) in [
        ("{".to_owned(), ":1:1: "),
        ("{\"transient_fixtures_snapshot\": 2, \"databases\": {}}".to_owned(), "version 2"),
        (form(r#"{"key": "a", "value": {"string": 7}}"#), "integer `7`"),
        (form(r#"{"key": "a", "value": {"string": "x"}, "ttl": 7}"#), "`ttl`"),
        (form(r#"{"key": "a", "value": {"text": "x"}}"#), "`text`"),
        (form(r#"{"key": {"base64": "?"}, "value": {"string": "x"}}"#), ":3:"),
        (form(r#"{"key": {"hex": "00"}, "value": {"string": "x"}}"#), "{\"base64\""),
        (form(r#"{"key": "a", "value": {"sorted_set": [{"member": "a", "score": "NaN"}]}}"#), "\"NaN\""),
        (form(r#"{"key": "a", "value": {"list": []}}"#), "list a in database 14"),
        (form(r#"{"key": "a", "value": {"stream": {"entries": [], "last_id": "x"}}}"#), "\"x\""),
        (
            form(r#"{"key": "a", "value": {"string": ""}}, {"key": "a", "value": {"string": ""}}"#),
            "key a in database 14",
        ),
    ] {
        fs::write(file.path(), &text).expect("write");
        let error = Snapshot::from_file(file.path()).expect_err(&text);
        assert!(error.is_data() && error.to_string().contains(&path), "{error}");
        assert!(format!("{error:?}").contains(words), "{words:?} is missing in: {error:?}");
    }
    let error = Snapshot::from_file("nowhere.json").expect_err("no file");
    assert!(error.is_data() && error.to_string().contains("nowhere.json"), "{error}");
    let error = test_request.snapshot().unwrap().save(file.path().join("x.json")).expect_err("no directory");
    assert!(error.is_data() && error.to_string().contains(golden("snapshot::not_written")), "{error}");
    let other = form(r#"{"key": "a", "value": {"string": "x"}}"#).replace("\"14\"", "\"3\"");
    fs::write(file.path(), other).expect("write");
    let error = test_request.restore(&Snapshot::from_file(file.path()).unwrap()).expect_err("another database");
    assert!(error.is_data() && error.to_string().contains("database 3"), "{error}");
}

/// A value that a server can have.
fn values() -> impl Strategy<Value = (u8, Vec<Vec<u8>>, Vec<f64>, Option<u32>)> {
    let bytes = prop_oneof![proptest::collection::vec(any::<u8>(), 0..20), "\\PC{0,8}".prop_map(String::into_bytes)];
    let score =
        prop_oneof![any::<f64>(), Just(f64::INFINITY), Just(f64::NEG_INFINITY), (-1000_i32..1000).prop_map(f64::from)]
            .prop_filter("a number", |score| !score.is_nan());
    (
        0_u8..6,
        proptest::collection::vec(bytes, 1..8),
        proptest::collection::vec(score, 8),
        proptest::option::of(100_000_u32..10_000_000),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A snapshot that was captured, saved and restored is captured again unchanged.
    #[test]
    fn a_kept_snapshot_is_unchanged(
        keys in proptest::collection::btree_map(proptest::collection::vec(any::<u8>(), 0..12), values(), 0..12),
    ) {
        let test_request = TestRequest::clean();
        let mut redis = connect(&test_request);
        let mut fill = redis::pipe();
        for (key, (kind, items, scores, ttl)) in &keys {
            match kind {
                0 => fill.cmd("SET").arg(key).arg(&items[0]),
                1 => fill.cmd("RPUSH").arg(key).arg(items),
                2 => fill.cmd("SADD").arg(key).arg(items),
                3 => fill.cmd("HSET").arg(key).arg(items).arg(items),
                4 => {
                    fill.cmd("ZADD").arg(key);
                    items.iter().zip(scores).fold(&mut fill, |fill, (item, score)| fill.arg(score).arg(item))
                }
                _ => fill.cmd("XADD").arg(key).arg("*").arg(items).arg(items),
            }.ignore();
            if let Some(ttl) = ttl {
                fill.cmd("PEXPIRE").arg(key).arg(ttl).ignore();
            }
        }
        if !keys.is_empty() {
            fill.exec(&mut redis).expect("fill");
        }
        let before = test_request.snapshot().expect("snapshot");
        prop_assert_eq!(before.len(), keys.len());
        let file = tempfile::NamedTempFile::new().expect("a file");
        before.save(file.path()).expect("save");
        let read = Snapshot::from_file(file.path()).expect("read");
        prop_assert_eq!(&read, &before);
        prop_assert_eq!(read.to_string(), before.to_string());
        let json = serde_json::to_string(&before).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Snapshot>(&json).expect("a snapshot"), &before);
        test_request.restore(&read).expect("restore");
        let after = test_request.snapshot().expect("snapshot");
        prop_assert_eq!(&after, &before);
        // A file does not record when its TTLs began to run.
        prop_assert!(read.diff(&after).is_empty(), "{}", read.diff(&after));
    }
}
