//! `exec --publish`: in a network namespace as root and as a user, and at the machine's own port.

use std::fmt::{self, Display, Formatter};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::program::{Ended, PROGRAM, Program, here, python};

/// What runs the program: nothing, and programs that take something from it.
fn launchers() -> [Vec<String>; 3] {
    [Vec::new(), without("rights"), without("namespaces")]
}

fn without(what: &str) -> Vec<String> {
    if cfg!(not(target_os = "linux")) {
        return Vec::new();
    }
    let mut words = python("without.py").to_vec();
    words.push(what.to_owned());
    words
}

/// `exec`, and `exec --publish` in each network.
pub(crate) struct Way {
    pub(crate) launcher: Vec<String>,
    pub(crate) arguments: Vec<String>,
    _port: Port,
}

pub(crate) fn ways() -> impl Iterator<Item = Way> {
    let ways = launchers().into_iter().map(|launcher| (launcher, true));
    ways.chain([(Vec::new(), false)]).map(|(launcher, is_published)| {
        let port = Port::free();
        let options = if is_published { vec![format!("--publish={port}")] } else { Vec::new() };
        Way { launcher, arguments: ["exec".to_owned()].into_iter().chain(options).collect(), _port: port }
    })
}

impl Way {
    /// How many lines the program says to standard error.
    pub(crate) fn lines_said(&self) -> usize {
        lines_said(&self.launcher)
    }

    /// Starts `command` this way.
    pub(crate) fn program<'words>(&self, command: impl IntoIterator<Item = &'words str>) -> Program {
        let command = command.into_iter().map(str::to_owned);
        let words = self.arguments.iter().cloned().chain(["--".to_owned()]).chain(command);
        let mut program = Program::started_by(&self.launcher, words);
        // By which what it leaves is found.
        program.command.current_dir(program.directory.path());
        program
    }
}

/// Whether a command can have a network namespace here. Most containers refuse it.
pub(crate) fn has_namespaces() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    // Into a user namespace, and what is needed to bring the loopback interface up (SIOCSIFFLAGS).
    let attempt = "
import ctypes, fcntl, os, socket, struct
user = os.geteuid()
assert ctypes.CDLL(None).unshare(0x50000000) == 0
open('/proc/self/uid_map', 'w').write(f'{user} {user} 1')
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 1))";
    *HAS.get_or_init(|| {
        let output = Command::new("python3").args(["-c", attempt]).output().expect("python3");
        output.status.success()
    })
}

/// A port that was free a moment ago, at both addresses. Its lock is removed in the end.
pub(crate) struct Port(String);

impl Port {
    pub(crate) fn free() -> Self {
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
            let port = port.expect("a port").port();
            if !has_ipv6() || TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() {
                return Self(port.to_string());
            }
        }
    }

    fn lock(&self) -> PathBuf {
        format!("/tmp/transient-fixtures-port-{self}.lock").into()
    }
}

impl Deref for Port {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for Port {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // It is there if the port was the machine's.
        let _ = std::fs::remove_file(self.lock());
    }
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Runs a shell script in which `ask HOST:PORT COMMAND…` is a client.
fn shell<'words>(launcher: &[String], options: impl IntoIterator<Item = &'words str>, script: &str) -> Ended {
    shell_program(launcher, options, script).run()
}

fn shell_program<'words>(launcher: &[String], options: impl IntoIterator<Item = &'words str>, script: &str) -> Program {
    let [python, client] = python("client.py");
    let script = format!("ask() {{ address=$1; shift; {python} '{client}' \"redis://$address\" \"$@\"; }}; {script}");
    let words = ["exec"].into_iter().chain(options).chain(["--", "bash", "-c"]);
    Program::started_by(launcher, words.map(str::to_owned).chain([script]))
}

/// In a namespace nothing is said; without one, a line.
fn lines_said(launcher: &[String]) -> usize {
    usize::from(!has_namespaces() || launcher.iter().any(|word| word == "namespaces"))
}

#[track_caller]
fn assert_output(ended: &Ended, launcher: &[String], stdout: &str) {
    let lines = lines_said(launcher);
    let said = ended.stderr.lines().count();
    assert_eq!((ended.code, &*ended.stdout, said), (Some(0), stdout, lines), "{launcher:?} {}", ended.stderr);
}

#[test]
fn the_server_is_at_the_port_without_a_password() {
    for launcher in launchers() {
        let port = Port::free();
        let ended = shell(
            &launcher,
            ["--publish", &port],
            &format!("ask 127.0.0.1:{port} PING 'SET a 1'; ask localhost:{port} 'GET a' 'SELECT 15'; echo $REDIS_URL"),
        );
        let expected = format!("+PONG\n+OK\n1\n+OK\nredis://127.0.0.1:{port}/0\n");
        assert_output(&ended, &launcher, &expected);
        if has_ipv6() {
            let ended = shell(&launcher, ["--publish", &port], &format!("ask [::1]:{port} PING"));
            assert_output(&ended, &launcher, "+PONG\n");
        }
    }
}

#[test]
fn several_ports_have_one_server() {
    for launcher in launchers() {
        let (first, second) = (Port::free(), Port::free());
        let options = [format!("--publish={first}"), format!("--publish={second}"), format!("--publish={first}")];
        let script =
            format!("ask 127.0.0.1:{second} 'SET a 1'; ask 127.0.0.1:{first} 'GET a'; echo ${{REDIS_URL##*:}}");
        let ended = shell(&launcher, options.iter().map(String::as_str), &script);
        assert_output(&ended, &launcher, &format!("+OK\n1\n{first}/0\n"));
    }
}

#[test]
fn variables_name_the_port() {
    let port = Port::free();
    let options = ["--publish", &port, "--database", "3", "--var", "A={host} {port} {database} {url}", "--var", "B"];
    let ended = shell(&[], options, "echo $A; ask ${B#redis://} PING");
    assert_output(&ended, &[], &format!("127.0.0.1 {port} 3 redis://127.0.0.1:{port}/3\n+PONG\n"));
}

/// Who asks for a password has one.
#[test]
fn a_told_password_is_needed() {
    let port = Port::free();
    let options = ["--publish", &port, "--var", "WORD={password}", "--var", "URL"];
    let script = format!(
        "ask 127.0.0.1:{port} PING | grep -o NOAUTH; ask default:$WORD@127.0.0.1:{port} PING; ask ${{URL#redis://}} PING"
    );
    let script = script.replace("| grep -o NOAUTH", "| { read word rest; echo $word; }");
    assert_output(&shell(&[], options, &script), &[], "-NOAUTH\n+PONG\n+PONG\n");
}

/// Pipelines, large values, half-closed and blocked connections, and a thousand of them.
#[test]
fn connections_are_as_direct_ones() {
    for launcher in launchers() {
        let port = Port::free();
        let script = here("connections.py");
        let options = ["exec", "--publish", &port, "--", "python3", script.to_str().expect("UTF-8"), &port];
        assert_output(&Program::started_by(&launcher, options).run(), &launcher, "fine\n");
    }
}

/// The command has no descriptor of ours, its own standard input, and the limits that it had.
#[test]
#[cfg(target_os = "linux")]
fn the_process_is_the_commands() {
    let print = "import os, resource, sys; print(*os.listdir('/proc/self/fd'), resource.getrlimit(resource.RLIMIT_NOFILE), \
                 os.getuid(), os.getgid(), os.path.realpath('/proc/self/fd/0'), sep='\\n')";
    for launcher in launchers() {
        let plain = Program::started_by(&launcher, ["exec", "--", "python3", "-c", print]).run();
        let port = Port::free();
        let options = ["exec", "--publish", &port, "--", "python3", "-c", print];
        assert_output(&Program::started_by(&launcher, options).run(), &launcher, &plain.stdout);
    }
    let port = Port::free();
    let mut program = shell_program(&[], ["--publish", &port], "read line; echo \"$line\"; read line || echo end");
    let mut child = program.command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start");
    child.stdin.take().expect("its input").write_all(b"one line\n").expect("write");
    assert_eq!(Ended::of(&child.wait_with_output().expect("wait")).stdout, "one line\nend\n");
}

#[test]
fn exit_codes_are_passed_on() {
    for launcher in launchers() {
        for (script, code) in [("exit 3", 3), ("kill -SEGV $$", 128 + 11)] {
            let port = Port::free();
            assert_eq!(shell(&launcher, ["--publish", &port], script).code, Some(code), "{launcher:?}");
        }
        for (program, code) in [("no-such-program", 127), (env!("CARGO_MANIFEST_DIR"), 126)] {
            let port = Port::free();
            let ended = Program::started_by(&launcher, ["exec", "--publish", &port, "--", program]).run();
            assert_eq!((ended.code, &*ended.stdout), (Some(code), ""));
            assert!(ended.stderr.lines().last().is_some_and(|line| line.contains(program)), "{ended:?}");
        }
    }
}

#[test]
fn wrong_ports_are_usage_errors() {
    for port in ["0", "70000", "abc", "-1", "", "6379:6379"] {
        let ended = Program::new(["exec", &format!("--publish={port}"), "true"]).run();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("--publish"), "{ended:?}");
    }
}

/// A command with a hard-coded address uses database 0, which may be somebody's.
#[test]
fn a_running_server_is_not_published() {
    let line = format!("'{PROGRAM}' exec --provider running --publish 7379 bash -c 'echo ran'");
    let ended = Program::new(["exec", "bash", "-c", &line]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(125), ""));
    assert!(ended.stderr.contains("--provider running"), "{ended:?}");
}

/// The network of the command has a loopback interface and nothing else, so that ports of the machine are free in it.
#[test]
#[cfg(target_os = "linux")]
fn a_port_that_the_machine_uses_is_free_in_a_namespace() {
    for address in [Ipv4Addr::LOCALHOST.into(), std::net::IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if address.is_ipv6() && !has_ipv6() {
            continue;
        }
        let used = TcpListener::bind((address, 0)).expect("a port");
        let port = Port(used.local_addr().expect("its address").port().to_string());
        for launcher in launchers() {
            let script =
                format!("ask 127.0.0.1:{port} PING; read a; read b; while read name rest; do echo $name; done");
            let ended = shell(&launcher, ["--publish", &port], &format!("{{ {script}; }} </proc/net/dev"));
            if has_namespaces() && !launcher.iter().any(|word| word == "namespaces") {
                ended.assert_quiet(0, "+PONG\nlo:\n");
            } else {
                assert_eq!((ended.code, &*ended.stdout), (Some(125), ""), "{ended:?}");
                assert!(ended.stderr.lines().all(|line| line.contains(&*port)), "{ended:?}");
            }
        }
    }
}

/// As those of databases and container engines.
#[test]
#[cfg(target_os = "linux")]
fn sockets_in_the_file_system_can_be_reached() {
    let directory = tempfile::TempDir::new_in("/tmp").expect("a directory");
    let path = directory.path().join("socket");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('connected')";
    for launcher in launchers() {
        let port = Port::free();
        let options = ["exec", "--publish", &port, "--", "python3", "-c", connect, path.to_str().expect("UTF-8")];
        assert_output(&Program::started_by(&launcher, options).run(), &launcher, "connected\n");
        socket.accept().expect("its connection");
    }
}

/// Below 1024, as a user.
#[test]
#[cfg(target_os = "linux")]
fn low_ports_need_a_namespace_or_rights() {
    let _lock = Port("79".to_owned());
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let is_refused = first.trim().parse::<u16>().is_ok_and(|first| first > 79);
    if has_namespaces() {
        shell(&without("rights"), ["--publish", "79"], "ask 127.0.0.1:79 PING").assert_quiet(0, "+PONG\n");
    }
    let launcher = [without("rights"), without("namespaces")].concat();
    let ended = shell(&launcher, ["--publish", "79"], "echo ran");
    if is_refused {
        assert_eq!((ended.code, &*ended.stdout), (Some(125), ""), "{ended:?}");
        assert!(ended.stderr.contains("1024"), "{ended:?}");
    } else {
        assert_eq!(&*ended.stdout, "ran\n", "{ended:?}");
    }
}

/// Each has its own server at the same port, at the same time.
#[test]
fn two_commands_in_namespaces_run_at_once() {
    if !has_namespaces() {
        return;
    }
    for launcher in [Vec::new(), without("rights")] {
        let [python, client] = python("client.py");
        let ask = format!("{python} '{client}' redis://127.0.0.1:6379 'INCR visits'");
        let line = format!("{ask}; '{PROGRAM}' exec --publish 6379 -- {ask}; {ask}");
        shell(&launcher, ["--publish", "6379"], &line).assert_quiet(0, ":1\n:1\n:2\n");
    }
}

/// One after the other, and the second one says that it waits.
#[test]
#[cfg(target_os = "linux")]
fn two_commands_at_the_machines_port_take_turns() {
    let port = Port::free();
    let launcher = without("namespaces");
    let script = format!("ask 127.0.0.1:{port} 'INCR visits'");
    let mut first = shell_program(&launcher, ["--publish", &port], &format!("{script}; read line"));
    let mut one =
        first.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
    let mut line = String::new();
    let mut output = BufReader::new(one.stdout.take().expect("its output"));
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, ":1\n");

    let mut second = shell_program(&launcher, ["--publish", &port], &script);
    let mut two = second.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    let said: Vec<_> = BufReader::new(two.stderr.take().expect("its errors"))
        .lines()
        .take(2)
        .map(|line| line.expect("UTF-8"))
        .collect();
    assert!(said.iter().all(|line| line.contains(&*port)), "{said:?}");
    // Every user can take it.
    let lock = port.lock().metadata().expect("the lock");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&lock) & 0o777, 0o444);
    let mut third = shell_program(&launcher, ["--publish", &port], "echo ran");
    let mut three = third.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    let mut waits = BufReader::new(three.stderr.take().expect("its errors")).lines();
    waits.by_ref().take(2).for_each(|line| assert!(line.expect("UTF-8").contains(&*port)));
    // A signal ends one that waits.
    crate::left::kill("TERM", three.id());
    assert_eq!(three.wait().expect("wait").code(), Some(128 + 15));
    crate::left::assert_nothing_left(&third.directory);

    assert!(one.try_wait().expect("wait").is_none() && two.try_wait().expect("wait").is_none());
    // Even after SIGKILL.
    crate::left::kill("KILL", one.id());
    one.wait().expect("wait");
    let mut rest = String::new();
    two.stdout.take().expect("its output").read_to_string(&mut rest).expect("read");
    assert_eq!((two.wait().expect("wait").code(), &*rest), (Some(0), ":1\n"));
    crate::left::assert_nothing_left(&first.directory);
    crate::left::assert_nothing_left(&second.directory);
}
