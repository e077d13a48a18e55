//! The cache directory, which all releases share.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::redis;

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

/// Releases with other cache layouts can run concurrently.
#[test]
fn ignores_other_cache_layouts() {
    let cache = TempDir::new().expect("a directory");
    let root = cache.path().join("transient-fixtures");
    let others = ["servers", "containers", "runs", "v2/servers", "v2/runs"].map(|name| root.join(name));
    for other in &others {
        fs::create_dir_all(other).expect("mkdir");
        fs::write(other.join("0-0"), "another layout").expect("write");
    }
    let child = Child::test("ownership::clears_nothing").env("XDG_CACHE_HOME", cache.path());
    let child = child.env("TRANSIENT_PROVIDER", own_server::own_provider());
    // Runs that use a process for each test keep their servers in slots.
    child.env("NEXTEST_EXECUTION_MODE", "process-per-test").env("NEXTEST_RUN_ID", "layouts").run().assert_passed();
    assert_ne!(fs::read_dir(root.join("v1/servers")).expect("slots").count(), 0);
    for other in others {
        let files: Vec<_> = fs::read_dir(&other).expect("read").flatten().map(|file| file.file_name()).collect();
        assert_eq!(files, ["0-0"], "{}", other.display());
        assert_eq!(fs::read_to_string(other.join("0-0")).expect("read"), "another layout");
    }
}

/// A cache directory that others can write to, and a file outside it that must not change.
struct OpenCache {
    directory: TempDir,
    outside: PathBuf,
}

impl OpenCache {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let outside = directory.path().join("outside");
        fs::write(&outside, "not ours").expect("write");
        Self { directory, outside }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("transient-fixtures")
    }

    fn child(&self, test: &str) -> Child {
        Child::test(test).env("XDG_CACHE_HOME", self.directory.path())
    }

    /// Runs the child while others can write to the directories, and checks that nothing outside them has changed.
    #[track_caller]
    fn run(&self, child: Child) -> Ended {
        for directory in [self.root(), self.root().join("running"), self.root().join("v1/runs")] {
            // The child has not created all of them.
            let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o777));
        }
        let ended = child.run();
        assert_eq!(fs::read_to_string(&self.outside).expect("read"), "not ours", "{}", ended.output);
        ended
    }

    /// Replaces a file by a link to the one outside.
    fn link(&self, file: &Path) {
        let _ = fs::remove_file(file);
        symlink(&self.outside, file).expect("link");
    }
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).expect("read").flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Tests take turns by these files: without them, a test does not run.
#[rstest]
fn a_lock_that_is_no_file_of_ours_is_refused(
    #[values("", ".queue")] extension: &str,
    #[values("link", "link to nothing", "hard link", "named pipe")] kind: &str,
) {
    let (server, cache) = (OwnServer::start(), OpenCache::new());
    let child = || cache.child("ownership::leaves_keys").env("TRANSIENT_REDIS_URL", server.url());
    cache.run(child()).assert_passed();
    let lock = cache.root().join("running").join(format!("{}{extension}", server.run_id()));
    fs::remove_file(&lock).expect("a lock");
    let nothing = cache.directory.path().join("nothing");
    match kind {
        "link" => cache.link(&lock),
        "link to nothing" => symlink(&nothing, &lock).expect("link"),
        "hard link" => fs::hard_link(&cache.outside, &lock).expect("link"),
        _ => {
            let mkfifo = ["-c", "import os, sys; os.mkfifo(sys.argv[1])"];
            assert!(Command::new("python3").args(mkfifo).arg(&lock).status().expect("python3").success());
        }
    }
    let path = lock.display().to_string();
    cache.run(child()).assert_failed_with(&[golden("report::foreign_file"), &path]);
    assert!(!nothing.exists());
    // The report says to remove it.
    fs::remove_file(&lock).expect("remove");
    cache.run(child()).assert_passed();
}

#[test]
fn a_link_in_place_of_a_note_is_replaced_and_permits_nothing() {
    let (server, cache) = (OwnServer::start(), OpenCache::new());
    let child = || cache.child("ownership::leaves_keys").env("TRANSIENT_REDIS_URL", server.url());
    cache.run(child()).assert_passed();
    let running = cache.root().join("running");
    let notes = [14, 15].map(|database| running.join(format!("{}.{database}.open", server.run_id())));
    let address = files(&running).into_iter().find(|file| file.extension().is_some_and(|end| end == "address"));
    let address = address.expect("the file of the address");
    for file in notes.iter().chain([&address]) {
        cache.link(file);
    }
    cache.run(child()).assert_passed();
    assert!(notes.iter().all(|note| note.symlink_metadata().is_err()));
    assert!(address.symlink_metadata().expect("the file of the address").is_file());
    // A note says that a killed run has left the keys.
    server.connection(14).set::<_, _, ()>("shop:order:1", "production").expect("SET");
    cache.link(&notes[0]);
    cache.run(child()).assert_failed_with(&[golden("report::refused::foreign_keys")]);
    assert!(server.connection(14).exists::<_, bool>("shop:order:1").expect("EXISTS"));
    fs::remove_file(&notes[0]).expect("remove");
    fs::write(&notes[0], "").expect("write");
    if std::os::unix::fs::chown(&notes[0], Some(12_345), Some(12_345)).is_ok() {
        cache.run(child()).assert_failed_with(&[golden("report::refused::foreign_keys")]);
        assert!(server.connection(14).exists::<_, bool>("shop:order:1").expect("EXISTS"));
    } else {
        println!("only root can give a file away: the note of another user was not tried");
    }
}

/// What the processes of a run share makes them faster. Without it, each finds out for itself.
#[rstest]
#[case::slots("servers", "process", true)]
#[case::facts("runs", "download", false)]
fn links_in_place_of_shared_facts_are_not_followed(
    #[case] directory: &str,
    #[case] provider: &str,
    #[case] passes: bool,
) {
    let cache = OpenCache::new();
    let server = own_server::binary();
    let child = || {
        let child = cache.child("ownership::clears_nothing").env("TRANSIENT_PROVIDER", provider);
        let child = child.env("TRANSIENT_SERVER_BINARY", &server).env("TRANSIENT_OFFLINE", "1");
        child.env("NEXTEST_EXECUTION_MODE", "process-per-test").env("NEXTEST_RUN_ID", "links")
    };
    let run = || {
        let ended = cache.run(child());
        assert_eq!(ended.passed, passes, "{}", ended.output);
    };
    run();
    let shared = files(&cache.root().join("v1").join(directory));
    assert!(shared.iter().any(|file| file.extension().is_some_and(|end| end == "lock")), "{shared:?}");
    for file in &shared {
        cache.link(file);
    }
    run();
}

/// As in a container that runs under any number. Only root can start a process of another user.
#[test]
fn a_user_without_a_home_has_a_private_cache_in_the_temporary_directory() {
    use std::os::unix::fs::MetadataExt;

    const USER: u32 = 54_321;
    // The other user has no access to a private TMPDIR.
    let temporary = TempDir::new_in("/tmp").expect("a directory");
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    if std::os::unix::fs::chown(temporary.path(), Some(USER), Some(USER)).is_err() {
        println!("only root can start a process of another user: not tried");
        return;
    }
    let server = OwnServer::start();
    let child = Child::as_user("ownership::leaves_keys", USER, temporary.path());
    let child = child.without("HOME").without("XDG_CACHE_HOME").env("TMPDIR", temporary.path());
    child.env("TRANSIENT_REDIS_URL", server.url()).run().assert_passed();
    let cache = temporary.path().join(format!("transient-fixtures-cache-{USER}"));
    let found = cache.symlink_metadata().expect("the cache directory");
    assert_eq!((found.uid(), found.mode() & 0o777), (USER, 0o700));
    assert!(cache.join("running").join(server.run_id()).is_file());
}
