//! Signals reach the command once.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::left::kill;
use crate::program::python;
use crate::publish::ways;

/// Prints the signals that it gets, and exits after SIGTERM, or on the second of another kind that it gets.
const COUNTS: &str = r"
import os, signal, sys, time
def got(number, _):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM: sys.exit(7)
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, got)
print('ready', flush=True)
while True: time.sleep(1000)
";

#[test]
fn signals_are_passed_on() {
    for way in ways() {
        let mut program = way.program(["python3", "-c", COUNTS]);
        let mut child = program.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut next = || lines.next().expect("a line").expect("UTF-8");
        assert_eq!(next(), "ready");
        for signal in ["HUP", "INT", "QUIT", "USR1", "TERM"] {
            kill(signal, child.id());
            assert_eq!(next(), format!("SIG{signal}"));
        }
        assert_eq!(child.wait().expect("wait").code(), Some(7));
        crate::left::assert_nothing_left(&program.directory);
    }
}

/// The terminal sends Ctrl-C and Ctrl-\\ to the command as well. Passed on too, it would arrive twice, which programs
/// take for impatience.
#[test]
fn signals_of_the_terminal_arrive_once() {
    let once = "
import os, signal, sys, time
count = 0
def got(number, _):
    global count
    if number == signal.SIGUSR1:
        print('count', count, flush=True)
        sys.exit(0)
    count += 1
signal.signal(signal.SIGINT, got)
signal.signal(signal.SIGQUIT, got)
signal.signal(signal.SIGUSR1, got)
print('ready', flush=True)
sys.stdin.readline()
# Passed on after everything before it.
os.kill(os.getppid(), signal.SIGUSR1)
while True: time.sleep(1000)
";
    for letter in ['C', '\\'] {
        for mut way in ways() {
            way.launcher.splice(..0, python("terminal.py").into_iter().chain([format!("ctrl-{letter}")]));
            let ended = way.program(["python3", "-c", once]).run();
            assert!(ended.stdout.ends_with(&format!("ready\n^{letter}\ncount 1\nexit 0\n")), "{ended:?}");
        }
    }
}

/// As after `nohup`.
#[test]
#[cfg(target_os = "linux")]
fn ignored_signals_stay_ignored() {
    let ignores = ["bash", "-c", "trap '' HUP; exec \"$0\" \"$@\""].map(str::to_owned);
    let line = "import signal; print(signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM))";
    for mut way in ways() {
        way.launcher.splice(..0, ignores.clone());
        let ended = way.program(["python3", "-c", line]).run();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "1 0\n"), "{ended:?}");
    }
}
