//! What is said when a test has failed.

use std::fmt::Display;

#[cfg(not(feature = "snapshot"))]
pub(crate) const NO_FIXTURES: &str = "load the data files of #[clean_redis(fixtures(…))]: that takes the feature snapshot \
    of transient-fixtures; enable it";

/// How long a line may be, in bytes: one key, or one job, must not fill the screen.
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

/// With `-- --exact` the name stands for one test of the package, whether it is ignored or not.
pub(crate) fn rerun(package: Option<&str>, name: &str) -> String {
    let package = package.map(|package| format!("--package {package} ")).unwrap_or_default();
    format!("TRANSIENT_KEEP=1 cargo test {package}-- --exact {name} --include-ignored --nocapture")
}

#[cfg(feature = "snapshot")]
pub(crate) const UNCHANGED: &str = " Its databases are as they were when it began.";

#[cfg(feature = "snapshot")]
pub(crate) fn changes(diff: &str) -> String {
    format!(" Since it began:{}", indented(diff))
}

pub(crate) fn not_seen(error: &dyn Display) -> String {
    format!(" What is in its databases can't be said: failed to {error}")
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
    format!("\nJobs that wait:{}", indented(&listed.join("\n")))
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
