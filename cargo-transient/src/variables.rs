//! The variables of a command, and the templates of their values.

use std::str::FromStr;

use transient_fixtures::__cargo_transient::{CommandServer, CommandTap};

use crate::report;

/// `NAME` or `NAME=TEMPLATE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    template: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Fact(Fact),
}

/// A fact about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Url,
    Host,
    Port,
    Password,
    Database,
}

const FACTS: [(&str, Fact); 5] = [
    ("url", Fact::Url),
    ("host", Fact::Host),
    ("port", Fact::Port),
    ("password", Fact::Password),
    ("database", Fact::Database),
];

/// Where a published port is.
const PUBLISHED_HOST: &str = "127.0.0.1";

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, template) = text.split_once('=').unwrap_or((text, "{url}"));
        if name.is_empty() || name.contains('\0') {
            return Err(report::no_variable_name());
        }
        Ok(Self { name: name.to_owned(), template: parse(template)? })
    }
}

fn parse(template: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), template);
    while let Some(at) = rest.find(['{', '}']) {
        text += &rest[..at];
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{") {
            (text, rest) = (text + "{", after);
        } else if let Some(after) = rest.strip_prefix("}}") {
            (text, rest) = (text + "}", after);
        } else {
            let (name, after) =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or_else(report::lone_brace)?;
            let (_, fact) = FACTS
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| report::unknown_fact(name, &FACTS.map(|(known, _)| known)))?;
            pieces.extend([Piece::Text(std::mem::take(&mut text)), Piece::Fact(*fact)]);
            rest = after;
        }
    }
    pieces.push(Piece::Text(text + rest));
    Ok(pieces)
}

impl Variable {
    /// Whether the value tells the password. The URL of a published port is for commands that send none.
    pub(crate) fn has_password(&self, published: Option<u16>) -> bool {
        self.template.iter().any(|piece| match piece {
            Piece::Fact(Fact::Url) => published.is_none(),
            Piece::Fact(fact) => *fact == Fact::Password,
            Piece::Text(_) => false,
        })
    }

    /// The value for a server, or for the tap in front of it. Either may be published at a port.
    ///
    /// # Errors
    ///
    /// Returns an error if it has the host or the port of a server at a Unix socket.
    pub(crate) fn value(
        &self,
        server: &CommandServer,
        tap: Option<&CommandTap>,
        published: Option<u16>,
    ) -> Result<String, String> {
        let (url, host, port) = match (published, tap) {
            (Some(port), _) => (published_url(server, port), Some(PUBLISHED_HOST), port),
            (None, Some(tap)) => (tap.url().to_owned(), tap.host(), tap.port()),
            (None, None) => (server.url().to_owned(), server.host(), server.port()),
        };
        let no_host = || report::no_host(&self.name, server.server());
        self.template
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Fact(Fact::Url) => Ok(url.clone()),
                Piece::Fact(Fact::Host) => host.map(str::to_owned).ok_or_else(no_host),
                Piece::Fact(Fact::Port) => host.map(|_| port.to_string()).ok_or_else(no_host),
                Piece::Fact(Fact::Password) => Ok(server.password().unwrap_or_default().to_owned()),
                Piece::Fact(Fact::Database) => Ok(server.database().to_string()),
            })
            .collect()
    }
}

fn published_url(server: &CommandServer, port: u16) -> String {
    let password = server.password().map(|password| format!("default:{password}@")).unwrap_or_default();
    format!("redis://{password}{PUBLISHED_HOST}:{port}/{}", server.database())
}

#[cfg(test)]
mod tests {
    use super::{Fact, Piece, Variable};

    fn parsed(text: &str) -> Result<Variable, String> {
        text.parse()
    }

    #[test]
    fn a_name_alone_has_the_url() {
        assert_eq!(parsed("CACHE_URL"), parsed("CACHE_URL={url}"));
        assert!(parsed("CACHE_URL").unwrap().has_password(None));
        assert!(!parsed("CACHE_URL").unwrap().has_password(Some(6379)));
    }

    #[test]
    fn templates_have_text_facts_and_braces() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let variable = parsed("A={{{host}:{port}}}=").unwrap();
        assert_eq!(variable.name, "A");
        let expected = [text("{"), Piece::Fact(Fact::Host), text(":"), Piece::Fact(Fact::Port), text("}=")];
        assert_eq!(variable.template, expected);
        assert!(!variable.has_password(None));
        assert_eq!(parsed("EMPTY=").unwrap().template, [text("")]);
    }

    #[test]
    fn wrong_templates_are_errors() {
        for wrong in ["", "=x", "A={hots}", "A={", "A=}", "A={host"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
