//! Checks that a server supports everything a lease needs, without changing anything.
//!
//! The commands are sent in a MULTI that is discarded, after the server has accepted the MULTI. A server checks a
//! command when it queues it: whether it supports the command, whether the user may run it on these keys, and whether
//! it accepts writes at all. As a second safeguard, the commands that write have an argument too many, so that they
//! would fail if they were executed.

use redis::{Cmd, Connection, InfoDict, RedisResult, Value, cmd, from_redis_value};
use url::Url;

use super::first_contact::Reply;
use crate::report::running as report;

/// The oldest Redis version that a lease supports.
const MIN_VERSION: (u32, u32) = (6, 2);

/// A key of ours: the marker that a release leaves.
const KEY: &str = "transient-fixtures:left";

/// Why a server is unsuitable, and what to do.
pub(super) struct Unfit {
    pub(super) why: String,
    pub(super) remedy: String,
    /// Whether its data is not for tests, so that it is refused even if it was named.
    pub(super) is_refusal: bool,
}

/// Returns the first commands: INFO, SELECT for each test database, and MULTI.
pub(super) fn questions(databases: [u32; 2]) -> Vec<Cmd> {
    let mut questions = vec![cmd("INFO")];
    questions.extend(databases.map(|database| cmd("SELECT").arg(database).take()));
    questions.push(cmd("MULTI"));
    questions
}

/// Returns the commands that are queued in this MULTI.
pub(super) fn queued_commands() -> Vec<Cmd> {
    required_commands().into_iter().map(|(_, command)| command).chain([cmd("DISCARD")]).collect()
}

/// Returns the commands that a lease and its test need.
fn required_commands() -> Vec<(&'static str, Cmd)> {
    let one = |name: &'static str, arguments: &[&str]| (name, cmd(name).arg(arguments).take());
    vec![
        one("CLIENT", &["SETNAME", "transient-fixtures"]),
        one("CLIENT", &["ID"]),
        one("CLIENT", &["LIST"]),
        one("EVAL", &["return 1", "1", KEY]),
        one("TYPE", &[KEY]),
        one("GET", &[KEY]),
        one("DBSIZE", &[]),
        one("KEYS", &["transient-fixtures:*"]),
        one("RANDOMKEY", &[]),
        one("SCAN", &["0"]),
        one("FLUSHDB", &["not", "executed"]),
        one("DEL", &[KEY]),
        one("SET", &[KEY, "", "not", "executed"]),
    ]
}

/// Returns the INFO of a suitable server.
///
/// # Errors
///
/// Returns the first reason why the server is unsuitable.
pub(super) fn check_replies(
    url: &Url,
    shown: &str,
    databases: [u32; 2],
    auth: Option<Reply>,
    replies: Vec<Reply>,
) -> Result<InfoDict, Unfit> {
    let user = match url.username() {
        "" => "default",
        user => user,
    };
    if let Some(Err(message)) = auth {
        return Err(unfit(report::denied(shown, &message), report::REMEDY_DENIED));
    }
    let mut replies = replies.into_iter();
    let mut next = || replies.next().unwrap_or_else(|| Err("no reply".to_owned()));
    let info = match next() {
        Ok(value) => from_redis_value::<InfoDict>(value).unwrap_or_else(|_| InfoDict::new("")),
        Err(message) => return Err(refused_command(shown, user, "INFO", &message)),
    };
    check_role(shown, &info)?;
    for database in databases {
        if let Err(message) = next() {
            let refused = refused_command(shown, user, "SELECT", &message);
            let missing = || Unfit {
                why: crate::report::refused::no_such_database(shown, database, &message),
                remedy: String::new(),
                is_refusal: true,
            };
            return Err(if message.contains("out of range") { missing() } else { refused });
        }
    }
    if let Err(message) = next() {
        return Err(refused_command(shown, user, "MULTI", &message));
    }
    for (name, _) in required_commands() {
        if let Err(message) = next() {
            return Err(refused_command(shown, user, name, &message));
        }
    }
    Ok(info)
}

fn unfit(why: String, remedy: impl Into<String>) -> Unfit {
    Unfit { why, remedy: remedy.into(), is_refusal: false }
}

/// Checks that it is a standalone primary of a supported version. A field that is missing fails the check.
fn check_role(shown: &str, info: &InfoDict) -> Result<(), Unfit> {
    let field = |name: &str| info.get::<String>(name).unwrap_or_default();
    let refuse = |why: String| Err(Unfit { why, remedy: String::new(), is_refusal: true });
    // Valkey 9 has another name for it.
    for mode in [field("redis_mode"), field("server_mode")] {
        if !matches!(mode.as_str(), "" | "standalone") {
            return refuse(crate::report::refused::mode(shown, &mode));
        }
    }
    match field("role").as_str() {
        "master" => {}
        "slave" => return refuse(crate::report::refused::replica(shown)),
        _ => return Err(unfit(report::untold(shown, "role"), report::REMEDY_UNFIT)),
    }
    if field("loading") == "1" {
        return refuse(crate::report::refused::loading(shown));
    }
    if field("run_id").is_empty() || !field("run_id").bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unfit(report::untold(shown, "run_id"), report::REMEDY_UNFIT));
    }
    let version = field("redis_version");
    match major_minor(&version) {
        None => Err(unfit(report::untold(shown, "version"), report::REMEDY_UNFIT)),
        Some(major_minor) if major_minor < MIN_VERSION => {
            Err(unfit(report::too_old(shown, &version), report::REMEDY_TOO_OLD))
        }
        Some(_) => Ok(()),
    }
}

/// Returns the major and minor version.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut major_minor = version.split('.').map(str::parse);
    Some((major_minor.next()?.ok()?, major_minor.next()?.ok()?))
}

/// Returns whether a version is too old for a lease.
pub(super) fn is_too_old(version: &str) -> bool {
    major_minor(version).is_some_and(|major_minor| major_minor < MIN_VERSION)
}

fn refused_command(shown: &str, user: &str, command: &str, message: &str) -> Unfit {
    let code = message.split(' ').next().unwrap_or_default();
    let lower = message.to_lowercase();
    match code {
        "NOAUTH" | "WRONGPASS" => unfit(report::denied(shown, message), report::REMEDY_DENIED),
        "NOPERM" if lower.contains("to access") => unfit(report::keys_forbidden(shown, user, KEY), report::REMEDY_KEYS),
        "NOPERM" => unfit(report::command_forbidden(shown, user, command), report::remedy_command(command)),
        "DENIED" => unfit(report::protected(shown), report::REMEDY_PROTECTED),
        _ if lower.contains("unknown command") => {
            unfit(report::switched_off(shown, command), report::remedy_switched_off(command))
        }
        _ if lower.contains("max number of clients") => unfit(report::full(shown), report::REMEDY_FULL),
        _ => unfit(report::answers_with_error(shown, command, message), report::REMEDY_ERROR),
    }
}

/// Explains the first reply of a server that then closed the connection.
pub(super) fn check_first_reply(shown: &str, message: &str) -> Unfit {
    refused_command(shown, "default", "INFO", message)
}

/// Checks that a started server supports the commands of a lease: its binary may be a wrapper, or an unusual build.
///
/// # Errors
///
/// Returns the first command that the server rejects.
pub(super) fn check_own(control: &mut Connection) -> RedisResult<Result<(), String>> {
    const REQUIRED: [&[&str]; 8] = [
        &["CLIENT", "SETNAME", "transient-fixtures"],
        &["CLIENT", "LIST"],
        &["CLIENT", "UNPAUSE"],
        &["INFO", "commandstats"],
        &["CONFIG", "SET", "requirepass", ""],
        &["FLUSHALL", "not", "executed"],
        &["SCRIPT", "FLUSH"],
        &["EVAL", "return 1", "0"],
    ];
    let mut commands = redis::pipe();
    commands.ignore_errors().cmd("MULTI");
    for command in REQUIRED {
        commands.cmd(command[0]).arg(&command[1..]);
    }
    commands.cmd("DISCARD");
    let replies: Vec<RedisResult<Value>> = commands.query(control)?;
    let refused = REQUIRED.iter().zip(replies.into_iter().skip(1)).find_map(|(command, reply)| {
        let message = reply.err()?.to_string();
        Some(report::own_refused(command[0], message.to_lowercase().contains("unknown"), &message))
    });
    Ok(refused.map_or(Ok(()), Err))
}

/// Returns the text of the first reply, for a peer that may not be a Redis.
pub(super) fn first_reply_text(replies: &[Reply]) -> Option<String> {
    match replies.first()? {
        Err(message) | Ok(Value::SimpleString(message)) => Some(message.clone()),
        Ok(_) => None,
    }
}
