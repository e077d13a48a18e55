//! The shop with a fault at each of its commands. A visitor who gets an error tries again.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Commands, Connection, RedisResult, cmd};
use rstest::rstest;
use serde_json::json;
use shop::{Brands, Cart, Database, Login, Order, Orders, Prices, Session};
use transient_fixtures::faults::{self, Run};
use transient_fixtures::{Snapshot, TestRequest, clean_redis, test_request};

const LIFETIME: Duration = Duration::from_secs(1_800);
const NUMBER: &str = "+46 8 123 456 78";

fn arrive(run: &Run, cookie: &str) -> RedisResult<Session> {
    Session::open(run.redis_url(), LIFETIME, cookie)
}

/// The state in which a run begins. The server has no scripts, as after a restart.
fn begin(test_request: &TestRequest, state: &Snapshot, redis: &mut Connection) -> transient_fixtures::Result<()> {
    cmd("SCRIPT").arg("FLUSH").exec(redis).expect("SCRIPT FLUSH");
    test_request.restore(state)
}

/// The shop's database, and its queries, are new in each run.
fn database() -> Database {
    let database = Database::default();
    for article in 1..=3 {
        database.set_brand(article, "Ångström");
        database.set_price(article, 12_900);
    }
    database
}

/// No fault of the cache reaches the visitor. The next page has its brands as well.
#[rstest]
#[clean_redis]
fn a_page_of_brands_needs_no_cache(test_request: TestRequest) {
    let page = |run: &Run| -> RedisResult<()> {
        let database = database();
        let names = Brands::open(&database, run.redis_url())?.names(&[1, 2, 3]);
        assert_eq!(names, vec![Some("Ångström".to_owned()); 3]);
        Ok(())
    };
    faults::sweep(&test_request, page).again().check();
}

/// Whether a change fails or not, the next page has the price of the database.
#[rstest]
#[clean_redis]
fn a_changed_price_is_never_stale(test_request: TestRequest) {
    let change = |run: Run| async move {
        let database = database();
        let mut prices = Prices::open(&database, run.redis_url()).await?;
        prices.price(1).await; // It is cached now.
        let changed = prices.change(1, 9_900).await;
        assert!(changed.is_err() || database.price(1) == Some(9_900));

        let mut prices = Prices::open(&database, run.redis_url()).await?;
        assert_eq!(prices.price(1).await, database.price(1));
        RedisResult::Ok(())
    };
    faults::sweep_async(&test_request, change).check();
}

/// Returns the cookie of a visitor who is logged in and has a cart, and the state of Redis.
fn with_a_cart(test_request: &TestRequest) -> transient_fixtures::Result<(String, Snapshot)> {
    let asa = test_request.visitor();
    asa.log_in(NUMBER)?;
    asa.session().set("cart", json!({"Ångström": 2}))?;
    Ok((asa.cookie(), test_request.snapshot()?))
}

fn order(run: &Run, cookie: &str) -> RedisResult<Order> {
    Orders::open(run.jobs_url())?.place(&mut arrive(run, cookie)?, "asa@example.com")
}

#[rstest]
#[clean_redis]
fn an_order_gets_one_confirmation(test_request: TestRequest) -> transient_fixtures::Result<()> {
    let (cookie, state) = with_a_cart(&test_request)?;
    let jobs = test_request.jobs().ignoring_keys("queued:");
    faults::sweep(&test_request, move |run| order(run, &cookie).or_else(|_| order(run, &cookie)))
        .seed(|redis| begin(&test_request, &state, redis))
        .cutting()
        .then(|_| {
            jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com", json!({"Ångström": 2}))).times(1);
        })
        .check();
    Ok(())
}

/// If Redis loses the cart or the job, there is no mail. There are never two.
#[rstest]
#[clean_redis]
fn lost_data_confirms_no_order_twice(test_request: TestRequest) -> transient_fixtures::Result<()> {
    let (cookie, state) = with_a_cart(&test_request)?;
    faults::sweep(&test_request, move |run| order(run, &cookie).or_else(|_| order(run, &cookie)))
        .seed(|redis| begin(&test_request, &state, redis))
        .again()
        .then(|_| assert!(test_request.jobs().pending("mail").expect("the queue").len() <= 1))
        .check();
    Ok(())
}

/// A visitor who gets an error keeps the cart. A visitor who gets none is logged in.
#[rstest]
#[clean_redis]
fn a_login_keeps_the_cart(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let visitor = test_request.visitor();
    visitor.session().set("cart", json!({"Ångström": 2}))?;
    let mut session = Session::open(test_request.redis_url(), LIFETIME, &visitor.cookie())?;
    Login::open(test_request.redis_url(), test_request.jobs_url())?.send_code(&mut session, NUMBER)?;
    let sent = test_request.jobs().assert_enqueued("shop.send_sms");
    let code = sent.jobs()[0].args()[1].as_str().expect("a code").to_owned();

    let (cookie, state) = (visitor.cookie(), test_request.snapshot()?);
    let log_in = move |run: &Run| -> RedisResult<String> {
        let mut session = arrive(run, &cookie)?;
        assert!(Login::open(run.redis_url(), run.jobs_url())?.enter_code(&mut session, &code)?);
        Ok(session.cookie())
    };
    let before = visitor.cookie();
    let scenario = move |run: &Run| -> RedisResult<()> {
        let answer = log_in(run);
        let cookie = answer.as_ref().unwrap_or(&before);
        let mut session = arrive(run, cookie).or_else(|_| arrive(run, cookie))?;
        assert_eq!(Cart::of(&mut session).contents(), BTreeMap::from([("Ångström".to_owned(), 2)]));
        assert!(answer.is_err() || session.user() == Some(NUMBER));
        Ok(())
    };
    faults::sweep(&test_request, scenario).seed(|redis| begin(&test_request, &state, redis)).cutting().check();
    Ok(())
}

/// Without a TTL, a code would be valid for ever, and a session would never end.
#[rstest]
#[clean_redis]
fn no_fault_leaves_a_key_without_a_ttl(test_request: TestRequest) -> transient_fixtures::Result<()> {
    let visit = |run: &Run| -> RedisResult<()> {
        let mut session = arrive(run, "")?;
        Cart::of(&mut session).add("Ångström", 1)?;
        let mut login = Login::open(run.redis_url(), run.jobs_url())?;
        login.send_code(&mut session, NUMBER)?;
        login.enter_code(&mut session, "wrong").map(drop)
    };
    let state = test_request.snapshot()?;
    faults::sweep(&test_request, move |run| drop(visit(run)))
        .seed(|redis| begin(&test_request, &state, redis))
        .then(|redis| {
            for key in redis.keys::<_, Vec<String>>("*").expect("KEYS") {
                assert!(redis.ttl::<_, i64>(&key).expect("TTL") > 0, "{key}");
            }
        })
        .check();
    Ok(())
}
