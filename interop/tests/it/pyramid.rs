//! Sessions of Pyramid, with `pyramid_session_redis`: 1.7 in the module `pyramid_1_7`, else 1.8.

use std::cell::RefCell;
use std::time::Duration;

use proptest::prelude::*;
use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{
    Error, Pyramid, SessionFormat as _, TestRequest, Visitor, clean_redis, get_redis, test_request,
};

use crate::python::Shop;
use crate::random::{config, value};

fn open(test_request: &TestRequest, more: &Value) -> Shop {
    let version = if module_path!().ends_with("pyramid_1_7") { "1.7" } else { "1.8" };
    let mut shop = Shop::open(version, test_request, more);
    let found = shop.post("/version", "", ()).body;
    assert!(found.as_str().is_some_and(|found| found.starts_with(version)), "{found}");
    shop
}

/// The stored session.
fn raw(test_request: &TestRequest, visitor: &Visitor) -> Value {
    let raw: Vec<u8> = get_redis(test_request).expect("connect").get(visitor.session().key()).expect("a session");
    serde_json::from_slice(&raw).expect("JSON")
}

fn expire(test_request: &TestRequest, visitor: &Visitor, seconds: i64) {
    let () = get_redis(test_request).expect("connect").expire(visitor.session().key(), seconds).expect("EXPIRE");
}

fn ttl(visitor: &Visitor) -> u64 {
    visitor.session().ttl().expect("TTL").expect("a session").as_secs()
}

#[rstest]
#[clean_redis]
fn a_visitor_who_is_logged_in_here_is_logged_in_there(
    test_request: TestRequest,
    #[values(false, true)] legacy_policy: bool,
) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"legacy_policy": legacy_policy}));
    let visitor = test_request.visitor();
    visitor.log_in("åsa@example.com")?;
    visitor.session().set("cart", json!({"brand-1": 2, "ÅÄÖ 🦊": 1.5}))?;

    let page = shop.post("/show", &visitor.cookie(), ()).body;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": {"brand-1": 2, "ÅÄÖ 🦊": 1.5}, "is_new": false}));

    visitor.log_out()?;
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["user"], Value::Null);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_visitor_who_logs_in_there_is_logged_in_here(
    test_request: TestRequest,
    #[values(false, true)] legacy_policy: bool,
) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"legacy_policy": legacy_policy}));
    let visitor = test_request.visitor();
    let answer = shop.post("/log_in", "", "åsa@example.com");
    visitor.apply_set_cookie(&answer.set_cookie[0])?;
    assert_eq!(visitor.user::<String>()?.as_deref(), Some("åsa@example.com"));
    assert_eq!(visitor.session().keys()?, ["auth.userid"]);
    assert!(visitor.session().key().starts_with("shop:"), "{}", visitor.session().key());

    // The session already exists, so no other cookie is set.
    let answer = shop.post("/set_cart", &visitor.cookie(), json!(["brand-1", "ÅÄÖ 🦊"]));
    assert!(answer.set_cookie.is_empty(), "{answer:?}");
    assert_eq!(visitor.session().get::<Vec<String>>("cart")?.expect("a cart"), ["brand-1", "ÅÄÖ 🦊"]);

    shop.post("/log_out", &visitor.cookie(), ());
    assert_eq!(visitor.user::<String>()?, None);
    Ok(())
}

#[rstest]
#[clean_redis]
fn each_side_keeps_what_the_other_has_set(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.session().set("seen", 3)?;
    shop.post("/set_cart", &visitor.cookie(), json!(["brand-1"]));
    visitor.log_in("bo")?;
    assert_eq!(visitor.session().keys()?, ["auth.userid", "cart", "seen"]);
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["cart"], json!(["brand-1"]));
    Ok(())
}

#[rstest]
#[clean_redis]
fn flash_messages_go_both_ways(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    // The shop deletes a session that is empty.
    visitor.session().set("seen", true)?;
    visitor.session().flash("saved: ÅÄÖ")?;
    visitor.session().flash_queue("errors").flash("no such brand")?;
    let cookie = visitor.cookie();
    assert_eq!(shop.post("/pop_flash", &cookie, "").body, json!(["saved: ÅÄÖ"]));
    assert_eq!(shop.post("/pop_flash", &cookie, "errors").body, json!(["no such brand"]));
    assert!(visitor.session().peek_flash()?.is_empty());

    for message in ["one", "two ÅÄÖ", "one"] {
        shop.post("/flash", &cookie, json!([message]));
    }
    shop.post("/flash", &cookie, json!(["wrong", "errors"]));
    assert_eq!(visitor.session().flash_queue("errors").pop_flash()?, ["wrong"]);
    assert_eq!(visitor.session().pop_flash()?, ["one", "two ÅÄÖ", "one"]);
    assert_eq!(shop.post("/pop_flash", &cookie, "").body, json!([]));
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_token_against_forged_requests_is_the_same(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    let answer = shop.post("/token", "", ());
    visitor.apply_set_cookie(&answer.set_cookie[0])?;
    assert_eq!(json!(visitor.session().csrf_token()?), answer.body);

    let token = visitor.session().new_csrf_token()?;
    let cookie = visitor.cookie();
    assert_eq!(shop.post("/token", &cookie, ()).body, json!(token));
    assert_eq!(Some(token.len()), answer.body.as_str().map(str::len));
    let mut order =
        |token: &str| shop.post_with("/order", &json!({"Cookie": cookie, "X-CSRF-Token": token}), ()).status;
    assert_eq!((order(&token), order("forged")), (200, 400));
    Ok(())
}

/// `x`, which is on by default.
#[rstest]
#[clean_redis]
fn a_session_whose_expiry_python_checks_survives_a_change_here(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    let before = raw(&test_request, &visitor);
    assert!(before["x"].is_u64(), "{before}");

    visitor.session().set("cart", ["brand-1"])?;
    let after = raw(&test_request, &visitor);
    assert!(after["x"].as_u64() >= before["x"].as_u64().map(|end| end - 1), "{before} {after}");
    assert_eq!((&after["c"], &after["t"], &after["v"]), (&before["c"], &before["t"], &before["v"]));
    let page = shop.post("/show", &visitor.cookie(), ()).body;
    assert_eq!(page, json!({"user": "asa", "cart": ["brand-1"], "is_new": false}));
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_session_whose_expiry_python_ignores_survives_a_change_here(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.python_expires": "false"}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    visitor.session().set("cart", ["brand-1"])?;
    assert_eq!(raw(&test_request, &visitor).get("x"), None);
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["cart"], json!(["brand-1"]));
    Ok(())
}

#[rstest]
#[clean_redis]
fn access_renews_the_timeout_on_both_sides(
    test_request: TestRequest,
    #[values("true", "false")] python_expires: &str,
) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.python_expires": python_expires}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    assert!((1100..=1200).contains(&ttl(&visitor)), "{}", ttl(&visitor));

    expire(&test_request, &visitor, 100);
    visitor.user::<String>()?;
    assert!((1100..=1200).contains(&ttl(&visitor)), "{}", ttl(&visitor));

    expire(&test_request, &visitor, 100);
    shop.post("/show", &visitor.cookie(), ());
    assert!((1100..=1200).contains(&ttl(&visitor)), "{}", ttl(&visitor));
    Ok(())
}

/// `adjust_session_timeout`
#[rstest]
#[clean_redis]
fn a_timeout_that_the_shop_gives_to_one_session_is_kept(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    shop.post("/keep_for", &visitor.cookie(), 60);
    assert!((30..=60).contains(&ttl(&visitor)), "{}", ttl(&visitor));
    visitor.session().set("cart", ["brand-1"])?;
    assert!((30..=60).contains(&ttl(&visitor)), "{}", ttl(&visitor));

    let visitor = test_request.visitor();
    let mut shop = open(&test_request, &json!({"redis.sessions.python_expires": "false"}));
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    shop.post("/keep_for", &visitor.cookie(), 60);
    visitor.user::<String>()?;
    assert!((30..=60).contains(&ttl(&visitor)), "{}", ttl(&visitor));
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_session_without_a_timeout_never_expires(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.timeout": "None"}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    assert_eq!(visitor.session().ttl()?, None);
    visitor.user::<String>()?;
    assert_eq!(visitor.session().ttl()?, None);
    visitor.session().set("cart", ["brand-1"])?;
    assert_eq!(visitor.session().ttl()?, None);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_deleted_session_is_new_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.log_in("asa")?;
    let old = visitor.cookie();
    visitor.session().invalidate()?;
    assert_eq!(shop.post("/show", &old, ()).body, json!({"user": null, "cart": null, "is_new": true}));

    visitor.log_in("asa")?;
    let (id, cookie) = (visitor.session().id(), visitor.cookie());
    let answer = shop.post("/leave", &cookie, ());
    assert!(visitor.session().is_new()?);
    assert_eq!(visitor.user::<String>()?, None);
    visitor.apply_set_cookie(&answer.set_cookie[0])?;
    assert_ne!(visitor.session().id(), id);

    visitor.log_in("asa")?;
    expire(&test_request, &visitor, 1);
    std::thread::sleep(Duration::from_millis(1100));
    assert!(visitor.session().is_new()?);
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["is_new"], json!(true));
    Ok(())
}

/// `set_redis_ttl = false`: the key stays.
#[rstest]
#[clean_redis]
fn a_session_expired_by_python_is_gone_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let settings = json!({"redis.sessions.timeout": 1, "redis.sessions.set_redis_ttl": "false"});
    let mut shop = open(&test_request, &settings);
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    // Whole seconds, rounded up.
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["is_new"], json!(true));
    assert_eq!(visitor.user::<String>()?, None);
    assert!(visitor.session().is_new()?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_tampered_cookie_is_rejected_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.log_in("asa")?;
    let another = Pyramid::new(test_request.settings()).with_secret("another");
    let other_secret = format!("session={}", another.cookie_value(&visitor.session().id()));
    let tampered = visitor.cookie().replacen("session=", "session=A", 1);
    for cookie in [tampered, other_secret, format!("session={}", visitor.session().id())] {
        assert_eq!(shop.post("/show", &cookie, ()).body["user"], Value::Null, "{cookie}");
        assert!(test_request.visitor_with_cookie(&cookie).session().is_new()?, "{cookie}");
        assert!(visitor.apply_set_cookie(&cookie).is_err_and(|error| error.is_data()), "{cookie}");
    }
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["user"], "asa");
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_secret_can_have_any_characters(
    test_request: TestRequest,
    #[values("plain", "ÅÄÖ", "ключ ÅÄÖ")] secret: &str,
) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.secret": secret}));
    let visitor = test_request.visitor_with_format(Pyramid::new(test_request.settings()).with_secret(secret));
    visitor.log_in("asa")?;
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["user"], "asa");
    visitor.apply_set_cookie(&shop.post("/log_in", "", "bo").set_cookie[0])?;
    assert_eq!(visitor.user::<String>()?.as_deref(), Some("bo"));
    Ok(())
}

/// `timeout_trigger` extends an expiry that is near, and needs a stored one.
#[rstest]
#[clean_redis]
fn a_session_created_here_works_with_a_timeout_trigger(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.timeout_trigger": 600}));
    let visitor = test_request.visitor();
    visitor.log_in("asa")?;
    let answer = shop.post("/set_cart", &visitor.cookie(), json!(["brand-1"]));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(visitor.session().get::<Vec<String>>("cart")?.expect("a cart"), ["brand-1"]);
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["user"], "asa");
    // The same fields in the same order.
    let ours = get_redis(&test_request).expect("connect").get::<_, String>(visitor.session().key()).expect("GET");
    assert!(ours.contains("\"x\""), "{ours}");
    Ok(())
}

/// Values that only Python writes. They are the same when Python reads them again.
#[rstest]
#[clean_redis]
fn values_that_are_not_asked_for_stay_as_python_wrote_them(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/set_odd", "", ()).set_cookie[0])?;
    let before = shop.post("/show_odd", &visitor.cookie(), ()).body;
    assert!(before.as_str().is_some_and(|odd| odd.contains("nan") && odd.contains("ud800")), "{before}");
    visitor.session().set("seen", 3)?;
    visitor.log_in("åsa")?;
    visitor.session().flash("saved")?;
    assert_eq!(shop.post("/show_odd", &visitor.cookie(), ()).body, before);
    assert_eq!(shop.post("/pop_flash", &visitor.cookie(), "").body, json!(["saved"]));
    assert_eq!(visitor.session().get::<u32>("seen")?, Some(3));
    Ok(())
}

/// From the shop to us and back, random values stay what they were.
#[rstest]
#[clean_redis]
fn random_values_pass_through(test_request: TestRequest) {
    let shop = RefCell::new(open(&test_request, &json!({})));
    proptest!(config(), |(cart in value(), seen in value())| {
        let visitor = test_request.visitor();
        let answer = shop.borrow_mut().post("/set_cart", "", cart.clone());
        visitor.apply_set_cookie(&answer.set_cookie[0]).expect("its cookie");
        let session = visitor.session();
        prop_assert_eq!(session.get::<Value>("cart").expect("get"), Some(cart.clone()));
        session.set("seen", &seen).expect("set");
        session.flash("saved").expect("flash");
        prop_assert_eq!(&shop.borrow_mut().post("/show", &visitor.cookie(), ()).body["cart"], &cart);
        prop_assert_eq!(shop.borrow_mut().post("/pop_flash", &visitor.cookie(), "").body, json!(["saved"]));
        prop_assert_eq!(session.get::<Value>("seen").expect("get"), Some(seen));
        prop_assert_eq!(session.get::<Value>("cart").expect("get"), Some(cart));
    });
}

/// Wherever the expiry is stored.
#[rstest]
#[clean_redis]
fn time_travel_expires_sessions_on_both_sides(
    test_request: TestRequest,
    #[values("true", "false")] set_redis_ttl: &str,
) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({"redis.sessions.set_redis_ttl": set_redis_ttl}));
    let visitor = test_request.visitor();
    visitor.apply_set_cookie(&shop.post("/log_in", "", "asa").set_cookie[0])?;
    test_request.travel(Duration::from_secs(1100))?;
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["user"], "asa");
    test_request.travel(Duration::from_secs(1203))?;
    assert_eq!(shop.post("/show", &visitor.cookie(), ()).body["is_new"], json!(true));
    assert!(visitor.session().is_new()?);
    Ok(())
}

/// Except for their order.
#[rstest]
#[clean_redis]
fn the_cookie_has_the_same_attributes(test_request: TestRequest) -> Result<(), Error> {
    let mut shop = open(&test_request, &json!({}));
    let visitor = test_request.visitor();
    let theirs = shop.post("/log_in", "", "asa").set_cookie.remove(0);
    visitor.apply_set_cookie(&theirs)?;
    let words = |cookie: &str| {
        let mut words: Vec<_> = cookie.split("; ").map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    assert_eq!(words(&visitor.set_cookie()), words(&theirs));
    Ok(())
}
