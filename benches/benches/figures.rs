//! The costs of transient-fixtures. Each figure is measured in alternation with a peer or a lower bound. `cargo bench`
//! prints the table, and `cargo bench -- jobs travel` some of its rows. redis-server and redis-cli must be on PATH.

#[path = "figures/backup.rs"]
mod backup;
#[path = "figures/cargo_transient.rs"]
mod cargo_transient;
#[path = "figures/jobs.rs"]
mod jobs;
#[path = "figures/left_keys.rs"]
mod left_keys;
#[path = "figures/races.rs"]
mod races;
#[path = "figures/tap.rs"]
mod tap;

use std::env;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, cmd};
use transient_fixtures::{Provider, TestRequest, get_redis};

fn main() {
    let arguments: Vec<_> = env::args().collect();
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    if is_named("--test") {
        return; // `cargo test --benches` only checks that this builds.
    }
    if let Some(place) = arguments.iter().position(|argument| argument == "redis-server-wrapper") {
        return wrapper(arguments[place + 1].parse().expect("a count"));
    }
    if let Some(what) = arguments.iter().find(|argument| ["first-lease", "by-hand"].contains(&argument.as_str())) {
        return first(what);
    }
    if is_named("left-keys") {
        return left_keys::left_keys_in_this_process();
    }
    if is_named("tap-latency") {
        return tap::tap_latency_in_this_process();
    }
    if is_named("tap-memory") {
        return tap::tap_memory_in_this_process();
    }
    let figures: [(&str, fn()); 27] = [
        ("peers", peers),
        ("first_server", first_server),
        ("clean_lease", clean_lease),
        ("sessions", sessions),
        ("jobs", jobs::jobs),
        ("travel", travel),
        ("load", load),
        ("snapshots", snapshots),
        ("thousand_tests", thousand_tests),
        ("two_hundred_processes", two_hundred_processes),
        ("left_keys", left_keys::left_keys),
        ("container_processes", container_processes),
        ("memory", memory),
        ("tap_latency", tap::tap_latency),
        ("tap_throughput", tap::tap_throughput),
        ("tap_framer", tap::tap_framer),
        ("sweep", tap::sweep),
        ("races_connecting", races::races_connecting),
        ("races_keeping", races::races_keeping),
        ("races_frontrun", races::races_frontrun),
        ("exec", cargo_transient::exec),
        ("record", cargo_transient::record),
        ("mutate", cargo_transient::mutate),
        ("show", cargo_transient::show),
        ("backup", backup::backup),
        ("tap_memory", tap::tap_memory),
        ("tap_idle", tap::tap_idle),
    ];
    println!("| figure | ours | beside | ratio | goal |\n| --- | --- | --- | --- | --- |");
    let some = figures.iter().any(|(name, _)| is_named(name));
    for (_, measure) in figures.iter().filter(|(name, _)| !some || is_named(name)) {
        measure();
    }
}

fn row(figure: &str, ours: Duration, beside: (&str, Duration), goal: &str) {
    let ratio = ours.as_secs_f64() / beside.1.as_secs_f64();
    println!("| {figure} | {ours:.2?} | {}: {:.2?} | {ratio:.2} | {goal} |", beside.0, beside.1);
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Returns the medians of two measurements, taken in alternation.
fn in_turns(
    count: usize,
    mut one: impl FnMut() -> Duration,
    mut two: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let (mut ones, mut twos): (Vec<_>, Vec<_>) = (0..count).map(|_| (one(), two())).unzip();
    ones.sort();
    twos.sort();
    (ones[count / 2], twos[count / 2])
}

/// A clean lease on a running server, a connection, and returning both: the work of `#[clean_redis]`, `test_request`
/// and `get_redis`.
fn clean_lease() {
    drop(TestRequest::clean()); // Starts the server.
    let ours = || {
        time(|| {
            let test_request = TestRequest::clean();
            black_box(get_redis(&test_request).expect("connect"));
        })
    };
    // On the same server as ours: half of the time depends on the core where the scheduler has put it.
    let by_hand = || {
        let test_request = TestRequest::clean();
        time(|| {
            let client = Client::open(test_request.redis_url()).expect("a URL");
            let mut sessions = client.get_connection().expect("connect");
            cmd("FLUSHDB").exec(&mut sessions).expect("FLUSHDB");
            cmd("SELECT").arg(15).exec(&mut sessions).expect("SELECT");
            cmd("FLUSHDB").exec(&mut sessions).expect("FLUSHDB");
            cmd("SELECT").arg(14).exec(&mut sessions).expect("SELECT");
            black_box(&sessions);
        })
    };
    let (ours, floor) = in_turns(2_000, ours, by_hand);
    row("clean lease on a pooled server", ours, ("connect, AUTH, SELECT and FLUSHDB of both by hand", floor), "1.0");
}

/// One `Session::set`, which loads and saves, and the same two commands by hand.
fn sessions() {
    let test_request = TestRequest::clean();
    let session = test_request.session();
    session.set("cart", ["brand-1", "brand-2"]).expect("set");
    let mut redis = get_redis(&test_request).expect("connect");
    let mut number = 0_u32;
    let ours = || {
        number += 1;
        time(|| session.set("seen", number).expect("set"))
    };
    let (key, timeout) = (session.key(), test_request.settings().session_timeout().as_secs());
    let by_hand = || {
        time(|| {
            let text: Vec<u8> = cmd("GETEX").arg(&key).arg("EX").arg(timeout).query(&mut redis).expect("GETEX");
            cmd("SET").arg(&key).arg(text).arg("EX").arg(timeout).exec(&mut redis).expect("SET");
        })
    };
    let (ours, floor) = in_turns(5_000, ours, by_hand);
    row("a session: load, set, save", ours, ("GETEX and SET by hand", floor), "1.1");
}

const MANY: usize = 100_000;

/// A year for every key of a full database, and the minimal loop by hand.
fn travel() {
    let test_request = TestRequest::clean();
    let mut redis = get_redis(&test_request).expect("connect");
    let mut fill = redis::pipe();
    for number in 0..MANY {
        fill.cmd("SET").arg(format!("key:{number}")).arg("x").arg("EX").arg(4_000_000_000_u64).ignore();
    }
    let () = fill.query(&mut redis).expect("SET");
    let year = Duration::from_secs(31_536_000);
    let ours = || time(|| test_request.travel(year).expect("travel"));
    let script = "for _, key in ipairs(redis.call('KEYS', '*')) do
        redis.call('PEXPIREAT', key, redis.call('PEXPIRETIME', key) - ARGV[1]) end";
    let by_hand = || time(|| cmd("EVAL").arg(script).arg(0).arg(31_536_000_000_u64).exec(&mut redis).expect("EVAL"));
    let (ours, floor) = in_turns(10, ours, by_hand);
    let per_key = ours.as_secs_f64() * 1e6 / 100_000.0;
    let figure = format!("a year on 100,000 keys, {per_key:.1} µs a key");
    row(&figure, ours, ("a loop in Lua by hand", floor), "3 µs a key");
}

/// Loading a data file of SETs.
fn load() {
    let directory = env::temp_dir().join(format!("load-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("mkdir");
    let path = directory.join("many.redis");
    let text: String = (0..MANY).map(|number| format!("SET key:{number} \"value {number}\"\n")).collect();
    std::fs::write(&path, text).expect("write");
    let test_request = TestRequest::clean();
    let (password, port) = test_request.redis_url()[9..].split_once("@127.0.0.1:").expect("a URL");
    let port = port.split('/').next().expect("a port");
    let ours = || {
        test_request.flush().expect("flush");
        time(|| test_request.load(path.to_str().expect("UTF-8")).expect("load"))
    };
    let by_hand = || {
        test_request.flush().expect("flush");
        let file = std::fs::File::open(&path).expect("open");
        let mut command = Command::new("redis-cli");
        run(command.args(["-p", port, "-n", "14", "--pipe"]).env("REDISCLI_AUTH", password).stdin(file))
    };
    let (ours, peer) = in_turns(10, ours, by_hand);
    row("100,000 SETs from a data file", ours, ("redis-cli --pipe", peer), "1.3");
    std::fs::remove_dir_all(&directory).expect("remove");
}

const MILLION: usize = 1_000_000;

/// All keys of a full database, to a file and back, and redis-cli's equivalents.
fn snapshots() {
    let directory = env::temp_dir().join(format!("snapshots-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("mkdir");
    let test_request = TestRequest::clean();
    let commands = directory.join("commands");
    let mut packed = Vec::new();
    for number in 0..MILLION {
        let mut set = cmd("SET");
        set.arg(format!("session:{number:032}")).arg("x".repeat(100)).arg("PX").arg(1_000_000_000 + number);
        packed.extend(set.get_packed_command());
    }
    std::fs::write(&commands, packed).expect("write");
    let (password, port) = test_request.redis_url()[9..].split_once("@127.0.0.1:").expect("a URL");
    let port = port.split('/').next().expect("a port");
    let redis_cli = |arguments: &[&str], stdin: Stdio| {
        let mut command = Command::new("redis-cli");
        run(command.args(["-p", port, "-n", "14"]).args(arguments).env("REDISCLI_AUTH", password).stdin(stdin))
    };
    let pipe = || {
        test_request.flush().expect("flush");
        redis_cli(&["--pipe"], std::fs::File::open(&commands).expect("open").into())
    };
    pipe();
    let (file, rdb) = (directory.join("snapshot.json"), directory.join("dump.rdb"));
    let save = || time(|| test_request.snapshot().expect("snapshot").save(&file).expect("save"));
    let dump = || redis_cli(&["--rdb", rdb.to_str().expect("UTF-8")], Stdio::null());
    let (ours, peer) = in_turns(3, save, dump);
    row("1,000,000 keys: snapshot and save", ours, ("redis-cli --rdb", peer), "2");
    let snapshot = test_request.snapshot().expect("snapshot");
    assert_eq!(snapshot.len(), MILLION);
    let mut longest = Duration::ZERO;
    let restore = || {
        test_request.flush().expect("flush");
        let (took, waited) = with_another_client(&test_request, || test_request.restore(&snapshot).expect("restore"));
        longest = longest.max(waited);
        took
    };
    let (ours, peer) = in_turns(3, restore, pipe);
    row("1,000,000 keys: restore", ours, ("redis-cli --pipe", peer), "1.5");
    println!("| the longest that another client waits for a reply during that restore | {longest:.2?} | | | 50 ms |");
    std::fs::remove_dir_all(&directory).expect("remove");
}

/// Returns how long `work` takes, and the longest that another client waits for an answer during it.
fn with_another_client(test_request: &TestRequest, work: impl FnOnce()) -> (Duration, Duration) {
    let is_over = AtomicBool::new(false);
    let mut redis = get_redis(test_request).expect("connect");
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                longest = longest.max(time(|| cmd("PING").exec(&mut redis).expect("PING")));
                thread::sleep(Duration::from_millis(1));
            }
            longest
        });
        let took = time(work);
        is_over.store(true, Ordering::Relaxed);
        (took, waits.join().expect("the other client"))
    })
}

/// A server's process, socket and port.
struct Bare(Child, PathBuf, u16);

impl Drop for Bare {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("reap");
        let _ = std::fs::remove_file(&self.1);
    }
}

/// Starts the same binary with the same arguments, and measures from exec to the first PONG on its socket.
fn bare(number: usize) -> (Duration, Bare) {
    let socket = env::temp_dir().join(format!("bare-{}-{number}.sock", std::process::id()));
    let start = Instant::now();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("address").port();
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--databases", "16", "--save", ""])
        .args(["--appendonly", "no", "--daemonize", "no", "--unixsocket"])
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server");
    let client = Client::open(format!("redis+unix://{}", socket.display())).expect("a URL");
    ping(&client);
    (start.elapsed(), Bare(child, socket, port))
}

fn ping(client: &Client) -> Connection {
    loop {
        if let Ok(mut connection) = client.get_connection() {
            cmd("PING").exec(&mut connection).expect("PING");
            return connection;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// The cost of the first test of a process, measured in a separate process.
fn first_server() {
    let measured = |what: &str| {
        let mut command = Command::new(env::current_exe().expect("this program"));
        let output = command.arg(what).env("TRANSIENT_PROVIDER", "process").output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout);
        Duration::from_micros(text.trim().parse().expect("microseconds"))
    };
    let (ours, floor) = in_turns(40, || measured("first-lease"), || measured("by-hand"));
    row("the first private server, lease to ready", ours, ("the binary by hand, exec to PONG", floor), "1.15");
}

/// Prints one of the two measurements, in microseconds.
fn first(what: &str) {
    let (took, _held): (Duration, Box<dyn std::any::Any>) = if what == "first-lease" {
        let start = Instant::now();
        let test_request = TestRequest::new();
        (start.elapsed(), Box::new(test_request))
    } else {
        let (took, server) = bare(0);
        (took, Box::new(server))
    };
    println!("{}", took.as_micros());
}

/// Start to ready plus end, for ours and the peers.
fn peers() {
    let redis_test = || {
        time(|| {
            let server = redis_test::server::RedisServer::new();
            drop(ping(&Client::open(server.connection_info()).expect("an address")));
            drop(server);
        })
    };
    // There is no idle server yet, and a server that its test has reconfigured is ended. So each lease starts and ends
    // one.
    let ours = || {
        time(|| {
            let test_request = TestRequest::new();
            let mut redis = ping(&test_request.client());
            cmd("CONFIG").arg("SET").arg("maxmemory").arg(0).exec(&mut redis).expect("CONFIG SET");
        })
    };
    let (ours, peer) = in_turns(20, ours, redis_test);
    row("start to ready plus end", ours, ("redis-test 1.0 RedisServer", peer), "less than 1");
    // Dropping it runs `kill` in a way that can end every visible process, so run it in a PID namespace.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]).arg(env::current_exe().expect("this program"));
    let output = command.args(["redis-server-wrapper", "5"]).output().expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().parse() {
        Ok(micros) => {
            let peer = Duration::from_micros(micros);
            row("start to ready plus end", ours, ("redis-server-wrapper 0.5", peer), "less than 1");
        }
        Err(_) => println!("| start to ready plus end | {ours:.2?} | redis-server-wrapper 0.5: failed | | |"),
    }
}

/// In a PID namespace: prints the median in microseconds.
fn wrapper(count: usize) {
    let mut took: Vec<_> = (0..count)
        .map(|number| {
            let port = 17_000 + u16::try_from(number).expect("a port");
            time(|| {
                let server = redis_server_wrapper::blocking::RedisServer::new().port(port).start().expect("start");
                drop(ping(&Client::open(format!("redis://127.0.0.1:{port}")).expect("a URL")));
                drop(server);
            })
        })
        .collect();
    took.sort();
    println!("{}", took[count / 2].as_micros());
}

/// Returns the path of a test binary of this package.
fn test_binary(name: &str) -> PathBuf {
    let command = ["test", "--test", name, "--no-run", "--message-format=json"];
    let output = Command::new("cargo").args(command).output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().rfind(|line| line.contains(&format!("\"name\":\"{name}\""))).expect("the target");
    PathBuf::from(line.split_once("\"executable\":\"").expect("a path").1.split('"').next().expect("a path"))
}

fn run(command: &mut Command) -> Duration {
    time(|| {
        let output = command.output().expect("run");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    })
}

fn thousand_tests() {
    let binary = test_binary("thousand");
    let (_, server) = bare(1_000_000);
    let ours = || run(Command::new(&binary).arg("with_the_fixture"));
    let url = format!("redis://127.0.0.1:{}/14", server.2);
    let by_hand = || run(Command::new(&binary).args(["by_hand", "--test-threads=1"]).env("BY_HAND_URL", &url));
    let (ours, floor) = in_turns(7, ours, by_hand);
    row("1,000 clean tests, cargo test", ours, ("one connection and FLUSHDB each, serial", floor), "1.0");
}

fn nextest(filter: &str, provider: &str) -> Duration {
    let mut command = Command::new("cargo");
    command.args(["nextest", "run", "--test", "two_hundred", filter]).env("TRANSIENT_PROVIDER", provider);
    run(&mut command)
}

fn two_hundred_processes() {
    nextest("by_hand", "process"); // Builds the tests.
    let (ours, floor) = in_turns(5, || nextest("with_the_fixture", "process"), || nextest("by_hand", "process"));
    row("200 clean tests, cargo nextest run", ours, ("each spawns redis-server by hand", floor), "0.8");
}

/// Runs processes in sequence. The first one starts the container.
fn container_processes() {
    if env::var_os("TRANSIENT_IMAGE").is_none() {
        return println!("| a process on a container | | TRANSIENT_IMAGE is not set | | |");
    }
    let binary = test_binary("two_hundred");
    let one = |provider: &str| {
        run(Command::new(&binary)
            .args(["with_the_fixture::tens_01_0::ones_01_0", "--exact"])
            .env("TRANSIENT_PROVIDER", provider))
    };
    let (first, _) = (one("container"), one("process"));
    let (ours, process) = in_turns(20, || one("container"), || one("process"));
    row("a test process on a container, second onwards", ours, ("on a process server", process), "1.2");
    println!("| the first one, for comparison | {first:.2?} | | | |");
}

fn memory() {
    let test_request = TestRequest::clean();
    assert_eq!(test_request.server().provider(), Provider::Process);
    let mut redis = get_redis(&test_request).expect("connect");
    let info: redis::InfoDict = cmd("INFO").query(&mut redis).expect("INFO");
    let pid: u32 = info.get("process_id").expect("process_id");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    println!(
        "| memory of an idle pooled server | resident {}, of it not shared {} | | | |",
        line("VmRSS:"),
        line("RssAnon:")
    );
}
