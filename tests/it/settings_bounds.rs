//! Hostile settings files: read in bounded time and memory, or rejected. And secrets of any shape, which are not shown.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Error, Settings};

use crate::child::Child;
use crate::golden::golden;

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
    fs::write(&path, text).expect("write");
    path
}

fn load(text: &str) -> Result<Settings, Error> {
    let directory = TempDir::new().expect("a directory");
    Settings::from_file(write(directory.path(), "test.ini", text))
}

#[test]
fn reads_a_value_of_percent_signs() {
    let percents = "%".repeat(40_000);
    let settings = load(&format!("[app:main]\na = {percents}\nb = x{}\n", "%x".repeat(20_000))).expect("settings");
    assert_eq!(settings.get("a").map(str::len), Some(20_000));
    assert_eq!(settings.get("b").map(str::len), Some(40_001));
    let open = "%(".repeat(400_000);
    assert_eq!(load(&format!("[app:main]\na = {open}\n")).expect("settings").get("a"), Some(open.as_str()));
}

/// Expanded without a limit, each of these would take exponential time and memory.
#[rstest]
#[case::itself("a = %(a)s%(a)s%(a)s%(a)s%(a)s\n")]
#[case::each_other("a = %(b)s%(b)s%(b)s%(b)s%(b)s\nb = %(a)s%(a)s%(a)s%(a)s%(a)s\n")]
#[case::doubled(
    "a = %(b)s%(b)s%(b)s%(b)s%(b)s%(b)s%(b)s%(b)s\nb = %(c)s%(c)s%(c)s%(c)s%(c)s%(c)s%(c)s%(c)s\n\
     c = %(d)s%(d)s%(d)s%(d)s%(d)s%(d)s%(d)s%(d)s\nd = %(e)s%(e)s%(e)s%(e)s%(e)s%(e)s%(e)s%(e)s\n\
     e = %(f)s%(f)s%(f)s%(f)s%(f)s%(f)s%(f)s%(f)s\nf = %(g)s%(g)s%(g)s%(g)s%(g)s%(g)s%(g)s%(g)s\n\
     g = %(h)s%(h)s%(h)s%(h)s%(h)s%(h)s%(h)s%(h)s\nh = %(i)s%(i)s%(i)s%(i)s%(i)s%(i)s%(i)s%(i)s\ni =\n"
)]
fn bounds_references_in_values(#[case] keys: &str) {
    let settings = load(&format!("[app:main]\n{keys}")).expect("settings");
    // Not expanded.
    let raw = keys.lines().next().expect("a line").trim_start_matches("a = ");
    assert_eq!(settings.get("a"), Some(raw));
    // In a setting of this crate it is an error.
    let error = load(&format!("[app:main]\n{keys}redis.sessions.timeout = %(a)s\n")).expect_err("no number");
    assert!(error.is_settings(), "{error}");
}

#[test]
fn reads_files_that_are_included_twice_once() {
    let directory = TempDir::new().expect("a directory");
    for number in 0..40 {
        let next = number + 1;
        let text = format!("[includes]\ninclude_ini_files = {next}.ini ./{next}.ini\n[app:main]\nkey{number} = 1\n");
        write(directory.path(), &format!("{number}.ini"), &text);
    }
    let last = write(directory.path(), "40.ini", "[app:main]\nlast = 1\n");
    let settings = Settings::from_file(directory.path().join("0.ini")).expect("settings");
    assert_eq!((settings.get("key39"), settings.get("last")), (Some("1"), Some("1")));
    drop(last);
}

#[test]
fn bounds_a_chain_of_includes() {
    let directory = TempDir::new().expect("a directory");
    for number in 0..2_000 {
        write(
            directory.path(),
            &format!("{number}.ini"),
            &format!("[includes]\ninclude_ini_files = {}.ini\n", number + 1),
        );
    }
    write(directory.path(), "2000.ini", "[app:main]\n");
    let error = Settings::from_file(directory.path().join("0.ini")).expect_err("too many");
    assert!(error.is_settings() && error.to_string().contains(" 64 files"), "{error}");
}

#[test]
fn rejects_a_cycle_in_any_spelling() {
    let directory = TempDir::new().expect("a directory");
    fs::create_dir(directory.path().join("sub")).expect("mkdir");
    let path = write(directory.path(), "x.ini", "[includes]\ninclude_ini_files = sub/../x.ini sub/../sub/../x.ini\n");
    let error = Settings::from_file(path).expect_err("a cycle");
    assert!(error.to_string().contains(golden("settings::include_circle")), "{error}");
}

#[test]
fn rejects_devices_pipes_and_large_files() {
    for path in ["/dev/zero", "/dev/stdin", "/"] {
        let error = Settings::from_file(path).expect_err("no file");
        assert!(error.is_settings() && format!("{error:?}").contains("regular file"), "{path}: {error:?}");
    }
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("pipe");
    let mkfifo = ["-c", "import os, sys; os.mkfifo(sys.argv[1])"];
    assert!(std::process::Command::new("python3").args(mkfifo).arg(&path).status().expect("python3").success());
    assert!(Settings::from_file(path).expect_err("a pipe").is_settings());
    let error = load(&format!("[app:main]\na = {}\n", "x".repeat(1 << 21))).expect_err("too large");
    assert!(format!("{error:?}").contains("1048576 bytes"), "{error:?}");
}

#[test]
fn bounds_the_notes_about_unknown_keys() {
    let mut text = "[app:main]\n".to_owned();
    for number in 0..400 {
        let _ = writeln!(text, "redis.{number}.{} = 1", "x".repeat(2_000));
    }
    let settings = load(&text).expect("settings");
    assert!(settings.notes().len() <= 21, "{}", settings.notes().len());
    assert!(settings.notes().iter().all(|note| note.len() < 2_000));
    assert!(settings.notes().last().expect("a note").contains("380 more"), "{:?}", settings.notes().last());
}

/// The author means one server, and the URL names another. (Random names of directories contain no `_`.)
#[rstest]
#[case("redis://:K_x@K_x/K_x#K_x@host")]
#[case("redis://:K_x/K_x@host:6379/14")]
#[case("redis://K_x:K_x?K_x@host")]
#[case("redis://:K_x#K_x@host")]
#[case("rediss://:K_x/K_x@host")]
#[case("redis:/:K_x@host")]
#[case("redis:K_x@host")]
#[case("redis://:K_x")]
#[case("redis://K_x:K_x")]
#[case("redis:///:K_x@host")]
#[case("http://K_x:K_x@host")]
#[case("K_x:K_x@host:6379")]
fn rejects_a_misleading_url_without_showing_its_secret(#[case] url: &str) {
    for key in ["redis.sessions.url", "celery.broker_url"] {
        let loaded = load(&format!("[app:main]\nredis.sessions.url = redis://127.0.0.1\n{key} = {url}\n").replacen(
            "redis.sessions.url = redis://127.0.0.1\nredis.sessions.url",
            "redis.sessions.url",
            1,
        ));
        let shown = match loaded {
            Err(error) => {
                assert!(error.is_settings(), "{error}");
                error.to_string()
            }
            // A URL that is not a Redis URL is not checked.
            Ok(settings) => {
                assert_eq!(key, "celery.broker_url");
                settings.notes().join("\n")
            }
        };
        assert!(!shown.contains("K_x"), "a part of {url} is shown: {shown}");
    }
}

#[rstest]
#[case("redis://:50%25%40%2F%23@localhost:6379/14")]
#[case("unix:///run/redis@home.sock")]
#[case("redis+unix:///run/redis.sock?db=3")]
#[case("redis://[::1]:6379")]
fn accepts_urls_with_escapes_and_sockets(#[case] url: &str) {
    assert_eq!(
        load(&format!("[app:main]\nredis.sessions.url = {}\n", url.replace('%', "%%"))).expect(url).redis_url(),
        url
    );
}

#[test]
fn checks_a_url_in_the_environment_too() {
    let child = Child::test("settings::prints_its_settings").env("TRANSIENT_REDIS_URL", "redis://:p@ss/w#rd@127.0.0.1");
    let ended = child.run();
    ended.assert_failed_with(&["TRANSIENT_REDIS_URL", "%40"]);
    assert!(!ended.output.contains("w#rd") && !ended.output.contains("p@ss"), "{}", ended.output);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let error = load("[app:main]\nredis.sessions.timeout = \u{1b}[2J\u{7}20\n").expect_err("no number").to_string();
    assert!(!error.contains('\u{1b}') && !error.contains('\u{7}'), "{error:?}");
    let notes = load("[app:main]\nredis.\u{1b}[2Jx = 1\n").expect("settings").notes().join("\n");
    assert!(!notes.contains('\u{1b}'), "{notes:?}");
}
