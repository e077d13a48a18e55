//! Session formats other than Pyramid's: the stored data and the cookies.

use std::error::Error as StdError;
use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{
    AxumSession, Error, SameSite, SessionCookie, SessionData, SessionFormat, SessionStorage, SessionValues, Settings,
    StoredSession, TestRequest, clean_redis, get_redis, test_request,
};

type Outcome<T> = Result<T, Box<dyn StdError + Send + Sync>>;

/// A hash with a field for every value and one for the expiry, and two cookies.
#[derive(Debug)]
struct Fields;

impl SessionFormat for Fields {
    fn new_id(&self, random: &[u8]) -> String {
        assert_eq!(random.len(), 64);
        u64::from_le_bytes(random[..8].try_into().expect("eight bytes")).to_string()
    }

    fn key(&self, id: &str) -> String {
        format!("sess[{id}")
    }

    fn storage(&self) -> SessionStorage {
        SessionStorage::Hash
    }

    fn encode(&self, session: &StoredSession) -> Outcome<SessionData> {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> =
            session.values.iter().map(|(name, json)| (name.into(), json.to_vec())).collect();
        fields.push((b"ends".to_vec(), b"1000".to_vec()));
        Ok(SessionData::Hash(fields))
    }

    fn decode(&self, data: &SessionData, mut session: StoredSession) -> Outcome<StoredSession> {
        for (name, json) in data.fields().iter().filter(|(name, _)| name != b"ends") {
            session.values.set(str::from_utf8(name)?, json.clone());
        }
        Ok(session)
    }

    fn age(&self, data: &SessionData, by: Duration) -> Option<SessionData> {
        let (name, ends) = data.fields().iter().find(|(name, _)| name == b"ends")?;
        let ends = str::from_utf8(ends).ok()?.parse::<u64>().ok()?.saturating_sub(by.as_secs());
        Some(SessionData::Hash(vec![(name.clone(), ends.to_string().into_bytes())]))
    }

    fn cookie_name(&self) -> &'static str {
        "sid"
    }

    fn cookies(&self, id: &str, settings: &Settings) -> Vec<SessionCookie> {
        let mut first = SessionCookie::new("sid", self.cookie_value(id));
        first.secure = true;
        first.same_site = Some(SameSite::None);
        first.domain = Some("example.com".to_owned());
        first.path = Some("/shop".to_owned());
        vec![first, SessionCookie::from_settings("seen", "1", settings)]
    }
}

#[rstest]
#[clean_redis]
fn stores_a_session_in_a_hash(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor_with_format(Fields);
    let session = visitor.session();
    assert!(session.is_new()? && session.keys()?.is_empty() && session.ttl()?.is_none());
    session.set("cart", ["brand-1"])?;
    let mut redis = get_redis(&test_request).expect("connect");
    redis.hset::<_, _, _, ()>(session.key(), "theirs", "NaN").expect("HSET");
    visitor.log_in("Åsa")?;
    assert!(session.remove("cart")? && !session.is_new()?);
    session.flash("saved")?;
    assert_eq!(session.keys()?, ["_f_", "theirs", "user_id"]);
    let mut fields: Vec<(String, String)> = redis.hgetall(session.key()).expect("HGETALL");
    fields.sort_unstable();
    let expected = [("_f_", "[\"saved\"]"), ("ends", "1000"), ("theirs", "NaN"), ("user_id", "\"Åsa\"")];
    assert_eq!(fields, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert!(session.ttl()?.is_some_and(|left| left > Duration::from_secs(600)));

    test_request.travel(Duration::from_secs(100))?;
    assert_eq!(redis.hget::<_, _, String>(session.key(), "ends").expect("HGET"), "900");

    session.invalidate()?;
    assert!(redis.keys::<_, Vec<String>>("*").expect("KEYS").is_empty());
    // For a key of another type, the error is the server's.
    redis.set::<_, _, ()>(session.key(), "x").expect("SET");
    assert!(session.get::<u32>("cart").expect_err("a string").is_server());
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_format_can_have_several_cookies(test_request: TestRequest) {
    let visitor = test_request.visitor_with_format(Fields);
    let id = visitor.session().id();
    let lines = visitor.set_cookies();
    assert_eq!(lines[0], format!("sid={id}; SameSite=None; Secure; Path=/shop; Domain=example.com"));
    assert!(lines[1].starts_with("seen=1; HttpOnly; Path=/; Max-Age=31536000"), "{lines:?}");
    assert_eq!((visitor.set_cookie(), visitor.cookie()), (lines[0].clone(), format!("sid={id}; seen=1")));
    let session = visitor.session();
    assert_eq!((session.set_cookie(), session.cookie()), (visitor.set_cookie(), visitor.cookie()));
}

#[rstest]
#[clean_redis]
fn reads_and_writes_sessions_of_axum_session(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor_with_format(AxumSession::new());
    let session = visitor.session();
    assert_eq!(session.id().split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(&session.id()[14..15], "4");
    assert_eq!(visitor.set_cookies().len(), 1);
    assert!(visitor.set_cookie().contains("; HttpOnly; SameSite=Lax; Path=/; Expires="), "{}", visitor.set_cookie());
    let key = format!("sessions:{}", session.id());
    let mut redis = get_redis(&test_request).expect("connect");
    let theirs = r#"{"data":{"cart":"[\"\\u00c5\"]","odd":"NaN","n":"12345678901234567890123"},"longterm":true}"#;
    redis.set_ex::<_, _, ()>(&key, theirs, 600).expect("SETEX");
    assert_eq!(session.get::<Vec<String>>("cart")?, Some(vec!["Å".to_owned()]));
    visitor.log_in(7)?;
    let after: String = redis.get(&key).expect("GET");
    assert_eq!(after, theirs.replace("\"},", "\",\"user_id\":\"7\"},"));
    Ok(())
}

#[test]
fn the_last_of_repeated_values_counts() {
    let values = SessionValues::from_json(br#"{"a": 1, "a": 2, "\u0062": 3}"#).expect("an object");
    assert_eq!((values.get("a"), values.get("b")), (Some(b"2".as_slice()), Some(b"3".as_slice())));
}
