//! The settings of `pyramid_session_redis` and of `pyramid_redis_sessions`, and Websauna's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Error, SameSite, Settings};

use crate::child::Child;

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
    fs::write(&path, text).expect("write");
    path
}

/// The settings of these lines of `[app:main]`, each prefixed with `redis.sessions.`.
fn load(lines: &[&str]) -> Result<Settings, Error> {
    let directory = TempDir::new().expect("a directory");
    let lines: Vec<_> = lines.iter().map(|line| format!("redis.sessions.{line}")).collect();
    Settings::from_file(write(&directory, "test.ini", &format!("[app:main]\n{}\n", lines.join("\n"))))
}

fn site(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/websauna_site").join(path)
}

#[rstest]
#[case(&["url = redis://cache:6380/2"], "redis://cache:6380/2")]
#[case(&["redis_url = redis://cache:6380/2"], "redis://cache:6380/2")]
#[case(&["redis_url = redis://cache:6380/2", "url = redis://cache:6380/2"], "redis://cache:6380/2")]
#[case(&["host = cache"], "redis://cache:6379/0")]
#[case(&["redis_host = cache", "redis_port = 6380", "redis_db = 14"], "redis://cache:6380/14")]
#[case(&["port = 6380", "password = p@ss/w%%rd#?"], "redis://:p%40ss%2Fw%25rd%23%3F@localhost:6380/0")]
#[case(&["redis_password = None", "redis_host = ::1"], "redis://[::1]:6379/0")]
#[case(&["unix_socket_path = /run/redis home.sock"], "unix:///run/redis%20home.sock?db=0")]
#[case(&["redis_unix_socket_path = /run/r.sock", "password = p&s"], "unix:///run/r.sock?db=0&pass=p%26s")]
#[case(&["url = unix:///run/r.sock?db=3&username=me&password=p%%26s"], "unix:///run/r.sock?db=3&user=me&pass=p%26s")]
#[case(&["db = 14"], "redis://127.0.0.1:6379")]
#[case(&["host = elsewhere", "port = 1", "redis_url = redis://cache"], "redis://cache")]
fn builds_the_url_from_the_parts_of_either_library(#[case] lines: &[&str], #[case] url: &str) {
    assert_eq!(load(lines).expect("settings").redis_url(), url);
}

#[test]
fn notes_parts_beside_a_url() {
    let settings = load(&["redis_url = redis://cache", "host = elsewhere", "password = hush"]).expect("settings");
    let notes = settings.notes().join("\n");
    assert_eq!(settings.notes().len(), 2, "{notes}");
    assert!(notes.contains("redis.sessions.host ") && !notes.contains("hush"), "{notes}");
}

#[test]
fn the_error_for_two_names_with_different_values_shows_neither() {
    let error = load(&["password = hush", "redis_password = quiet"]).expect_err("two values");
    let text = error.to_string();
    assert!(error.is_settings() && text.contains("redis.sessions.redis_password") && text.contains(":3:"), "{text}");
    assert!(!text.contains("hush") && !text.contains("quiet"), "{text}");
}

#[test]
fn a_file_overrides_its_includes_under_either_name() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "base.ini", "[app:main]\nredis.sessions.url = redis://base\nredis.sessions.host = none\n");
    let own = "[includes]\ninclude_ini_files = base.ini\n[app:main]\nredis.sessions.redis_url = redis://own\n";
    let settings = Settings::from_file(write(&directory, "test.ini", own)).expect("settings");
    assert_eq!(settings.redis_url(), "redis://own");
    for key in ["redis.sessions.redis_url", "redis.sessions.url"] {
        assert_eq!(settings.get(key), Some("redis://own"));
    }
}

#[rstest]
#[case("port = 0")]
#[case("port = none")]
#[case("db = -1\nredis.sessions.host = x")]
#[case("host = a/b")]
#[case("host = me@there")]
#[case("unix_socket_path = redis.sock")]
#[case("cookie_samesite = sometimes")]
#[case("cookie_path = /; Secure")]
#[case("timeout = soon")]
#[case("python_expires = perhaps")]
#[case("timeout_trigger = -1")]
fn rejects_invalid_values(#[case] line: &str) {
    let error = load(&[line]).expect_err(line);
    let key = line.split(' ').next().expect("a key");
    assert!(error.is_settings() && error.to_string().contains(&format!(" redis.sessions.{key}: ")), "{error}");
}

#[rstest]
#[case("0")]
#[case("None")]
#[case("none")]
fn accepts_no_timeout_and_no_max_age(#[case] none: &str) {
    let lines = [format!("timeout = {none}"), format!("cookie_max_age = {none}")];
    let settings = load(&lines.each_ref().map(String::as_str)).expect("settings");
    assert_eq!((settings.session_timeout(), settings.cookie_max_age()), (Duration::MAX, None));
}

#[test]
fn reads_the_attributes_of_the_cookie() {
    let settings = load(&[]).expect("settings");
    assert_eq!((settings.cookie_path(), settings.cookie_domain(), settings.cookie_same_site()), ("/", None, None));
    let settings = load(&["cookie_path = /shop", "cookie_domain = example.com", "cookie_samesite = Lax"]);
    let settings = settings.expect("settings");
    assert_eq!((settings.cookie_path(), settings.cookie_domain()), ("/shop", Some("example.com")));
    assert_eq!(settings.cookie_same_site(), Some(SameSite::Lax));
}

/// From their sources: `configs_*` of `pyramid_session_redis` 1.8.1, and the arguments of
/// `RedisSessionFactory` of `pyramid_redis_sessions` 1.0.1.
#[test]
fn reads_or_notes_every_key_of_both_libraries() {
    let read = [
        "secret = hush",
        "prefix = shop:",
        "timeout = 60",
        "timeout_trigger = 30",
        "python_expires = true",
        "set_redis_ttl = true",
        "cookie_name = visitor",
        "cookie_max_age = 60",
        "cookie_path = /",
        "cookie_domain = example.com",
        "cookie_secure = true",
        "cookie_httponly = true",
        "cookie_samesite = lax",
        "redis_host = cache",
        "host = cache",
        "redis_port = 6379",
        "port = 6379",
        "redis_db = 1",
        "db = 1",
        "redis_password = hush",
        "password = hush",
        "redis_unix_socket_path = /run/redis.sock",
        "unix_socket_path = /run/redis.sock",
    ];
    let settings = load(&read).expect("settings");
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
    let named = [
        "cookie_comment",
        "cookie_expires",
        "cookie_on_exception",
        "cookie_signer",
        "serialize",
        "deserialize",
        "id_generator",
        "func_check_response_allow_cookies",
        "func_invalid_logger",
        "client_callable",
        "redis_client_callable",
        "deserialized_fails_new",
        "detect_changes",
        "invalidate_empty_session",
        "set_redis_ttl_readheavy",
        "socket_timeout",
        "redis_socket_timeout",
        "connection_pool",
        "redis_connection_pool",
        "charset",
        "errors",
        "redis_encoding",
        "redis_encoding_errors",
    ];
    let lines = named.map(|key| format!("{key} = x"));
    let settings = load(&lines.each_ref().map(String::as_str)).expect("settings");
    for key in named {
        let is_named = |note: &String| note.contains(&format!(": redis.sessions.{key} "));
        assert!(settings.notes().iter().any(is_named), "{key}: {:?}", settings.notes());
    }
    assert_eq!(settings.notes().len(), named.len());
}

#[rstest]
#[case::websauna("websauna/conf/test.ini", "websauna_test", "for sessions")]
#[case::of_its_cookiecutter("my/app/conf/test.ini", "app_test", "for sessions of my application")]
fn loads_a_websauna_site(#[case] ini: &str, #[case] id: &str, #[case] secret: &str) {
    let settings = Settings::from_file(site(ini)).expect("settings");
    assert_eq!(settings.redis_url(), "redis://localhost:6379/14");
    assert_eq!(settings.broker_url(), Some("redis://localhost:6379/15"));
    assert_eq!(settings.session_prefix(), "websauna_session");
    assert_eq!(settings.get("redis.sessions.secret"), Some(secret));
    assert_eq!(settings.get("websauna.site_id"), Some(id));
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
}

/// Copied into a project without Websauna: resources beside the file are read, missing ones are noted.
#[test]
fn finds_resources_beside_the_file_and_in_the_virtual_environment() {
    let directory = TempDir::new().expect("a directory");
    for name in ["base.ini", "test.ini", "test-secrets.ini"] {
        write(
            &directory,
            &format!("conf/{name}"),
            &fs::read_to_string(site(&format!("my/app/conf/{name}"))).expect(name),
        );
    }
    let ini = directory.path().join("conf/test.ini");
    let settings = Settings::from_file(&ini).expect("settings");
    assert_eq!(settings.redis_url(), "redis://localhost:6379/14");
    assert_eq!(settings.broker_url(), Some("redis://localhost:6379/15"));
    assert_eq!(settings.get("redis.sessions.secret"), Some("for sessions of my application"));
    assert_eq!(settings.get("websauna.site_name"), Some("My application"), "of base.ini");
    let notes = settings.notes().join("\n");
    assert_eq!(settings.notes().len(), 2, "{notes}");
    assert!(notes.contains("resource://websauna/conf/test.ini") && notes.contains("resource://websauna/conf/base.ini"));

    let install = |environment: &str| {
        for name in ["base.ini", "test.ini"] {
            let text = fs::read_to_string(site(&format!("websauna/conf/{name}"))).expect(name);
            let path = format!("{environment}/lib/python3.12/site-packages/websauna/conf/{name}");
            write(&directory, &path, &text);
        }
    };
    install("elsewhere");
    let child = Child::test("settings::prints_its_settings").without("TRANSIENT_REDIS_URL");
    let elsewhere = directory.path().join("elsewhere");
    let printed = child.env("TRANSIENT_TEST_INI", &ini).env("VIRTUAL_ENV", elsewhere).run().output;
    assert!(printed.contains("prefix \"websauna_session\"") && !printed.contains("note "), "{printed}");

    install("venv");
    let settings = Settings::from_file(&ini).expect("settings");
    assert_eq!(settings.session_prefix(), "websauna_session");
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
}

#[test]
fn secrets_override_other_files_and_can_name_variables() {
    let directory = TempDir::new().expect("a directory");
    let secrets = "[app:main]\nredis.sessions.redis_host = $NOT_SET_ANYWHERE\nredis.sessions.prefix = secret:\n\
                   home = $HOME\n[session]\nsecret = hush\n";
    write(&directory, "secrets.ini", secrets);
    let own = "[app:main]\nredis.sessions.prefix = own:\nredis.sessions.secret = own\nredis.sessions.host = own\n";
    for name in ["secrets.ini".to_owned(), format!("file://{}/secrets.ini", directory.path().display())] {
        let ini = write(&directory, "test.ini", &format!("{own}websauna.secrets_file = {name}\n"));
        let settings = Settings::from_file(ini).expect("settings");
        assert_eq!((settings.session_prefix(), settings.get("redis.sessions.secret")), ("secret:", Some("hush")));
        assert_eq!(settings.get("home"), std::env::var("HOME").ok().as_deref());
        assert_eq!(settings.redis_url(), "redis://own:6379/0");
        let [note] = settings.notes() else { panic!("{:?}", settings.notes()) };
        assert!(note.contains("secrets.ini:2") && note.contains("NOT_SET_ANYWHERE"), "{note}");
    }
}

/// Secrets files are often not committed.
#[rstest]
#[case("none.ini")]
#[case("resource://nowhere/conf/none.ini")]
#[case("resource://nowhere/../../etc/passwd")]
#[case("resource://nowhere")]
#[case("https://example.com/none.ini")]
fn notes_missing_secrets_files(#[case] name: &str) {
    let directory = TempDir::new().expect("a directory");
    let ini = write(&directory, "test.ini", &format!("[app:main]\nwebsauna.secrets_file = {name}\n"));
    let settings = Settings::from_file(ini).expect("settings");
    let [note] = settings.notes() else { panic!("{:?}", settings.notes()) };
    assert!(note.contains("test.ini:2") && note.contains(name), "{note}");
}

#[test]
fn reads_secrets_files_in_bounds() {
    let directory = TempDir::new().expect("a directory");
    let itself = "[app:main]\nwebsauna.secrets_file = test.ini\na = 1\n";
    assert!(Settings::from_file(write(&directory, "test.ini", itself)).is_ok());
    let device = "[app:main]\nwebsauna.secrets_file = file:///dev/zero\n";
    let settings = Settings::from_file(write(&directory, "test.ini", device)).expect("settings");
    assert!(settings.notes()[0].contains("/dev/zero"), "{:?}", settings.notes());
    write(&directory, "large.ini", &format!("[app:main]\na = {}\n", "x".repeat(1 << 21)));
    let large = "[app:main]\nwebsauna.secrets_file = large.ini\n";
    let error = Settings::from_file(write(&directory, "test.ini", large)).expect_err("too large");
    assert!(error.is_settings() && format!("{error:?}").contains("1048576 bytes"), "{error:?}");
}
