//! Sessions in Pyramid's format, as a test of an application uses them. `interop/` runs the frameworks themselves.

mod bytes;
mod cookies;
mod formats;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime};

use redis::Commands;
use rstest::rstest;
use serde::{Deserialize, Serialize};
use transient_fixtures::{Error, Session, TestRequest, clean_redis, get_redis, redis, test_request};

type Use = fn(&Session) -> Result<(), Error>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    brand: String,
    count: u32,
}

fn keys(test_request: &TestRequest) -> Vec<String> {
    let mut keys: Vec<String> = get_redis(test_request).expect("connect").keys("*").expect("KEYS");
    keys.sort_unstable();
    keys
}

fn stored(session: &Session, test_request: &TestRequest) -> serde_json::Value {
    let text: String = get_redis(test_request).expect("connect").get(session.key()).expect("GET");
    serde_json::from_str(&text).expect("JSON")
}

#[rstest]
#[clean_redis]
fn returns_the_values_that_were_set(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    assert_eq!(session.get::<String>("name")?, None);
    assert_eq!(session.get_or("count", 7)?, 7);
    session.set("name", "ÅÄÖ")?;
    let cart = vec![Line { brand: "Ångström".to_owned(), count: 2 }];
    session.set("cart", &cart)?;
    session.set("nothing", None::<u32>)?;
    assert_eq!(session.get::<String>("name")?.as_deref(), Some("ÅÄÖ"));
    assert_eq!(session.get::<Vec<Line>>("cart")?, Some(cart));
    assert_eq!(session.get::<Option<u32>>("nothing")?, Some(None));
    assert!(session.contains("cart")? && !session.contains("basket")?);
    assert_eq!(session.keys()?, ["cart", "name", "nothing"]);
    assert!(session.remove("cart")? && !session.remove("cart")?);
    session.clear()?;
    assert!(session.keys()?.is_empty() && !session.is_new()?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn reading_does_not_create_a_session(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    assert!(session.is_new()? && session.get::<String>("name")?.is_none() && session.keys()?.is_empty());
    assert!(!session.remove("name")? && session.pop_flash()?.is_empty());
    session.clear()?;
    assert_eq!(session.ttl()?, None);
    assert!(keys(&test_request).is_empty());
    session.set("name", "Åsa")?;
    assert_eq!(keys(&test_request), [session.key()]);
    assert!(!session.is_new()?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn requests_share_a_session_and_visitors_do_not(test_request: TestRequest) -> Result<(), Error> {
    test_request.session().set("name", "Åsa")?;
    let same = TestRequest::new().session();
    assert_eq!(same.get::<String>("name")?.as_deref(), Some("Åsa"));
    let from_a_thread = test_request.clone();
    let name = thread::spawn(move || from_a_thread.session().get::<String>("name")).join().expect("join")?;
    assert_eq!(name.as_deref(), Some("Åsa"));
    let (one, two) = (test_request.visitor(), test_request.visitor());
    one.session().set("name", "Bo")?;
    assert_eq!(two.session().get::<String>("name")?, None);
    assert_eq!(same.get::<String>("name")?.as_deref(), Some("Åsa"));
    assert_eq!(keys(&test_request).len(), 2);
    Ok(())
}

#[rstest]
#[case(1)]
#[case(2)]
#[clean_redis]
fn every_test_starts_with_a_new_session(test_request: TestRequest, #[case] number: u32) -> Result<(), Error> {
    assert!(test_request.session().is_new()?);
    test_request.session().set("number", number)
}

#[rstest]
#[clean_redis]
fn sessions_live_for_a_year_after_their_last_use(test_request: TestRequest) -> Result<(), Error> {
    const YEAR: Duration = Duration::from_secs(31_536_000);
    const ALMOST: Duration = Duration::from_secs(31_536_000 - 3600);
    assert_eq!(test_request.settings().session_timeout(), YEAR, "set in test.ini");
    let session = test_request.session();
    session.set("name", "Åsa")?;
    let left = || session.ttl().map(|left| left.expect("a timeout"));
    assert!(left()? <= YEAR && left()? > ALMOST);
    assert_eq!(stored(&session, &test_request)["t"], 31_536_000);

    // Every use renews it for another year.
    let mut redis = get_redis(&test_request).expect("connect");
    session.csrf_token()?;
    let uses: [Use; 7] = [
        // These find nothing to change.
        |session| session.csrf_token().map(|_| ()),
        |session| session.remove("other").map(|_| ()),
        |session| session.pop_flash().map(|_| ()),
        |session| session.get::<String>("name").map(|_| ()),
        |session| session.keys().map(|_| ()),
        |session| session.contains("other").map(|_| ()),
        |session| session.peek_flash().map(|_| ()),
    ];
    for uses in uses {
        redis.expire::<_, ()>(session.key(), 100).expect("EXPIRE");
        assert!(left()? <= Duration::from_secs(100));
        uses(&session)?;
        assert!(left()? > ALMOST);
    }
    // If the key has no TTL, the application expires the session itself.
    redis.persist::<_, ()>(session.key()).expect("PERSIST");
    session.keys()?;
    assert_eq!(session.ttl()?, None);
    assert!(test_request.visitor().set_cookie().contains("; Max-Age=31536000"));
    Ok(())
}

/// The application's library can check a stored expiry.
#[rstest]
#[clean_redis]
fn renews_a_stored_expiry(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs();
    let text = format!(r#"{{"m": {{"name": "Åsa"}}, "c": 1700000000, "v": 1, "t": 600, "x": {}}}"#, now + 30);
    get_redis(&test_request).expect("connect").set_ex::<_, _, ()>(session.key(), text, 600).expect("SETEX");
    assert_eq!(session.get::<String>("name")?.as_deref(), Some("Åsa"));
    let after = stored(&session, &test_request);
    assert!((now + 595..=now + 660).contains(&after["x"].as_u64().expect("x")), "{after}");
    assert_eq!((&after["t"], &after["c"]), (&600.into(), &1_700_000_000.into()));
    // The timeout is the session's own.
    assert!(session.ttl()?.expect("a timeout") <= Duration::from_secs(600));
    assert_eq!(session.created()?, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));

    // Once it has passed, the session has expired, though its key exists.
    let text = format!(r#"{{"m": {{"name": "Åsa"}}, "c": 1700000000, "v": 1, "t": 600, "x": {}}}"#, now - 30);
    get_redis(&test_request).expect("connect").set::<_, _, ()>(session.key(), text).expect("SET");
    assert!(session.is_new()? && session.get::<String>("name")?.is_none());
    // Reading does not renew it.
    assert_eq!(session.ttl()?, None);
    Ok(())
}

/// Both sides write concurrently, and nothing is lost.
#[rstest]
#[case(None)]
#[case(Some(4_000_000_000))]
#[clean_redis]
fn keeps_concurrent_writes_of_the_application(
    test_request: TestRequest,
    #[case] end: Option<u64>,
) -> Result<(), Error> {
    const ROUNDS: u32 = 300;
    const MESSAGES: u32 = 100;
    let session = test_request.session();
    let stored = |values: &serde_json::Value| {
        let end = end.map(|end| format!(r#", "x": {end}"#)).unwrap_or_default();
        format!(r#"{{"m": {values}, "c": 1700000000, "v": 1, "t": 600{end}}}"#)
    };
    let key = session.key();
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set_ex::<_, _, ()>(&key, stored(&serde_json::json!({"theirs": 0})), 600).expect("SETEX");
    let (request, others) = (test_request.clone(), session.clone());
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let until = done.clone();
    let ours = thread::spawn(move || {
        let mut count = 0_u32;
        while !until.load(std::sync::atomic::Ordering::SeqCst) {
            others.get::<u32>("theirs")?;
            count += 1;
            others.set("ours", count)?;
            // Not more: a session that grows makes every round slower.
            if count <= MESSAGES {
                others.flash(count)?;
            }
        }
        drop(request);
        Ok::<_, Error>(count)
    });
    // The application reads, changes and writes, and retries after a concurrent write.
    for number in 1..=ROUNDS {
        redis::transaction(&mut redis, &[&key], |redis, pipeline| {
            let text: String = redis.get(&key)?;
            let mut whole: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            whole["m"]["theirs"] = number.into();
            pipeline.set_ex(&key, whole.to_string(), 600).ignore().query::<Option<()>>(redis)
        })
        .expect("a transaction");
        assert_eq!(session.get::<u32>("theirs")?, Some(number), "lost by our writing");
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    let count = ours.join().expect("join")?;
    assert_eq!((session.get::<u32>("ours")?, session.pop_flash()?.len()), (Some(count), count.min(MESSAGES) as usize));
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_deleted_or_expired_session_is_new(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    session.set("name", "Åsa")?;
    let id = session.id();
    redis::cmd("FLUSHDB").exec(&mut get_redis(&test_request).expect("connect")).expect("FLUSHDB");
    assert!(session.is_new()?);
    assert_eq!(session.get::<String>("name")?, None);
    session.set("other", 1)?;
    assert_eq!((session.id(), session.keys()?), (id, vec!["other".to_owned()]));

    test_request.travel_to_expiry(&session.key())?;
    assert!(session.is_new()? && session.get::<u32>("other")?.is_none());
    Ok(())
}

#[rstest]
#[clean_redis]
fn invalidate_deletes_the_session_and_starts_a_new_one(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor();
    let session = visitor.session();
    visitor.log_in(17)?;
    let (id, cookie) = (session.id(), visitor.set_cookie());
    session.invalidate()?;
    assert_ne!(session.id(), id);
    assert_ne!(visitor.set_cookie(), cookie);
    assert!(session.is_new()? && visitor.user::<u32>()?.is_none() && keys(&test_request).is_empty());
    session.set("name", "Åsa")?;
    assert_eq!(keys(&test_request), [session.key()]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn visitors_log_in_and_out(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor();
    assert_eq!(visitor.user::<String>()?, None);
    visitor.log_in("asa@example.com")?;
    assert_eq!(visitor.user::<String>()?.as_deref(), Some("asa@example.com"));
    assert_eq!(stored(&visitor.session(), &test_request)["m"]["auth.userid"], "asa@example.com");
    visitor.log_out()?;
    assert_eq!(visitor.user::<String>()?, None);
    assert!(!visitor.session().is_new()?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn flash_messages_are_shown_once(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    assert!(session.peek_flash()?.is_empty());
    session.flash("saved")?;
    session.flash("saved")?;
    session.flash_queue("").allow_duplicate(false).flash("saved")?;
    session.flash_queue("errors").flash("no such brand: Å")?;
    assert_eq!(session.peek_flash()?, ["saved", "saved"]);
    assert_eq!(session.pop_flash()?, ["saved", "saved"]);
    assert!(session.pop_flash()?.is_empty());
    assert_eq!(session.flash_queue("errors").pop_flash()?, ["no such brand: Å"]);
    session.flash_queue("once").allow_duplicate(false).flash("first")?;
    assert_eq!(session.flash_queue("once").peek_flash()?, ["first"]);

    // Pyramid accepts any value as a message.
    let message = serde_json::json!({"kind": "error", "text": "Å"});
    session.flash_queue("any").flash(&message)?;
    session.flash_queue("any").allow_duplicate(false).flash(&message)?;
    session.flash_queue("any").flash("text")?;
    assert_eq!(session.get::<Vec<serde_json::Value>>("_f_any")?.expect("a queue")[0], message);
    assert_eq!(session.flash_queue("any").pop_flash()?, [r#"{"kind":"error","text":"Å"}"#, "text"]);
    session.set("_f_no queue", 7)?;
    for error in [
        session.flash_queue("no queue").flash("lost?").expect_err("a number"),
        session.flash_queue("no queue").peek_flash().expect_err("a number"),
        session.flash_queue("no queue").pop_flash().expect_err("a number"),
    ] {
        assert!(error.is_data() && error.to_string().contains("_f_no queue"), "{error}");
    }
    assert_eq!(session.get::<u32>("_f_no queue")?, Some(7));
    Ok(())
}

/// Two threads on one session, which is one visitor with two tabs.
#[rstest]
#[clean_redis]
fn concurrent_flash_messages_are_all_kept(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || (0..25).for_each(|number| session.flash((thread, number)).expect("flash")));
        }
    });
    assert_eq!(session.pop_flash()?.len(), 100);
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_csrf_token_stays_until_it_is_replaced(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    let first = session.csrf_token()?;
    assert_eq!((first.len(), session.csrf_token()?), (64, first.clone()));
    let second = session.new_csrf_token()?;
    assert_ne!(second, first);
    assert_eq!(session.csrf_token()?, second);
    assert_ne!(test_request.visitor().session().csrf_token()?, second);
    Ok(())
}

#[rstest]
#[clean_redis]
fn created_is_the_time_of_creation(test_request: TestRequest) -> Result<(), Error> {
    let before = SystemTime::now() - Duration::from_secs(1);
    let session = test_request.session();
    let unstored = session.created()?.expect("a time");
    session.set("name", "Åsa")?;
    let stored = session.created()?.expect("a time");
    for time in [unstored, stored] {
        assert!(time >= before && time <= SystemTime::now());
    }
    session.set("name", "Bo")?;
    assert_eq!(session.created()?, Some(stored));
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_error_for_a_wrong_type_shows_the_value(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    session.set("cart", ["brand-1"; 3])?;
    let error = session.get::<u32>("cart").expect_err("a list");
    assert!(error.is_data() && !error.is_server());
    let text = error.to_string();
    for words in ["\"cart\"", "u32", r#"["brand-1","brand-1","brand-1"]"#] {
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }
    assert!(std::error::Error::source(&error).is_some());
    session.set("long", "Å".repeat(10_000))?;
    let text = session.get::<u32>("long").expect_err("a string").to_string();
    assert!(text.len() < 1_500 && text.contains("20002 bytes"), "{} bytes", text.len());
    // Nothing was lost.
    assert_eq!(session.get::<Vec<String>>("cart")?.expect("still there").len(), 3);

    let no_json = BTreeMap::from([(vec![1], "keys of JSON objects are texts")]);
    let error = session.set("map", no_json).expect_err("it is not JSON");
    assert!(error.is_data() && error.to_string().contains("\"map\""), "{error}");
    Ok(())
}

#[rstest]
#[case(b"\x80\x04\x95 a pickle".as_slice())]
#[case(b"".as_slice())]
#[case(b"{}".as_slice())]
#[case(br#"{"m": [], "c": 1, "v": 1}"#.as_slice())]
#[case(br#"{"m": {}, "c": 1e400, "v": 1}"#.as_slice())]
#[clean_redis]
fn does_not_overwrite_data_that_is_not_a_session(test_request: TestRequest, #[case] bytes: &[u8]) {
    let session = test_request.session();
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set::<_, _, ()>(session.key(), bytes).expect("SET");
    let ttl = |session: &transient_fixtures::Session| session.ttl().expect("PTTL");
    for error in [
        session.get::<String>("name").expect_err("unreadable"),
        session.set("name", "Åsa").expect_err("unreadable"),
        session.flash("saved").expect_err("unreadable"),
        session.clear().expect_err("unreadable"),
    ] {
        assert!(error.is_data(), "{error}");
        assert!(error.to_string().contains("Pyramid"), "{error}");
        assert!(!error.to_string().contains(&session.id()), "an id is as good as a password: {error}");
    }
    assert_eq!((redis.get::<_, Vec<u8>>(session.key()).expect("GET"), ttl(&session)), (bytes.to_vec(), None));
    // Only the author can decide to delete it.
    session.invalidate().expect("invalidate");
    session.set("name", "Åsa").expect("a new session");
}

#[rstest]
#[clean_redis]
fn the_error_for_a_key_of_another_type_is_the_servers(test_request: TestRequest) {
    let session = test_request.session();
    get_redis(&test_request).expect("connect").rpush::<_, _, ()>(session.key(), "x").expect("RPUSH");
    let error = session.get::<String>("name").expect_err("a list");
    assert!(error.is_server() && format!("{error:?}").contains("WRONGTYPE"), "{error}");
}

#[rstest]
#[clean_redis]
fn reconnects_after_a_lost_connection(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    session.set("name", "Åsa")?;
    let mut redis = get_redis(&test_request).expect("connect");
    // Only those of this test: a running server has others.
    let name: String = redis::cmd("CLIENT").arg("GETNAME").query(&mut redis).expect("CLIENT GETNAME");
    let me: u64 = redis::cmd("CLIENT").arg("ID").query(&mut redis).expect("CLIENT ID");
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis).expect("CLIENT LIST");
    let mut others: Vec<u64> = clients
        .lines()
        .filter(|line| line.contains(&format!(" name={name} ")))
        .filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok())
        .filter(|id| *id != me)
        .collect();
    // The session's. On a started server the first one holds the lease; on a shared one that has another name.
    others.sort_unstable();
    let last = others.last().expect("the session's connection");
    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(*last).exec(&mut redis).expect("CLIENT KILL");
    assert!(session.get::<String>("name").expect_err("lost").is_server());
    assert_eq!(session.get::<String>("name")?.as_deref(), Some("Åsa"));
    Ok(())
}

#[rstest]
#[tokio::test]
#[clean_redis]
async fn sessions_work_in_async_tests(test_request: TestRequest) -> Result<(), Error> {
    let session = test_request.session();
    session.set("name", "Åsa")?;
    let mut redis = transient_fixtures::get_async_redis(&test_request).await.expect("connect");
    assert_eq!(redis::AsyncCommands::exists::<_, bool>(&mut redis, session.key()).await, Ok(true));
    Ok(())
}
