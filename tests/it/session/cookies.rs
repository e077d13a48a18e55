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
fn the_cookie_has_the_attributes_of_the_settings(#[case] setting: &str, #[case] expected: &str) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("test.ini");
    let setting = if setting.is_empty() { String::new() } else { format!("redis.sessions.{setting}") };
    std::fs::write(&path, format!("[app:main]\n{setting}\n")).expect("write");
    let child = Child::test("session::cookies::prints_its_cookie").env("TRANSIENT_TEST_INI", path);
    let ended = child.env("TRANSIENT_PROVIDER", crate::own_server::own_provider()).run();
    ended.assert_passed();
    let printed = |name: &str| ended.output.split_once(name).expect(name).1.lines().next().expect("a line").to_owned();
    let id = printed("id: ");
    assert_eq!(printed("Set-Cookie: ").replace(&id, "ID"), expected);
}

#[rstest]
#[ignore = "run by the_cookie_has_the_attributes_of_the_settings"]
#[clean_redis]
fn prints_its_cookie(test_request: TestRequest) {
    let visitor = test_request.visitor();
    println!("Set-Cookie: {}\nid: {}", visitor.set_cookie(), visitor.session().id());
    assert_eq!(visitor.session().set_cookie(), visitor.set_cookie());
    let own = test_request.session();
    assert!(own.set_cookie().starts_with(&own.cookie()) && own.set_cookie().contains(&own.id()));
    assert!(visitor.set_cookie().starts_with(&visitor.cookie()));
    assert!(visitor.session().key().starts_with(test_request.settings().session_prefix()));
}

#[rstest]
#[clean_redis]
fn accepts_a_signed_cookie_and_rejects_a_tampered_one(test_request: TestRequest) -> Result<(), Error> {
    let format = Pyramid::new(test_request.settings()).with_secret("s3cret");
    let (asa, other) = (test_request.visitor_with_format(format.clone()), test_request.visitor_with_format(format));
    asa.session().set("name", "Åsa")?;
    let cookie = asa.set_cookie();
    assert!(!cookie.contains(&asa.session().id()));
    other.apply_set_cookie(&cookie)?;
    assert_eq!(other.session().get::<String>("name")?.as_deref(), Some("Åsa"));

    let (name, value) = asa.cookie().split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).expect("a pair");
    let flipped = if value.starts_with('A') { "B" } else { "A" };
    for tampered in [format!("{flipped}{}", &value[1..]), value[..80].to_owned(), asa.session().id(), "%".to_owned()] {
        let error = other.apply_set_cookie(&format!("{name}={tampered}; Path=/")).expect_err("tampered");
        assert!(error.is_data() && error.to_string().contains("signature"), "{error}");
        assert!(!error.to_string().contains("s3cret"));
    }
    // A cookie signed with another secret counts as tampered with.
    let stranger = test_request.visitor_with_format(Pyramid::new(test_request.settings()).with_secret("other"));
    assert!(stranger.apply_set_cookie(&cookie).expect_err("another secret").is_data());
    // Rejected cookies change nothing.
    assert_eq!(other.session().id(), asa.session().id());
    Ok(())
}

/// The value was computed by `WebOb` 1.8.9's `SignedSerializer("s3cret", "pyramid_session_redis.", "sha512")`.
#[rstest]
fn signs_as_webob_does(test_request: TestRequest) {
    let format = Pyramid::new(test_request.settings()).with_secret("s3cret");
    assert_eq!(format.cookie_value("shop:ÅÄÖ"), WEBOB);
    assert_eq!(format.id_in_cookie(WEBOB).as_deref(), Some("shop:ÅÄÖ"));
}

#[rstest]
#[clean_redis]
fn applies_set_cookie_as_a_browser_does(test_request: TestRequest) -> Result<(), Error> {
    let visitor = test_request.visitor();
    visitor.session().set("name", "Åsa")?;
    let id = visitor.session().id();
    visitor.apply_set_cookie("theme=dark; Path=/")?;
    assert_eq!(visitor.session().id(), id);
    for removal in ["session=; Path=/", "session=x; Max-Age=0", "session=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        visitor.apply_set_cookie(removal)?;
        assert_ne!(visitor.session().id(), id, "{removal}");
        assert!(visitor.session().is_new()?);
        visitor.apply_set_cookie(&format!("session={id}; Expires=Thu, 01 Jan 2099 00:00:00 GMT"))?;
        assert_eq!(visitor.session().get::<String>("name")?.as_deref(), Some("Åsa"));
    }
    for garbage in ["", ";;;", "no value", "=x"] {
        let error = visitor.apply_set_cookie(garbage).expect_err(garbage);
        assert!(error.is_data() && error.to_string().contains("Set-Cookie"), "{error}");
    }
    let header = format!("theme=dark; {}; other", visitor.cookie());
    assert_eq!(test_request.visitor_with_cookie(&header).session().id(), id);
    for unknown in ["", "theme=dark", "session=", "session"] {
        assert!(test_request.visitor_with_cookie(unknown).session().is_new()?, "{unknown}");
    }
    Ok(())
}
