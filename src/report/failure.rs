//! Text about a failed test.

use std::fmt::{Debug, Display};

#[cfg(not(feature = "snapshot"))]
pub(crate) const NO_FIXTURES: &str =
    "#[clean_redis(fixtures(…))] needs the feature `snapshot` of transient-fixtures. Enable it";

/// The longest line, in bytes: one key or one job must not fill the screen.
#[cfg(any(feature = "snapshot", feature = "jobs"))]
const LINE: usize = 600;

pub(crate) fn explain(
    test: &str,
    server: &dyn Display,
    (sessions, jobs_database): (u32, u32),
    changes: &str,
    jobs: &str,
    hints: &[String],
    rerun: &str,
) -> String {
    let hints = hints.iter().fold(String::new(), |all, hint| all + "\n" + hint);
    format!(
        "transient-fixtures: {test} failed on {server}, databases {sessions} and {jobs_database}.{changes}{jobs}{hints}\n\
         Run it again and keep its server: {rerun}"
    )
}

/// With `-- --exact` the name selects one test of the package, whether it is ignored or not.
pub(crate) fn rerun(package: Option<&str>, name: &str) -> String {
    let package = package.map(|package| format!("--package {package} ")).unwrap_or_default();
    format!("TRANSIENT_KEEP=1 cargo test {package}-- --exact {name} --include-ignored --nocapture")
}

#[cfg(feature = "snapshot")]
pub(crate) const UNCHANGED: &str = " Its databases are unchanged.";

#[cfg(feature = "snapshot")]
pub(crate) fn changes(diff: &str) -> String {
    format!(" Changes since it began:{}", indented(diff))
}

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn not_seen(error: &dyn Debug) -> String {
    format!(" Could not read its databases: {error:?}")
}

/// `error`: its `Debug` form shows the causes as well.
#[cfg(feature = "jobs")]
pub(crate) fn jobs_not_seen(error: &dyn Debug) -> String {
    format!("\nCould not list the queued jobs: {error:?}")
}

#[cfg(feature = "jobs")]
pub(crate) fn jobs(jobs: impl ExactSizeIterator<Item = impl Display>, lines: usize) -> String {
    let count = jobs.len();
    if count == 0 {
        return String::new();
    }
    let mut listed: Vec<_> = jobs.take(lines).map(|job| job.to_string()).collect();
    if count > lines {
        listed.push(format!("and {} more", count - lines));
    }
    format!("\nQueued jobs:{}", indented(&listed.join("\n")))
}

#[cfg(any(feature = "snapshot", feature = "jobs"))]
fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "\n  " + &cut(line))
}

#[cfg(any(feature = "snapshot", feature = "jobs"))]
fn cut(line: &str) -> String {
    match (0..=LINE.min(line.len())).rev().find(|at| line.is_char_boundary(*at)) {
        Some(at) if at < line.len() => format!("{}… ({} bytes)", &line[..at], line.len()),
        _ => line.to_owned(),
    }
}
