//! Data fixtures: files of the crate under test, loaded into its test databases.
//!
//! A file is one MULTI. It is looked through before anything is sent, so that none of its lines reaches beyond the test
//! databases, and what the server refuses when it is queued leaves nothing behind.

mod locate;
mod script;
mod words;

use std::fs;
use std::path::Path;

use script::Script;
pub(crate) use words::Unsplit;

use crate::error::{Error, Kind};
use crate::report;
use crate::request::{TestRequest, get_redis};
use crate::snapshot::Snapshot;
use crate::snapshot::restore::{Before, flush, restore};
use crate::snapshot::transaction::Outcome;

/// Data fixtures. Feature `snapshot`, on by default.
impl TestRequest {
    /// Loads `fixtures/NAME.redis` or `fixtures/NAME.json`, which stands beside the `Cargo.toml` of the crate under
    /// test, or upwards to its workspace's root. What is in the test databases already stays.
    ///
    /// A `.redis` file has a command a line, as redis-cli takes them:
    ///
    /// ```text
    /// # Comments and empty lines are skipped.
    /// SET brand:1 "Ångström" EX 300
    /// SET raw "\x00\xff\n"
    /// HSET cart:asa brand:1 2 note 'as it is "here", but for \''
    /// SELECT 15
    /// RPUSH celery "a job"
    /// ```
    ///
    /// It begins in the first test database (14). Between double quotation marks, `\xHH`, `\n`, `\r`, `\t`, `\a`, `\b`,
    /// `\"` and `\\` are what they are for redis-cli. The file is one MULTI: a line that the server refuses when it is
    /// queued (an unknown command, wrong arguments) loads nothing at all. Where a line fails only when it is executed
    /// (a command for another type), Redis executes the others all the same; then the test databases are emptied again
    /// if the test began with empty ones, or if they were empty before.
    ///
    /// A `.json` file is a snapshot's: [`Snapshot::save`]. Its keys replace those that are there. Where one fails, a test
    /// that began with empty databases has them empty again. Where there are both of
    /// one name, or the file is elsewhere, it is named with its ending.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = TestRequest::clean();
    /// // fixtures/brands.redis
    /// test_request.load("brands")?;
    /// assert_eq!(test_request.snapshot()?.get("brand:1").unwrap().to_string(), r#"string "Ångström", ttl 300 s"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when there is no such file, with those that there are; when a line can't be read, would reach
    /// beyond the test databases, or is refused: with file, line, and the server's own words. [`Error::is_server`].
    pub fn load(&self, name: &str) -> Result<(), Error> {
        load(self, name, self.is_clean())
    }
}

/// Loads them one after another into the databases of a clean test. Where one fails, the test databases are empty
/// again: a test must not see half of its data.
///
/// # Errors
///
/// As [`TestRequest::load`].
pub(crate) fn load_clean(request: &TestRequest, names: &[&str]) -> Result<(), Error> {
    names.iter().try_for_each(|name| load(request, name, true)).inspect_err(|_| {
        // The error that is reported is the first one.
        let _ = flush(request);
    })
}

fn load(request: &TestRequest, name: &str, is_clean: bool) -> Result<(), Error> {
    let path = locate::fixture(name)?;
    if path.extension().is_some_and(|extension| extension == locate::SNAPSHOT) {
        return restore(request, &Snapshot::from_file(&path)?, Before::Keep { undo: is_clean }, Some(&path));
    }
    let text = fs::read(&path)
        .map_err(|error| Error::with_source(Kind::Data, report::data::not_read(&path, &error), error))?;
    let script = Script::parse(&path, &text, request.settings().databases())?;
    run(request, &path, &text, script, is_clean)
}

fn run(request: &TestRequest, path: &Path, text: &[u8], script: Script, is_clean: bool) -> Result<(), Error> {
    let lost = |error| request.no_answer(error);
    let Script { transaction, lines } = script;
    let mut redis = get_redis(request).map_err(lost)?;
    let outcome = transaction.run(&mut redis).map_err(lost)?;
    let (errors, undone) = match outcome {
        Outcome::Done => return Ok(()),
        Outcome::Refused(errors) => (errors, None),
        Outcome::Failed { errors, replies } => {
            let undo = is_clean || Script::was_empty(&replies);
            if undo {
                flush(request).map_err(lost)?;
            }
            (errors, Some(undo))
        }
    };
    let (number, words) = errors.first().cloned().unwrap_or_default();
    let line = lines.get(number.saturating_sub(Script::LEAD)).copied().unwrap_or_default();
    let failed = report::data::Failed { path, line, text: script::line(text, line), words: &words };
    let more = errors.len().saturating_sub(1);
    Err(Error::new(
        Kind::Data,
        match undone {
            None => report::data::refused(&failed, more),
            Some(undone) => report::data::failed(&failed, more, undone),
        },
    ))
}
