//! Sessions of axum, with `axum_session` and its Redis pool.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_session::{SessionConfig, SessionLayer, SessionMode};
use axum_session_redispool::{SessionRedisPool, SessionRedisSession, SessionRedisSessionStore};
use redis::Commands;
use redis_pool::SingleRedisPool;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt;
use transient_fixtures::{AxumSession, Error, TestRequest, Visitor, clean_redis, get_redis, test_request};

use crate::tower_sessions::{everything, with_json};

/// The application under test.
async fn shop(test_request: &TestRequest, mode: SessionMode) -> Router {
    let client = redis::Client::open(test_request.redis_url()).expect("a URL");
    let pool = SessionRedisPool::from(SingleRedisPool::from(client));
    // The application keeps no sessions in memory, so the data in Redis counts.
    let config = SessionConfig::default().with_mode(mode).with_memory_lifetime(chrono());
    let store = SessionRedisSessionStore::new(Some(pool), config).await.expect("a store");
    let cart = get(show).post(async |session: SessionRedisSession, Json(cart): Json<Value>| {
        session.set("cart", cart);
    });
    let agree = post(async |session: SessionRedisSession| session.set_store(true));
    let leave = post(async |session: SessionRedisSession| session.destroy());
    let long = post(async |session: SessionRedisSession| session.set_longterm(true));
    Router::new()
        .route("/cart", cart)
        .route("/agree", agree)
        .route("/leave", leave)
        .route("/long", long)
        .layer(SessionLayer::new(store))
}

/// No timeout, in the library's type.
fn chrono() -> chrono::Duration {
    chrono::Duration::zero()
}

async fn show(session: SessionRedisSession) -> Json<Value> {
    Json(json!({"user": session.get::<Value>("user_id"), "cart": session.get::<Value>("cart")}))
}

/// Returns the cookies that are set, and the page.
async fn send(shop: &Router, request: Request<Body>) -> (Vec<String>, Value) {
    let response = shop.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let cookies = response.headers().get_all(header::SET_COOKIE).iter();
    let cookies = cookies.map(|cookie| cookie.to_str().expect("text").to_owned()).collect();
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (cookies, serde_json::from_slice(&body).unwrap_or_default())
}

fn receive(visitor: &Visitor, cookies: &[String]) {
    for cookie in cookies {
        visitor.apply_set_cookie(cookie).expect(cookie);
    }
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn the_router_sees_who_was_logged_in_here(
    test_request: TestRequest,
    #[values(false, true)] opt_in: bool,
) -> Result<(), Error> {
    let mode = if opt_in { SessionMode::OptIn } else { SessionMode::Persistent };
    let shop = shop(&test_request, mode).await;
    let format = if opt_in { AxumSession::new().opt_in() } else { AxumSession::new() };
    let visitor = test_request.visitor_with_format(format);
    visitor.log_in("åsa@example.com")?;
    visitor.session().set("cart", everything())?;
    let (_, page) = send(&shop, visitor.request("GET", "/cart")).await;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": everything()}));
    // The application keeps it.
    assert_eq!(visitor.user::<String>()?.as_deref(), Some("åsa@example.com"));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn the_session_that_the_router_begins_is_read_here(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, SessionMode::Persistent).await;
    let visitor = test_request.visitor_with_format(AxumSession::new());
    let logged_out = Request::post("/cart").body(Body::empty()).expect("a request");
    let (cookies, _) = send(&shop, with_json(logged_out, &everything())).await;
    receive(&visitor, &cookies);
    assert!(!visitor.session().is_new()?);
    assert_eq!(visitor.session().get::<Value>("cart")?, Some(everything()));
    let left = visitor.session().ttl()?.expect("a timeout").as_secs();
    assert!((6 * 3600 - 60..=6 * 3600).contains(&left), "six hours is its default: {left}");
    Ok(())
}

/// Without the second cookie no session is stored, and a stored session is deleted.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn the_second_cookie_is_the_visitors_consent(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, SessionMode::OptIn).await;
    let (agreed, not) = (
        test_request.visitor_with_format(AxumSession::new().opt_in()),
        test_request.visitor_with_format(AxumSession::new()),
    );
    for visitor in [&agreed, &not] {
        visitor.session().set("seen", 3)?;
        send(&shop, with_json(visitor.request("POST", "/cart"), &json!(["brand-1"]))).await;
    }
    assert_eq!(agreed.session().keys()?, ["cart", "seen"]);
    assert!(not.session().is_new()?);

    let (cookies, _) = send(&shop, Request::post("/agree").body(Body::empty()).expect("a request")).await;
    let names: Vec<_> = cookies.iter().map(|cookie| cookie.split('=').next().expect("a name")).collect();
    assert!(names.contains(&"session") && names.contains(&"store"), "{cookies:?}");
    receive(&agreed, &cookies);
    assert!(!agreed.session().is_new()?);
    // Our cookies have the same attributes, except for their expiry.
    let words = |cookies: &[String]| {
        let words = cookies.iter().flat_map(|cookie| cookie.split("; ")).filter(|word| !word.starts_with("Expires="));
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    assert_eq!(words(&agreed.set_cookies()), words(&cookies));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn each_side_keeps_what_the_other_has_set(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, SessionMode::Persistent).await;
    let visitor = test_request.visitor_with_format(AxumSession::new());
    visitor.session().set("seen", 3)?;
    send(&shop, with_json(visitor.request("POST", "/cart"), &json!(["brand-1"]))).await;
    send(&shop, visitor.request("POST", "/long")).await;
    visitor.log_in("bo")?;
    assert_eq!(visitor.session().keys()?, ["cart", "seen", "user_id"]);
    let stored: String = get_redis(&test_request).expect("connect").get(visitor.session().key()).expect("GET");
    assert!(stored.contains("\"longterm\":true"), "{stored}");
    let (_, page) = send(&shop, visitor.request("GET", "/cart")).await;
    assert_eq!(page, json!({"user": "bo", "cart": ["brand-1"]}));
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn an_expired_session_is_gone_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let (shop, logged_out) = (shop(&test_request, SessionMode::Persistent).await, json!({"user": null, "cart": null}));
    let visitor = test_request.visitor_with_format(AxumSession::new());
    visitor.log_in("asa")?;
    let request = visitor.request("GET", "/cart");
    visitor.session().invalidate()?;
    assert_eq!(send(&shop, request).await.1, logged_out);

    visitor.log_in("asa")?;
    let id = visitor.session().id();
    let (cookies, _) = send(&shop, visitor.request("POST", "/leave")).await;
    receive(&visitor, &cookies);
    assert!(visitor.session().is_new()? && visitor.session().id() != id);

    visitor.log_in("asa")?;
    test_request.travel_to_expiry(&visitor.session().key())?;
    assert_eq!(send(&shop, visitor.request("GET", "/cart")).await.1, logged_out);
    Ok(())
}
