//! The values that only this crate reads, and the precedence of their origins.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use super::Settings;

/// Prints the settings of `TRANSIENT_TEST_INI` and the environment of the child that [`printed`] starts.
#[test]
#[ignore = "run by the other tests"]
fn prints_its_settings() {
    let settings = Settings::load().expect("settings");
    println!("provider {:?}, image {}", settings.provider(), settings.image());
    #[cfg(unix)]
    println!("binary {:?}", settings.server_binary());
    println!("download {}, adopt {}, keep {}", settings.download(), settings.adopt(), settings.keep());
    println!("lease timeout {:?}, whole clock {}", settings.lease_timeout(), settings.whole_clock());
    println!("lint {:?}, allowed {:?}", settings.lint(), settings.lint_allow());
    #[cfg(feature = "session")]
    {
        println!("secret {:?}, ttl {}", settings.secret(), settings.set_redis_ttl());
        println!("python expires {}, trigger {:?}", settings.python_expires(), settings.timeout_trigger());
    }
}

/// The settings for that `[app:main]` and these variables. A child prints them, since a process can't change its
/// environment safely.
fn printed(keys: &str, variables: &[(&str, &str)]) -> String {
    let directory = TempDir::new().expect("a directory");
    let ini = directory.path().join("test.ini");
    fs::write(&ini, format!("[app:main]\n{keys}\n")).expect("write");
    let mut child = Command::new(env::current_exe().expect("this binary"));
    child.args(["settings::tests::prints_its_settings", "--exact", "--ignored", "--nocapture"]);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TRANSIENT_")) {
        child.env_remove(name);
    }
    let output = child.env("TRANSIENT_TEST_INI", ini).envs(variables.iter().copied()).output().expect("run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn assert_lines(printed: &str, lines: &[&str]) {
    for line in lines {
        assert!(printed.lines().any(|printed| printed == *line), "{line:?} is missing in:\n{printed}");
    }
}

#[test]
fn has_defaults() {
    let printed = printed("", &[]);
    assert_lines(&printed, &["provider None, image redis:8.2.1-alpine", "download true, adopt false, keep false"]);
    assert_lines(&printed, &["lease timeout 120s, whole clock false", "lint \"none\", allowed []"]);
    if cfg!(unix) {
        assert_lines(&printed, &["binary None"]);
    }
    if cfg!(feature = "session") {
        assert_lines(&printed, &["secret None, ttl true", "python expires true, trigger None"]);
    }
}

const KEYS: &str = "redis.sessions.url = redis://127.0.0.1:1/14
redis.sessions.secret = hush
redis.sessions.set_redis_ttl = false
redis.sessions.python_expires = false
redis.sessions.timeout_trigger = 60
redis.provider = download
redis.image = from-ini
redis.server_binary = /from/ini
redis.download = true
redis.adopt = false
redis.lease_timeout = 7
redis.clock = ageing
redis.lint = ttl <= 7d
redis.lint_allow = config:*, feature:?
    brand:[0-9]";

#[test]
fn reads_every_key() {
    let printed = printed(KEYS, &[]);
    assert_lines(&printed, &["provider Some(Download), image from-ini", "download true, adopt false, keep false"]);
    assert_lines(&printed, &["lease timeout 7s, whole clock false"]);
    assert_lines(&printed, &["lint \"ttl <= 7d\", allowed [\"config:*\", \"feature:?\", \"brand:[0-9]\"]"]);
    if cfg!(unix) {
        assert_lines(&printed, &["binary Some(\"/from/ini\")"]);
    }
    if cfg!(feature = "session") {
        // A trigger implies a stored expiry.
        assert_lines(&printed, &["secret Some(\"hush\"), ttl false", "python expires true, trigger Some(60s)"]);
    }
}

#[test]
fn the_environment_overrides_test_ini() {
    let variables = [
        ("TRANSIENT_REDIS_URL", "redis://127.0.0.1:2"),
        ("TRANSIENT_IMAGE", "from-environment"),
        ("TRANSIENT_SERVER_BINARY", "/from/environment"),
        ("TRANSIENT_OFFLINE", "1"),
        ("TRANSIENT_ADOPT", "1"),
        ("TRANSIENT_KEEP", "1"),
        ("TRANSIENT_LEASE_TIMEOUT", "2"),
        ("TRANSIENT_CLOCK", "whole"),
    ];
    let printed = printed(KEYS, &variables);
    // A URL in the environment is binding: it selects the provider.
    assert_lines(&printed, &["provider Some(Running), image from-environment", "lease timeout 2s, whole clock true"]);
    assert_lines(&printed, &["download false, adopt true, keep true"]);
    if cfg!(unix) {
        assert_lines(&printed, &["binary Some(\"/from/environment\")"]);
    }
}

#[test]
fn the_environment_selects_the_provider() {
    let printed = printed(KEYS, &[("TRANSIENT_PROVIDER", "process")]);
    assert_lines(&printed, &["provider Some(Process), image from-ini"]);
}

#[test]
fn ignores_empty_variables() {
    let printed = printed("", &[("TRANSIENT_PROVIDER", ""), ("TRANSIENT_OFFLINE", " ")]);
    assert_lines(&printed, &["provider None, image redis:8.2.1-alpine", "download true, adopt false, keep false"]);
}

#[test]
fn debug_shows_no_secret() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/websauna/test.ini");
    let settings = Settings::from_file(path).expect("settings");
    let shown = format!("{settings:?}");
    assert!(shown.contains("websauna.site_id") && !shown.contains("websauna_test"), "{shown}");
}
