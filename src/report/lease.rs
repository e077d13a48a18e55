//! What is said of leases.

use std::fmt::Display;
use std::time::Duration;

use super::keys;

pub(crate) fn busy(url: &str, holder: &str, waited: Duration) -> String {
    format!(
        "get {url} for this test: {holder} has had it for {} s. End that test; or set redis.lease_timeout higher; or \
         have a server started for each test: TRANSIENT_PROVIDER=process",
        waited.as_secs()
    )
}

pub(crate) fn waits_for_itself(url: &str, test: &str) -> String {
    format!(
        "get {url} for another request: {test} has it, which can't end while it waits for itself. Hand a clone of its \
         TestRequest to its threads and tasks, or have a server started for each request: TRANSIENT_PROVIDER=process"
    )
}

pub(crate) fn may_wait_for_itself(url: &str, test: &str) -> String {
    format!(
        "transient-fixtures: waiting for {url}, which {test} has. If the thread or task that waits is one of that test, it \
         waits in vain: hand a clone of the test's TestRequest to it"
    )
}

pub(crate) fn waiting(url: &str, holder: &str) -> String {
    format!("transient-fixtures: waiting for {url}, which {holder} uses")
}

pub(crate) fn holder(process: u32, test: &str) -> String {
    format!("process {process}, test {test},")
}

pub(crate) fn holder_elsewhere(process: &str, test: &str, address: &str) -> String {
    format!("process {process} (connected from {address}), test {test},")
}

pub(crate) fn unknown_holder() -> String {
    "another test".to_owned()
}

pub(crate) fn over(test: &str) -> String {
    format!(
        "use the databases of {test}: that test has ended, and its server may be another test's. End the threads and \
         connections of a test before it returns, or use TestRequest::for_process in a static"
    )
}

pub(crate) fn lost(test: &str) -> String {
    format!(
        "use the databases of {test}: the connection that held them was closed (CLIENT KILL, a server's timeout, a \
         process that was stopped), and another test may have them by now. Run the test again"
    )
}

pub(crate) fn not_left(test: &str, server: &dyn Display, error: &dyn Display) -> String {
    format!(
        "{test} ended, but {server} could not keep the names of the keys that it left ({error}). If there are any, the \
         next test refuses them: delete them, or run it once with TRANSIENT_ADOPT=1"
    )
}

pub(crate) fn other_server(test: &str, server: &dyn Display) -> String {
    format!(
        "use the databases of {test}: {server} is gone, and another server is at its address, which is left alone. Run \
         the test again"
    )
}

pub(crate) fn not_emptied(test: &str) -> String {
    format!(
        "make a clean request for {test}: the test has a request already, which did not begin with empty databases. \
         Empty them with its flush(), or begin the test with TestRequest::clean()"
    )
}

pub(crate) fn process_wide(thread: &str) -> String {
    format!("{thread} (for the whole process)")
}

pub(crate) fn process_wide_on_shared(server: &dyn Display) -> String {
    format!(
        "keep {server} for the whole process: other tests would wait for it until this process ends. Have a server \
         started for it: TRANSIENT_PROVIDER=process"
    )
}

pub(crate) fn adopted(url: &str, database: u32, count: u64, cleared: bool) -> String {
    let keys = keys(count);
    let what = if cleared { "was cleared of" } else { "is the tests' from now on, with" };
    format!("transient-fixtures: TRANSIENT_ADOPT: database {database} of {url} {what} {keys} that no test had left")
}

pub(crate) fn released_in_use(test: &str, server: &dyn Display) -> String {
    format!(
        "{test} ended, but a clone of its TestRequest or a connection is still alive; {server} goes to the next test. \
         The connections that it opened through get_redis and its like were closed. End the test's threads before it returns"
    )
}

pub(crate) fn ended_with_clone(test: &str, server: &dyn Display) -> String {
    format!(
        "{test} ended, but a clone of its TestRequest is still alive; its server, {server}, was ended. For a static, use \
         TestRequest::for_process"
    )
}

pub(crate) fn ended_with_connection(test: &str, server: &dyn Display, next: &str) -> String {
    format!(
        "{test} ended, but a connection to its server, {server}, was still open when {next} began; that server was \
         ended. A connection that is kept in a static breaks then: open it with the URL of TestRequest::for_process"
    )
}

pub(crate) fn second_server(tests: &str) -> String {
    format!(
        "this request was made in a thread or task that belongs to no test, and has a server of its own. If it is one \
         of {tests}, hand a clone of that test's TestRequest to it"
    )
}

pub(crate) fn refused_logins(count: u64) -> String {
    format!(
        "While the test ran, its server refused {count} login{} with a wrong password: probably a thread or static of \
         an earlier test, whose URL opens nothing any more.",
        if count == 1 { "" } else { "s" }
    )
}
