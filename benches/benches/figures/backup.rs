//! `cargo transient dump` and `restore`, beside Redis's own tools.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{Connection, cmd};

use crate::cargo_transient::program;
use crate::{Bare, MILLION, bare, in_turns, row, run, time};

/// 1,000,000 mixed keys, to a file and back.
pub(crate) fn backup() {
    let program = program();
    let directory = std::env::temp_dir().join(format!("backup-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("mkdir");
    let (_, server) = bare(4_000_003);
    let mut redis = connect(&server);
    fill(&mut redis);
    // Otherwise the server waits 5 s for other replicas.
    cmd("CONFIG").arg("SET").arg("repl-diskless-sync-delay").arg(0).exec(&mut redis).expect("CONFIG");
    let url = format!("redis://127.0.0.1:{}", server.2);
    let [file, commands, rdb] = ["backup.json", "backup.resp", "dump.rdb"].map(|name| directory.join(name));
    let dump = |file: &Path, form: &str| {
        let mut command = Command::new(&program);
        run(command.args(["dump", "--replace", "--format", form, "--url", &url]).arg(file))
    };
    let by_rdb = || {
        let saved = run(Command::new("redis-cli").args(["-p", &server.2.to_string(), "--rdb"]).arg(&rdb));
        saved + reload(&rdb)
    };
    let (ours, peer) = in_turns(3, || dump(&file, "snapshot"), by_rdb);
    row("dump of 1,000,000 keys, verified", ours, ("redis-cli --rdb, and a server started on it", peer), "1.5");
    let ours = dump(&commands, "resp");
    row("the same as commands", ours, ("redis-cli --rdb, and a server started on it", peer), "1.5");
    let mut flush = || cmd("FLUSHALL").exec(&mut redis).expect("FLUSHALL");
    let mut restore = |file: &Path| {
        flush();
        let mut command = Command::new(&program);
        command.args(["restore", "--url", &url, "--database", "14", "--even-if-not-a-test-database"]);
        run(command.arg(file))
    };
    let pipe = || {
        let mut redis = connect(&server);
        cmd("FLUSHALL").exec(&mut redis).expect("FLUSHALL");
        let commands = Stdio::from(File::open(&commands).expect("open"));
        run(Command::new("redis-cli").args(["-p", &server.2.to_string(), "-n", "14", "--pipe"]).stdin(commands))
    };
    let (ours, peer) = in_turns(3, || restore(&file), pipe);
    row("restore of 1,000,000 keys, verified", ours, ("redis-cli --pipe, not verified", peer), "1.5");
    std::fs::remove_dir_all(&directory).expect("remove");
}

fn connect(server: &Bare) -> Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/14", server.2)).expect("a URL");
    client.get_connection().expect("connect")
}

/// Sessions with a TTL, and small collections.
fn fill(redis: &mut Connection) {
    let script = "for i = ARGV[1], ARGV[1] + 9999 do
        local kind, id = i % 10, string.format('%032d', i)
        if kind < 6 then redis.call('SET', 'session:' .. id, string.rep('x', 100), 'PX', 1000000000 + i)
        elseif kind == 6 then redis.call('HSET', 'cart:' .. id, 'brand:1', 1, 'brand:2', 2, 'brand:3', 3, 'note', 'boots')
        elseif kind == 7 then redis.call('RPUSH', 'queue:' .. id, 'job 1', 'job 2', 'job 3', 'job 4', 'job 5')
        elseif kind == 8 then redis.call('SADD', 'tags:' .. id, 'red', 'blue', 'large', i)
        else redis.call('ZADD', 'top:' .. id, 1.5, 'one', i, 'two', -i, 'three', 4, 'four') end
    end";
    for start in (0..MILLION).step_by(10_000) {
        cmd("EVAL").arg(script).arg(0).arg(start).exec(redis).expect("EVAL");
    }
    let size: usize = cmd("DBSIZE").query(redis).expect("DBSIZE");
    assert_eq!(size, MILLION);
}

/// From the start of a server to its first answer with all keys.
fn reload(rdb: &Path) -> Duration {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("address").port();
    let directory = rdb.parent().expect("a directory");
    time(|| {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--dir"]).arg(directory);
        let mut server = command
            .args(["--dbfilename", "dump.rdb"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/14")).expect("a URL");
        // It is an error as long as it loads.
        let size = || -> redis::RedisResult<usize> { cmd("DBSIZE").query(&mut client.get_connection()?) };
        while !matches!(size(), Ok(MILLION)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.kill().expect("kill");
        server.wait().expect("reap");
    })
}
