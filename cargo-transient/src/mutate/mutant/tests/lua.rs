//! Scripts as programs use them.

use super::*;

const COUNT: &str =
    "local n = redis.call('INCR', KEYS[1])\nif n == 1 then\n  redis.call('EXPIRE', KEYS[1], ARGV[1])\nend\nreturn n";

fn hash(script: &str) -> String {
    transient_fixtures::redis::Script::new(script).get_hash().to_owned()
}

#[test]
fn scripts_keep_their_hashes() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "ttl-drop");
    let [mut client, mut other] = [(); 2].map(|()| Client::new(tap.port()));
    let hash = hash(COUNT);
    assert!(client.call_words(&["EVALSHA", &hash, "1", "k", "100"]).starts_with("-NOSCRIPT"));
    assert_eq!(client.call_words(&["SCRIPT", "EXISTS", &hash]), "[0]");
    assert_eq!(client.call_words(&["SCRIPT", "LOAD", COUNT]), hash);
    assert_eq!(client.call_words(&["SCRIPT", "EXISTS", &hash]), "[1]");
    assert_eq!(client.call_words(&["EVALSHA", &hash.to_uppercase(), "1", "k", "100"]), "1");
    assert_eq!(direct.call("TTL k"), "-1");
    assert_eq!(counted(&counts), (1, 1));
    assert_eq!(other.call_words(&["EVALSHA", &hash, "1", "k", "100"]), "2");
    assert_eq!(counted(&counts), (0, 0), "no command was changed");
    assert_eq!(client.call("SCRIPT FLUSH"), "+OK");
    assert!(other.call_words(&["EVALSHA", &hash, "1", "k", "100"]).starts_with("-NOSCRIPT"));
    // EVAL makes the original known.
    assert_eq!(client.call_words(&["EVAL", COUNT, "1", "other", "100"]), "1");
    assert_eq!(direct.call_words(&["SCRIPT", "EXISTS", &hash]), "[1]");
    assert_eq!(direct.call("TTL other"), "-1");
    assert_eq!(other.call_words(&["EVALSHA", &hash, "1", "other", "100"]), "2");
    drop(tap);
    server.end(false);
}

#[test]
fn replies_of_scripts_are_as_they_were() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "ttl-drop");
    let mut client = Client::new(tap.port());
    direct.call("SET k v");
    direct.call("HSET h f v");
    for hello in ["HELLO 2", "HELLO 3"] {
        direct.call(hello);
        client.call(hello);
        for script in [
            "return 5",
            "return 'text'",
            "return nil",
            "return false",
            "return true",
            "return {1, 'a', {2, false, 3}, true}",
            "return {1, nil, 3}",
            "return {}",
            "return redis.status_reply('FINE')",
            "return redis.error_reply('MY error')",
            "return {err = 'MY error'}",
            "return {ok = 'FINE'}",
            "return 3.9",
            "",
            "return 1, 2",
            "return redis.call('GET', KEYS[1]) -- the end",
            "return redis.call('HGETALL', 'h')",
            "redis.setresp(3); return redis.call('HGETALL', 'h')",
            "redis.setresp(3); return redis.call('GET', 'missing')",
            "redis.setresp(3); return {double = 1.5}",
            "return redis.pcall('LPUSH', 'k', 'a').err ~= nil",
            "return redis.sha1hex('')",
            "return tostring(redis.LOG_WARNING)",
            "local redis = redis; return redis.call('PING')",
            "local function f() return redis.call('TYPE', KEYS[1]) end return f()",
            "return cjson.encode({redis.call('EXISTS', KEYS[1])})",
            "return #ARGV + #KEYS",
        ] {
            let words = ["EVAL", script, "1", "k", "a"];
            direct.send(&words);
            client.send(&words);
            assert_eq!(client.reply(), direct.reply(), "{hello}: {script}");
        }
    }
    for script in ["return", "retur n", "error('own')", "return redis.call('NONSENSE')", "return redis.call()", "end"] {
        let words = ["EVAL", script, "1", "k"];
        let (usual, given) = (direct.call_words(&words), client.call_words(&words));
        assert_eq!(given.split(' ').next(), usual.split(' ').next(), "{script}: {given}");
    }
    assert_eq!(counted(&counts), (0, 0));
    // A header, which Redis before 7 does not know.
    let script = "#!lua flags=allow-stale\nredis.call('SETEX', KEYS[1], 100, 'v') return redis.call('TTL', KEYS[1])";
    let usual = direct.call_words(&["EVAL", script, "1", "k"]);
    let given = client.call_words(&["EVAL", script, "1", "k"]);
    if usual.starts_with('-') {
        assert!(given.starts_with('-'), "{given}");
    } else {
        assert_eq!((usual.as_str(), given.as_str()), ("100", "-1"));
    }
    drop(tap);
    server.end(false);
}

#[test]
fn expiries_at_a_time_are_longer_in_scripts() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "ttl-x60");
    let mut client = Client::new(tap.port());
    for (command, unit) in [("EXPIREAT", 1), ("PEXPIREAT", 1000)] {
        let script = format!(
            "redis.call('SET', 'k', 'v')
            local now = redis.call('TIME')[1]
            return redis.call('{command}', 'k', (now + 100) * {unit})"
        );
        assert_eq!(client.call_words(&["EVAL", &script, "0"]), "1");
        let ttl: u64 = direct.call("TTL k").parse().expect("a TTL");
        assert!((5900..=6000).contains(&ttl), "{command}: {ttl}");
        assert_eq!(counted(&counts), (1, 1));
    }
    drop(tap);
    server.end(false);
}

#[test]
fn only_commands_with_the_inner_name_are_changed() {
    let server = server();
    let mutant = Mutant::new(Operator::named("del-skip").expect("an operator"), Box::new(|_| true)).inside("hdel");
    let counts = mutant.counts();
    let tap = server.rewriting_tap(Box::new(mutant)).expect("a tap");
    let mut client = Client::new(tap.port());
    client.call("SET k v");
    client.call("HSET h f v");
    let script = "return {redis.call('DEL', 'k'), redis.call('hdel', 'h', 'f'), redis.call('EXISTS', 'k', 'h')}";
    assert_eq!(client.call_words(&["EVAL", script, "0"]), "[1 1 1]");
    assert_eq!(counted(&counts), (1, 1));
    drop(tap);
    server.end(false);
}

#[test]
fn read_only_scripts_are_changed_where_the_server_has_them() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "read-nil");
    let mut client = Client::new(tap.port());
    client.call("SET k v");
    let script = "return redis.call('GET', KEYS[1])";
    let usual = direct.call_words(&["EVAL_RO", script, "1", "k"]);
    let given = client.call_words(&["EVAL_RO", script, "1", "k"]);
    if usual == "v" {
        assert_eq!((given.as_str(), counted(&counts)), ("nil", (1, 1)));
        assert_eq!(client.call_words(&["EVALSHA_RO", &hash(script), "1", "k"]), "nil");
    } else {
        assert!(given.starts_with('-'), "{given}");
    }
    drop(tap);
    server.end(false);
}
