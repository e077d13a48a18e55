//! The cache directory, which all releases share.

use std::fs;

use tempfile::TempDir;

use crate::child::Child;
use crate::own_server;

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
