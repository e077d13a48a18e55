//! `doctor`: every provider is tried.

use crate::program::{Program, own_provider};

/// The line about a provider.
fn line<'text>(text: &'text str, provider: &str) -> &'text str {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(provider));
    line.unwrap_or_else(|| panic!("no line about {provider} in {text}"))
}

#[test]
fn every_provider_is_tried() {
    let mut program = Program::new(["doctor"]).env("TRANSIENT_REDIS_URL", "redis://127.0.0.1:1");
    program.command.env_remove("TRANSIENT_PROVIDER");
    if own_provider() == "process" {
        program = program.env("TRANSIENT_OFFLINE", "1");
    }
    let ended = program.run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(line(&ended.stdout, "settings").contains("nothing.ini"), "{ended:?}");
    assert!(line(&ended.stdout, own_provider()).contains(" works: "), "{ended:?}");
    for provider in ["running", "container"] {
        assert!(line(&ended.stdout, provider).contains(" no: "), "{ended:?}");
    }
    assert!(line(&ended.stdout, "running").contains("127.0.0.1:1"), "{ended:?}");
    // Built without it, the program tells how to have it. With the whole workspace, it is built with it.
    let has_containers = line(&ended.stdout, "container").contains("/nowhere/docker.sock");
    assert_ne!(
        ended.stdout.contains("cargo install cargo-transient --features container"),
        has_containers,
        "{ended:?}"
    );
    assert!(ended.stdout.trim_end().ends_with(&format!("provider {}.", own_provider())), "{ended:?}");
}

#[test]
fn that_nothing_works_is_a_failure() {
    let cache = tempfile::TempDir::new().expect("a directory");
    let program = Program::new(["doctor"]).env("TRANSIENT_SERVER_BINARY", "/nowhere").env("TRANSIENT_OFFLINE", "1");
    let ended = program.env("XDG_CACHE_HOME", cache.path()).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for provider in ["process", "container", "download"] {
        assert!(line(&ended.stdout, provider).contains(" no: "), "{ended:?}");
    }
    assert_eq!(ended.stdout.matches("-> ").count(), ended.stdout.matches(" no: ").count(), "{ended:?}");
}
