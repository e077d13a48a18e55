//! What is said when a test has failed.

use std::fmt::Display;

#[cfg(not(feature = "snapshot"))]
pub(crate) const NO_FIXTURES: &str = "load the data files of #[clean_redis(fixtures(…))]: that takes the feature snapshot \
    of transient-fixtures; enable it";

pub(crate) fn explain(test: &str, server: &dyn Display, changes: &str, jobs: &str, rerun: &str) -> String {
    format!(
        "transient-fixtures: {test} failed on {server}.{changes}{jobs}\n\
         Run it again and keep its server: {rerun}"
    )
}

/// With `-- --exact` the name stands for one test of the package.
pub(crate) fn rerun(package: Option<&str>, name: &str) -> String {
    let package = package.map(|package| format!("--package {package} ")).unwrap_or_default();
    format!("TRANSIENT_KEEP=1 cargo test {package}-- --exact {name} --nocapture")
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
pub(crate) fn jobs(jobs: &[crate::request::Job], lines: usize) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let mut listed: Vec<_> = jobs.iter().take(lines).map(ToString::to_string).collect();
    if jobs.len() > lines {
        listed.push(format!("and {} more", jobs.len() - lines));
    }
    format!("\nJobs that wait:{}", indented(&listed.join("\n")))
}

#[cfg(any(feature = "snapshot", feature = "jobs"))]
fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + "\n  " + line)
}
