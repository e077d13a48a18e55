//! `show`: the keys of a database, without changing or blocking anything.

mod keys;
mod text;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use transient_fixtures::__cargo_transient::running_settings;

use crate::arguments::Show;
use crate::{Failure, connection, output, report};

/// How often `--watch` looks again.
const EVERY: Duration = Duration::from_secs(1);

/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(crate) fn run(arguments: &Show) -> Result<ExitCode, Failure> {
    let settings = running_settings(arguments.url.as_deref()).map_err(|error| Failure::of(&error))?;
    let database = arguments.database.unwrap_or(settings.databases().sessions);
    let failed = |error| Failure::of(&report::not_shown(database, &error));
    let (mut connection, address) = connection::open(settings.redis_url(), database).map_err(failed)?;
    if arguments.json {
        keys::scan(&mut connection, arguments.pattern.as_deref(), |connection, names| {
            let lines: Vec<_> = keys::read(connection, names)?.iter().map(|key| text::json(database, key)).collect();
            if !lines.is_empty() {
                output::print(&lines.join("\n"));
            }
            Ok(true)
        })
        .map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        let screen = keys::Screen::read(&mut connection, arguments.pattern.as_deref(), arguments.limit);
        let screen = text::screen(&address, database, &screen.map_err(failed)?);
        if !arguments.watch {
            output::print(&screen);
            return Ok(ExitCode::SUCCESS);
        }
        let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
        output::print(&format!("{clear}{screen}"));
        thread::sleep(EVERY);
    }
}
