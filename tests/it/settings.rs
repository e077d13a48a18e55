//! test.ini, its includes, the environment, and the errors about them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Error, Settings, test_settings};

use crate::child::Child;
use crate::golden::golden;

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
    fs::write(&path, text).expect("write");
    path
}

fn load(text: &str) -> Result<Settings, Error> {
    let directory = TempDir::new().expect("a directory");
    Settings::from_file(write(&directory, "test.ini", text))
}

/// The error for that `[app:main]`, whose first line is the file's second.
#[track_caller]
fn error(keys: &str) -> String {
    let error = load(&format!("[app:main]\n{keys}\n")).expect_err("bad settings");
    assert!(error.is_settings());
    error.to_string()
}

#[track_caller]
fn assert_words(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words:?} is missing in {text:?}");
    }
}

#[test]
fn has_defaults() {
    let settings = load("[app:main]\n").expect("settings");
    assert_eq!(settings.redis_url(), "redis://127.0.0.1:6379");
    let databases = settings.databases();
    assert_eq!((databases.sessions, databases.jobs), (14, 15));
    assert_eq!(settings.session_prefix(), "");
    assert_eq!(settings.session_timeout(), Duration::from_secs(1200));
    assert_eq!(settings.cookie_name(), "session");
    assert_eq!(settings.cookie_max_age(), None);
    assert!(!settings.cookie_secure());
    assert!(settings.cookie_http_only());
    assert_eq!((settings.cookie_path(), settings.cookie_domain(), settings.cookie_same_site()), ("/", None, None));
    assert_eq!(settings.broker_url(), None);
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
}

#[test]
fn reads_every_key() {
    let settings = load(
        "[app:main]
redis.sessions.url = redis://127.0.0.1:6380/14
redis.sessions.prefix = shop:
redis.sessions.timeout = 31536000
redis.sessions.cookie_max_age = 60
redis.sessions.cookie_name = visitor
redis.sessions.cookie_secure = true
redis.sessions.cookie_httponly = off
redis.sessions.secret = hush
celery.broker_url = redis://localhost:6380/15
redis.databases = 4,5
",
    )
    .expect("settings");
    assert_eq!(settings.redis_url(), "redis://127.0.0.1:6380/14");
    assert_eq!(settings.session_prefix(), "shop:");
    assert_eq!(settings.session_timeout(), Duration::from_secs(31_536_000));
    assert_eq!(settings.cookie_max_age(), Some(Duration::from_secs(60)));
    assert_eq!(settings.cookie_name(), "visitor");
    assert!(settings.cookie_secure());
    assert!(!settings.cookie_http_only());
    assert_eq!(settings.get("redis.sessions.secret"), Some("hush"));
    assert_eq!(settings.broker_url(), Some("redis://localhost:6380/15"));
    assert_eq!((settings.databases().sessions, settings.databases().jobs), (4, 5));
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
    assert!(!format!("{settings:?}").contains("hush"));
}

/// The shape of Websauna's own files: comments, dotted keys, colons, brackets and Python dictionaries in values,
/// includes of Python resources, sections of other programs (fixtures/websauna).
#[test]
fn loads_the_test_ini_of_websauna() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/websauna/test.ini");
    let settings = Settings::from_file(path).expect("settings");
    // The file overrides its includes.
    assert_eq!(settings.redis_url(), "redis://localhost:6379/14");
    assert_eq!(settings.session_prefix(), "websauna_session");
    assert_eq!(settings.session_timeout(), Duration::from_secs(31_536_000));
    assert_eq!(settings.get("websauna.site_email_prefix"), Some("[Websauna]"));
    assert_eq!(settings.get("websauna.cache_max_age"), Some(""));
    assert_eq!(settings.get("Websauna.Site_ID"), Some("websauna_test"));
    let extensions = settings.get("jinja2.extensions").expect("a value");
    assert_eq!(extensions.split_whitespace().collect::<Vec<_>>(), ["jinja2.ext.i18n", "[jinja2.ext.with_]"]);
    assert_words(settings.get("websauna.celery_config").expect("a value"), &["\"broker_url\"", "'json'],"]);
    assert_eq!(settings.get("script_location"), None);
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
}

#[test]
fn earlier_includes_override_later_ones() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "one.ini", "[app:main]\na = one\nb = one\n");
    write(&directory, "two.ini", "[includes]\ninclude_ini_files = deep/three.ini\n[app:main]\na = two\nc = two\n");
    write(&directory, "deep/three.ini", "[app:main]\nc = three\nd = %(here)s/x\n");
    let path = write(&directory, "test.ini", "[includes]\ninclude_ini_files = one.ini two.ini\n[app:main]\nb = own\n");
    let settings = Settings::from_file(path).expect("settings");
    let values: Vec<_> = ["a", "b", "c"].map(|key| settings.get(key).expect("a value")).to_vec();
    assert_eq!(values, ["one", "own", "two"]);
    assert_eq!(settings.get("d"), Some(format!("{}/deep/x", directory.path().display()).as_str()));
}

#[test]
fn rejects_missing_and_circular_includes() {
    let directory = TempDir::new().expect("a directory");
    let path = write(&directory, "test.ini", "[includes]\ninclude_ini_files = none.ini\n");
    assert_words(&Settings::from_file(path).expect_err("none").to_string(), &["test.ini:2", "none.ini"]);
    write(&directory, "one.ini", "[includes]\ninclude_ini_files = two.ini\n");
    let path = write(&directory, "two.ini", "[includes]\ninclude_ini_files = one.ini\n");
    assert_words(&Settings::from_file(path).expect_err("a circle").to_string(), &[golden("settings::include_circle")]);
}

#[test]
fn the_section_default_applies_everywhere() {
    let settings = load("[DEFAULT]\nredis.provider = process\na = 1\n[app:main]\na = 2\n").expect("settings");
    assert_eq!((settings.get("redis.provider"), settings.get("a")), (Some("process"), Some("2")));
}

/// As Python's configparser does.
#[test]
fn expands_references_in_values() {
    let text = "[DEFAULT]\nhost = 127.0.0.1\n[app:main]\nport = 6380\nredis.sessions.url = redis://:50%%@%(Host)s:%(port)s\n\
                greeting = 100%% of %(nothing)s, %d, 5%\ndeep = %(deep)s\n";
    let settings = load(text).expect("settings");
    assert_eq!(settings.redis_url(), "redis://:50%@127.0.0.1:6380");
    assert_eq!(settings.get("greeting"), Some("100% of %(nothing)s, %d, 5%"));
    assert!(settings.get("deep").is_some_and(|deep| deep.ends_with("%(deep)s")));
}

#[rstest]
#[case("redis.sessions.timeout = 20 minutes", &["test.ini:2", "redis.sessions.timeout", "20 minutes"])]
#[case("redis.lease_timeout = 0", &["redis.lease_timeout", "\"0\""])]
#[case("\nredis.sessions.cookie_max_age = -1", &["test.ini:3", "redis.sessions.cookie_max_age"])]
#[case("redis.sessions.cookie_secure = maybe", &["redis.sessions.cookie_secure", "true or false"])]
#[case("redis.sessions.cookie_httponly =", &["redis.sessions.cookie_httponly", "true or false"])]
#[case("redis.sessions.cookie_name = a b", &["redis.sessions.cookie_name", "\"a b\""])]
#[case("redis.sessions.url = localhost:6379", &["redis.sessions.url", "localhost:6379", "redis://127.0.0.1:6379"])]
#[case("redis.sessions.url = http://localhost", &["redis.sessions.url", "http://localhost"])]
#[case("redis.databases = 14", &["redis.databases", "\"14\""])]
#[case("redis.databases = 15, 0", &["redis.databases", "\"15, 0\""])]
#[case("redis.download = never", &["redis.download"])]
#[case("redis.adopt = all", &["redis.adopt"])]
#[case("redis.lease_timeout = forever", &["redis.lease_timeout"])]
#[case("redis.clock = fast", &["redis.clock", "\"fast\"", "ageing or whole"])]
#[case("redis.lint = all", &["redis.lint", "\"all\"", "ttl <= 7d"])]
fn the_error_for_an_invalid_value_has_place_value_and_valid_values(#[case] line: &str, #[case] words: &[&str]) {
    assert_words(&error(line), words);
}

/// In a child, whose environment names no provider.
#[test]
fn the_error_for_an_unknown_provider_lists_them() {
    Child::test("settings::an_unknown_provider").run().assert_passed();
}

#[test]
#[ignore = "run by the_error_for_an_unknown_provider_lists_them"]
fn an_unknown_provider() {
    let list = "auto, running, process, container or download";
    assert_words(&error("redis.provider = docker"), &["test.ini:2", "redis.provider", "\"docker\"", list]);
}

#[test]
fn the_error_for_an_invalid_url_hides_its_password() {
    let text = load("redis.sessions.url = redis://:hush@host\n").expect_err("no section").to_string();
    assert!(text.contains("redis.sessions.url") && !text.contains("hush"), "{text}");
    let text = error("redis.sessions.url = http://user:hush@host");
    assert!(!text.contains("hush"), "{text}");
    let text = error("redis.sessions.url = user:hush@host");
    assert!(!text.contains("hush"), "{text}");
}

#[rstest]
#[case::broker("celery.broker_url = redis://elsewhere:6379/15", "celery.broker_url")]
#[case::port("celery.broker_url = redis://127.0.0.1:6380/15", "celery.broker_url")]
#[case::python("websauna.celery_config = { 'broker_url' : \"redis://:hush@elsewhere/15\" }", "websauna.celery_config")]
fn rejects_a_broker_on_another_server(#[case] line: &str, #[case] key: &str) {
    let text = error(&format!("redis.sessions.url = redis://127.0.0.1/14\n{line}"));
    assert_words(&text, &["test.ini:3", key, "redis.sessions.url", "same server"]);
    assert!(!text.contains("hush"), "{text}");
}

#[rstest]
#[case("celery.broker_url = redis://localhost/3")]
#[case("celery.broker_url = amqp://elsewhere//")]
#[case("websauna.celery_config = { \"imports\": [] }")]
fn accepts_a_broker_that_does_not_contradict_the_sessions(#[case] line: &str) {
    load(&format!("[app:main]\nredis.sessions.url = redis://127.0.0.1:6379/14\n{line}\n")).expect("settings");
}

#[rstest]
#[case::twice("[app:main]\na = 1\nb = 2\nA = 3\n", &["test.ini:4", " a in [app:main]", "line 2"])]
#[case::no_section("redis.provider = process\n", &["test.ini:1", "[app:main]"])]
#[case::open_section("[app:main\nredis.provider = process\n", &["test.ini:1", golden("settings::open_section")])]
#[case::no_key("[app:main]\n= 1\n", &["test.ini:2", "no key"])]
#[case::no_value("[app:main]\nredis.adopt\n", &["test.ini:2", "\"redis.adopt\""])]
#[case::section_twice("[app:main]\na = 1\n[x]\n[app:main]\n", &["test.ini:4", "[app:main]", "line 1"])]
fn rejects_text_that_is_not_ini(#[case] text: &str, #[case] words: &[&str]) {
    let error = load(text).expect_err("no INI");
    assert!(error.is_settings());
    assert_words(&error.to_string(), words);
}

#[test]
fn reports_files_that_cant_be_read() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("test.ini");
    assert_words(&format!("{:?}", Settings::from_file(&path).expect_err("none")), &["test.ini", "os error 2"]);
    fs::write(&path, b"[app:main]\na = \xff\n").expect("write");
    let error = Settings::from_file(&path).expect_err("no UTF-8");
    assert_words(&error.to_string(), &["test.ini", "UTF-8"]);
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn notes_unknown_keys_with_the_most_similar_known_one() {
    let settings =
        load("[app:main]\nredis.sesions.timeout = 5\nredis.downlod = no\nother.key = 1\n").expect("settings");
    let notes = settings.notes().join("\n");
    assert_words(&notes, &["test.ini:2: ", "redis.sesions.timeout", " redis.sessions.timeout"]);
    assert_words(&notes, &["test.ini:3: ", "redis.downlod", " redis.download"]);
    assert_eq!(settings.notes().len(), 2);
}

#[test]
fn accepts_bom_and_crlf() {
    let settings =
        load("\u{feff}[app:main]\r\nredis.provider = process\r\nlist =\r\n  a\r\n  b\r\n").expect("settings");
    assert_eq!(settings.get("redis.provider"), Some("process"));
    assert_eq!(settings.get("list").expect("a list").split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
}

/// The children run this.
#[rstest]
fn prints_its_settings(test_settings: Settings) {
    println!("file {:?}", test_settings.file());
    println!("url {} provider {:?}", test_settings.redis_url(), test_settings.get("redis.provider"));
    println!("prefix {:?} broker {:?}", test_settings.session_prefix(), test_settings.broker_url());
    test_settings.notes().iter().for_each(|note| println!("note {note}"));
}

fn child() -> Child {
    Child::test("settings::prints_its_settings").without("TRANSIENT_SERVER_BINARY")
}

#[test]
fn the_environment_overrides_test_ini() {
    let directory = TempDir::new().expect("a directory");
    let text = "[app:main]\nredis.sessions.url = redis://127.0.0.1:1/14\nredis.provider = download\n";
    let ini = write(&directory, "test.ini", text);
    let printed = child().env("TRANSIENT_TEST_INI", &ini).run().output;
    assert_words(&printed, &["url redis://127.0.0.1:1/14 provider Some(\"download\")"]);
    let child = child().env("TRANSIENT_TEST_INI", &ini).env("TRANSIENT_PROVIDER", "process");
    let printed = child.env("TRANSIENT_REDIS_URL", " ").run().output;
    assert_words(&printed, &["url redis://127.0.0.1:1/14 provider Some(\"process\")"]);
}

#[test]
fn the_error_for_an_invalid_variable_has_the_valid_values() {
    let ended = child().env("TRANSIENT_OFFLINE", "perhaps").run();
    ended.assert_failed_with(&["the environment", "TRANSIENT_OFFLINE", "perhaps", "true or false"]);
    let ended = child().env("TRANSIENT_TEST_INI", "/nowhere/test.ini").run();
    ended.assert_failed_with(&["/nowhere/test.ini", "TRANSIENT_TEST_INI"]);
}

#[test]
fn notes_unknown_variables_with_the_most_similar_known_one() {
    let said = child().env("TRANSIENT_PROVIDR", "process").run().output;
    assert_words(&said, &["TRANSIENT_PROVIDR", " TRANSIENT_PROVIDER"]);
}

/// A workspace with a member that has a test.ini and one that doesn't, and a package outside of the workspace.
#[test]
fn finds_test_ini_beside_the_manifest_or_up_to_the_workspace_root() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "test.ini", "[app:main]\n");
    write(&directory, "workspace/Cargo.toml", "[workspace]\nmembers = [\"*\"]\n");
    write(&directory, "workspace/with/Cargo.toml", "[package]\n");
    write(&directory, "workspace/without/Cargo.toml", "[package]\n");
    write(&directory, "alone/Cargo.toml", "[package]\n");
    let with = write(&directory, "workspace/with/test.ini", "[app:main]\n");
    let root = write(&directory, "workspace/test.ini", "[app:main]\n");
    let found = |package: &str| {
        let manifest = directory.path().join(package);
        child().without("TRANSIENT_TEST_INI").env("CARGO_MANIFEST_DIR", manifest).run().output
    };
    assert_words(&found("workspace/with"), &[&format!("file Some({with:?})")]);
    assert_words(&found("workspace/without"), &[&format!("file Some({root:?})")]);
    // For a package outside of a workspace, the search ends in its directory: its parents belong to others.
    assert_words(&found("alone"), &["file None"]);
}

/// A test binary run by hand has no `CARGO_MANIFEST_DIR`. It searches from its own path and the working directory.
#[test]
fn a_binary_run_by_hand_finds_test_ini() {
    let directory = TempDir::new().expect("a directory");
    let ini = write(&directory, "test.ini", "[app:main]\n");
    write(&directory, "Cargo.toml", "[package]\n");
    let binary = directory.path().join("target/debug/deps/it");
    fs::create_dir_all(binary.parent().expect("a directory")).expect("mkdir");
    fs::copy(env::current_exe().expect("this binary"), &binary).expect("copy");
    let by_hand = |binary: &Path, working: &Path| {
        let mut command = Command::new(binary);
        command.args(["settings::prints_its_settings", "--exact", "--nocapture"]).current_dir(working);
        for variable in ["TRANSIENT_TEST_INI", "CARGO_MANIFEST_DIR"] {
            command.env_remove(variable);
        }
        // A process that another test has just forked can still have the file open for writing.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let output = loop {
            match command.output() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    assert!(std::time::Instant::now() < deadline, "{error}");
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                output => break output.expect("run"),
            }
        };
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_words(&by_hand(&binary, Path::new("/")), &[&format!("file Some({ini:?})")]);
    let elsewhere = TempDir::new().expect("a directory");
    let moved = elsewhere.path().join("it");
    fs::rename(&binary, &moved).expect("move");
    assert_words(&by_hand(&moved, directory.path()), &[&format!("file Some({ini:?})")]);
}
