use super::super::*;
use super::{PLACE, SERVER, TEST, URL};

#[test]
fn report_is_golden() {
    let cli = "valkey-cli -h 127.0.0.1 -p 41023 -n 14";
    let end = "kill 4711";
    let providers = [
        ["running", "nothing answers", running::REMEDY_GUESSED],
        ["process", "it exited. Its last output:\nout of memory", "install another server"],
    ];
    let refused_provider = [["running", "not used: it is a replica. Nothing was changed. Use another server", ""]];
    let pip = download::pip_failed(Path::new("/usr/bin/python3"), "ERROR");
    let started = process::started(Path::new("/usr/bin/valkey-server"));
    golden!(
        "report",
        [redact("redis://asa:secret@redis.example.com/14"), "a password"],
        [redact("asa:secret@redis.example.com"), "a password without a scheme"],
        [redact("redis://127.0.0.1:6379/14"), "no password"],
        [redact("redis://:secret"), "a password without a host"],
        [redact("redis:/:secret"), "a slash is missing"],
        [redact("redis.example.com"), "a host alone"],
        [redact("redis+unix:///run/redis.sock?pass=secret"), "a password in the query"],
        [shown("one line\nand another\u{7}"), "control characters"],
        [shown(&"å".repeat(600)), "long text"],
        [shorten_key(b"session:6fd1c0e3"), "with a colon"],
        [shorten_key(b"6fd1c0e3\xff"), "without a colon"],
        [server_taken(&SERVER, &started, TEST)],
        [warning(&lease::second_server(TEST))],
        [because([pip.why, refused::replica(URL), started.clone()].into_iter())],
        [note(&settings::unknown_key(&PLACE, "redis.clocks", Some("redis.clock")))],
        [NO_WHOLE_CLOCK],
        [REMEDY_NO_WHOLE_CLOCK],
        [no_server(providers)],
        [no_server(refused_provider), "a refusal has its remedy"],
        [found_before(&no_server(providers))],
        [no_random_bytes(&"getrandom: this target is not supported")],
        [refused::not_local("redis://192.0.2.7", &PLACE)],
        [refused::replica(URL)],
        [refused::loading(URL)],
        [refused::mode(URL, "cluster")],
        [refused::no_such_database(URL, 15, "ERR DB index is out of range")],
        [refused::foreign_keys(URL, 14, 1, &shorten_key(b"cart:1"), false), "one key"],
        [refused::foreign_keys(URL, 14, 20_000, &shorten_key(b"cart:1"), true), "an earlier run left too many"],
        [foreign_file(Path::new("/home/asa/.cache/transient-fixtures/running/lock"))],
        [no_lock(Path::new("/home/asa/.cache/transient-fixtures/running/lock"))],
        [server_lost(&SERVER)],
        [no_answer(&SERVER)],
        [error_reply(&SERVER)],
        [wrong_type(&SERVER)],
        [will_keep(&SERVER, cli, end)],
        [kept(TEST, &SERVER, cli, end)],
        [not_kept(&SERVER, cli)],
        [test_cannot_run(TEST, &format_args!("{}", refused::replica(URL)))],
        [settings_unusable(&format_args!("{}", settings::not_unicode("TRANSIENT_REDIS_URL")))],
    );
}
