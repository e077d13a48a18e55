use std::path::Path;
use std::time::Duration;

use super::super::container::*;
use super::no_permission;

#[test]
fn container_is_golden() {
    let image = "valkey/valkey:8";
    golden!(
        "container",
        [REMEDY],
        [REMEDY_NO_SLOT],
        [started(image)],
        [no_engine("Socket not found: /var/run/docker.sock")],
        [remedy_podman(Path::new("/run/podman/podman.sock"))],
        [not_started(image, "manifest unknown")],
        [no_slot(Path::new("/home/asa/.cache/transient-fixtures"), &no_permission())],
        [too_slow(image, Duration::from_secs(60))],
        [remedy_image(image)],
    );
}
