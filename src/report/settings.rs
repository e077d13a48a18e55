//! What is said of settings.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::shown;

/// How much of a name or a value is shown, in characters.
const SHOWN: usize = 80;

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}… ({} bytes)", &text[..cut], text.len()),
        None => format!("{text:?}"),
    }
}

pub(crate) fn bad_value(place: &dyn Display, key: &str, text: &str, legal: &str) -> String {
    format!("read the settings: {place}: {key} = {} is not {legal}; correct it", cut(text))
}

pub(crate) fn not_unicode(variable: &str) -> String {
    format!("read the settings: {variable} in the environment is not UTF-8; correct it")
}

pub(crate) fn unreadable_ini(path: &Path, error: &io::Error) -> String {
    format!("read {}: {error}; make it a readable UTF-8 file, or name another in TRANSIENT_TEST_INI", path.display())
}

pub(crate) fn open_section(path: &Path, line: usize, text: &str) -> String {
    format!("read {}:{line}: the section {} is not closed; end it with ]", path.display(), cut(text))
}

pub(crate) fn no_key(path: &Path, line: usize) -> String {
    format!("read {}:{line}: the value has no key; write key = value", path.display())
}

pub(crate) fn key_before_section(path: &Path, line: usize, text: &str) -> String {
    format!("read {}:{line}: {} stands before any section; put a line [app:main] above it", path.display(), cut(text))
}

pub(crate) fn key_twice(path: &Path, first: usize, second: usize, section: &str, key: &str) -> String {
    format!(
        "read {}:{second}: {} is given a second time in [{}] (first in line {first}); remove one of the two",
        path.display(),
        shown(key),
        shown(section)
    )
}

pub(crate) fn section_twice(path: &Path, first: usize, second: usize, section: &str) -> String {
    format!(
        "read {}:{second}: [{}] begins a second time (first in line {first}); put its keys under the first one",
        path.display(),
        shown(section)
    )
}

pub(crate) fn no_delimiter(path: &Path, line: usize, text: &str) -> String {
    format!(
        "read {}:{line}: the line that begins with {} is neither a section nor a key with a value; write key = value, or \
         indent it where it goes on from the line above",
        path.display(),
        cut(text)
    )
}

pub(crate) fn no_such_test_ini(path: &Path) -> String {
    format!("read {}, which TRANSIENT_TEST_INI names: there is no such file; correct or unset it", path.display())
}

pub(crate) fn no_such_include(path: &Path, line: usize, included: &Path) -> String {
    format!(
        "read {}:{line}: include_ini_files names {}, and there is no such file; correct or remove the name",
        path.display(),
        included.display()
    )
}

pub(crate) fn too_many_includes(path: &Path, line: usize, most: usize) -> String {
    format!("read {}:{line}: more than {most} files are included; include fewer", path.display())
}

pub(crate) fn url_without_host(place: &dyn Display, key: &str, url: &str) -> String {
    format!(
        "read the settings: {place}: {key} = {url} names no host; write redis://host:port or redis://:password@host:port"
    )
}

pub(crate) fn at_behind_authority(place: &dyn Display, key: &str, url: &str) -> String {
    format!(
        "read the settings: {place}: {key} = {url} has an @ behind its host. If the password contains /, ?, # or @, \
         write %2F, %3F, %23 or %40 there"
    )
}

pub(crate) fn include_circle(path: &Path) -> String {
    format!("read {}: it is included by a file that it includes; remove one of the two includes", path.display())
}

pub(crate) fn url_and_other_provider(provider: impl Display) -> String {
    format!(
        "read the settings: TRANSIENT_REDIS_URL names a running server, but TRANSIENT_PROVIDER={provider} asks for \
         another one; unset one of the two"
    )
}

pub(crate) fn broker_elsewhere(place: &dyn Display, key: &str, broker: &str, sessions: &str) -> String {
    format!(
        "read the settings: {place}: {key} names the server {broker}, but redis.sessions.url names {sessions}; a \
         test has its sessions and its jobs on one server, in two databases, so name the same server in both"
    )
}

pub(crate) fn unknown_key(place: &dyn Display, key: &str, nearest: Option<&str>) -> String {
    format!("{place}: {} is no setting of transient-fixtures and has no effect{}", shown(key), hint(nearest))
}

pub(crate) fn unknown_variable(name: &str, nearest: Option<&str>) -> String {
    format!("the environment: {} is no variable of transient-fixtures and has no effect{}", shown(name), hint(nearest))
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; the nearest is {nearest}")).unwrap_or_default()
}

/// Why a setting of the session libraries has no effect here.
pub(crate) const IS_A_SERIALIZER: &str = "sessions are read and written here as JSON, so give the application json";
pub(crate) const IS_PYTHON: &str = "it names Python code of the application, which is not run here";
pub(crate) const IS_A_SIGNER: &str =
    "it names Python code of the application; cookies are signed here with redis.sessions.secret";
pub(crate) const IS_OF_THE_CLIENT: &str = "it is for the application's own connection to Redis";
pub(crate) const IS_NO_ATTRIBUTE: &str =
    "Set-Cookie lines have no such attribute here; redis.sessions.cookie_max_age ends a cookie";
pub(crate) const IS_OF_A_RESPONSE: &str =
    "it is for the application's requests and responses, which a session of a test does not have";

pub(crate) fn unread_key(place: &dyn Display, key: &str, reason: &str) -> String {
    format!("{place}: {} has no effect here: {reason}", shown(key))
}

pub(crate) fn beside_url(place: &dyn Display, key: &str) -> String {
    format!("{place}: {key} has no effect, because redis.sessions.url names the server; remove one of the two")
}

pub(crate) fn two_names(path: &Path, first: usize, second: usize, one: &str, other: &str) -> String {
    format!(
        "read {}:{second}: {one} and {other} are two names of one setting and have different values (lines {first} and \
         {second}); remove one of the two",
        path.display()
    )
}

pub(crate) fn no_secrets_file(path: &Path, line: usize, name: &str) -> String {
    format!(
        "{}:{line}: websauna.secrets_file names {}, but there is no such file, so its settings are missing",
        path.display(),
        shown(name)
    )
}

pub(crate) fn no_variable(place: &dyn Display, key: &str, variable: &str) -> String {
    format!(
        "{place}: {} comes from the environment variable {}, which is not set; set it, or write the value here",
        shown(key),
        shown(variable)
    )
}

pub(crate) fn more_notes(count: usize) -> String {
    let have = if count == 1 { "setting or variable that has" } else { "settings or variables that have" };
    format!("and {count} more {have} no effect")
}

pub(crate) fn skipped_include(path: &Path, line: usize, name: &str) -> String {
    let name = shown(name);
    format!("{}:{line}: {name} was not included: the file is missing, or was read already", path.display())
}
