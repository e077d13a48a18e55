//! Sessions of actix-web, with actix-session and actix-identity.

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::config::{CookieContentSecurity, PersistentSession};
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::body::MessageBody;
use actix_web::cookie::Key;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header;
use actix_web::test::{TestRequest as Request, call_service, init_service, read_body};
use actix_web::web::{Json, get, post};
use actix_web::{App, HttpMessage, HttpRequest, Responder};
use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{
    ActixSession, Error, SessionFormat as _, TestRequest, Visitor, clean_redis, get_redis, test_request,
};

const KEY: [u8; 64] = [7; 64];

/// Both sides reject it.
fn visitor(test_request: &TestRequest, signed: bool, prefix: &str, key: [u8; 64]) -> Visitor {
    let format = if signed { ActixSession::signed(key) } else { ActixSession::encrypted(key) };
    test_request.visitor_with_format(format.with_key_prefix(prefix))
}

/// The application under test.
async fn shop(
    test_request: &TestRequest,
    signed: bool,
    prefix: &'static str,
) -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = actix_web::Error> {
    let store = RedisSessionStore::builder(test_request.redis_url()).cache_keygen(move |id| format!("{prefix}{id}"));
    let store = store.build().await.expect("connect");
    let timeout = test_request.settings().session_timeout().try_into().expect("seconds");
    let mut sessions = SessionMiddleware::builder(store, Key::from(&KEY))
        .session_lifecycle(PersistentSession::default().session_ttl(timeout));
    if signed {
        sessions = sessions.cookie_content_security(CookieContentSecurity::Signed);
    }
    let app = App::new().wrap(IdentityMiddleware::default()).wrap(sessions.build());
    let app = app.route("/cart", get().to(show)).route("/cart", post().to(fill));
    init_service(app.route("/log_in", post().to(log_in)).route("/leave", post().to(leave))).await
}

async fn show(identity: Option<Identity>, session: Session) -> impl Responder {
    let user = identity.map(|identity| identity.id().expect("an id"));
    Json(json!({"user": user, "cart": session.get::<Value>("cart").expect("get")}))
}

async fn fill(session: Session, Json(cart): Json<Value>) -> &'static str {
    session.insert("cart", cart).expect("set");
    ""
}

async fn log_in(request: HttpRequest, Json(user): Json<String>) -> &'static str {
    Identity::login(&request.extensions(), user).expect("log in");
    ""
}

async fn leave(session: Session) -> &'static str {
    session.purge();
    ""
}

/// Returns the cookie that is set, if any, and the page.
async fn send<Body: MessageBody>(
    shop: &impl Service<actix_http::Request, Response = ServiceResponse<Body>, Error = actix_web::Error>,
    request: Request,
    cookie: &str,
) -> (Option<String>, Value) {
    let response = call_service(shop, request.insert_header((header::COOKIE, cookie)).to_request()).await;
    assert!(response.status().is_success(), "{}", response.status());
    let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().expect("text").to_owned());
    (cookie, serde_json::from_slice(&read_body(response).await).unwrap_or_default())
}

fn cart() -> Request {
    Request::get().uri("/cart")
}

#[rstest]
#[clean_redis]
#[actix_web::test]
async fn the_shop_sees_who_was_logged_in_here(
    test_request: TestRequest,
    #[values(false, true)] signed: bool,
    #[values("", "shop:")] prefix: &'static str,
) -> Result<(), Error> {
    let shop = shop(&test_request, signed, prefix).await;
    let visitor = visitor(&test_request, signed, prefix, KEY);
    visitor.log_in("åsa@example.com")?;
    visitor.session().set("cart", json!({"ÅÄÖ 🦊": [1, -1.5, null, "\"", {}]}))?;
    let (_, page) = send(&shop, cart(), &visitor.cookie()).await;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": {"ÅÄÖ 🦊": [1, -1.5, null, "\"", {}]}}));
    assert!(visitor.session().key().starts_with(prefix));
    Ok(())
}

#[rstest]
#[clean_redis]
#[actix_web::test]
async fn the_session_that_the_shop_begins_is_read_here(
    test_request: TestRequest,
    #[values(false, true)] signed: bool,
    #[values("", "shop:")] prefix: &'static str,
) -> Result<(), Error> {
    let shop = shop(&test_request, signed, prefix).await;
    let visitor = visitor(&test_request, signed, prefix, KEY);
    let request = Request::post().uri("/log_in").set_json("åsa@example.com");
    visitor.apply_set_cookie(&send(&shop, request, "").await.0.expect("a cookie"))?;
    assert_eq!(visitor.user::<String>()?.as_deref(), Some("åsa@example.com"));
    assert_eq!(visitor.session().id().len(), 64);

    let request = Request::post().uri("/cart").set_json(json!(["ÅÄÖ 🦊"]));
    send(&shop, request, &visitor.cookie()).await;
    assert_eq!(visitor.session().get::<Vec<String>>("cart")?.expect("a cart"), ["ÅÄÖ 🦊"]);

    visitor.session().set("cart", ["brand-1"])?;
    let (_, page) = send(&shop, cart(), &visitor.cookie()).await;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": ["brand-1"]}));
    Ok(())
}

#[rstest]
#[clean_redis]
#[actix_web::test]
async fn a_deleted_session_is_gone_on_both_sides(
    test_request: TestRequest,
    #[values(false, true)] signed: bool,
) -> Result<(), Error> {
    let (shop, logged_out) = (shop(&test_request, signed, "").await, json!({"user": null, "cart": null}));
    let visitor = visitor(&test_request, signed, "", KEY);
    visitor.log_in("asa")?;
    let cookie = visitor.cookie();
    visitor.session().invalidate()?;
    assert_eq!(send(&shop, cart(), &cookie).await.1, logged_out);

    visitor.log_in("asa")?;
    let id = visitor.session().id();
    let (cookie, _) = send(&shop, Request::post().uri("/leave"), &visitor.cookie()).await;
    assert!(visitor.session().is_new()?);
    visitor.apply_set_cookie(&cookie.expect("a cookie"))?;
    assert_ne!(visitor.session().id(), id);

    visitor.log_in("asa")?;
    test_request.travel_to_expiry(&visitor.session().key())?;
    assert!(visitor.session().is_new()?);
    assert_eq!(send(&shop, cart(), &visitor.cookie()).await.1, logged_out);
    Ok(())
}

#[rstest]
#[clean_redis]
#[actix_web::test]
async fn a_tampered_cookie_is_rejected_on_both_sides(
    test_request: TestRequest,
    #[values(false, true)] signed: bool,
) -> Result<(), Error> {
    let (shop, logged_out) = (shop(&test_request, signed, "").await, json!({"user": null, "cart": null}));
    let asa = visitor(&test_request, signed, "", KEY);
    asa.log_in("asa")?;
    // With another key, with a key of the other kind, unsigned, and with one letter more.
    let id = asa.session().id();
    let value = |signed, key| {
        let format = if signed { ActixSession::signed(key) } else { ActixSession::encrypted(key) };
        format!("id={}", format.cookie_value(&id))
    };
    let cookies =
        [value(signed, [8; 64]), value(!signed, KEY), format!("id={id}"), asa.cookie().replacen("id=", "id=A", 1)];
    for cookie in cookies {
        assert_eq!(send(&shop, cart(), &cookie).await.1, logged_out, "{cookie}");
        assert!(asa.apply_set_cookie(&cookie).is_err_and(|error| error.is_data()), "{cookie}");
    }
    assert_eq!(send(&shop, cart(), &asa.cookie()).await.1["user"], "asa");
    Ok(())
}

#[rstest]
#[clean_redis]
#[actix_web::test]
async fn sessions_have_the_same_ttl_on_both_sides(test_request: TestRequest) -> Result<(), Error> {
    let shop = shop(&test_request, false, "").await;
    let visitor = visitor(&test_request, false, "", KEY);
    let ttl = || visitor.session().ttl().expect("TTL").expect("a session").as_secs();
    visitor.log_in("asa")?;
    assert!((1100..=1200).contains(&ttl()), "{}", ttl());

    let mut redis = get_redis(&test_request).expect("connect");
    let () = redis.expire(visitor.session().key(), 100).expect("EXPIRE");
    let request = Request::post().uri("/cart").set_json(json!([]));
    send(&shop, request, &visitor.cookie()).await;
    assert!((1100..=1200).contains(&ttl()), "{}", ttl());
    Ok(())
}
