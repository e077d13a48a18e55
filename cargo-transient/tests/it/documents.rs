//! What several pages say is the same, and is what the program does.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ended, PROGRAM, here, set_up};

fn page(path: &str) -> String {
    fs::read_to_string(here("../../..").join(path)).expect("a page")
}

#[test]
fn the_runner_is_the_same_everywhere() {
    let help = Command::new(PROGRAM).args(["exec", "--help"]).output().expect("start");
    let texts = [
        page("docs/without-changing-your-tests.md"),
        page("cargo-transient/README.md"),
        String::from_utf8(help.stdout).expect("UTF-8"),
    ];
    let files = texts.map(|text| {
        let lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("[target."));
        lines.take(2).map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(files[0].len() == 2 && files[0][1].starts_with("runner = "), "{files:?}");
    assert_eq!(files[0], files[1]);
    assert_eq!(files[0], files[2]);
}

/// The recipe for GitHub Actions keeps the download of Linux.
#[test]
#[cfg(target_os = "linux")]
fn the_recipe_caches_the_download() {
    let recipe = page("docs/without-changing-your-tests.md");
    let path = recipe.lines().find_map(|line| line.trim().strip_prefix("path: ~/")).expect("a path").to_owned();
    let (home, directory) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let download = home.path().join(path);
    fs::create_dir_all(download.join("0123456789abcdef")).expect("mkdir");
    fs::write(download.join("0123456789abcdef/valkey-server"), "x").expect("write");
    let mut command = Command::new(PROGRAM);
    command.arg("clean").env("HOME", home.path()).env_remove("XDG_CACHE_HOME");
    set_up(&mut command, &directory);
    let ended = Ended::of(&command.output().expect("start"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(!download.join("0123456789abcdef").exists(), "{ended:?}");
}
