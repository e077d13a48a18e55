//! Text about leases.

use std::fmt::Display;
use std::time::Duration;

use super::keys;

pub(crate) fn busy(url: &str, holder: &str, waited: Duration) -> String {
    format!(
        "timed out after {} s waiting for {url}, held by {holder}. Stop that test, raise redis.lease_timeout, or set \
         TRANSIENT_PROVIDER=process to start a server for each test",
        waited.as_secs()
    )
}

pub(crate) fn waits_for_itself(url: &str, test: &str) -> String {
    format!(
        "{test} already holds {url} and would wait for itself. Pass a clone of its TestRequest to its threads and tasks, \
         or set TRANSIENT_PROVIDER=process to start a server for each request"
    )
}

pub(crate) fn may_wait_for_itself(url: &str, test: &str) -> String {
    format!(
        "transient-fixtures: waiting for {url}, held by {test}. If the waiting thread or task belongs to that test, \
         this wait never ends. Pass it a clone of the test's TestRequest"
    )
}

pub(crate) fn waiting(url: &str, holder: &str) -> String {
    format!("transient-fixtures: waiting for {url}, held by {holder}")
}

pub(crate) fn holder(process: u32, test: &str) -> String {
    format!("test {test} (process {process})")
}

pub(crate) fn holder_elsewhere(process: &str, test: &str, address: &str) -> String {
    format!("test {test} (process {process}, connected from {address})")
}

pub(crate) fn unknown_holder() -> String {
    "another test".to_owned()
}

pub(crate) fn over(test: &str) -> String {
    format!(
        "the test {test} has ended, and its server can belong to another test now. End the test's threads and \
         connections before it returns, or use TestRequest::for_process in a static"
    )
}

pub(crate) fn lost(test: &str) -> String {
    format!(
        "{test} lost its databases: the connection that held them was closed (CLIENT KILL, the server's timeout, or a \
         suspended process), and another test can have them now. Run the test again"
    )
}

pub(crate) fn not_left(test: &str, server: &dyn Display, error: &dyn Display) -> String {
    format!(
        "{test} ended, but the names of the keys that it left could not be recorded on {server} ({error}). The next test \
         refuses to clear them: delete them, or run it once with TRANSIENT_ADOPT=1"
    )
}

pub(crate) fn other_server(test: &str, server: &dyn Display) -> String {
    format!(
        "{server}, which {test} used, is gone, and another server runs at its address. That one was not changed. Run the \
         test again"
    )
}

pub(crate) fn not_emptied(test: &str) -> String {
    format!(
        "{test} already has a request that did not begin with empty databases. Empty them with its flush(), or begin the \
         test with TestRequest::clean()"
    )
}

pub(crate) fn process_wide(thread: &str) -> String {
    format!("{thread} (for the whole process)")
}

pub(crate) fn process_wide_on_shared(server: &dyn Display) -> String {
    format!(
        "a request for the whole process would hold {server} until this process ends, and other tests would wait for it. \
         Set TRANSIENT_PROVIDER=process to start a server for it"
    )
}

pub(crate) fn adopted(url: &str, database: u32, count: u64, cleared: bool) -> String {
    let keys = keys(count);
    let done = if cleared { "cleared" } else { "adopted" };
    format!("transient-fixtures: TRANSIENT_ADOPT: {done} {keys} in database {database} of {url} that no test had left")
}

pub(crate) fn released_in_use(test: &str, server: &dyn Display) -> String {
    format!(
        "{test} ended while a clone of its TestRequest or a connection was still in use. {server} goes to the next test, \
         and the connections that get_redis and its variants had opened were closed. End the test's threads before it \
         returns"
    )
}

pub(crate) fn ended_with_clone(test: &str, server: &dyn Display) -> String {
    format!(
        "{test} ended while a clone of its TestRequest was still in use, so its server {server} was stopped. In a static, \
         use TestRequest::for_process"
    )
}

pub(crate) fn ended_with_connection(test: &str, server: &dyn Display, next: &str) -> String {
    format!(
        "{test} ended, but a connection to its server {server} was still open when {next} began, so that server was \
         stopped. A connection in a static breaks then: open it with the URL of TestRequest::for_process"
    )
}

pub(crate) fn second_server(tests: &str) -> String {
    format!(
        "this request was made in a thread or task that belongs to no test, so it has its own server. If it is part of \
         {tests}, pass it a clone of that test's TestRequest"
    )
}

pub(crate) fn refused_logins(count: u64) -> String {
    format!(
        "While the test ran, its server rejected {count} login{} with a wrong password. A thread or static of an earlier \
         test probably still uses that test's URL, which is no longer valid.",
        if count == 1 { "" } else { "s" }
    )
}
