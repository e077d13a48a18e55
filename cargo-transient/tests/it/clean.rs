//! `clean`: what is kept, and what goes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ended, PROGRAM, set_up};

fn files_below(path: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("read").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(path).expect("below").display().to_string());
            }
        }
    }
    found
}

#[test]
fn what_is_in_use_stays() {
    let (cache, directory) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let running = format!("transient-fixtures-{}-0123456789abcdef", std::process::id());
    let stays = [
        // Another program's.
        "other/file".to_owned(),
        "transient-fixtures/unknown".to_owned(),
        // Locked below.
        "transient-fixtures/running/aaaa".to_owned(),
        "transient-fixtures/running/aaaa.queue".to_owned(),
        "transient-fixtures/v1/servers/bbbb-0".to_owned(),
        "transient-fixtures/v1/servers/bbbb-0.lock".to_owned(),
        // The keys of a killed test.
        "transient-fixtures/running/cccc".to_owned(),
        "transient-fixtures/running/cccc.14.open".to_owned(),
    ];
    let goes = [
        "transient-fixtures/download/0123456789abcdef/valkey-server",
        "transient-fixtures/download/lock",
        "transient-fixtures/running/dddd",
        "transient-fixtures/running/127-0-0-1-6379.address",
        "transient-fixtures/v1/runs/eeee",
        "transient-fixtures/v1/servers/ffff-0.lock",
        "transient-fixtures/v1/containers/0000-0",
    ];
    // No process has this id.
    let left = [format!("{running}/redis.log"), "transient-fixtures-x/file".to_owned()];
    let abandoned = "transient-fixtures-4294967295-0123456789abcdef/server.log";
    let write = |root: &TempDir, file: &str| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        fs::write(path, "x").expect("write");
    };
    stays.iter().map(String::as_str).chain(goes).for_each(|file| write(&cache, file));
    left.iter().map(String::as_str).chain([abandoned]).for_each(|file| write(&directory, file));
    let locks = ["running/aaaa", "v1/servers/bbbb-0.lock"].map(|file| {
        let file = File::options().write(true).open(cache.path().join("transient-fixtures").join(file)).expect("open");
        file.lock().expect("lock");
        file
    });
    let clean = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("clean").args(arguments);
        set_up(&mut command, &directory);
        Ended::of(&command.env("XDG_CACHE_HOME", cache.path()).output().expect("start"))
    };
    let before = (files_below(cache.path()), files_below(directory.path()));
    let shown = clean(&["--dry-run"]);
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""), "{shown:?}");
    assert_eq!((files_below(cache.path()), files_below(directory.path())), before);
    let cleaned = clean(&[]);
    assert_eq!((cleaned.code, &*cleaned.stderr), (Some(0), ""), "{cleaned:?}");
    assert_eq!(cleaned.stdout.lines().count(), shown.stdout.lines().count(), "{shown:?} {cleaned:?}");
    assert_eq!(files_below(cache.path()), stays.into_iter().collect());
    assert_eq!(files_below(directory.path()), left.into_iter().collect());
    drop(locks);
}

/// Another user may have left them, if the cache was open to others before.
#[test]
fn links_and_pipes_are_removed_unopened() {
    let cache = TempDir::new().expect("a directory");
    let (running, outside) = (cache.path().join("transient-fixtures/running"), cache.path().join("outside"));
    fs::create_dir_all(&running).expect("mkdir");
    fs::write(&outside, "not ours").expect("write");
    std::os::unix::fs::symlink(&outside, running.join("aaaa")).expect("link");
    // Opening it for writing would wait for a reader.
    let mkfifo = ["-c", "import os, sys; os.mkfifo(sys.argv[1])"];
    assert!(Command::new("python3").args(mkfifo).arg(running.join("bbbb")).status().expect("python3").success());
    // A lock on the file outside is not ours.
    let elsewhere = File::options().write(true).open(&outside).expect("open");
    elsewhere.lock().expect("lock");
    let mut command = Command::new(PROGRAM);
    command.arg("clean").env("XDG_CACHE_HOME", cache.path());
    set_up(&mut command, &cache);
    let cleaned = Ended::of(&command.output().expect("start"));
    assert_eq!((cleaned.code, &*cleaned.stderr), (Some(0), ""), "{cleaned:?}");
    assert_eq!(fs::read_to_string(&outside).expect("read"), "not ours");
    assert!(fs::read_dir(&running).map_or(true, |mut left| left.next().is_none()));
}
