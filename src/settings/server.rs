//! The URL of the running server, if the settings name it in parts.

use redis::parse_redis_url;
use url::Url;

use super::known::{DB, HOST, Known, PORT, SERVER_PASSWORD, SOCKET, URL};
use super::{Origin, Values, values};
use crate::error::Error;
use crate::report;

/// Builds `redis.sessions.url` from the host, port, unix socket, password and database, if there is no URL. If there is
/// one, they have no effect, as in both libraries.
///
/// # Errors
///
/// Returns an error for the first value that is invalid.
pub(super) fn name(values: &mut Values, notes: &mut Vec<String>) -> Result<(), Error> {
    let parts = [HOST, PORT, SOCKET, SERVER_PASSWORD, DB];
    if let Some((url, _)) = values.get_mut(URL.key).filter(|(url, _)| !url.is_empty()) {
        if let Some(translated) = from_python(url) {
            *url = translated;
        }
        for part in parts {
            if let Some((_, origin)) = values.get(part.key) {
                notes.push(report::settings::beside_url(origin, part.key));
            }
        }
        return Ok(());
    }
    // A database number alone does not name a server.
    let Some(named) = parts[..4].iter().find(|part| values.contains_key(part.key)) else { return Ok(()) };
    let port = values::parse(values, PORT, |text| text.parse::<u16>().ok().filter(|port| *port > 0))?;
    let database: u32 = values::parse(values, DB, |text| text.parse().ok())?;
    let password = non_empty(values, SERVER_PASSWORD);
    let url = if let Some(socket) = non_empty(values, SOCKET) {
        values::parse(values, SOCKET, |path| path.starts_with('/').then_some(()))?;
        Url::parse("unix:///").ok().map(|mut url| {
            url.set_path(&escape_percent(socket));
            url.query_pairs_mut().append_pair("db", &database.to_string());
            if let Some(password) = password {
                url.query_pairs_mut().append_pair("pass", password);
            }
            url
        })
    } else {
        let url = values::parse(values, HOST, |host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let host = if bare.contains(':') { format!("[{bare}]") } else { host.to_owned() };
            let mut url = Url::parse("redis://localhost").ok()?;
            url.set_host(Some(&host)).ok()?;
            url.set_port(Some(port)).ok()?;
            url.set_path(&database.to_string());
            // Rejects a host that contains a `/` or an `@`.
            (url.host_str()? == host).then_some(url)
        })?;
        let mut url = url;
        url.set_password(password.map(escape_percent).as_deref()).ok().map(|()| url)
    };
    let origin = values.get(named.key).map_or(Origin::Default, |(_, origin)| origin.clone());
    if let Some(url) = url.filter(|url| parse_redis_url(url.as_str()).is_some()) {
        values.insert(URL.key.to_owned(), (url.into(), origin));
    }
    Ok(())
}

/// Translates a socket URL: redis-py has `username` and `password`, the redis crate has `user` and `pass`.
fn from_python(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok().filter(|url| url.scheme().contains("unix"))?;
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.iter().find(|(name, _)| name == "username" || name == "password")?;
    let mut query = url.query_pairs_mut();
    query.clear();
    for (name, value) in &pairs {
        let name = match name.as_str() {
            "username" => "user",
            "password" => "pass",
            name => name,
        };
        query.append_pair(name, value);
    }
    drop(query);
    Some(url.into())
}

/// The value, if it is neither empty nor Python's `None`.
fn non_empty(values: &Values, known: Known) -> Option<&str> {
    values.get(known.key).map(|(text, _)| text.as_str()).filter(|text| !["", "None"].contains(text))
}

/// Escapes percent signs: the URL crate escapes everything else.
fn escape_percent(text: &str) -> String {
    text.replace('%', "%25")
}
