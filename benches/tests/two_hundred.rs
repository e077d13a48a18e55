//! 200 clean tests for a runner with a process for each test, with the fixture and with a server that is spawned by
//! hand.

use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{Client, Commands, Connection};
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

fn body(redis: &mut Connection, number: u32) {
    redis.set::<_, _, ()>("number", number).expect("SET");
    assert!(redis.exists::<_, bool>("number").expect("EXISTS"));
}

#[rstest]
#[clean_redis]
fn with_the_fixture(
    test_request: TestRequest,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u32,
) {
    body(&mut get_redis(&test_request).expect("connect"), tens * 10 + ones);
}

#[rstest]
fn by_hand(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u32,
) {
    let socket = std::env::temp_dir().join(format!("by-hand-{}.sock", std::process::id()));
    let mut server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server");
    let client = Client::open(format!("redis+unix://{}", socket.display())).expect("a URL");
    let mut redis = loop {
        match client.get_connection() {
            Ok(connection) => break connection,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    body(&mut redis, tens * 10 + ones);
    server.kill().expect("kill");
    server.wait().expect("reap");
    let _ = std::fs::remove_file(socket);
}
