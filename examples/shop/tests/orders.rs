//! Orders and their confirmation mails.

use std::collections::BTreeMap;
use std::error::Error;

use redis::RedisResult;
use rstest::{fixture, rstest};
use serde_json::json;
use shop::{Order, Orders, Session};
use transient_fixtures::{Jobs, TestRequest, Visitor, clean_redis, test_request};

#[fixture]
fn orders(test_request: TestRequest) -> Orders {
    Orders::open(test_request.jobs_url()).expect("connect")
}

/// The jobs, beside the ids that the shop has noted.
#[fixture]
fn jobs(test_request: TestRequest) -> Jobs {
    test_request.jobs().ignoring_keys("queued:")
}

/// Åsa, who is logged in and has a brand in her cart.
#[fixture]
fn asa(test_request: TestRequest) -> Visitor {
    let asa = test_request.visitor();
    asa.log_in("+46 8 123 456 78").expect("log in");
    asa.session().set("cart", json!({"Ångström": 2, "Åhléns": 1})).expect("fill the cart");
    asa
}

fn arrive(test_request: &TestRequest, visitor: &Visitor) -> RedisResult<Session> {
    let lifetime = test_request.settings().session_timeout();
    Session::open(test_request.redis_url(), lifetime, &visitor.cookie())
}

#[rstest]
#[case("asa@example.com")]
#[case("åsa.öberg@exempel.se")]
#[clean_redis]
fn an_order_is_confirmed_by_one_mail(
    test_request: TestRequest,
    mut orders: Orders,
    jobs: Jobs,
    asa: Visitor,
    #[case] address: &str,
) -> Result<(), Box<dyn Error>> {
    jobs.assert_nothing_enqueued();
    let mut session = arrive(&test_request, &asa)?;
    assert_eq!(orders.place(&mut session, address)?, Order::Confirmed);

    jobs.assert_enqueued("shop.send_mail")
        .with_args((address, json!({"Ångström": 2, "Åhléns": 1})))
        .on_queue("mail")
        .times(1);
    jobs.assert_not_enqueued("shop.send_sms");
    assert_eq!(asa.session().pop_flash()?, ["Tack för din beställning!"]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_order_is_placed_once(
    test_request: TestRequest,
    mut orders: Orders,
    jobs: Jobs,
    asa: Visitor,
) -> Result<(), Box<dyn Error>> {
    assert_eq!(orders.place(&mut arrive(&test_request, &asa)?, "asa@example.com")?, Order::Confirmed);
    assert_eq!(asa.session().get("cart")?, Some(BTreeMap::<String, u64>::new()));
    assert_eq!(orders.place(&mut arrive(&test_request, &asa)?, "asa@example.com")?, Order::EmptyCart);
    jobs.assert_enqueued("shop.send_mail").times(1);
    Ok(())
}

#[rstest]
#[clean_redis]
fn without_a_login_the_cart_stays(
    test_request: TestRequest,
    mut orders: Orders,
    jobs: Jobs,
    asa: Visitor,
) -> Result<(), Box<dyn Error>> {
    asa.log_out()?;
    assert_eq!(orders.place(&mut arrive(&test_request, &asa)?, "asa@example.com")?, Order::NotLoggedIn);
    assert_eq!(asa.session().get("cart")?, Some(json!({"Ångström": 2, "Åhléns": 1})));
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[case::that_never_was(None)]
#[case::that_was_emptied(Some(json!({})))]
#[clean_redis]
fn an_empty_cart_cannot_be_ordered(
    test_request: TestRequest,
    mut orders: Orders,
    jobs: Jobs,
    #[case] cart: Option<serde_json::Value>,
) -> Result<(), Box<dyn Error>> {
    let visitor = test_request.visitor();
    visitor.log_in("+46 8 123 456 78")?;
    if let Some(cart) = cart {
        visitor.session().set("cart", cart)?;
    }
    assert_eq!(orders.place(&mut arrive(&test_request, &visitor)?, "asa@example.com")?, Order::EmptyCart);
    jobs.assert_nothing_enqueued();
    assert!(visitor.session().pop_flash()?.is_empty());
    Ok(())
}

/// Workers take the mails in the order in which they were queued.
#[rstest]
#[clean_redis]
fn orders_are_served_in_sequence(
    test_request: TestRequest,
    mut orders: Orders,
    jobs: Jobs,
    asa: Visitor,
) -> Result<(), Box<dyn Error>> {
    let bo = test_request.visitor();
    bo.log_in("+46 8 876 543 21")?;
    bo.session().set("cart", json!({"Österreicher & Söhne": 1}))?;
    orders.place(&mut arrive(&test_request, &asa)?, "asa@example.com")?;
    orders.place(&mut arrive(&test_request, &bo)?, "bo@example.com")?;

    let mails = jobs.drain("mail")?;
    let addresses: Vec<_> = mails.iter().map(|mail| mail.args()[0].as_str().unwrap_or_default()).collect();
    assert_eq!(addresses, ["asa@example.com", "bo@example.com"]);
    assert_ne!(mails[0].id(), mails[1].id());
    jobs.assert_nothing_enqueued();
    Ok(())
}
