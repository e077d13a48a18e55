//! How many commands a page of the shop takes.

use std::error::Error;

use redis::RedisResult;
use rstest::rstest;
use serde_json::json;
use shop::{Brands, Cart, Database, Login, Order, Orders, Session};
use transient_fixtures::{Tap, TestRequest, clean_redis, test_request};

fn arrive(test_request: &TestRequest, tap: &Tap, cookie_line: &str) -> RedisResult<Session> {
    Session::open(tap.redis_url(), test_request.settings().session_timeout(), cookie_line)
}

/// Three brands take as many round trips as one.
#[rstest]
#[clean_redis]
fn a_page_of_brands_takes_one_round_trip(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (database, tap) = (Database::default(), test_request.tap()?);
    (1..=3).for_each(|article| database.set_brand(article, "Ångström"));
    let mut brands = Brands::open(&database, tap.redis_url())?;

    tap.assert_miss(|| brands.names(&[1, 2, 3]));
    tap.mark("cached");
    tap.assert_hit(|| brands.names(&[1, 2, 3]));

    tap.commands().since("cached").budget().round_trips(1).check();
    tap.budget().round_trips(3).never("KEYS").never_without_ttl("SET*").never_n_plus_one().check();
    assert_eq!(database.queries(), 3);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_cart_is_read_once_and_written_once(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (visitor, tap) = (test_request.visitor(), test_request.tap()?);
    visitor.session().set("cart", json!({"Ångström": 1}))?;

    let mut session = arrive(&test_request, &tap, &visitor.cookie())?;
    Cart::of(&mut session).add("Åhléns", 1)?;

    tap.budget().round_trips(2).never("KEYS").never_without_ttl("SET*").never_dropping_a_ttl().check();
    Ok(())
}

/// The session is read, and the script counts the wrong code.
#[rstest]
#[clean_redis]
fn a_wrong_code_takes_two_round_trips(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (visitor, tap) = (test_request.visitor(), test_request.tap()?);
    let mut login = Login::open(tap.redis_url(), tap.jobs_url())?;
    let mut session = arrive(&test_request, &tap, &visitor.cookie())?;
    login.send_code(&mut session, "+46 8 123 456 78")?;
    tap.budget().round_trips(..=7).never("KEYS").never_without_ttl("SET*").check();

    visitor.apply_set_cookie(&session.cookie())?;
    login.enter_code(&mut session, "wrong")?; // The server gets the script.
    tap.mark("a wrong code");
    login.enter_code(&mut arrive(&test_request, &tap, &visitor.cookie())?, "wrong")?;
    tap.commands().since("a wrong code").budget().round_trips(2).commands("EVALSHA", 1).check();
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_order_is_written_before_its_job_is_queued(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (asa, tap) = (test_request.visitor(), test_request.tap()?);
    asa.log_in("+46 8 123 456 78")?;
    asa.session().set("cart", json!({"Ångström": 2}))?;

    let mut session = arrive(&test_request, &tap, &asa.cookie())?;
    assert_eq!(Orders::open(tap.jobs_url())?.place(&mut session, "asa@example.com")?, Order::Confirmed);

    tap.budget().round_trips(..=7).never("KEYS").never_without_ttl("SET*").check();
    let commands = tap.commands();
    let first = |name: &str| commands.iter().position(|command| command.is(name));
    assert!(first("EVAL") < first("EVALSHA"), "{commands}");
    Ok(())
}
