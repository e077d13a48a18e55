//! The cookie that names a session.

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Error, Pyramid, SessionFormat, TestRequest, clean_redis, test_request};

use crate::child::Child;

const WEBOB: &str =
    "FSFowut6OBpbyP4KKrYMpHgoiUkD7b5xQbTjYQA12MUYoj5hfoUhgcRRvBSFHDeW6hV5SG94hsjAMZ8xKOovQnNob3A6w4XDhMOW";

#[rstest]
#[case("", "session=ID; HttpOnly; Path=/")]
#[case("cookie_httponly = false", "session=ID; Path=/")]
#[case("cookie_secure = true", "session=ID; HttpOnly; Secure; Path=/")]
#[case("cookie_max_age = 31536000", "session=ID; HttpOnly; Path=/; Max-Age=31536000")]
#[case("cookie_name = shop", "shop=ID; HttpOnly; Path=/")]
#[case("prefix = shop:", "session=ID; HttpOnly; Path=/")]
fn the_cookie_says_what_the_settings_say(#[case] setting: &str, #[case] expected: &str) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("test.ini");
    let setting = if setting.is_empty() { String::new() } else { format!("redis.sessions.{setting}") };
    std::fs::write(&path, format!("[app:main]\n{setting}\n")).expect("write");
    let child = Child::test("session::cookies::prints_its_cookie").env("TRANSIENT_TEST_INI", path);
    let ended = child.env("TRANSIENT_PROVIDER", crate::own_server::own_rung()).run();
    ended.assert_passed();
    let printed = |name: &str| ended.output.split_once(name).expect(name).1.lines().next().expect("a line").to_owned();
    let id = printed("id: ");
    assert_eq!(printed("Set-Cookie: ").replace(&id, "ID"), expected);
}

#[rstest]
#[ignore = "run by the_cookie_says_what_the_settings_say"]
#[clean_redis]
fn prints_its_cookie(test_request: TestRequest) {
    let visitor = test_request.visitor();
    println!("Set-Cookie: {}\nid: {}", visitor.cookie(), visitor.session().id());
    assert_eq!(visitor.session().cookie(), visitor.cookie());
    let own = test_request.session();
    assert!(own.cookie().starts_with(&own.cookie_header()) && own.cookie().contains(&own.id()));
    assert!(visitor.cookie().starts_with(&visitor.cookie_header()));
    assert!(visitor.session().key().starts_with(test_request.settings().session_prefix()));
}

#[rstest]
#[clean_redis]
fn a_signed_cookie_is_known_again_and_a_tampered_one_is_nobodys(test_request: TestRequest) -> Result<(), Error> {
    let format = Pyramid::new(test_request.settings()).secret("s3cret");
    let (asa, other) = (test_request.visitor_of(format.clone()), test_request.visitor_of(format));
    asa.session().set("name", "Åsa")?;
    let cookie = asa.cookie();
    assert!(!cookie.contains(&asa.session().id()));
    other.receive_cookie(&cookie)?;
    assert_eq!(other.session().get::<String>("name")?.as_deref(), Some("Åsa"));

    let (name, value) = asa.cookie_header().split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).expect("a pair");
    let flipped = if value.starts_with('A') { "B" } else { "A" };
    for tampered in [format!("{flipped}{}", &value[1..]), value[..80].to_owned(), asa.session().id(), "%".to_owned()] {
        let error = other.receive_cookie(&format!("{name}={tampered}; Path=/")).expect_err("tampered");
        assert!(error.is_data() && error.to_string().contains("signature"), "{error}");
        assert!(!error.to_string().contains("s3cret"));
    }
    // With another secret, it is tampered with as well.
    let stranger = test_request.visitor_of(Pyramid::new(test_request.settings()).secret("other"));
    assert!(stranger.receive_cookie(&cookie).expect_err("another secret").is_data());
    // What was refused has changed nothing.
    assert_eq!(other.session().id(), asa.session().id());
    Ok(())
}

/// The value was computed by `WebOb` 1.8.9's `SignedSerializer("s3cret", "pyramid_session_redis.", "sha512")`.
#[rstest]
fn the_signature_is_webobs(test_request: TestRequest) {
    let format = Pyramid::new(test_request.settings()).secret("s3cret");
    assert_eq!(format.cookie_value("shop:ÅÄÖ"), WEBOB);
    assert_eq!(format.id_in_cookie(WEBOB).as_deref(), Some("shop:ÅÄÖ"));
}

#[rstest]
#[clean_redis]
fn a_visitor_takes_cookies_as_a_browser_does(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor();
    visitor.session().set("name", "Åsa")?;
    let id = visitor.session().id();
    visitor.receive_cookie("theme=dark; Path=/")?;
    assert_eq!(visitor.session().id(), id);
    for removal in ["session=; Path=/", "session=x; Max-Age=0", "session=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        visitor.receive_cookie(removal)?;
        assert_ne!(visitor.session().id(), id, "{removal}");
        assert!(visitor.session().is_new()?);
        visitor.receive_cookie(&format!("session={id}; Expires=Thu, 01 Jan 2099 00:00:00 GMT"))?;
        assert_eq!(visitor.session().get::<String>("name")?.as_deref(), Some("Åsa"));
    }
    for rubbish in ["", ";;;", "no value", "=x"] {
        let error = visitor.receive_cookie(rubbish).expect_err(rubbish);
        assert!(error.is_data() && error.to_string().contains("Set-Cookie"), "{error}");
    }
    let header = format!("theme=dark; {}; other", visitor.cookie_header());
    assert_eq!(test_request.visitor_with_cookie(&header).session().id(), id);
    for nobody in ["", "theme=dark", "session=", "session"] {
        assert!(test_request.visitor_with_cookie(nobody).session().is_new()?, "{nobody}");
    }
    Ok(())
}
