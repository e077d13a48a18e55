//! Data fixtures: files of the crate under test that are loaded into the test databases.
//!
//! All lines of a file are checked before any is sent, so that none reaches beyond the test databases. A file is one
//! MULTI, so that a line which the server rejects when it is queued loads nothing.

mod locate;
mod script;
mod tokenize;

use std::fs;
use std::path::Path;

use script::Script;

use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::redis_io::packed_commands::Outcome;
use crate::report;
use crate::snapshot::Snapshot;
use crate::snapshot::restore::{Before, restore};

/// Loads fixtures one after another into the empty databases of a clean test. Empties them again if one fails, so that
/// the test does not see half of its data.
///
/// # Errors
///
/// Returns the errors of [`TestRequest::load`](crate::TestRequest::load).
pub(crate) fn load_clean(lease: &Lease, names: &[&str]) -> Result<(), Error> {
    names.iter().try_for_each(|name| load(lease, name, true)).inspect_err(|_| {
        // Best effort: the first error is the one to report.
        let _ = lease.flush();
    })
}

/// Loads a fixture. With `is_clean`, both databases are emptied if a command fails on execution.
///
/// # Errors
///
/// Returns the errors of [`TestRequest::load`](crate::TestRequest::load).
pub(crate) fn load(lease: &Lease, name: &str, is_clean: bool) -> Result<(), Error> {
    let path = locate::fixture(name)?;
    if path.extension().is_some_and(|extension| extension == locate::SNAPSHOT) {
        return restore(lease, &Snapshot::from_file(&path)?, Before::Keep { undo: is_clean }, Some(&path));
    }
    let text = fs::read(&path).map_err(|error| Error::with_source(Kind::Data, report::data::not_read(&path), error))?;
    let databases = lease.settings.databases();
    let script = Script::parse(&path, &text, (databases.sessions, databases.jobs))?;
    run(lease, &path, &text, script, is_clean)
}

fn run(lease: &Lease, path: &Path, text: &[u8], script: Script, is_clean: bool) -> Result<(), Error> {
    let lost = |error| lease.no_answer(error);
    let Script { commands, lines } = script;
    let mut redis = lease.connect(Database::Sessions)?;
    let outcome = commands.run(&mut redis).map_err(lost)?;
    let (errors, undone) = match outcome {
        Outcome::Done => return Ok(()),
        Outcome::Refused(errors) => (errors, None),
        Outcome::Failed { errors, replies } => {
            let undo = is_clean || Script::was_empty(&replies);
            if undo {
                lease.flush()?;
            }
            (errors, Some(undo))
        }
    };
    let (number, message) = errors.first().cloned().unwrap_or_default();
    let line = lines.get(number.saturating_sub(Script::LEAD)).copied().unwrap_or_default();
    let failed = report::data::Failed { path, line, text: script::line(text, line), words: &message };
    let more = errors.len().saturating_sub(1);
    Err(Error::new(
        Kind::Data,
        match undone {
            None => report::data::refused(&failed, more),
            Some(undone) => report::data::failed(&failed, more, undone),
        },
    ))
}
