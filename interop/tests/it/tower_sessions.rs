//! Sessions of axum, with tower-sessions.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use proptest::prelude::*;
use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};
use transient_fixtures::{Error, TestRequest, TowerSessions, clean_redis, get_redis, test_request};

use crate::random::{config, value};

/// The application under test.
async fn shop(test_request: &TestRequest, cookie_name: &'static str) -> Router {
    let config = Config::from_url(test_request.redis_url()).expect("a URL");
    let pool = Pool::new(config, None, None, None, 1).expect("a pool");
    pool.connect();
    pool.wait_for_connect().await.expect("connect");
    let timeout = test_request.settings().session_timeout().try_into().expect("seconds");
    let sessions = SessionManagerLayer::new(RedisStore::new(pool))
        .with_name(cookie_name)
        .with_expiry(Expiry::OnInactivity(timeout));
    let cart = get(show).post(async |session: Session, Json(cart): Json<Value>| {
        session.insert("cart", cart).await.expect("set");
    });
    let leave = post(async |session: Session| session.flush().await.expect("leave"));
    Router::new().route("/cart", cart).route("/leave", leave).layer(sessions)
}

async fn show(session: Session) -> Json<Value> {
    let user = session.get::<Value>("user_id").await.expect("get");
    let cart = session.get::<Value>("cart").await.expect("get");
    Json(json!({"user": user, "cart": cart}))
}

/// Returns the cookie that is set, if any, and the page.
async fn send(shop: &Router, request: Request<Body>) -> (Option<String>, Value) {
    let response = shop.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text").to_owned());
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (cookie, serde_json::from_slice(&body).unwrap_or_default())
}

pub(crate) fn with_json(mut request: Request<Body>, body: &Value) -> Request<Body> {
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    *request.body_mut() = Body::from(body.to_string());
    request
}

/// Every kind of JSON value.
pub(crate) fn everything() -> Value {
    json!({
        "ÅÄÖ 🦊": ["", "日本", "\u{0}\"\\\n"],
        "numbers": [0, -1, 4_294_967_296_u64, i64::MIN, u64::MAX, 0.1, -1.5e300],
        "others": [null, true, false, [], {}, {"deep": [[[{"er": 1}]]]}],
    })
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn the_router_sees_who_was_logged_in_here(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, "id").await;
    let visitor = test_request.visitor_with_format(TowerSessions::new());
    visitor.log_in("åsa@example.com")?;
    visitor.session().set("cart", everything())?;
    let (_, page) = send(&shop, visitor.request("GET", "/cart")).await;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": everything()}));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn the_session_that_the_router_begins_is_read_here(
    test_request: TestRequest,
    #[values("id", "shop.sid")] cookie_name: &'static str,
) -> Result<(), Error> {
    let shop = shop(&test_request, cookie_name).await;
    let visitor = test_request.visitor_with_format(TowerSessions::new().with_cookie_name(cookie_name));
    // A cookie of a session that does not exist. The router sets another one.
    let (cookie, _) = send(&shop, with_json(visitor.request("POST", "/cart"), &everything())).await;
    let cookie = cookie.expect("a cookie");
    visitor.apply_set_cookie(&cookie)?;
    assert!(!visitor.session().is_new()?);
    // The same attributes, except for the age that this application sets.
    let words = |line: &str| line.split("; ").filter(|word| !word.starts_with("Max-Age")).map(str::to_owned).collect();
    let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) = (words(&visitor.set_cookie()), words(&cookie));
    assert_eq!(ours, theirs);
    assert_eq!(visitor.session().get::<Value>("cart")?, Some(everything()));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn each_side_keeps_what_the_other_has_set(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, "id").await;
    let visitor = test_request.visitor_with_format(TowerSessions::new());
    visitor.session().set("seen", 3)?;
    let id = visitor.session().id();
    let (cookie, _) = send(&shop, with_json(visitor.request("POST", "/cart"), &json!(["brand-1"]))).await;
    visitor.apply_set_cookie(&cookie.expect("a cookie"))?;
    assert_eq!(visitor.session().id(), id);
    visitor.log_in("bo")?;
    assert_eq!(visitor.session().keys()?, ["cart", "seen", "user_id"]);
    let (_, page) = send(&shop, visitor.request("GET", "/cart")).await;
    assert_eq!(page, json!({"user": "bo", "cart": ["brand-1"]}));
    visitor.log_out()?;
    let (_, page) = send(&shop, visitor.request("GET", "/cart")).await;
    assert_eq!(page, json!({"user": null, "cart": ["brand-1"]}));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_deleted_session_is_gone_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let (shop, logged_out) = (shop(&test_request, "id").await, json!({"user": null, "cart": null}));
    let visitor = test_request.visitor_with_format(TowerSessions::new());
    visitor.log_in("asa")?;
    let request = visitor.request("GET", "/cart");
    visitor.session().invalidate()?;
    assert_eq!(send(&shop, request).await.1, logged_out);

    visitor.log_in("asa")?;
    let id = visitor.session().id();
    let (cookie, _) = send(&shop, visitor.request("POST", "/leave")).await;
    assert!(visitor.session().is_new()?);
    visitor.apply_set_cookie(&cookie.expect("a cookie"))?;
    assert_ne!(visitor.session().id(), id);
    assert_eq!(visitor.user::<String>()?, None);
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn an_expired_session_is_new_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let (shop, logged_out) = (shop(&test_request, "id").await, json!({"user": null, "cart": null}));
    let visitor = test_request.visitor_with_format(TowerSessions::new());
    let mut redis = get_redis(&test_request).expect("connect");

    visitor.log_in("asa")?;
    test_request.travel_to_expiry(&visitor.session().key())?;
    assert!(visitor.session().is_new()?);
    assert_eq!(send(&shop, visitor.request("GET", "/cart")).await.1, logged_out);

    visitor.log_in("asa")?;
    let () = redis.del(visitor.session().key()).expect("DEL");
    assert_eq!(visitor.user::<String>()?, None);
    assert_eq!(send(&shop, visitor.request("GET", "/cart")).await.1, logged_out);
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn sessions_have_the_same_ttl_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, "id").await;
    let visitor = test_request.visitor_with_format(TowerSessions::new());
    let ttl = || visitor.session().ttl().expect("TTL").expect("a session").as_secs();
    visitor.log_in("asa")?;
    assert!((1100..=1200).contains(&ttl()), "{}", ttl());

    let mut redis = get_redis(&test_request).expect("connect");
    let () = redis.expire(visitor.session().key(), 100).expect("EXPIRE");
    let (cookie, _) = send(&shop, with_json(visitor.request("POST", "/cart"), &json!([]))).await;
    assert!((1100..=1200).contains(&ttl()), "{}", ttl());
    assert!(cookie.expect("a cookie").contains("Max-Age=1200"));

    // Neither side counts reading as use.
    let () = redis.expire(visitor.session().key(), 100).expect("EXPIRE");
    visitor.user::<String>()?;
    send(&shop, visitor.request("GET", "/cart")).await;
    assert!((50..=100).contains(&ttl()), "{}", ttl());
    Ok(())
}

/// From the router to us and back, random values stay what they were.
#[rstest]
#[clean_redis]
fn random_values_pass_through(test_request: TestRequest) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shop = runtime.block_on(shop(&test_request, "id"));
    proptest!(config(), |(cart in value(), seen in value())| {
        let visitor = test_request.visitor_with_format(TowerSessions::new());
        let (cookie, _) = runtime.block_on(send(&shop, with_json(visitor.request("POST", "/cart"), &cart)));
        visitor.apply_set_cookie(&cookie.expect("a cookie")).expect("its cookie");
        let session = visitor.session();
        prop_assert_eq!(session.get::<Value>("cart").expect("get"), Some(cart.clone()));
        session.set("seen", &seen).expect("set");
        let (_, page) = runtime.block_on(send(&shop, visitor.request("GET", "/cart")));
        prop_assert_eq!(page, json!({"user": null, "cart": cart}));
        prop_assert_eq!(session.get::<Value>("seen").expect("get"), Some(seen));
        prop_assert_eq!(session.get::<Value>("cart").expect("get"), Some(cart));
    });
}
