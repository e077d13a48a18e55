//! What is in the directories of this crate, for the list of `cargo transient clean`.

pub(crate) const CONTAINERS: &str = "addresses of started containers";
pub(crate) const DOWNLOAD: &str = "the downloaded server";
pub(crate) const RUNNING: &str = "locks and notes about running servers";
pub(crate) const RUNS: &str = "findings that the processes of a test run share";
pub(crate) const SERVERS: &str = "addresses of started servers";
pub(crate) const STARTED: &str = "files of a started server";
