//! The shop with two requests at once, in every order of their steps.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisResult};
use rstest::rstest;
use serde_json::json;
use shop::{Cart, Database, Login, Order, Orders, Prices, Session, WRONG_CODES_ALLOWED};
use tokio::runtime::Builder;
use transient_fixtures::races::{self, Client};
use transient_fixtures::{Snapshot, TestRequest, Visitor, clean_redis, test_request};

const LIFETIME: Duration = Duration::from_secs(1_800);
const NUMBER: &str = "+46 8 123 456 78";
const MESSAGE: &str = "Bara 3 kvar av Ångström.";
const THANKS: &str = "Tack för din beställning!";

fn arrive(client: &Client, cookie: &str) -> RedisResult<Session> {
    Session::open(client.redis_url(), LIFETIME, cookie)
}

/// The next page, after both requests.
fn next_page(test_request: &TestRequest, cookie: &str) -> Session {
    Session::open(test_request.redis_url(), LIFETIME, cookie).expect("the session")
}

fn contents<const BRANDS: usize>(brands: [(&str, u64); BRANDS]) -> BTreeMap<String, u64> {
    brands.map(|(brand, count)| (brand.to_owned(), count)).into()
}

/// A visitor who is logged in and has a cart.
fn with_a_cart(test_request: &TestRequest) -> transient_fixtures::Result<Visitor> {
    let asa = test_request.visitor();
    asa.log_in(NUMBER)?;
    asa.session().set("cart", json!({"Ångström": 2}))?;
    Ok(asa)
}

/// Returns the prices of a client. A reply can be held for longer than the timeout of a connection, and a busy machine
/// can take long to connect.
async fn prices<'database>(database: &'database Database, redis_url: &str) -> RedisResult<Prices<'database>> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let redis = redis::Client::open(redis_url)?.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Prices::new(database, redis))
}

/// A visitor fills the cache while the price is changed. The next page has the price of the database, even if the
/// change is interrupted.
#[rstest]
#[clean_redis]
fn a_changed_price_is_never_stale(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let database = Database::default();
    let (of_visitor, of_change) = (database.clone(), database.clone());
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let page = || -> RedisResult<Option<u64>> {
        runtime.block_on(async { Ok(prices(&database, test_request.redis_url()).await?.price(1).await) })
    };
    database.set_price(1, 12_900);
    page()?; // The server gets the script.
    races::explore(&test_request)
        .seed(|_| database.set_price(1, 12_900))
        .client_async("visitor", move |client| {
            let (url, database) = (client.redis_url().to_owned(), of_visitor.clone());
            let database = database.calling(move |statement| client.point(statement));
            async move { RedisResult::Ok(prices(&database, &url).await?.price(1).await) }
        })
        .client_async("change", move |client| {
            let (url, database) = (client.redis_url().to_owned(), of_change.clone());
            let database = database.calling(move |statement| client.point(statement));
            async move { prices(&database, &url).await?.change(1, 9_900).await }
        })
        .cutting("change")
        .check(|_, _| assert_eq!(page().expect("a price"), database.price(1)));
    Ok(())
}

#[rstest]
#[clean_redis]
fn two_requests_add_to_the_cart(test_request: TestRequest) -> transient_fixtures::Result<()> {
    let visitor = with_a_cart(&test_request)?;
    let (cookie, state) = (visitor.cookie(), test_request.snapshot()?);
    let add = |brand: &'static str| {
        let cookie = cookie.clone();
        move |client: &Client| Cart::of(&mut arrive(client, &cookie)?).add(brand, 1)
    };
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("phone", add("Ångström"))
        .client("laptop", add("Åhléns"))
        .check(|_, _| {
            let mut session = next_page(&test_request, &cookie);
            assert_eq!(Cart::of(&mut session).contents(), contents([("Ångström", 3), ("Åhléns", 1)]));
        });
    Ok(())
}

/// Two pages show the messages while one of the requests adds another one.
#[rstest]
#[clean_redis]
fn a_message_is_shown_once(test_request: TestRequest) -> transient_fixtures::Result<()> {
    let visitor = with_a_cart(&test_request)?;
    visitor.session().flash("Välkommen tillbaka!")?;
    let (cookie, state) = (visitor.cookie(), test_request.snapshot()?);
    let (of_page, of_other) = (cookie.clone(), cookie.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("page", move |client| arrive(client, &of_page)?.take_messages())
        .client("other page", move |client| {
            let mut session = arrive(client, &of_other)?;
            session.flash(MESSAGE)?;
            session.take_messages()
        })
        .check(|_, outcomes| {
            let mut shown = next_page(&test_request, &cookie).take_messages().expect("the messages");
            for client in ["page", "other page"] {
                shown.extend(outcomes.value::<Vec<String>>(client).into_iter().flatten().cloned());
            }
            shown.sort();
            assert_eq!(shown, [MESSAGE, "Välkommen tillbaka!"]);
        });
    Ok(())
}

/// A visitor whose code is sent, and the code.
fn with_a_code(test_request: &TestRequest) -> Result<(Visitor, String), Box<dyn Error>> {
    let visitor = with_a_cart(test_request)?;
    let mut login = Login::open(test_request.redis_url(), test_request.jobs_url())?;
    login.enter_code(&mut next_page(test_request, ""), "wrong")?; // The server gets the script.
    login.send_code(&mut next_page(test_request, &visitor.cookie()), NUMBER)?;
    visitor.session().pop_flash()?;
    let sent = test_request.jobs().assert_enqueued("shop.send_sms");
    let code = sent.jobs()[0].args()[1].as_str().expect("a code").to_owned();
    Ok((visitor, code))
}

fn enter_code(client: &Client, session: &mut Session, code: &str) -> RedisResult<bool> {
    Login::open(client.redis_url(), client.jobs_url())?.enter_code(session, code)
}

/// The login moves the session to a new id. A request that has read the session before either changes the one that the
/// visitor then has, or gets an error. The old id is not valid any more: a later request with it gets a new session.
#[rstest]
#[clean_redis]
fn a_login_ends_the_old_session(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (visitor, code) = with_a_code(&test_request)?;
    let (old, state) = (visitor.cookie(), test_request.snapshot()?);
    let (of_login, of_other) = (old.clone(), old.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("login", move |client| {
            let mut session = arrive(client, &of_login)?;
            assert!(enter_code(client, &mut session, &code)?);
            RedisResult::Ok(session.cookie())
        })
        .client("other request", move |client| {
            let mut session = arrive(client, &of_other)?;
            RedisResult::Ok(session.cookie().starts_with(&of_other) && session.flash(MESSAGE).is_ok())
        })
        .check(|_, outcomes| {
            let mut session = next_page(&test_request, outcomes.value::<String>("login").expect("a cookie"));
            assert_eq!(session.user(), Some(NUMBER));
            assert_eq!(Cart::of(&mut session).contents(), contents([("Ångström", 2)]));
            let is_told = outcomes.value("other request") == Some(&true);
            assert_eq!(session.take_messages().expect("the messages").len(), usize::from(is_told));
            assert!(test_request.visitor_with_cookie(&old).session().is_new().expect("the old session"));
        });
    Ok(())
}

/// Both wrong codes are counted, so the right one is rejected if they are the last that are allowed.
#[rstest]
#[case::allowed(WRONG_CODES_ALLOWED - 3, true)]
#[case::too_many(WRONG_CODES_ALLOWED - 2, false)]
#[clean_redis]
fn wrong_codes_entered_at_once_are_counted(
    test_request: TestRequest,
    #[case] entered_before: usize,
    #[case] is_accepted: bool,
) -> Result<(), Box<dyn Error>> {
    let (visitor, code) = with_a_code(&test_request)?;
    let cookie = visitor.cookie();
    let mut login = Login::open(test_request.redis_url(), test_request.jobs_url())?;
    for _ in 0..entered_before {
        login.enter_code(&mut next_page(&test_request, &cookie), "wrong")?;
    }
    let state = test_request.snapshot()?;
    let (of_phone, of_laptop) = (cookie.clone(), cookie.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("phone", move |client| enter_code(client, &mut arrive(client, &of_phone)?, "wrong"))
        .client("laptop", move |client| enter_code(client, &mut arrive(client, &of_laptop)?, "wrong"))
        .check(|_, _| {
            let mut login = Login::open(test_request.redis_url(), test_request.jobs_url()).expect("connect");
            let accepted = login.enter_code(&mut next_page(&test_request, &cookie), &code).expect("an answer");
            assert_eq!(accepted, is_accepted);
        });
    Ok(())
}

/// Each client reports whether it was logged in.
#[rstest]
#[clean_redis]
fn a_code_entered_twice_at_once_logs_in_once(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (visitor, code) = with_a_code(&test_request)?;
    let state = test_request.snapshot()?;
    let enter = move || {
        let (cookie, code) = (visitor.cookie(), code.clone());
        move |client: &Client| enter_code(client, &mut arrive(client, &cookie)?, &code)
    };
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("phone", enter())
        .client("laptop", enter())
        .check(|_, outcomes| assert_ne!(outcomes.value::<bool>("phone"), outcomes.value("laptop")));
    Ok(())
}

fn place(client: &Client, cookie: &str) -> RedisResult<Order> {
    Orders::open(client.jobs_url())?.place(&mut arrive(client, cookie)?, "asa@example.com")
}

/// Returns the brands in the confirmations that are queued.
fn confirmed(test_request: &TestRequest) -> Vec<BTreeMap<String, u64>> {
    let mails = test_request.jobs().pending("mail").expect("the queue");
    mails.iter().map(|mail| serde_json::from_value(mail.args()[1].clone()).expect("the contents")).collect()
}

/// A visitor with a cart, on a server that knows the shop's scripts: the cookie, and the state of Redis.
fn ready_to_order(test_request: &TestRequest) -> Result<(String, Snapshot), Box<dyn Error>> {
    let asa = with_a_cart(test_request)?;
    let (cookie, state) = (asa.cookie(), test_request.snapshot()?);
    Orders::open(test_request.jobs_url())?.place(&mut next_page(test_request, &cookie), "asa@example.com")?;
    Ok((cookie, state))
}

/// An impatient visitor clicks twice. Schedules with more than two preemptions are left out: they pass, and take ten
/// times as long.
#[rstest]
#[clean_redis]
fn an_order_placed_twice_at_once_gets_one_confirmation(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (cookie, state) = ready_to_order(&test_request)?;
    let (first, second) = (cookie.clone(), cookie.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("first", move |client| place(client, &first))
        .client("second", move |client| place(client, &second))
        .preemptions(2)
        .check(|_, outcomes| {
            assert_eq!(confirmed(&test_request), [contents([("Ångström", 2)])]);
            let is_confirmed = |client| outcomes.value(client) == Some(&Order::Confirmed);
            assert!(is_confirmed("first") || is_confirmed("second"));
            let mut session = next_page(&test_request, &cookie);
            assert_eq!(session.take_messages().expect("the messages"), [THANKS]);
            assert_eq!(Cart::of(&mut session).contents(), contents([]));
        });
    Ok(())
}

/// The added article is ordered, or still in the cart.
#[rstest]
#[clean_redis]
fn nothing_is_lost_that_is_added_during_an_order(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let (cookie, state) = ready_to_order(&test_request)?;
    let (of_order, of_cart) = (cookie.clone(), cookie.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("order", move |client| place(client, &of_order))
        .client("cart", move |client| Cart::of(&mut arrive(client, &of_cart)?).add("Åhléns", 1))
        .check(|_, _| {
            let mut sold = Cart::of(&mut next_page(&test_request, &cookie)).contents();
            confirmed(&test_request).into_iter().for_each(|order| sold.extend(order));
            assert_eq!(sold, contents([("Ångström", 2), ("Åhléns", 1)]));
        });
    Ok(())
}

/// Two requests complete an order that was interrupted before its job was queued, and one of them may die. Schedules
/// with more than two preemptions are left out: they pass, and take five times as long.
#[rstest]
#[clean_redis]
fn an_interrupted_order_is_completed_once(test_request: TestRequest) -> Result<(), Box<dyn Error>> {
    let asa = with_a_cart(&test_request)?;
    let cookie = asa.cookie();
    Orders::open(test_request.jobs_url())?.place(&mut next_page(&test_request, &cookie), "asa@example.com")?;
    test_request.jobs().drain("mail")?;
    asa.session().set("order", json!({"id": "7", "contents": {"Ångström": 2}}))?;
    let state = test_request.snapshot()?;
    let (first, second) = (cookie.clone(), cookie.clone());
    races::explore(&test_request)
        .seed(|_| test_request.restore(&state))
        .client("first", move |client| place(client, &first))
        .client("second", move |client| place(client, &second))
        .dying("first")
        .preemptions(2)
        .check(|_, _| assert_eq!(confirmed(&test_request), [contents([("Ångström", 2)])]));
    Ok(())
}
