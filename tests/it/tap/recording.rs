//! The whole record in a file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use redis::{Client, Commands, Connection, Script, cmd, pipe};
use rstest::rstest;
use tempfile::NamedTempFile;
use transient_fixtures::tap::{Entry, Event, Recording, Tap};
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

use super::{connect, subscriber};

/// A tap that records to a file.
fn recording(test_request: &TestRequest) -> (Tap, NamedTempFile) {
    let (tap, file) = (test_request.tap().expect("a tap"), NamedTempFile::new().expect("a file"));
    tap.record_to(file.path()).expect("a recording");
    (tap, file)
}

/// All entries of a complete file.
#[track_caller]
fn entries(path: &Path) -> Vec<Entry> {
    let mut recording = Recording::open(path).expect("a recording");
    let entries = recording.by_ref().collect::<Result<_, _>>().expect("entries");
    assert!(recording.is_complete());
    entries
}

/// The bytes of each connection: its commands but AUTH, and everything that the client got.
pub(super) fn conversations(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut conversations: BTreeMap<u64, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    for entry in entries(path) {
        let (sent, got) = conversations.entry(entry.connection()).or_default();
        match entry.event() {
            Event::Command { frame, .. } if !frame.starts_with(b"AUTH ") => sent.extend_from_slice(frame),
            Event::Reply { frame, .. } | Event::Push { frame, .. } => got.extend_from_slice(frame),
            _ => {}
        }
    }
    conversations.into_values().collect()
}

fn binary(length: usize) -> Vec<u8> {
    (0..length).map(|number| u8::try_from(number * 7 % 251).expect("a byte")).collect()
}

fn packed(words: &[&[u8]]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.get_packed_command()
}

/// Commands of several clients, whose replies depend only on the data and on their order.
fn work(test_request: &TestRequest, tap: &Tap) {
    let mut redis = connect(tap);
    redis.set::<_, _, ()>("large", binary(20 * 1024 * 1024)).expect("SET");
    assert_eq!(redis.get::<_, Vec<u8>>("large").expect("GET").len(), 20 * 1024 * 1024);
    redis.set::<_, _, ()>("binary", b"\r\n$-1\r\n\0\xff").expect("SET");
    pipe().set("a", 1).incr("a", 1).get("binary").exec(&mut redis).expect("a pipeline");
    pipe().atomic().incr("a", 1).lpush("list", "x").exec(&mut redis).expect("a transaction");
    redis.lpush::<_, _, u32>("a", "x").expect_err("a number");
    Script::new("return {1, false, {ok = 'x'}, ARGV[1]}").arg("å").invoke::<()>(&mut redis).expect("a script");

    let client = Client::open(tap.redis_url()).expect("a URL");
    let worker = thread::spawn(move || client.get_connection()?.blpop::<_, (String, String)>("mail", 0.0));
    tap.wait_for(|command| command.is("BLPOP"));
    // The server must know the blocked client before the push.
    let mut direct = get_redis(test_request).expect("connect");
    let is_blocked = |client: &str| client.contains(" cmd=blpop ") && client.contains(" db=14 ");
    let deadline = Instant::now() + Duration::from_secs(100);
    while !cmd("CLIENT").arg("LIST").query::<String>(&mut direct).expect("CLIENT LIST").lines().any(is_blocked) {
        assert!(Instant::now() < deadline, "no client is blocked");
    }
    redis.rpush::<_, _, ()>("mail", "a job").expect("RPUSH");
    worker.join().expect("the worker").expect("a job");

    let subscriber = subscriber(tap);
    tap.wait_subscribed("weather");
    assert_eq!(redis.publish::<_, _, u32>("news", "ÅÄÖ").expect("PUBLISH"), 1);
    subscriber.join().expect("the subscriber");
}

#[rstest]
#[clean_redis]
fn the_file_has_every_event_in_order(test_request: TestRequest) {
    let before = SystemTime::now();
    let (tap, file) = recording(&test_request);
    work(&test_request, &tap);
    tap.finish_recording().expect("a whole file");
    let started = Recording::open(file.path()).expect("a recording").started();
    assert!(started + Duration::from_millis(1) >= before && started <= SystemTime::now());

    let entries = entries(file.path());
    assert!(entries.is_sorted_by_key(Entry::at));
    let commands = entries.iter().filter_map(|entry| match entry.event() {
        Event::Command { number, frame, .. } => Some((*number, frame.len() as u64)),
        _ => None,
    });
    let commands: Vec<_> = commands.collect();
    assert!(commands.iter().map(|(number, _)| *number).eq(1..=commands.len() as u64));
    // The order is that of the record, which knows the sizes. AUTH is written without its password.
    let recorded = tap.commands();
    assert_eq!(recorded.len(), commands.len());
    for (command, (_, size)) in recorded.iter().zip(&commands) {
        assert!(command.is("AUTH") || command.size() == *size, "{command}");
    }
    let replies = |number: u64| {
        entries.iter().filter_map(move |entry| match entry.event() {
            Event::Reply { command, frame, .. } if *command == number => Some((entry.connection(), frame)),
            _ => None,
        })
    };
    for (command, (number, _)) in recorded.iter().zip(&commands) {
        let replies: Vec<_> = replies(*number).collect();
        assert!(replies.len() == 1 && replies[0].0 == command.connection(), "{command}");
        assert_eq!(replies[0].1.len() as u64, command.reply_size().expect("a reply"), "{command}");
    }
    let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$6\r\nÅÄÖ\r\n".as_bytes().to_vec();
    assert!(entries.iter().any(|entry| matches!(entry.event(), Event::Push { frame, .. } if *frame == message)));
    let large = entries.iter().find_map(|entry| match entry.event() {
        Event::Command { frame, .. } if frame.len() > 1024 * 1024 => Some(frame),
        _ => None,
    });
    assert!(*large.expect("a large command") == packed(&[b"SET", b"large", &binary(20 * 1024 * 1024)]));
    let mut connections: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    for entry in &entries {
        connections.entry(entry.connection()).or_default().push(entry.event());
    }
    assert_eq!(connections.len(), 3);
    for events in connections.values() {
        assert_eq!(events[0], &Event::Connect);
        assert!(events[1..events.len() - 1].iter().all(|event| !matches!(event, Event::Connect | Event::Close)));
    }
}

/// Connects to the server itself, and logs in.
fn connect_directly(test_request: &TestRequest) -> TcpStream {
    let info = Client::open(test_request.redis_url()).expect("a URL").get_connection_info().clone();
    let mut stream = TcpStream::connect(info.addr().to_string()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    if let Some(password) = info.redis_settings().password() {
        let user = info.redis_settings().username().unwrap_or("default");
        stream.write_all(&packed(&[b"AUTH", user.as_bytes(), password.as_bytes()])).expect("write");
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).expect("read");
        assert_eq!(&reply, b"+OK\r\n");
    }
    stream
}

#[rstest]
#[clean_redis]
fn the_same_commands_get_the_same_replies_again(test_request: TestRequest) {
    let forget_scripts = || {
        let mut redis = get_redis(&test_request).expect("connect");
        cmd("SCRIPT").arg("FLUSH").exec(&mut redis).expect("SCRIPT FLUSH");
    };
    forget_scripts();
    let (tap, file) = recording(&test_request);
    work(&test_request, &tap);
    drop(tap);
    test_request.flush().expect("flush");
    forget_scripts();

    let (mut streams, mut omitted, mut compared) = (BTreeMap::new(), Vec::new(), 0);
    for entry in entries(file.path()) {
        let connection = entry.connection();
        match entry.event() {
            Event::Connect => _ = streams.insert(connection, connect_directly(&test_request)),
            Event::Close => _ = streams.remove(&connection),
            // Passwords are not in the file.
            Event::Command { number, frame, .. } => {
                let text = String::from_utf8_lossy(&frame[..frame.len().min(64)]).into_owned();
                if text.starts_with("AUTH") {
                    omitted.push(*number);
                } else {
                    streams.get_mut(&connection).expect("a stream").write_all(frame).expect("write");
                }
            }
            Event::Reply { command, .. } if omitted.contains(command) => {}
            Event::Reply { frame, .. } | Event::Push { frame, .. } => {
                let mut found = vec![0; frame.len()];
                streams.get_mut(&connection).expect("a stream").read_exact(&mut found).expect("read");
                assert!(found == *frame, "{}", found[..found.len().min(80)].escape_ascii());
                compared += 1;
            }
            event => panic!("{event:?}"),
        }
    }
    assert!(compared > 20, "{compared}");
}

#[rstest]
#[clean_redis]
fn a_truncated_file_is_read_up_to_its_last_whole_entry(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    let mut redis = connect(&tap);
    redis.set::<_, _, ()>("a", "1\n2\n").expect("SET");
    drop(redis);
    drop(tap);
    let whole = fs::read(file.path()).expect("the file");
    let all = entries(file.path());
    let mut lengths = Vec::new();
    for length in 0..whole.len() {
        fs::write(file.path(), &whole[..length]).expect("write");
        let Ok(mut recording) = Recording::open(file.path()) else { continue };
        let found: Vec<_> = recording.by_ref().collect::<Result<_, _>>().expect("entries");
        assert!(!recording.is_complete() && all.starts_with(&found), "{length}");
        lengths.push(found.len());
    }
    let header = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).expect("two lines").0 + 1;
    assert_eq!(lengths.len(), whole.len() - header);
    assert!(lengths.is_sorted() && lengths.first() == Some(&0) && lengths.last() == Some(&all.len()), "{lengths:?}");
}

#[rstest]
#[clean_redis]
fn a_longer_file_is_replaced(test_request: TestRequest) {
    let (tap, file) = (test_request.tap().expect("a tap"), NamedTempFile::new().expect("a file"));
    fs::write(file.path(), "an old recording\n".repeat(10_000)).expect("write");
    tap.record_to(file.path()).expect("a recording");
    connect(&tap).set::<_, _, ()>("a", "1").expect("SET");
    drop(tap);
    let is_set = |entry: &Entry| matches!(entry.event(), Event::Command { frame, .. } if frame.windows(3).any(|word| word == b"SET"));
    assert!(entries(file.path()).iter().any(is_set));
    assert!(!fs::read_to_string(file.path()).expect("the file").contains("an old recording"));
}

#[rstest]
#[clean_redis]
fn other_files_are_refused(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    connect(&tap).set::<_, _, ()>("a", "1").expect("SET");
    drop(tap);
    let whole = fs::read_to_string(file.path()).expect("the file");
    for (from, to) in
        [("recording 1", "recording 2"), ("start ", "stopp "), ("connect 1", "connect x"), ("\nend", "\nEND")]
    {
        fs::write(file.path(), whole.replacen(from, to, 1)).expect("write");
        let error = Recording::open(file.path()).and_then(Iterator::collect::<Result<Vec<_>, _>>).expect_err(to);
        assert!(error.is_data() && error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    }
    fs::write(file.path(), "x".repeat(100_000)).expect("write");
    assert!(Recording::open(file.path()).expect_err("no recording").to_string().len() < 1000);
    assert!(Recording::open(file.path().join("missing")).expect_err("no file").is_data());
}

/// Reads a file that is still written, until it has this.
fn wait_for(path: &Path, is_it: impl Fn(&Event) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Recording::open(path).expect("a recording").any(|entry| is_it(entry.expect("an entry").event())) {
        assert!(Instant::now() < deadline, "not in the file");
    }
}

/// A later part of a large value can look like a command with a password.
#[rstest]
#[clean_redis]
fn large_values_with_the_words_of_commands_are_whole(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    let mut redis = connect(&tap);
    let mut sent = Vec::new();
    for shift in 0..6 {
        for word in ["auth ", "hello 3 auth a b ", "config set requirepass x "] {
            let value = "x".repeat(shift) + &word.repeat(5 * 64 * 1024 / word.len());
            let mut command = cmd("SET");
            command.arg("a").arg(value);
            command.exec(&mut redis).expect("SET");
            sent.push(command.get_packed_command());
        }
    }
    tap.finish_recording().expect("a whole file");
    let commands = entries(file.path()).into_iter().filter_map(|entry| match entry.event() {
        Event::Command { frame, .. } if frame.len() > 64 * 1024 => Some(frame.clone()),
        _ => None,
    });
    assert!(commands.eq(sent));
}

/// A killed test loses nothing.
#[rstest]
#[clean_redis]
fn the_file_is_written_at_once(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    let mut redis = connect(&tap);
    redis.set::<_, _, ()>("a", "1").expect("SET");
    let get = packed(&[b"GET", b"a"]);
    redis.get::<_, String>("a").expect("GET");
    wait_for(file.path(), |event| matches!(event, Event::Command { frame, .. } if *frame == get));
    wait_for(file.path(), |event| matches!(event, Event::Reply { frame, .. } if frame == b"$1\r\n1\r\n"));
}

#[rstest]
#[clean_redis]
fn passwords_are_not_in_the_file(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    // The server must not change.
    for name in ["CONFIG SET", "ACL SETUSER", "MIGRATE"] {
        tap.on(name).pretend();
    }
    let mut redis = connect(&tap);
    let long = format!(">hunter2{}", "x".repeat(100_000));
    for words in [
        &["AUTH", "hunter2"][..],
        &["auth", "asa", "hunter2"],
        &["HELLO", "2", "AUTH", "asa", "hunter2", "SETNAME", "shop"],
        &["CONFIG", "SET", "maxmemory", "0", "requirepass", "hunter2"],
        &["ACL", "SETUSER", "asa", ">hunter2"],
        &["ACL", "SETUSER", "asa", "on", &long],
        &["MIGRATE", "127.0.0.1", "1", "", "0", "5", "AUTH", "hunter2", "KEYS", "a"],
    ] {
        let _ = cmd(words[0]).arg(&words[1..]).exec(&mut redis);
    }
    tap.clear_rules();
    cmd("CONFIG").arg("GET").arg("*pass").exec(&mut redis).expect("CONFIG GET");
    pipe().atomic().cmd("CONFIG").arg("GET").arg("requirepass").exec(&mut redis).expect("a transaction");
    cmd("ACL").arg("LIST").exec(&mut redis).expect("ACL LIST");
    let _ = cmd("ACL").arg("SETUSER").arg("asa").arg("hunter2").exec(&mut redis);
    cmd("CONFIG").arg("GET").arg("maxmemory").exec(&mut redis).expect("CONFIG GET");
    tap.finish_recording().expect("a whole file");

    let text = String::from_utf8_lossy(&fs::read(file.path()).expect("the file")).into_owned();
    assert!(!text.contains("hunter2") && !text.contains("xxxxx"), "{text}");
    let password = Client::open(test_request.redis_url()).expect("a URL");
    if let Some(password) = password.get_connection_info().redis_settings().password() {
        assert!(!text.contains(password), "{text}");
    }
    assert!(text.contains("HELLO 2 AUTH *** *** SETNAME shop") && text.contains("\r\nmaxmemory\r\n"), "{text}");
    assert_eq!(text.matches("+***").count(), 3, "{text}");
    // The replies that the record keeps have none either.
    for command in &*tap.commands() {
        let reply = String::from_utf8_lossy(command.reply_head().unwrap_or_default()).into_owned();
        assert!(!reply.contains("hunter2") && !reply.contains("requirepass"), "{command}");
    }
}

/// The file has the command that the client sent, the reply that it got, and the fault.
#[rstest]
#[clean_redis]
fn faults_are_in_the_file(test_request: TestRequest) {
    let (tap, file) = recording(&test_request);
    let mut redis = connect(&tap);
    tap.on("GET").times(1).error("LOADING no");
    redis.get::<_, Option<u32>>("a").expect_err("a fault");
    tap.on("SETEX").times(1).without_expiry();
    redis.set_ex::<_, _, ()>("a", 1, 60).expect("SETEX");
    tap.on("GET").times(1).nil();
    assert_eq!(redis.get::<_, Option<u32>>("a").expect("GET"), None);
    tap.on("INCR*").times(1).twice();
    assert_eq!(redis.incr::<_, _, u32>("a", 1).expect("INCR"), 2);
    tap.on("TTL").times(1).delay(Duration::from_millis(20));
    assert_eq!(redis.ttl::<_, i64>("a").expect("TTL"), -1);
    tap.on("DEL").times(1).cut_after();
    redis.del::<_, u32>("a").expect_err("a cut");
    tap.finish_recording().expect("a whole file");

    let entries = entries(file.path());
    let found: Vec<_> = tap.commands().without_handshakes().into_iter().collect();
    let of_client = entries.iter().filter_map(|entry| match entry.event() {
        Event::Command { number, frame, fault: Some(fault), .. } => Some((*number, frame.as_slice(), fault)),
        _ => None,
    });
    let replies = ["-LOADING no\r\n", "+OK\r\n", "$-1\r\n", ":2\r\n", ":-1\r\n"].map(Some).into_iter().chain([None]);
    let commands: Vec<_> = of_client.collect();
    assert_eq!((commands.len(), found.len()), (6, 6));
    for (((number, frame, fault), recorded), reply) in commands.into_iter().zip(&found).zip(replies) {
        assert!(recorded.to_string().ends_with(fault), "{recorded}: {fault}");
        let words = [&[recorded.name().as_bytes()], &*recorded.args()].concat();
        assert_eq!(frame.escape_ascii().to_string(), packed(&words).escape_ascii().to_string());
        let got: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry.event() {
                Event::Reply { command, frame, .. } if *command == number => Some(String::from_utf8_lossy(frame)),
                _ => None,
            })
            .collect();
        assert_eq!(got, reply.into_iter().collect::<Vec<_>>(), "{recorded}");
    }
}

#[rstest]
#[clean_redis]
fn two_taps_have_their_own_files(test_request: TestRequest) {
    let [(one, its), (other, others)] = [(); 2].map(|()| recording(&test_request));
    let work = |tap: &Tap, key: &str| {
        let mut redis = connect(tap);
        (0..200).for_each(|number| redis.rpush::<_, _, ()>(key, number).expect("RPUSH"));
    };
    thread::scope(|scope| {
        scope.spawn(|| work(&one, "mine"));
        scope.spawn(|| work(&other, "yours"));
    });
    drop((one, other));
    for (file, mine, yours) in [(its, "mine", "yours"), (others, "yours", "mine")] {
        entries(file.path());
        let text = fs::read_to_string(file.path()).expect("the file");
        assert_eq!((text.matches(mine).count(), text.matches(yours).count()), (200, 0));
    }
}

#[rstest]
#[clean_redis]
fn a_recording_begins_before_the_first_connection(test_request: TestRequest) {
    let (tap, file) = (test_request.tap().expect("a tap"), NamedTempFile::new().expect("a file"));
    tap.finish_recording().expect("no recording");
    connect(&tap).set::<_, _, ()>("a", 1).expect("SET");
    let late = tap.record_to(file.path()).expect_err("a connection");
    assert!(late.is_data() && late.to_string().contains("record_to"), "{late}");

    let (tap, file) = recording(&test_request);
    assert!(tap.record_to(file.path()).expect_err("a recording").is_data());
    connect(&tap).set::<_, _, ()>("a", 1).expect("SET");
    tap.finish_recording().expect("a whole file");
    let size = fs::metadata(file.path()).expect("the file").len();
    connect(&tap).set::<_, _, ()>("a", 1).expect("SET");
    tap.finish_recording().expect("a whole file");
    assert_eq!(fs::metadata(file.path()).expect("the file").len(), size);
    assert!(tap.record_to(file.path()).expect_err("a second recording").is_data());
}

#[rstest]
#[clean_redis]
fn a_file_that_cannot_be_written_is_an_error(test_request: TestRequest) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut paths = vec![directory.path().to_owned()];
    if cfg!(target_os = "linux") {
        // Always full.
        paths.push("/dev/full".into());
    }
    for path in paths {
        let tap = test_request.tap().expect("a tap");
        let error = tap.record_to(&path).expect_err("no file");
        assert!(error.is_data() && error.to_string().contains(path.to_str().unwrap()), "{error}");
        // The tap can record to another file.
        tap.record_to(directory.path().join("new/directory/file")).expect("a recording");
        connect(&tap).set::<_, _, ()>("a", 1).expect("SET");
        tap.finish_recording().expect("a whole file");
    }
}

/// Like a disk that fills up: a pipe whose reader goes away.
#[cfg(unix)]
#[rstest]
#[clean_redis]
fn a_write_that_fails_later_is_reported_at_the_end(test_request: TestRequest) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pipe");
    let mut python = std::process::Command::new("python3");
    python.args(["-c", "import os, sys; os.mkfifo(sys.argv[1])"]).arg(&path);
    assert!(python.status().expect("python3").success());
    let tap = test_request.tap().expect("a tap");
    // Opened for both, so that opening it for writing does not wait.
    let reader = OpenOptions::new().read(true).write(true).open(&path).expect("the pipe");
    tap.record_to(&path).expect("a recording");
    let mut redis: Connection = connect(&tap);
    drop(reader);
    for number in 0..100 {
        redis.set::<_, _, ()>("a", number).expect("SET");
    }
    let error = tap.finish_recording().expect_err("an incomplete file");
    assert!(error.is_data() && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(tap.finish_recording().is_err());
    assert_eq!(redis.get::<_, u32>("a").expect("GET"), 99);
}
