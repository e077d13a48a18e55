//! `dump` and `restore`: what they promise about files and keys.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::program::{Ended, PROGRAM, Program, python};

/// Runs a shell script with a running server, `ask DATABASE COMMAND…`, and `$DIR` for files.
fn with_files(script: &str) -> (Ended, TempDir) {
    let files = TempDir::new().expect("a directory");
    let [python, client] = python("client.py");
    let ask = format!("ask() {{ database=$1; shift; {python} '{client}' \"${{REDIS_URL%/*}}/$database\" \"$@\"; }}");
    // Waits until a dump writes.
    let writes = "writes() { until compgen -G \"$DIR/.*.part\" >/dev/null && test -s \"$DIR\"/.*.part; do :; done; }";
    let script = format!("{ask}; {writes}; cd \"$DIR\"; {script}");
    (Program::new(["exec", "bash", "-c", &script]).env("DIR", files.path()).run(), files)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort_unstable();
    names
}

fn words(ended: &Ended) -> Vec<&str> {
    ended.stdout.split_whitespace().collect()
}

/// So many keys that a signal or another program is in time.
const MANY: &str =
    "ask 14 \"EVAL \\\"for i = 1, 50000 do redis.call('SET', i, string.rep('x', 100)) end\\\" 0\" >/dev/null";

#[test]
fn a_file_is_only_replaced_if_asked_and_only_its_user_can_read_it() {
    let (ended, files) = with_files(&format!(
        "ask 14 'SET a 1' >/dev/null
        '{PROGRAM}' dump a.json >/dev/null; echo $?; ask 14 'SET a 2' >/dev/null
        '{PROGRAM}' dump a.json; echo $?; read -r -d '' before <a.json
        '{PROGRAM}' dump --replace a.json >/dev/null; echo $?
        '{PROGRAM}' dump --replace /dev/full; echo $?
        ln -s a.json link 2>/dev/null || {python} -c 'import os; os.symlink(\"a.json\", \"link\")'
        '{PROGRAM}' dump --replace --database 3 link >/dev/null; echo $?
        '{PROGRAM}' dump link; echo $?",
        python = python("client.py")[0],
    ));
    assert_eq!(words(&ended), ["0", "1", "0", "1", "0", "1"], "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 3, "{ended:?}");
    assert_eq!(names(files.path()), ["a.json", "link"]);
    assert!(fs::symlink_metadata(files.path().join("link")).expect("the link").is_symlink());
    let text = fs::read_to_string(files.path().join("a.json")).expect("a file");
    assert!(text.contains("\"3\": []"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(files.path().join("a.json")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Restored keys belong to the user: no test clears them silently.
#[test]
fn keys_of_tests_are_cleared_and_those_of_others_are_refused() {
    let (ended, _files) = with_files(&format!(
        "ask 0 'SET a 1' 'SET b 2' >/dev/null; '{PROGRAM}' dump --database 0 a.json >/dev/null
        # A test has left these.
        export -f ask; '{PROGRAM}' exec --provider running bash -c 'ask 14 \"SET left 1\"' >/dev/null
        '{PROGRAM}' restore a.json >/dev/null; echo $?; ask 14 DBSIZE 'GET a' 'SET c 3'
        '{PROGRAM}' restore a.json; echo $?; '{PROGRAM}' flush; echo $?
        # The other database is not concerned.
        '{PROGRAM}' restore --database 15 a.json >/dev/null; echo $?; ask 15 DBSIZE
        ask 14 'SET a 7' >/dev/null; '{PROGRAM}' restore --replace a.json >/dev/null; echo $?; ask 14 DBSIZE 'GET a'
        TRANSIENT_ADOPT=1 '{PROGRAM}' restore a.json >/dev/null 2>&1; echo $?; ask 14 DBSIZE"
    ));
    let expected = ["0", ":2", "1", "+OK", "1", "1", "0", ":2", "0", ":3", "1", "0", ":2"];
    assert_eq!(words(&ended), expected, "{ended:?}");
    assert!(ended.stderr.contains("TRANSIENT_ADOPT=1") && ended.stderr.contains("--replace"), "{ended:?}");
}

#[test]
fn other_databases_need_to_be_named_and_empty() {
    let (ended, _files) = with_files(&format!(
        "ask 0 'SET a 1' >/dev/null; '{PROGRAM}' dump --database 0 a.json >/dev/null; ask 0 'SET a 2' 'SET b 1' >/dev/null
        '{PROGRAM}' restore --database 0 a.json; echo $?
        '{PROGRAM}' restore --database 0 --even-if-not-a-test-database a.json; echo $?; ask 0 'GET a'
        '{PROGRAM}' restore --database 0 --even-if-not-a-test-database --replace a.json >/dev/null; echo $?
        ask 0 'GET a' DBSIZE
        '{PROGRAM}' restore --database 3 --even-if-not-a-test-database a.json >/dev/null; echo $?; ask 3 'GET a'"
    ));
    assert_eq!(words(&ended), ["1", "1", "2", "0", "1", ":2", "0", "1"], "{ended:?}");
    assert!(ended.stderr.contains("--even-if-not-a-test-database") && ended.stderr.contains("--replace"), "{ended:?}");
}

#[test]
fn broken_files_are_refused_before_anything_is_written() {
    let (ended, _files) = with_files(&format!(
        "ask 14 'SET a 1' 'RPUSH l a b' 'HSET h f v' 'XADD s 1-1 f v' 'EXPIRE l 1000' >/dev/null
        '{PROGRAM}' dump a.json >/dev/null && '{PROGRAM}' dump --format resp a.resp >/dev/null; ask 14 FLUSHDB >/dev/null
        for file in a.json a.resp; do
            {python} -c '
import sys
text = open(sys.argv[1], \"rb\").read()
for end in range(0, len(text) - 2, 7): open(f\"cut{{end}}\", \"wb\").write(text[:end])
open(\"cut-new\", \"wb\").write(text.replace(b\"snapshot\\\": 1\", b\"snapshot\\\": 2\").replace(b\"backup 1\", b\"backup 2\"))
open(\"cut-more\", \"wb\").write(text + text)
open(\"cut-bad\", \"wb\").write(text.replace(b\"RPUSH\", b\"RPOPS\").replace(b\"list\", b\"tsil\"))
open(\"cut-zip\", \"wb\").write(b\"PK\\x03\\x04\")
' $file
            for cut in cut*; do '{PROGRAM}' restore $cut && echo $cut was restored; done
            rm -f cut* 2>/dev/null || {python} -c 'import glob, os; [os.remove(one) for one in glob.glob(\"cut*\")]'
            ask 14 DBSIZE
            '{PROGRAM}' restore $file >/dev/null; echo $?; ask 14 DBSIZE FLUSHDB
        done",
        python = python("client.py")[0],
    ));
    assert_eq!(words(&ended), [":0", "0", ":4", "+OK", ":0", "0", ":4", "+OK"], "{ended:?}");
    // With the place.
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(lines.len() > 40 && lines.iter().all(|line| line.starts_with("cargo transient: cut")), "{ended:?}");
    assert!(ended.stderr.contains("cut14:"), "{ended:?}");
}

#[test]
fn without_a_server_or_its_password_nothing_is_written() {
    let (ended, files) = with_files(&format!(
        "'{PROGRAM}' dump --url redis://127.0.0.1:1 a.json; echo $?
        ask 14 'SET a 1' >/dev/null; '{PROGRAM}' dump a.json >/dev/null
        wrong=redis://:wrong@${{REDIS_URL#*@}}
        '{PROGRAM}' dump --url $wrong b.json; echo $?
        '{PROGRAM}' restore --url $wrong a.json; echo $?
        '{PROGRAM}' restore --url $wrong --database 3 --even-if-not-a-test-database a.json; echo $?
        '{PROGRAM}' restore missing.json; echo $?
        '{PROGRAM}' dump a.json/b.json; echo $?; '{PROGRAM}' dump missing/b.json; echo $?"
    ));
    assert_eq!(words(&ended), ["1"; 7], "{ended:?}");
    assert!(!ended.stderr.contains("wrong@") && ended.stderr.lines().count() >= 7, "{ended:?}");
    assert_eq!(names(files.path()), ["a.json"]);
}

#[test]
fn streams_are_standard_output_and_input() {
    let (ended, files) = with_files(&format!(
        "ask 14 'SET a 1' 'SET b 2' >/dev/null
        '{PROGRAM}' dump - 2>/dev/null | '{PROGRAM}' restore --database 15 - >/dev/null; echo ${{PIPESTATUS[*]}}
        ask 15 DBSIZE FLUSHDB
        '{PROGRAM}' dump --format resp - 2>/dev/null | '{PROGRAM}' restore --database 15 - >/dev/null
        ask 15 DBSIZE; '{PROGRAM}' dump - 2>/dev/null >/dev/full; echo $?"
    ));
    assert_eq!(words(&ended), ["0", "0", ":2", "+OK", ":2", "1"], "{ended:?}");
    assert_eq!(names(files.path()), [""; 0]);
}

/// The limit is that of a file's size: unlike a full disk, it needs no rights.
#[test]
fn a_full_disk_leaves_no_file() {
    let (ended, files) = with_files(&format!("{MANY}; (trap '' XFSZ; ulimit -f 64; '{PROGRAM}' dump a.json; echo $?)"));
    assert_eq!(words(&ended), ["1"], "{ended:?}");
    assert!(ended.stderr.contains("a.json"), "{ended:?}");
    assert_eq!(names(files.path()), [""; 0]);
}

#[test]
fn a_signal_or_a_lost_server_leaves_no_file() {
    let (ended, files) = with_files(&format!(
        "{MANY}
        '{PROGRAM}' dump a.json >/dev/null & writes; kill -TERM $!; wait $!; echo $?
        compgen -G '.*.part'
        '{PROGRAM}' dump a.json >/dev/null & writes; ask 14 'SHUTDOWN NOSAVE' 2>/dev/null; wait $!; echo $?"
    ));
    assert_eq!(words(&ended), ["143", "1"], "{ended:?}");
    assert_eq!(names(files.path()), [""; 0], "{ended:?}");
}

#[test]
fn a_killed_dump_leaves_a_part_that_the_next_one_removes() {
    let (ended, files) = with_files(&format!(
        "{MANY}
        '{PROGRAM}' dump a.json >/dev/null & writes; kill -KILL $!; wait $! 2>/dev/null; echo $?
        test -e a.json && echo a half file; compgen -G '.*.part' >/dev/null && echo a part
        ask 14 FLUSHDB >/dev/null; '{PROGRAM}' dump a.json >/dev/null; echo $?"
    ));
    assert_eq!(words(&ended), ["137", "a", "part", "0"], "{ended:?}");
    assert_eq!(names(files.path()), ["a.json"]);
}

#[test]
fn of_two_dumps_to_one_file_one_wins() {
    let (ended, files) = with_files(&format!(
        "{MANY}
        '{PROGRAM}' dump a.json >/dev/null & one=$!; '{PROGRAM}' dump a.json >/dev/null & two=$!
        wait $one; first=$?; wait $two; echo $((first + $?))
        '{PROGRAM}' restore --database 15 a.json >/dev/null; echo $?; ask 15 DBSIZE"
    ));
    assert_eq!(words(&ended), ["1", "0", ":50000"], "{ended:?}");
    assert_eq!(names(files.path()), ["a.json"]);
}

#[test]
fn a_signal_stops_a_restore_and_says_what_remains() {
    let (ended, _files) = with_files(&format!(
        "{MANY}; '{PROGRAM}' dump a.json >/dev/null
        '{PROGRAM}' restore --database 15 a.json & restore=$!
        until test $(ask 15 DBSIZE) != :0; do :; done; kill -TERM $restore; wait $restore; echo $?
        '{PROGRAM}' restore --replace --database 15 a.json >/dev/null; echo $?; ask 15 DBSIZE"
    ));
    assert_eq!(words(&ended), ["143", "0", ":50000"], "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

/// Large values are read in parts: nobody waits for one command.
#[test]
fn a_large_value_keeps_nobody_waiting() {
    let fill = "for i = 1, 50000 do redis.call('HSET', 'h', i, i) redis.call('RPUSH', 'l', i) redis.call('SADD', 's', \
                'm' .. i) redis.call('ZADD', 'z', i, i) redis.call('XADD', 'x', i .. '-1', 'f', i) end";
    let count = "local all = redis.call('INFO', 'commandstats') local calls = '' for _, name in ipairs({'hscan', 'sscan', \
                 'lrange', 'zrange', 'xrange'}) do calls = calls .. (all:match('cmdstat_' .. name .. ':calls=(%d+)') or \
                 '0') .. ',' end return calls";
    let (ended, _files) = with_files(&format!(
        "ask 14 \"EVAL \\\"{fill}\\\" 0\" 'CONFIG RESETSTAT' >/dev/null
        '{PROGRAM}' dump a.json >/dev/null; ask 14 \"EVAL \\\"{count}\\\" 0\"
        '{PROGRAM}' restore --database 15 a.json >/dev/null; echo $?; ask 15 DBSIZE"
    ));
    let [calls, restored, keys] = words(&ended)[..] else { panic!("{ended:?}") };
    let calls: Vec<u32> = calls.split_terminator(',').map(|calls| calls.parse().expect("a number")).collect();
    assert!(calls.len() == 5 && calls.iter().all(|calls| *calls >= 50), "{ended:?}");
    assert_eq!((restored, keys), ("0", ":5"), "{ended:?}");
}

/// On a terminal alone, where the line goes when the work is done.
#[test]
fn long_work_shows_its_progress_on_a_terminal() {
    let [python, client] = python("client.py");
    let fill = "for i = 1, 100000 do redis.call('SET', i, i) end";
    let script = format!(
        "{python} '{client}' ${{REDIS_URL%/*}}/14 \"EVAL \\\"{fill}\\\" 0\" >/dev/null; echo ready
        '{PROGRAM}' dump - 2>&1 >/dev/null"
    );
    let mut terminal = crate::program::python("terminal.py").to_vec();
    terminal.push("watch".to_owned());
    let ended = Program::started_by(&terminal, ["exec", "bash", "-c", &script]).run();
    let (lines, rest) = ended.stdout.rsplit_once('\r').expect("progress");
    assert!(lines.contains('\r') && lines.contains("100000"), "{ended:?}");
    assert!(rest.ends_with("exit 0\n") && rest.contains(" 14 "), "{ended:?}");
}

/// The second line of the output tells whether others wrote.
#[test]
fn writes_in_the_meantime_are_told() {
    let (ended, _files) = with_files(&format!(
        "{MANY}; '{PROGRAM}' dump a.json
        '{PROGRAM}' dump b.json & dump=$!; writes; ask 0 'SET n 1' >/dev/null; wait $dump"
    ));
    let first: Vec<_> = ended.stdout.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!((first.len(), first[0], first[2]), (4, "a.json:", "b.json:"), "{ended:?}");
    assert_ne!(first[1], first[3], "{ended:?}");
}
