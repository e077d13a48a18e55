use std::path::Path;
use std::time::Duration;

use super::super::process::*;
use super::super::running;
use super::no_permission;

#[test]
fn process_is_golden() {
    let binary = Path::new("/usr/bin/redis-server");
    let tail = "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nBad directive or wrong number of arguments";
    golden!(
        "process",
        [not_on_path()],
        [no_faketime()],
        [under_faketime(&other(binary, &"Protocol error"))],
        [started(binary)],
        [no_port(&no_permission())],
        [no_such_binary(binary)],
        [not_started(binary, &no_permission())],
        [ended(binary, tail), "with output"],
        [ended(binary, ""), "without output"],
        [floods(binary, "Hello")],
        [too_old(binary, "5.0.3")],
        [unfit(binary, &running::own_refused("CONFIG", true, "unknown command"))],
        [other(binary, &"Protocol error")],
        [never_ready(binary, Duration::from_secs(10), "Loading RDB")],
        [no_free_port(binary, 5, "Could not create server TCP listening socket: bind: Address already in use")],
        [no_directory(Path::new("/tmp/transient-fixtures-4711"), &no_permission())],
        [no_supervisor(&no_permission())],
    );
}
