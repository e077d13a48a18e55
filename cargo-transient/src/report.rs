//! Every sentence that this program prints.

use std::fmt::Display;
use std::io;

/// `text` is one or more whole sentences of which the first begins in lower case, as in the library.
pub(crate) fn error(text: &dyn Display) -> String {
    format!("cargo transient: {text}")
}

pub(crate) fn not_started(program: &dyn Display, cause: &io::Error) -> String {
    let remedy = if cause.kind() == io::ErrorKind::NotFound {
        "Check its spelling, and that its directory is on PATH. Shell syntax needs a shell: sh -c '…'"
    } else {
        "Check that it is a program for this machine, and that you may execute it"
    };
    error(&format!("could not start {program} ({cause}). {remedy}"))
}

// Errors in arguments, which clap completes

pub(crate) fn no_variable_name() -> String {
    "it has no name before the =".to_owned()
}

pub(crate) fn lone_brace() -> String {
    "it has a lone brace. Write {{ or }} for one".to_owned()
}

pub(crate) fn unknown_fact(name: &str, known: &[&str]) -> String {
    let known: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
    format!("{{{name}}} is unknown. There are {}; {{{{ and }}}} are braces", known.join(", "))
}

pub(crate) fn no_host(variable: &str, server: &dyn Display) -> String {
    format!(
        "the variable {variable} asks for a host or a port, but {server} has only a Unix socket. Use {{url}}, or leave \
         out the provider"
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::Path;

    use super::*;

    /// `golden.txt` has every sentence, rendered with fixed values.
    #[test]
    fn sentences_are_golden() {
        let not_found = Error::new(ErrorKind::NotFound, "No such file or directory (os error 2)");
        let no_permission = Error::new(ErrorKind::PermissionDenied, "Permission denied (os error 13)");
        let sentences = [
            not_started(&"npn", &not_found),
            not_started(&"./build", &no_permission),
            no_variable_name(),
            lone_brace(),
            unknown_fact("prot", &["url", "port"]),
            no_host("REDIS_HOST", &"Redis 7.0.15 at /run/redis.sock (running)"),
        ];
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden.txt");
        let text = sentences.join("\n") + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("write");
        }
        let expected = std::fs::read_to_string(&golden).expect("the golden file");
        assert_eq!(text, expected, "UPDATE_GOLDEN=1 renews it");
    }
}
