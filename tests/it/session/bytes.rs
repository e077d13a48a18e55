//! Values that the application wrote keep their bytes until the test sets them.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use redis::Commands;
use rstest::rstest;
use transient_fixtures::{Error, Session, SessionValues, TestRequest, clean_redis, get_redis, test_request};

/// Written like Python's `json.dumps`, with values that are not valid JSON.
const ODD: &str = r#"{"m": {"z": 123456789012345678901234567890, "a": NaN, "b": [Infinity, -Infinity, 1.10, 1E5],
"lone": "\ud800", "\ud800": 1, "deep": {"y": 1, "x": [1,2 , 3]}, "\u00c5": "\u00c5\/", "t": 0.1000}, "c": 1700000000, "v": 1, "t": 600,
"more": [NaN]}"#;

fn store(test_request: &TestRequest, session: &Session, text: &str) {
    get_redis(test_request).expect("connect").set_ex::<_, _, ()>(session.key(), text, 600).expect("SETEX");
}

fn stored(test_request: &TestRequest, session: &Session) -> SessionValues {
    let bytes: Vec<u8> = get_redis(test_request).expect("connect").get(session.key()).expect("GET");
    SessionValues::from_json(&bytes).expect("an object")
}

#[rstest]
#[clean_redis]
fn keeps_invalid_values_and_reads_the_others(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    store(&test_request, &session, ODD);
    let before = stored(&test_request, &session);
    let values = SessionValues::from_json(before.get("m").expect("values")).expect("an object");
    assert_eq!(session.get::<f64>("t")?, Some(0.1));
    assert_eq!(session.get::<String>("Å")?.as_deref(), Some("Å/"));
    for odd in ["a", "lone"] {
        let error = session.get::<String>(odd).expect_err("it is odd");
        assert!(error.is_data() && error.to_string().contains(&format!("{odd:?}")), "{error}");
    }
    // Reading writes only the expiry.
    assert_eq!(stored(&test_request, &session), before);

    session.set("new", ["Å"])?;
    session.set("t", 7)?;
    session.flash("saved")?;
    assert!(session.remove("b")?);
    let after = stored(&test_request, &session);
    for name in ["c", "v", "t", "more"] {
        assert_eq!(after.get(name), before.get(name), "{name}");
    }
    let mut expected = values;
    expected.set("new", r#"["Å"]"#);
    expected.set("t", "7");
    expected.set("_f_", r#"["saved"]"#);
    expected.remove("b");
    assert_eq!(after.get("m"), Some(&*expected.to_json()));
    assert_eq!(&session.keys()?[..3], ["\\ud800", "_f_", "a"]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn keeps_messages_of_the_application(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    let queue = r#"[ 123456789012345678901234567890, NaN, {"b": 1, "a": 2} ]"#;
    store(&test_request, &session, &format!(r#"{{"m": {{"_f_": {queue}}}, "c": 1, "v": 1, "t": 600}}"#));
    session.flash_queue("").allow_duplicate(false).flash(serde_json::json!({"a": 2, "b": 1}))?;
    session.flash("ours")?;
    let expected = ["123456789012345678901234567890", "NaN", r#"{"b": 1, "a": 2}"#, "ours"];
    assert_eq!(session.peek_flash()?, expected);
    assert_eq!(session.pop_flash()?, expected);
    Ok(())
}

/// The text of any value that an application can write.
fn json() -> impl Strategy<Value = String> {
    let text =
        proptest::string::string_regex(r#""([a-zÅ ]|\\u[0-9a-f]{4}|\\["\\/n]|[{}\[\],:]){0,6}""#).expect("a regex");
    let number = proptest::string::string_regex("-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?");
    let word = proptest::sample::select(vec!["null", "true", "NaN", "Infinity", "-Infinity"]).prop_map(str::to_owned);
    let leaf = prop_oneof![text, number.expect("a regex"), word];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let members = proptest::collection::vec((inner.clone(), any::<bool>()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            members.prop_map(|items| {
                let items = items.iter().enumerate();
                let pairs: Vec<_> = items
                    .map(|(number, (value, space))| format!("\"k{number}\":{}{value}", if *space { " " } else { "" }))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

#[rstest]
#[clean_redis]
fn changes_only_the_values_that_were_set(test_request: TestRequest) {
    let session = test_request.session();
    proptest!(ProptestConfig::with_cases(100), |(
        values in proptest::collection::vec(json(), 0..6),
        ours in 0_usize..8,
        has_end: bool,
    )| {
        let pairs: Vec<_> = values.iter().enumerate().map(|(number, text)| format!("\"v{number}\": {text}")).collect();
        let end = if has_end { r#", "x": 4000000000"# } else { "" };
        let whole = format!(r#"{{"m": {{{}}}, "c": 1700000000, "v": 1, "t": 600{end}}}"#, pairs.join(", "));
        store(&test_request, &session, &whole);
        let name = format!("v{ours}");
        session.set(&name, "ours").expect("set");
        session.flash("saved").expect("flash");
        prop_assert_eq!(session.pop_flash().expect("pop"), ["saved"]);

        let after = stored(&test_request, &session);
        let mut expected = SessionValues::from_json(format!("{{{}}}", pairs.join(", ")).as_bytes()).expect("an object");
        expected.set(&name, "\"ours\"");
        prop_assert_eq!(after.get("m"), Some(&*expected.to_json()));
        prop_assert_eq!(after.get("x").is_some(), has_end);
        prop_assert_eq!(after.iter().count(), if has_end { 5 } else { 4 });
        for (name, text) in expected.iter() {
            let read = session.get::<serde_json::Value>(name);
            // The session reads every value that serde_json reads.
            prop_assert_eq!(read.ok().flatten(), serde_json::from_slice(text).ok(), "{}", name);
        }
    });
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs()
}

/// An application with a `timeout_trigger` fails without `x`.
#[rstest]
#[clean_redis]
fn a_new_session_stores_its_expiry(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    session.set("name", "Åsa")?;
    let end: u64 = serde_json::from_slice(stored(&test_request, &session).get("x").expect("x")).expect("a number");
    let timeout = test_request.settings().session_timeout().as_secs();
    assert!((now() + timeout - 60..=now() + timeout + 1).contains(&end), "{end}");
    Ok(())
}

/// With `set_redis_ttl = false`, an application's keys have no TTL, only a stored expiry.
#[rstest]
#[clean_redis]
fn travel_ages_a_stored_expiry(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    let mut redis = get_redis(&test_request).expect("connect");
    let text = format!(r#"{{"m": {{"a": NaN}}, "c": 1700000000, "v": 1, "t": 0, "x": {}}}"#, now() + 600);
    redis.set::<_, _, ()>(session.key(), text).expect("SET");
    test_request.travel(Duration::from_secs(500))?;
    assert!(!session.is_new()? && session.keys()? == ["a"]);
    // Fractions of a second add up.
    for _ in 0..3 {
        test_request.travel(Duration::from_millis(500))?;
    }
    let end: u64 = serde_json::from_slice(stored(&test_request, &session).get("x").expect("x")).expect("a number");
    assert!((now() + 90..=now() + 99).contains(&end), "{end} {}", now());
    assert_eq!(redis.ttl::<_, i64>(session.key()).expect("TTL"), -1);
    test_request.travel(Duration::from_secs(101))?;
    assert!(session.is_new()? && session.keys()?.is_empty());
    assert!(redis.exists::<_, bool>(session.key()).expect("EXISTS"), "only the application expires it");
    test_request.expire_all()?;
    Ok(())
}

/// The prefix also identifies sessions of the application that the test has not used. Without a prefix they can't be
/// distinguished from other keys.
#[rstest]
#[clean_redis]
fn travel_ages_sessions_under_the_prefix(test_request: TestRequest) -> Result<(), Error> {
    let key = format!("{}id", test_request.settings().session_prefix());
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set::<_, _, ()>(&key, r#"{"m": {}, "c": 1, "v": 1, "x": 4000000000}"#).expect("SET");
    redis.set::<_, _, ()>("other", r#"{"m": {}, "c": 1, "v": 1, "x": 4000000000}"#).expect("SET");
    redis.set::<_, _, ()>(format!("{key}2"), "no session").expect("SET");
    test_request.travel(Duration::from_secs(7))?;
    let end = |key: &str| -> String { get_redis(&test_request).expect("connect").get(key).expect("GET") };
    let expected = if test_request.settings().session_prefix().is_empty() { " 4000000000}" } else { ":3999999993}" };
    assert!(end(&key).contains(expected), "{}", end(&key));
    assert!(end("other").contains(" 4000000000}") && end(&format!("{key}2")) == "no session");
    Ok(())
}
