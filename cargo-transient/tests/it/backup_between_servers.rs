//! Dumps of every type, restored on the same and on other servers, are equal as snapshots.

use std::env;
use std::path::PathBuf;

use tempfile::TempDir;
use transient_fixtures::Snapshot;

use crate::program::{PROGRAM, Program, python};

/// Keys of every type, small and large. The name of the one with TTLs on its fields sorts last.
const FILL: &str = r#"
ask 0 'SET a apples EX 5000' 'SET empty ""' 'SET "\x00\xff" "\xff\x00\r\n"' 'SETBIT bits 77 1' 'PFADD hll a b c' \
    'RPUSH l a b "" c' 'PEXPIRE l 900000' 'HSET h name Ada age 36' 'SADD s x y "\xff"' 'SADD ints 1 2 3' \
    'ZADD z 2.5 a inf b -inf c 0.1 d 1e300 e' 'XADD log 1-1 a b' 'XADD log 2-1 a c a d' 'XADD log 3-1 q r' \
    'XGROUP CREATE log workers 0' "EVAL \"return #redis.call('XREADGROUP', 'GROUP', 'workers', 'alice', 'COUNT', '2', 'STREAMS', 'log', '>')\" 0" 'XDEL log 1-1' \
    'XGROUP CREATECONSUMER log workers bob' 'XGROUP CREATE new TIME $ MKSTREAM' \
    "EVAL \"for i = 1, 3000 do redis.call('RPUSH', 'large-l', i) redis.call('HSET', 'large-h', i, i) redis.call('SADD', 'large-s', 'm' .. i) redis.call('ZADD', 'large-z', i / 7, i) redis.call('XADD', 'large-x', i .. '-1', 'f', i) end\" 0" \
    "EVAL \"redis.call('SET', 'large', string.rep('abcdefghij', 300000))\" 0" \
    'XGROUP CREATE large-x workers 0' "EVAL \"return #redis.call('XREADGROUP', 'GROUP', 'workers', 'alice', 'COUNT', '2000', 'STREAMS', 'large-x', '>')\" 0" \
    'HSET ~fields a 1 b 2' >/dev/null
has_field_ttls=$(ask 0 'HPEXPIRE ~fields 900000 FIELDS 1 a')
"#;

/// Both forms, on the other server, in an empty database each time.
const RESTORE: &str = r#"
# A reply that is a list, or an error.
knows=$(REDIS_URL=$OTHER ask 0 'HPTTL nothing FIELDS 1 a')
for form in json resp; do
    into="--url $OTHER --database 0 --even-if-not-a-test-database"
    "$PROGRAM" restore $into all.$form >/dev/null
    case "$? $has_field_ttls $knows" in
        "0 -"* | "0 *"*" *"*) restored=all ;;
        "1 *"*" -"*) restored=some; "$PROGRAM" restore $into some.$form >/dev/null || exit 1 ;;
        *) echo unexpected; exit 1 ;;
    esac
    "$PROGRAM" dump --url $OTHER --database 0 after-$form.json >/dev/null || exit 1
    REDIS_URL=$OTHER ask 0 FLUSHDB >/dev/null
done
echo $restored
"#;

/// The servers that the variable names, else the one of all tests, to itself.
fn servers() -> Vec<Option<PathBuf>> {
    match env::var_os("BACKUP_SERVERS") {
        Some(paths) => env::split_paths(&paths).map(Some).collect(),
        None => vec![None],
    }
}

#[test]
fn every_type_is_equal_on_every_server() {
    for from in servers() {
        for to in servers() {
            between(from.as_ref(), to.as_ref());
        }
    }
}

fn between(from: Option<&PathBuf>, to: Option<&PathBuf>) {
    let files = TempDir::new().expect("a directory");
    let [python, client] = python("client.py");
    let script = format!(
        "ask() {{ database=$1; shift; {python} '{client}' \"${{REDIS_URL%/0}}/$database\" \"$@\"; }}
        export -f ask; cd \"$DIR\"; export PROGRAM='{PROGRAM}'; {FILL} export has_field_ttls
        for form in snapshot resp; do
            extension=${{form/snapshot/json}}
            \"$PROGRAM\" dump --database 0 --format $form all.$extension >/dev/null || exit 1
            \"$PROGRAM\" dump --database 0 --format $form --match '[^~]*' some.$extension >/dev/null || exit 1
        done
        if test -n \"$TO\"; then export TRANSIENT_SERVER_BINARY=$TO; fi
        \"$PROGRAM\" exec --var OTHER bash -c \"$RESTORE\""
    );
    let mut program = Program::new(["exec", "bash", "-c", &script]).env("DIR", files.path()).env("RESTORE", RESTORE);
    if let (Some(from), Some(to)) = (from, to) {
        program = program.env("TRANSIENT_SERVER_BINARY", from).env("TO", to).env("TRANSIENT_PROVIDER", "process");
    }
    let ended = program.run();
    let restored = ended.stdout.trim();
    assert!(ended.code == Some(0) && ["all", "some"].contains(&restored), "{from:?} to {to:?}: {ended:?}");
    let snapshot = |name: &str| Snapshot::from_file(files.path().join(name)).expect("a snapshot");
    let before = snapshot(&format!("{restored}.json"));
    assert_eq!(before.len(), if restored == "all" { 19 } else { 18 }, "{from:?}");
    for after in ["after-json.json", "after-resp.json"].map(snapshot) {
        assert!(before == after, "{from:?} to {to:?}: {}", before.diff(&after));
    }
}
