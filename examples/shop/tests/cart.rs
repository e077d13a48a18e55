//! The cart in the visitor's session. The test reads the shop's writes, and the shop reads the test's.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use redis::{Commands, RedisResult};
use rstest::{fixture, rstest};
use shop::{Cart, Session};
use transient_fixtures::{TestRequest, Visitor, clean_redis, get_redis, test_request};

/// A returning visitor. They have a session, and a cookie that the shop accepts.
#[fixture]
fn visitor(test_request: TestRequest) -> Visitor {
    let visitor = test_request.visitor();
    visitor.session().set("cart", contents([("Ångström", 1)])).expect("write the session");
    visitor
}

/// The first step of the shop in every request.
fn arrive(test_request: &TestRequest, cookie_line: &str) -> RedisResult<Session> {
    Session::open(test_request.redis_url(), test_request.settings().session_timeout(), cookie_line)
}

fn contents<const BRANDS: usize>(brands: [(&str, u64); BRANDS]) -> BTreeMap<String, u64> {
    brands.map(|(brand, count)| (brand.to_owned(), count)).into()
}

#[rstest]
#[case("Levi's")]
#[case("Ångström")]
#[case("Österreicher & \"Söhne\"")]
#[clean_redis]
fn a_new_visitor_gets_a_cookie_and_a_cart(
    test_request: TestRequest,
    #[case] brand: &str,
) -> Result<(), Box<dyn Error>> {
    let newcomer = test_request.visitor();
    let mut session = arrive(&test_request, &newcomer.cookie())?;
    Cart::of(&mut session).add(brand, 2)?;

    newcomer.apply_set_cookie(&session.cookie())?;
    assert_eq!(newcomer.session().keys()?, ["cart"]);
    assert_eq!(newcomer.session().get("cart")?, Some(contents([(brand, 2)])));
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_cart_is_still_there_at_the_next_request(
    test_request: TestRequest,
    visitor: Visitor,
) -> Result<(), Box<dyn Error>> {
    let began = visitor.session().created()?;
    let mut session = arrive(&test_request, &visitor.cookie())?;
    Cart::of(&mut session).add("Ångström", 2)?;
    Cart::of(&mut session).add("Åhléns", 1)?;

    let in_the_cart = contents([("Ångström", 3), ("Åhléns", 1)]);
    assert_eq!(visitor.session().get("cart")?, Some(in_the_cart.clone()));
    assert_eq!(visitor.session().created()?, began);
    let mut session = arrive(&test_request, &format!("theme=dark; {}; lang=sv", visitor.cookie()))?;
    assert_eq!(Cart::of(&mut session).contents(), in_the_cart);
    Ok(())
}

#[rstest]
#[clean_redis]
fn two_visitors_do_not_share_a_cart(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (asa, bo) = (test_request.visitor(), test_request.visitor());
    for (visitor, brand) in [(&asa, "Ångström"), (&bo, "Österreicher")] {
        let mut session = arrive(&test_request, &visitor.cookie())?;
        Cart::of(&mut session).add(brand, 1)?;
        visitor.apply_set_cookie(&session.cookie())?;
    }
    assert_eq!(asa.session().get("cart")?, Some(contents([("Ångström", 1)])));
    assert_eq!(bo.session().get("cart")?, Some(contents([("Österreicher", 1)])));
    Ok(())
}

#[rstest]
#[case::none("")]
#[case::empty("session=")]
#[case::unknown("session=0123456789abcdef")]
#[case::longer("session={id}0")]
#[case::of_another_name("sessions={id}")]
#[case::no_session("session=price:1")]
#[case::unreadable("session=pickled")]
#[case::not_an_id("session=å%00\"{id}")]
#[clean_redis]
fn an_unknown_cookie_starts_a_new_session(
    test_request: TestRequest,
    visitor: Visitor,
    #[case] cookie_line: &str,
) -> Result<(), Box<dyn Error>> {
    let mut redis = get_redis(&test_request)?;
    redis.set::<_, _, ()>("price:1", 12_900)?;
    redis.set::<_, _, ()>("pickled", b"\x80\x04}\x94.")?;
    let cookie_line = cookie_line.replace("{id}", &visitor.session().id());

    let mut session = arrive(&test_request, &cookie_line)?;
    assert_eq!(Cart::of(&mut session).contents(), contents([]));
    Cart::of(&mut session).add("Österreicher", 1)?;

    let newcomer = test_request.visitor();
    newcomer.apply_set_cookie(&session.cookie())?;
    assert_eq!(newcomer.session().get("cart")?, Some(contents([("Österreicher", 1)])));
    assert!(!cookie_line.contains(&newcomer.session().id()), "the id was chosen by the client");
    assert_eq!(visitor.session().get("cart")?, Some(contents([("Ångström", 1)])));
    assert_eq!(redis.ttl::<_, i64>("price:1")?, -1, "a cookie reached a key that is not a session");
    Ok(())
}

#[rstest]
#[clean_redis]
fn looking_around_writes_nothing(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let mut session = arrive(&test_request, "")?;
    assert_eq!(Cart::of(&mut session).contents(), contents([]));
    assert!(session.take_messages()?.is_empty());
    assert_eq!(get_redis(&test_request)?.keys::<_, Vec<String>>("*")?, [""; 0]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_visit_extends_the_cart(test_request: TestRequest, visitor: Visitor) -> Result<(), Box<dyn Error>> {
    test_request.travel(test_request.settings().session_timeout() - Duration::from_secs(60))?;
    arrive(&test_request, &visitor.cookie())?;
    let lifetime = test_request.settings().session_timeout();
    let left = visitor.session().ttl()?.expect("a life that ends");
    assert!(left <= lifetime && left + Duration::from_secs(10) >= lifetime, "{left:?}");
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_abandoned_cart_expires(test_request: TestRequest, visitor: Visitor) -> Result<(), Box<dyn Error>> {
    let mut session = arrive(&test_request, &visitor.cookie())?;
    Cart::of(&mut session).add("Åhléns", 1)?;
    test_request.travel(test_request.settings().session_timeout() - Duration::from_secs(10))?;
    assert!(!visitor.session().is_new()?);
    test_request.travel(Duration::from_secs(11))?;
    assert!(visitor.session().is_new()?);
    let mut session = arrive(&test_request, &visitor.cookie())?;
    assert_eq!(Cart::of(&mut session).contents(), contents([]));
    Ok(())
}

/// A year passes in milliseconds, once without a visit and once with one halfway.
#[rstest]
#[clean_redis]
fn a_cart_is_kept_for_a_year(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let newcomer = test_request.visitor();
    let visit = || Session::open(test_request.redis_url(), 365 * DAY, &newcomer.cookie());
    let mut session = visit()?;
    Cart::of(&mut session).add("Åhléns", 1)?;
    newcomer.apply_set_cookie(&session.cookie())?;
    for _ in 0..2 {
        test_request.travel(364 * DAY)?;
        assert_eq!(Cart::of(&mut visit()?).contents(), contents([("Åhléns", 1)]));
    }
    test_request.travel(366 * DAY)?;
    assert_eq!(Cart::of(&mut visit()?).contents(), contents([]));
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_message_is_shown_once(test_request: TestRequest, visitor: Visitor) -> Result<(), Box<dyn Error>> {
    visitor.session().flash("Välkommen tillbaka, Åsa!")?;
    arrive(&test_request, &visitor.cookie())?.flash("Bara 3 kvar av Ångström.")?;
    assert_eq!(visitor.session().peek_flash()?.len(), 2);

    let mut session = arrive(&test_request, &visitor.cookie())?;
    assert_eq!(session.take_messages()?, ["Välkommen tillbaka, Åsa!", "Bara 3 kvar av Ångström."]);
    assert_eq!(visitor.session().pop_flash()?, [""; 0]);
    assert_eq!(visitor.session().keys()?, ["cart"]);
    Ok(())
}
