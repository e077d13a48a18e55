//! Login with a code that is sent to the visitor's phone.

use std::error::Error;
use std::time::Duration;

use redis::{Commands, RedisResult};
use rstest::{fixture, rstest};
use serde_json::json;
use shop::{CODE_VALID_FOR, Login, Session, WRONG_CODES_ALLOWED};
use transient_fixtures::{TestRequest, Visitor, clean_redis, get_redis, test_request};

const NUMBER: &str = "+46 8 123 456 78";

#[fixture]
fn login(test_request: TestRequest) -> Login {
    Login::open(test_request.redis_url(), test_request.jobs_url()).expect("connect")
}

/// A visitor who has requested a code.
#[fixture]
fn visitor(test_request: TestRequest, mut login: Login) -> Visitor {
    let visitor = test_request.visitor();
    visitor.session().set("cart", json!({"Ångström": 1})).expect("write the session");
    let mut session = arrive(&test_request, &visitor).expect("read the session");
    login.send_code(&mut session, NUMBER).expect("send a code");
    visitor
}

fn arrive(test_request: &TestRequest, visitor: &Visitor) -> RedisResult<Session> {
    let lifetime = test_request.settings().session_timeout();
    Session::open(test_request.redis_url(), lifetime, &visitor.cookie())
}

/// The last code that was sent, as shown on the visitor's phone.
#[track_caller]
fn sent_code(test_request: &TestRequest) -> String {
    let sent = test_request.jobs().assert_enqueued("shop.send_sms");
    let code = sent.jobs().last().and_then(|job| job.args()[1].as_str()).expect("a code");
    code.to_owned()
}

/// A code other than the one sent.
fn wrong_code(test_request: &TestRequest) -> String {
    let code: u32 = sent_code(test_request).parse().expect("digits");
    format!("{:06}", (code + 1) % 1_000_000)
}

fn key_of_the_code(test_request: &TestRequest) -> RedisResult<String> {
    let mut keys: Vec<String> = get_redis(test_request)?.keys("login:*")?;
    assert_eq!(keys.len(), 1, "{keys:?}");
    Ok(keys.remove(0))
}

#[rstest]
#[clean_redis]
fn the_code_is_sent_once_and_kept_for_five_minutes(
    test_request: TestRequest,
    visitor: Visitor,
) -> Result<(), Box<dyn Error>> {
    let code = sent_code(&test_request);
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
    test_request.jobs().assert_enqueued("shop.send_sms").with_args((NUMBER, &code)).on_queue("celery").times(1);
    assert_eq!(test_request.jobs().all()?.len(), 1, "nothing else is queued");
    assert_eq!(visitor.session().pop_flash()?, [format!("Koden är på väg till {NUMBER}.")]);
    let seconds: i64 = get_redis(&test_request)?.ttl(key_of_the_code(&test_request)?)?;
    assert!((CODE_VALID_FOR - 10..=CODE_VALID_FOR).contains(&seconds), "{seconds} s");
    Ok(())
}

/// A login also changes the cookie, so an attacker who knows the old one is not logged in.
#[rstest]
#[clean_redis]
fn the_code_logs_the_visitor_in(
    test_request: TestRequest,
    visitor: Visitor,
    mut login: Login,
) -> Result<(), Box<dyn Error>> {
    let before = test_request.visitor_with_cookie(&visitor.cookie());
    let mut session = arrive(&test_request, &visitor)?;
    assert_eq!(session.user(), None);
    assert!(login.enter_code(&mut session, &sent_code(&test_request))?);
    assert_eq!(session.user(), Some(NUMBER));

    visitor.apply_set_cookie(&session.cookie())?;
    assert_eq!(visitor.user::<String>()?.as_deref(), Some(NUMBER));
    assert_eq!(visitor.session().get("cart")?, Some(json!({"Ångström": 1})));
    assert_ne!(before.session().id(), visitor.session().id());
    assert!(before.session().is_new()?, "the session from before the login is still there");
    Ok(())
}

/// Two concurrent requests of one visitor, like a double tap.
#[rstest]
#[clean_redis]
fn the_code_is_used_up(test_request: TestRequest, visitor: Visitor, mut login: Login) -> Result<(), Box<dyn Error>> {
    let (mut first, mut second) = (arrive(&test_request, &visitor)?, arrive(&test_request, &visitor)?);
    let code = sent_code(&test_request);
    assert!(login.enter_code(&mut first, &code)?);
    assert!(!login.enter_code(&mut second, &code)?);
    assert_eq!(second.user(), None);
    assert_eq!(get_redis(&test_request)?.keys::<_, Vec<String>>("*")?.len(), 1, "one session is left, and no code");
    Ok(())
}

#[rstest]
#[case::the_first_time(0, true)]
#[case::the_last_time(WRONG_CODES_ALLOWED - 1, true)]
#[case::too_late(WRONG_CODES_ALLOWED, false)]
#[clean_redis]
fn wrong_codes_are_counted(
    test_request: TestRequest,
    visitor: Visitor,
    mut login: Login,
    #[case] wrong_codes: usize,
    #[case] logs_in: bool,
) -> Result<(), Box<dyn Error>> {
    for _ in 0..wrong_codes {
        let mut session = arrive(&test_request, &visitor)?;
        assert!(!login.enter_code(&mut session, &wrong_code(&test_request))?);
        assert_eq!(visitor.user::<String>()?, None);
    }
    let mut session = arrive(&test_request, &visitor)?;
    assert_eq!(login.enter_code(&mut session, &sent_code(&test_request))?, logs_in);
    visitor.apply_set_cookie(&session.cookie())?;
    assert_eq!(visitor.user::<String>()?.is_some(), logs_in);
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_expired_code_is_rejected(
    test_request: TestRequest,
    visitor: Visitor,
    mut login: Login,
) -> Result<(), Box<dyn Error>> {
    let (mut redis, key) = (get_redis(&test_request)?, key_of_the_code(&test_request)?);
    test_request.travel(Duration::from_secs(300))?;
    let mut session = arrive(&test_request, &visitor)?;
    assert!(!login.enter_code(&mut session, &sent_code(&test_request))?);
    assert_eq!(visitor.user::<String>()?, None);
    assert!(!redis.exists::<_, bool>(&key)?, "entering a code created the key again");
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_new_code_works_after_too_many_wrong_ones(
    test_request: TestRequest,
    visitor: Visitor,
    mut login: Login,
) -> Result<(), Box<dyn Error>> {
    let mut session = arrive(&test_request, &visitor)?;
    for _ in 1..WRONG_CODES_ALLOWED {
        assert!(!login.enter_code(&mut session, &wrong_code(&test_request))?);
    }
    login.send_code(&mut session, NUMBER)?;
    test_request.jobs().assert_enqueued("shop.send_sms").times(2);
    for _ in 1..WRONG_CODES_ALLOWED {
        assert!(!login.enter_code(&mut session, &wrong_code(&test_request))?);
    }
    assert!(login.enter_code(&mut session, &sent_code(&test_request))?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_code_works_only_for_its_visitor(
    test_request: TestRequest,
    visitor: Visitor,
    mut login: Login,
) -> Result<(), Box<dyn Error>> {
    let code = sent_code(&test_request);
    let other = test_request.visitor();
    other.session().set("cart", json!({"Åhléns": 1}))?;
    assert!(!login.enter_code(&mut arrive(&test_request, &other)?, &code)?);
    assert_eq!(other.user::<String>()?, None);
    assert!(login.enter_code(&mut arrive(&test_request, &visitor)?, &code)?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_code_must_be_requested(
    test_request: TestRequest,
    mut login: Login,
    #[values("", "000000")] code: &str,
) -> Result<(), Box<dyn Error>> {
    let visitor = test_request.visitor();
    let mut session = arrive(&test_request, &visitor)?;
    assert!(!login.enter_code(&mut session, code)?);
    assert_eq!(session.user(), None);
    test_request.jobs().assert_nothing_enqueued();
    Ok(())
}
