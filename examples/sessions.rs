//! Plays two visitors of a web application, whose sessions are in Redis.
//!
//! `cargo run --example sessions`

use transient_fixtures::{Error, TestRequest};

fn main() -> Result<(), Error> {
    let test_request = TestRequest::clean();
    let asa = test_request.visitor();
    let bo = test_request.visitor();

    asa.log_in("asa@example.com")?;
    asa.session().set("cart", ["brand-1", "brand-2"])?;
    asa.session().flash("Welcome, Åsa")?;
    for cookie in asa.set_cookies() {
        println!("an application answers with Set-Cookie: {cookie}");
    }

    // Each visitor has a session, and the session database has both.
    bo.session().set("cart", ["brand-3"])?;
    assert_eq!(asa.session().get::<Vec<String>>("cart")?.map(|cart| cart.len()), Some(2));
    assert_eq!(bo.session().get::<Vec<String>>("cart")?.map(|cart| cart.len()), Some(1));
    assert_eq!(bo.user::<String>()?, None);

    // A flash message is shown once.
    assert_eq!(asa.session().pop_flash()?, ["Welcome, Åsa"]);
    assert!(asa.session().pop_flash()?.is_empty());

    // Sessions expire `redis.sessions.timeout` seconds after their last use.
    let key = asa.session().key();
    println!("{key} expires in {:?}", asa.session().ttl()?);
    test_request.travel_to_expiry(&key)?;
    assert_eq!(asa.user::<String>()?, None);
    assert!(asa.session().is_new()?);
    Ok(())
}
