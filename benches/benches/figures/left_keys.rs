//! The names of the keys that a test leaves on a shared server.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use redis::{Client, cmd};
use transient_fixtures::{TestRequest, get_redis};

use super::{bare, in_turns, row, time};

const LEFT: usize = 10_000;

/// On a shared server, in a separate process: the time that writing and checking the names of many remaining keys adds
/// to a lease, and one SCAN of the keys.
pub(crate) fn left_keys() {
    let (_, server) = bare(3_000_000);
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg("left-keys").env("TRANSIENT_REDIS_URL", format!("redis://127.0.0.1:{}", server.2));
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    let micros: Vec<u64> = text.split_whitespace().map(|micros| micros.parse().expect("microseconds")).collect();
    let [many, none, scan] = micros[..] else { panic!("{text}{}", String::from_utf8_lossy(&output.stderr)) };
    let names = Duration::from_micros(many.saturating_sub(none));
    row("10,000 keys left: their names written and checked", names, ("one SCAN", Duration::from_micros(scan)), "2");
}

pub(crate) fn left_keys_in_this_process() {
    let leases = || time(|| drop(TestRequest::new()));
    drop(TestRequest::clean());
    let (none, _) = in_turns(50, leases, || Duration::ZERO);
    {
        let test_request = TestRequest::clean();
        let mut fill = redis::pipe();
        for number in 0..LEFT {
            fill.cmd("SET").arg(format!("session:{number:032}")).arg("x").ignore();
        }
        fill.exec(&mut get_redis(&test_request).expect("connect")).expect("SET");
    }
    let url = env::var("TRANSIENT_REDIS_URL").expect("the server");
    let mut redis = Client::open(format!("{url}/14")).expect("a URL").get_connection().expect("connect");
    let scan = || {
        time(|| {
            let (mut cursor, mut found) = (0_u64, 0);
            loop {
                let (next, keys): (u64, Vec<Vec<u8>>) =
                    cmd("SCAN").arg(cursor).arg("COUNT").arg(1_000).query(&mut redis).expect("SCAN");
                found += black_box(keys).len();
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            assert!(found >= LEFT);
        })
    };
    let (many, scan) = in_turns(50, leases, scan);
    println!("{} {} {}", many.as_micros(), none.as_micros(), scan.as_micros());
}
