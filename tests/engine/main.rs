//! The container provider on a real engine. Not part of a plain `cargo test`, which must pass without an engine. Run
//! `cargo test --test engine` with `SERVER_IMAGE` and the other variables naming images that the engine has.

#[path = "../it/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "../it/golden.rs"]
#[allow(dead_code)]
mod golden;

use std::collections::HashSet;
use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use serial_test::serial;
use transient_fixtures::{Provider, TestRequest, clean_redis, get_redis, redis, test_request};

use child::{Child, Ended};
use golden::golden;

fn child(test: &str) -> Child {
    let child = Child::test(test).env("TRANSIENT_PROVIDER", "container");
    child.env("TRANSIENT_IMAGE", env::var("SERVER_IMAGE").expect("SERVER_IMAGE names the image"))
}

/// The engine's containers of our images: running, created, or exited and not removed. Other processes can start
/// containers concurrently.
fn containers() -> Vec<String> {
    let images: Vec<_> =
        ["SERVER_IMAGE", "SHELL_IMAGE", "EMPTY_IMAGE"].iter().filter_map(|name| env::var(name).ok()).collect();
    let format = "{{.Image}} {{.ID}} {{.Status}}";
    let output = Command::new("docker")
        .args(["ps", "--all", "--filter", "label=transient-fixtures.owner", "--format", format])
        .output()
        .expect("docker ps");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let ours = text.lines().filter(|line| images.iter().any(|image| line.split(' ').next() == Some(image)));
    ours.map(str::to_owned).collect()
}

#[track_caller]
fn assert_all_gone() {
    // The README states 15 s, but a busy machine can take longer.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !containers().is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", containers());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn uses_a_container(test_request: TestRequest) -> redis::RedisResult<()> {
    assert_eq!(test_request.server().provider(), Provider::Container);
    println!("at {}", test_request.redis_url());
    let mut redis = get_redis(&test_request)?;
    redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
    assert_eq!(redis.get::<_, String>("foo")?, "ÅÄÖ");
    Ok(())
}

#[rstest]
#[ignore = "killed by a_killed_test_leaves_no_container"]
fn waits(test_request: TestRequest) {
    println!("waiting on {}", test_request.redis_url());
    std::thread::sleep(Duration::from_secs(60));
}

#[rstest]
#[ignore = "run by a_container_in_use_stays"]
fn idles_for_longer_than_the_absence(test_request: TestRequest) -> redis::RedisResult<()> {
    std::thread::sleep(Duration::from_secs(14));
    get_redis(&test_request)?.set("foo", "bar")
}

#[tokio::test]
#[ignore = "run by an_image_on_the_engine_is_started_and_gone_afterwards"]
async fn starts_inside_a_runtime() {
    let test_request = TestRequest::clean();
    assert_eq!(test_request.server().provider(), Provider::Container);
}

/// The URLs of the servers that the children used.
fn urls<'a>(ended: impl IntoIterator<Item = &'a Ended>) -> HashSet<&'a str> {
    let urls = ended.into_iter().map(|ended| {
        ended.assert_passed();
        // Each lease has its own password.
        ended
            .output
            .split_once("at redis://")
            .expect("a URL")
            .1
            .split_once('@')
            .expect("a password")
            .1
            .lines()
            .next()
            .expect("a line")
    });
    urls.collect()
}

#[test]
#[serial]
fn consecutive_processes_share_a_container() {
    let ended: Vec<_> = (0..5).map(|_| child("uses_a_container").run()).collect();
    assert_eq!(urls(&ended).len(), 1);
    assert_eq!(containers().len(), 1, "{:?}", containers());
    assert_all_gone();
}

#[test]
#[serial]
fn concurrent_processes_have_exactly_one_container_each() {
    for _ in 0..3 {
        let directory = tempfile::TempDir::new().expect("a directory");
        let until = directory.path().join("go on");
        let running: Vec<_> = (0..4).map(|_| child("waits_for_the_others").env("GO_ON", &until).start()).collect();
        for child in &running {
            child.wait_for("at redis://");
        }
        std::fs::write(until, "").expect("write");
        let ended: Vec<_> = running.into_iter().map(|child| child.wait(Duration::from_secs(60))).collect();
        assert_eq!(urls(&ended).len(), 4);
        assert_eq!(containers().len(), 4, "{:?}", containers());
    }
    assert_all_gone();
}

/// Processes arrive at every moment of a container's last seconds. Each gets a container that works, or a new one.
#[test]
#[serial]
fn an_ending_container_is_never_used() {
    for tenths in [48, 51, 54, 57, 60, 63] {
        child("uses_a_container").run().assert_passed();
        std::thread::sleep(Duration::from_millis(tenths * 100));
        child("idles_for_three_seconds").run().assert_passed();
    }
    assert_all_gone();
}

/// The next process sees no changes by a killed process.
#[test]
#[serial]
fn a_changed_container_is_not_shared() {
    let mut running = child("changes_the_server").start();
    running.wait_for("changed at redis://");
    let changed = running.output();
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
    let next = child("uses_a_container").run();
    assert!(!changed.contains(urls([&next]).into_iter().next().expect("a URL")), "{changed}{}", next.output);
    assert_all_gone();
}

#[test]
#[serial]
fn a_kept_container_stays_until_it_is_ended() {
    let ended = child("fails").env("TRANSIENT_KEEP", "1").run();
    ended.assert_failed_with(&["KEPT", "engine::fails, ", "shutdown nosave"]);
    std::thread::sleep(Duration::from_secs(14));
    assert_eq!(containers().len(), 1, "{:?}", containers());
    // A later run does not reuse it.
    let url = ended.output.split_once("failing at ").expect("a URL").1.lines().next().expect("a line");
    let next = child("uses_a_container").run();
    assert!(!url.contains(urls([&next]).into_iter().next().expect("a URL")), "{}", next.output);
    let mut connection = redis::Client::open(url).expect("a client").get_connection().expect("it still runs");
    assert_eq!(connection.get::<_, String>("evidence").expect("GET"), "here");
    redis::cmd("SHUTDOWN").arg("NOSAVE").exec(&mut connection).expect_err("it hangs up");
    assert_all_gone();
}

#[rstest]
#[ignore = "run by a_kept_container_stays_until_it_is_ended"]
#[clean_redis]
fn fails(test_request: TestRequest) {
    get_redis(&test_request).expect("connect").set::<_, _, ()>("evidence", "here").expect("SET");
    panic!("failing at {}", test_request.redis_url());
}

#[rstest]
#[ignore = "run by concurrent_processes_have_exactly_one_container_each"]
#[clean_redis]
fn waits_for_the_others(test_request: TestRequest) {
    println!("at {}", test_request.redis_url());
    let until = env::var_os("GO_ON").expect("a file");
    while !std::path::Path::new(&until).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The container ends, however its test changes the server or exits.
#[rstest]
#[case("password")]
#[case("busy")]
#[case("paused")]
#[serial]
fn a_container_that_stops_answering_ends_too(#[case] change: &str) {
    // Not in the process that started it, because that process could notify the engine.
    child("uses_a_container").run().assert_passed();
    let mut running = child("shuts_others_out").env("CHANGE", change).start();
    running.wait_for("shut out at redis://");
    if change == "password" {
        running.wait(Duration::from_secs(60)).assert_passed();
    } else {
        running.child.kill().expect("SIGKILL");
        running.child.wait().expect("reap");
    }
    assert_all_gone();
}

#[rstest]
#[ignore = "run by a_container_that_stops_answering_ends_too"]
#[clean_redis]
fn shuts_others_out(test_request: TestRequest) -> redis::RedisResult<()> {
    let mut redis = get_redis(&test_request)?;
    match env::var("CHANGE").expect("CHANGE").as_str() {
        "password" => {
            redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("hush").exec(&mut redis)?;
            println!("shut out at {}", test_request.redis_url());
        }
        "paused" => {
            redis::cmd("CLIENT").arg("PAUSE").arg(600_000).arg("ALL").exec(&mut redis)?;
            println!("shut out at {}", test_request.redis_url());
            std::thread::sleep(Duration::from_secs(60));
        }
        _ => {
            println!("shut out at {}", test_request.redis_url());
            redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut redis)?;
        }
    }
    Ok(())
}

/// The container is in use while any client is connected, whatever its name.
#[test]
#[serial]
fn a_container_whose_owner_was_disconnected_stays() {
    child("disconnects_its_owner").run().assert_passed();
    assert_all_gone();
}

#[rstest]
#[ignore = "run by a_container_whose_owner_was_disconnected_stays"]
#[clean_redis]
fn disconnects_its_owner(test_request: TestRequest) -> redis::RedisResult<()> {
    let mut redis = test_request.client().get_connection()?;
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut redis)?;
    std::thread::sleep(Duration::from_secs(12));
    redis.set("foo", "bar")
}

#[rstest]
#[ignore = "run by an_ending_container_is_never_used"]
#[clean_redis]
fn idles_for_three_seconds(test_request: TestRequest) -> redis::RedisResult<()> {
    for number in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        get_redis(&test_request)?.set::<_, _, ()>("number", number)?;
    }
    Ok(())
}

#[rstest]
#[ignore = "run by a_changed_container_is_not_shared"]
#[clean_redis]
fn changes_the_server(test_request: TestRequest) -> redis::RedisResult<()> {
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("123mb").exec(&mut get_redis(&test_request)?)?;
    println!("changed at {}", test_request.redis_url());
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

#[test]
#[serial]
fn an_image_on_the_engine_is_started_and_gone_afterwards() {
    child("uses_a_container").run().assert_passed();
    child("starts_inside_a_runtime").run().assert_passed();
    assert_all_gone();
}

#[test]
#[serial]
fn a_killed_test_leaves_no_container() {
    let mut running = child("waits").start();
    running.wait_for("waiting on redis://");
    assert_eq!(containers().len(), 1, "{:?}", containers());
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
    assert_all_gone();
}

#[test]
#[serial]
fn a_container_in_use_stays() {
    child("idles_for_longer_than_the_absence").run().assert_passed();
    assert_all_gone();
}

#[test]
#[serial]
fn a_missing_image_is_reported() {
    let ended = child("uses_a_container").env("TRANSIENT_IMAGE", "localhost:1/no-such-image:1").run();
    ended.assert_failed_with(&["panicked at tests/engine/main.rs", golden("container::not_started")]);
    ended.assert_failed_with(&["docker pull localhost:1/no-such-image:1"]);
    assert_all_gone();
}

/// An image without a shell: the container is created, but can't start.
#[test]
#[serial]
fn an_image_that_cant_be_started_is_reported() {
    let image = env::var("EMPTY_IMAGE").expect("an image without a shell");
    let ended = child("uses_a_container").env("TRANSIENT_IMAGE", &image).run();
    ended.assert_failed_with(&["panicked at tests/engine/main.rs", golden("container::not_started"), &image]);
    assert_all_gone();
}

/// An image with a shell but without a server: the container starts, and exits.
#[test]
#[serial]
fn an_image_without_a_server_is_reported() {
    let image = env::var("SHELL_IMAGE").expect("an image with a shell and no server");
    let ended = child("uses_a_container").env("TRANSIENT_IMAGE", &image).run();
    ended.assert_failed_with(&["panicked at tests/engine/main.rs", &image]);
    assert_all_gone();
}

#[test]
#[serial]
fn no_engine_is_reported() {
    let ended = child("uses_a_container").env("DOCKER_HOST", "unix:///nowhere/docker.sock").run();
    ended.assert_failed_with(&[golden("container::no_engine"), golden("container::REMEDY")]);
}

/// Tests that run in a container with access to the socket of their host's engine.
#[test]
#[serial]
fn tests_in_a_container_reach_their_server() {
    let binary = std::env::current_exe().expect("this binary");
    let binary = binary.display();
    let named = |name: &str| env::var(name).expect("an image");
    let (image, shell) = (named("SERVER_IMAGE"), named("SHELL_IMAGE"));
    let mut command = std::process::Command::new("docker");
    command.args(["run", "--rm", "--volume", "/var/run/docker.sock:/var/run/docker.sock"]);
    // The test binary with this machine's libraries.
    for directory in ["/usr", "/lib", "/lib64"] {
        command.args(["--volume", &format!("{directory}:{directory}:ro")]);
    }
    command.args(["--volume", &format!("{binary}:/tests:ro")]);
    for variable in ["TRANSIENT_PROVIDER=container", &format!("TRANSIENT_IMAGE={image}"), "HOME=/", "TMPDIR=/"] {
        command.args(["--env", variable]);
    }
    command.args([&shell, "/tests", "uses_a_container", "--exact", "--include-ignored", "--nocapture"]);
    let output = command.output().expect("docker");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("(container)") && said.contains("1 passed"), "{said}");
    assert_all_gone();
}

#[rstest]
#[ignore = "run by a_container_is_closed_to_others"]
fn finds_it_closed(test_request: TestRequest) {
    let inspect = ["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"];
    let containers = containers();
    let container = containers.first().and_then(|line| line.split(' ').nth(1)).expect("a container");
    let output = std::process::Command::new("docker").args(inspect).arg(container).output().expect("docker");
    let own_address = String::from_utf8(output.stdout).expect("UTF-8");
    for address in [test_request.server().address().to_owned(), format!("{}:6379", own_address.trim())] {
        let client = redis::Client::open(format!("redis://{address}")).expect("a URL");
        let answer = client.get_connection().and_then(|mut redis| redis::cmd("GET").arg("foo").exec(&mut redis));
        let error = answer.expect_err("it is closed");
        assert_eq!(error.code(), Some("NOAUTH"), "{address}: {error}");
    }
    let image = env::var("SERVER_IMAGE").expect("an image");
    for command in [&["GET", "foo"][..], &["SET", "foo", "x"], &["CONFIG", "SET", "dir", "/tmp"]] {
        let mut other = std::process::Command::new("docker");
        other.args(["run", "--rm", &image, "redis-cli", "-h", own_address.trim()]).args(command);
        let output = other.output().expect("docker");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("NOAUTH"), "{command:?}: {said}");
    }
}

/// Without the password, neither users of this machine nor other containers get access.
#[test]
#[serial]
fn a_container_is_closed_to_others() {
    child("finds_it_closed").run().assert_passed();
    assert_all_gone();
}

/// A slot's file has the address of a container. If it leads to another server, it is not followed.
#[test]
#[serial]
fn a_forged_slot_leads_nowhere() {
    let (cache, data) =
        (tempfile::TempDir::new().expect("a directory"), tempfile::TempDir::new().expect("a directory"));
    let run = || child("uses_a_container").env("XDG_CACHE_HOME", cache.path()).run();
    run().assert_passed();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("an address").port();
    let mut server = std::process::Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(data.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("redis-server");
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/2")).expect("a URL");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let mut redis = loop {
        if let Ok(redis) = client.get_connection() {
            break redis;
        }
        assert!(std::time::Instant::now() < deadline, "the server is silent");
        std::thread::sleep(Duration::from_millis(10));
    };
    let () = redis::cmd("SET").arg("cart:1").arg("production").query(&mut redis).expect("SET");
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut redis).expect("INFO");
    let run_id: String = info.get("run_id").expect("run_id");
    let slots = std::fs::read_dir(cache.path().join("transient-fixtures/v1/containers")).expect("slots").flatten();
    let slots: Vec<_> = slots.map(|slot| slot.path()).filter(|path| path.extension().is_none()).collect();
    assert!(!slots.is_empty());
    for slot in slots {
        std::fs::write(slot, format!("redis://127.0.0.1:{port} {run_id} secret 0")).expect("write");
    }
    let ended = run();
    let left: Option<String> = redis::cmd("GET").arg("cart:1").query(&mut redis).expect("GET");
    server.kill().expect("our own child");
    server.wait().expect("reap");
    ended.assert_passed();
    assert!(ended.output.contains("(container)"), "{}", ended.output);
    assert_eq!(left.as_deref(), Some("production"));
    assert_all_gone();
}
