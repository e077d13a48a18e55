//! Text about settings.

use std::fmt::Display;
use std::path::Path;

use super::shown;

/// The longest name or value that is shown, in characters.
const SHOWN: usize = 80;

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}… ({} bytes)", &text[..cut], text.len()),
        None => format!("{text:?}"),
    }
}

pub(crate) fn bad_value(place: &dyn Display, key: &str, text: &str, legal: &str) -> String {
    format!("{place}: invalid value {} for {key}: expected {legal}", cut(text))
}

pub(crate) fn not_unicode(variable: &str) -> String {
    format!("the environment variable {variable} is not valid UTF-8")
}

/// The source is the I/O error.
pub(crate) fn unreadable_ini(path: &Path) -> String {
    format!(
        "could not read the settings from {}. Make it a readable UTF-8 file, or name another one in TRANSIENT_TEST_INI",
        path.display()
    )
}

pub(crate) fn open_section(path: &Path, line: usize, text: &str) -> String {
    format!("{}:{line}: the section {} is not closed. End it with ]", path.display(), cut(text))
}

pub(crate) fn no_key(path: &Path, line: usize) -> String {
    format!("{}:{line}: the value has no key. Write key = value", path.display())
}

pub(crate) fn key_before_section(path: &Path, line: usize, text: &str) -> String {
    format!("{}:{line}: {} is outside of any section. Put a line [app:main] above it", path.display(), cut(text))
}

pub(crate) fn key_twice(path: &Path, first: usize, second: usize, section: &str, key: &str) -> String {
    format!(
        "{}:{second}: duplicate key {} in [{}], first set in line {first}. Remove one of the two",
        path.display(),
        shown(key),
        shown(section)
    )
}

pub(crate) fn section_twice(path: &Path, first: usize, second: usize, section: &str) -> String {
    format!(
        "{}:{second}: duplicate section [{}], first opened in line {first}. Move its keys there",
        path.display(),
        shown(section)
    )
}

pub(crate) fn no_delimiter(path: &Path, line: usize, text: &str) -> String {
    format!(
        "{}:{line}: {} is neither a section nor a key with a value. Write key = value, or indent the line to continue the \
         one above",
        path.display(),
        cut(text)
    )
}

pub(crate) fn no_such_test_ini(path: &Path) -> String {
    format!(
        "{}, named by TRANSIENT_TEST_INI, does not exist. Name an existing file, or unset the variable",
        path.display()
    )
}

pub(crate) fn no_such_include(path: &Path, line: usize, included: &Path) -> String {
    format!(
        "{}:{line}: include_ini_files names {}, which does not exist. Create the file, or remove its name",
        path.display(),
        included.display()
    )
}

pub(crate) fn too_many_includes(path: &Path, line: usize, most: usize) -> String {
    format!("{}:{line}: more than {most} files are included", path.display())
}

pub(crate) fn url_without_host(place: &dyn Display, key: &str, url: &str) -> String {
    format!("{place}: {key} = {url} has no host. Write redis://host:port or redis://:password@host:port")
}

pub(crate) fn at_sign_after_host(place: &dyn Display, key: &str, url: &str) -> String {
    format!(
        "{place}: {key} = {url} has an @ after its host. Percent-encode /, ?, # and @ in a password as %2F, %3F, %23 and \
         %40"
    )
}

pub(crate) fn include_circle(path: &Path) -> String {
    format!("circular include: {} is included by a file that it includes. Remove one of the includes", path.display())
}

pub(crate) fn url_and_other_provider(provider: impl Display) -> String {
    format!(
        "TRANSIENT_REDIS_URL names a running server, but TRANSIENT_PROVIDER={provider} asks for another one. Unset one of \
         the two"
    )
}

pub(crate) fn broker_elsewhere(place: &dyn Display, key: &str, broker: &str, sessions: &str) -> String {
    format!(
        "{place}: {key} names the server {broker}, but redis.sessions.url names {sessions}. The sessions and jobs of a \
         test are in two databases of one server, so name the same server in both"
    )
}

pub(crate) fn unknown_key(place: &dyn Display, key: &str, nearest: Option<&str>) -> String {
    format!("{place}: the unknown setting {} has no effect{}", shown(key), hint(nearest))
}

pub(crate) fn unknown_variable(name: &str, nearest: Option<&str>) -> String {
    format!("the environment: the unknown variable {} has no effect{}", shown(name), hint(nearest))
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(". The closest name is {nearest}")).unwrap_or_default()
}

/// Why a setting of the session libraries has no effect here.
pub(crate) const IS_A_SERIALIZER: &str = "sessions are read and written as JSON. Let the application use JSON as well";
pub(crate) const IS_PYTHON: &str = "it names Python code of the application, which can't be run here";
pub(crate) const IS_A_SIGNER: &str =
    "it names Python code of the application. Cookies are signed with redis.sessions.secret instead";
pub(crate) const IS_OF_THE_CLIENT: &str = "it configures the application's own connection to Redis";
pub(crate) const IS_NO_ATTRIBUTE: &str =
    "no Set-Cookie value here has this attribute. redis.sessions.cookie_max_age sets when a cookie expires";
pub(crate) const IS_OF_A_RESPONSE: &str = "it configures how the application handles requests and responses";

pub(crate) fn unread_key(place: &dyn Display, key: &str, reason: &str) -> String {
    format!("{place}: {} has no effect here: {reason}", shown(key))
}

pub(crate) fn beside_url(place: &dyn Display, key: &str) -> String {
    format!("{place}: {key} has no effect, because redis.sessions.url names the server. Remove one of the two")
}

pub(crate) fn two_names(path: &Path, first: usize, second: usize, one: &str, other: &str) -> String {
    format!(
        "{}:{second}: {one} and {other} are two names of one setting, but have different values (lines {first} and \
         {second}). Remove one of the two",
        path.display()
    )
}

pub(crate) fn no_secrets_file(path: &Path, line: usize, name: &str) -> String {
    format!(
        "{}:{line}: websauna.secrets_file names {}, which does not exist. No settings are read from it",
        path.display(),
        shown(name)
    )
}

pub(crate) fn no_variable(place: &dyn Display, key: &str, variable: &str) -> String {
    format!(
        "{place}: {} is ignored, because the environment variable {} that it names is not set",
        shown(key),
        shown(variable)
    )
}

pub(crate) fn more_notes(count: usize) -> String {
    let have = if count == 1 { "setting or variable has" } else { "settings or variables have" };
    format!("{count} more {have} no effect")
}

pub(crate) fn skipped_include(path: &Path, line: usize, name: &str) -> String {
    let name = shown(name);
    format!("{}:{line}: {name} was not included: the file does not exist, or was already read", path.display())
}
