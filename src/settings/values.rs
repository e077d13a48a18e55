//! Parses the typed values and checks them against each other. Errors name the place of the value.

use std::time::Duration;

use url::Url;

use super::known::{
    ADOPT, BROKER, CELERY, CLOCK, COOKIE_DOMAIN, COOKIE_HTTPONLY, COOKIE_MAX_AGE, COOKIE_NAME, COOKIE_PATH,
    COOKIE_SAMESITE, COOKIE_SECURE, DATABASES, DOWNLOAD, KEEP, Known, LEASE_TIMEOUT, LINT, OFFLINE, PASSWORD, PROVIDER,
    PYTHON_EXPIRES, SET_REDIS_TTL, TIMEOUT, TIMEOUT_TRIGGER, URL,
};
use super::{Checked, Databases, Origin, Provider, SameSite, Values, from_environment, lint};
use crate::error::{Error, Kind};
use crate::report;

pub(super) const SECONDS: &str = "a whole number of seconds, 1 or more";
pub(super) const SECONDS_OR_NONE: &str = "a whole number of seconds, or 0 or None to turn it off";
pub(super) const COOKIE_TEXT: &str = "printable ASCII characters other than a semicolon";
pub(super) const SAME_SITES: &str = "strict, lax or none";
pub(super) const BOOLEAN: &str = "true or false";
pub(super) const PROVIDERS: &str = "auto, running, process, container or download";
pub(super) const DATABASES_TEXT: &str = "two different database numbers other than 0, 1 and 3, such as 14, 15";
pub(super) const CLOCKS: &str = "ageing or whole";
pub(super) const PASSWORDS: &str = "random or none";
pub(super) const LINTS: &str = "none, ttl, a bound such as ttl <= 7d (ms, s, m, h, d, w), or empty";
pub(super) const COOKIE_NAME_TEXT: &str = "ASCII letters, digits, hyphens, underscores and dots";

/// # Errors
///
/// Returns an error for the first value that is invalid or contradicts another one.
pub(super) fn check(values: &Values) -> Result<Checked, Error> {
    let url = url(values, URL)?;
    check_broker(values, url.as_ref())?;
    parse(values, COOKIE_NAME, |name| {
        let legal = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        (!name.is_empty() && name.chars().all(legal)).then_some(())
    })?;
    for known in [COOKIE_PATH, COOKIE_DOMAIN] {
        parse(values, known, |text| {
            text.bytes().all(|byte| byte != b';' && (byte == b' ' || byte.is_ascii_graphic())).then_some(())
        })?;
    }
    Ok(Checked {
        databases: parse(values, DATABASES, databases)?,
        provider: provider(values)?,
        timeout: parse(values, TIMEOUT, seconds_or_none)?,
        timeout_trigger: parse(values, TIMEOUT_TRIGGER, seconds_or_none)?,
        python_expires: parse(values, PYTHON_EXPIRES, boolean)?,
        set_redis_ttl: parse(values, SET_REDIS_TTL, boolean)?,
        cookie_max_age: parse(values, COOKIE_MAX_AGE, seconds_or_none)?,
        cookie_same_site: parse(values, COOKIE_SAMESITE, same_site)?,
        cookie_secure: parse(values, COOKIE_SECURE, boolean)?,
        cookie_http_only: parse(values, COOKIE_HTTPONLY, boolean)?,
        download: parse(values, DOWNLOAD, boolean)? && !flag(OFFLINE)?,
        passwords: parse(values, PASSWORD, |text| match text {
            "random" => Some(true),
            "none" => Some(false),
            _ => None,
        })?,
        adopt: parse(values, ADOPT, boolean)?,
        keep: flag(KEEP)?,
        lease_timeout: parse(values, LEASE_TIMEOUT, seconds)?,
        whole_clock: parse(values, CLOCK, |text| match text {
            "whole" => Some(true),
            "ageing" => Some(false),
            _ => None,
        })?,
        lint: parse(values, LINT, lint::parse)?,
    })
}

/// # Errors
///
/// Returns an error if the value is invalid.
pub(super) fn parse<T>(values: &Values, known: Known, parser: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let (text, origin) = lookup(values, known);
    parser(text).ok_or_else(|| bad(known, text, &origin))
}

fn lookup(values: &Values, known: Known) -> (&str, Origin) {
    values.get(known.key).map_or((known.default, Origin::Default), |(text, origin)| (text, origin.clone()))
}

fn bad(known: Known, text: &str, origin: &Origin) -> Error {
    let name = if let Origin::Environment(variable) = origin { variable } else { known.key };
    Error::new(Kind::Settings, report::settings::bad_value(origin, name, text, known.legal))
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[expect(clippy::option_option, reason = "`parse` expects it: invalid, or valid and none")]
fn seconds_or_none(text: &str) -> Option<Option<Duration>> {
    match text {
        "" | "0" => Some(None),
        text if text.eq_ignore_ascii_case("none") => Some(None),
        text => seconds(text).map(Some),
    }
}

#[expect(clippy::option_option, reason = "`parse` expects it: invalid, or valid and none")]
fn same_site(text: &str) -> Option<Option<SameSite>> {
    Some(Some(match text.to_lowercase().as_str() {
        "" => return Some(None),
        "strict" => SameSite::Strict,
        "lax" => SameSite::Lax,
        "none" => SameSite::None,
        _ => return None,
    }))
}

/// The words that Pyramid's `asbool` accepts as true, and their opposites.
fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A variable without a key in test.ini.
fn flag(variable: &'static str) -> Result<bool, Error> {
    let Some(text) = from_environment(variable)? else { return Ok(false) };
    let origin = Origin::Environment(variable);
    boolean(&text)
        .ok_or_else(|| Error::new(Kind::Settings, report::settings::bad_value(&origin, variable, &text, BOOLEAN)))
}

fn databases(text: &str) -> Option<Databases> {
    let (sessions, jobs) = text.split_once(',')?;
    let (sessions, jobs) = (sessions.trim().parse().ok()?, jobs.trim().parse().ok()?);
    // 0 is the default of every client. 1 and 3 are the development and production databases.
    let legal = |number| ![0, 1, 3].contains(&number) && number < 10_000;
    (legal(sessions) && legal(jobs) && sessions != jobs).then_some(Databases { sessions, jobs })
}

/// A URL in the environment is binding: it selects the provider.
fn provider(values: &Values) -> Result<Option<Provider>, Error> {
    let provider = parse(values, PROVIDER, |text| match text {
        "auto" => Some(None),
        "running" => Some(Some(Provider::Running)),
        "process" => Some(Some(Provider::Process)),
        "container" => Some(Some(Provider::Container)),
        "download" => Some(Some(Provider::Download)),
        _ => None,
    })?;
    let named_in_environment = matches!(lookup(values, URL).1, Origin::Environment(_));
    match (provider, lookup(values, PROVIDER).1) {
        (Some(other), Origin::Environment(_)) if named_in_environment && other != Provider::Running => {
            Err(Error::new(Kind::Settings, report::settings::url_and_other_provider(other)))
        }
        _ if named_in_environment => Ok(Some(Provider::Running)),
        (provider, _) => Ok(provider),
    }
}

fn url(values: &Values, known: Known) -> Result<Option<Url>, Error> {
    let (text, origin) = lookup(values, known);
    if text.is_empty() {
        return Ok(None);
    }
    let name = if let Origin::Environment(variable) = origin { variable } else { known.key };
    let shown = report::redact(text);
    let refuse = |report: String| Err(Error::new(Kind::Settings, report));
    if has_at_after_authority(text) {
        return refuse(report::settings::at_sign_after_host(&origin, name, &shown));
    }
    match redis::parse_redis_url(text) {
        Some(url) if !is_unix_socket(&url) && url.host_str().is_none_or(str::is_empty) => {
            refuse(report::settings::url_without_host(&origin, name, &shown))
        }
        Some(url) => Ok(Some(url)),
        None => Err(bad(known, &shown, &origin)),
    }
}

fn is_unix_socket(url: &Url) -> bool {
    url.scheme().contains("unix")
}

/// Whether there is an `@` after the host, as in a URL whose password contains an unescaped `/`, `?` or `#`. It would
/// name another server than the author meant.
fn has_at_after_authority(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    !scheme.contains("unix") && rest[authority..].contains('@')
}

/// A test has its jobs on the server of its sessions, so an application with a broker elsewhere would miss them.
fn check_broker(values: &Values, sessions: Option<&Url>) -> Result<(), Error> {
    let Some((known, text, origin)) = broker(values) else { return Ok(()) };
    // amqp://, memory://: the jobs are not in Redis at all.
    let Some(broker) = redis::parse_redis_url(text) else {
        return Ok(());
    };
    // A server named in the environment replaces the one in test.ini.
    let (_, named) = lookup(values, URL);
    match sessions {
        Some(sessions) if matches!(named, Origin::File(..)) && server_of(sessions) != server_of(&broker) => {
            let (text, sessions) = (report::redact(text), report::redact(sessions.as_str()));
            Err(Error::new(Kind::Settings, report::settings::broker_elsewhere(&origin, known.key, &text, &sessions)))
        }
        _ => Ok(()),
    }
}

/// The setting that names the broker, its URL, and its origin.
pub(super) fn broker(values: &Values) -> Option<(Known, &str, Origin)> {
    match lookup(values, BROKER) {
        ("", _) => {
            let (dictionary, origin) = lookup(values, CELERY);
            Some((CELERY, python_string(dictionary, "broker_url")?, origin))
        }
        (text, origin) => Some((BROKER, text, origin)),
    }
}

/// The part of a URL that identifies the server: the path of the socket, or host and port.
fn server_of(url: &Url) -> (String, u16) {
    match url.host_str() {
        None | Some("") => (url.path().to_owned(), 0),
        Some("localhost" | "[::1]") => ("127.0.0.1".to_owned(), url.port().unwrap_or(6379)),
        Some(host) => (host.to_owned(), url.port().unwrap_or(6379)),
    }
}

/// The string value of `"key":` in a Python dictionary.
fn python_string<'text>(dictionary: &'text str, key: &str) -> Option<&'text str> {
    ['"', '\''].into_iter().find_map(|quote| {
        let (_, rest) = dictionary.split_once(&format!("{quote}{key}{quote}"))?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let quote = rest.chars().next().filter(|first| "\"'".contains(*first))?;
        rest[1..].split(quote).next()
    })
}
