//! Started servers that were ended because their test was over but still used them. The warning is printed at once, and
//! again when another test of this process fails: that failure may be a consequence.

use std::fmt::Display;
use std::sync::Mutex;

use crate::report;
use crate::sync::lock;

/// How many warnings are kept.
const MAX_REMEMBERED: usize = 8;

static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Why the server can't be leased again.
#[derive(Clone, Copy)]
pub(super) enum Reason<'test> {
    /// A clone of the request outlived the test.
    CloneAlive,
    /// A connection was still open when the next test was about to get the server.
    StillConnected { next: &'test str },
}

/// Prints a warning that the server of `test` has been ended, and keeps it.
pub(super) fn remember(test: &str, server: &dyn Display, reason: Reason<'_>) {
    let sentence = match reason {
        Reason::CloneAlive => report::lease::ended_with_clone(test, server),
        Reason::StillConnected { next } => report::lease::ended_with_connection(test, server, next),
    };
    report::print(&report::warning(&sentence));
    let mut ended = lock(&ENDED);
    if ended.len() < MAX_REMEMBERED {
        ended.push(sentence);
    }
}

/// Returns the warnings so far.
pub(crate) fn remembered() -> Vec<String> {
    lock(&ENDED).clone()
}
