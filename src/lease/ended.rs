//! Own servers that were ended because a test still used them when it was over: said at once, and again when another
//! test of the process fails, since its failure may come from there.

use std::fmt::Display;
use std::sync::Mutex;

use crate::report;
use crate::sync::lock;

/// How many of them are remembered.
const REMEMBERED: usize = 8;

static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Why the server can't be leased again.
#[derive(Clone, Copy)]
pub(super) enum Why<'test> {
    /// A clone of the request outlived the test.
    CloneAlive,
    /// A connection was still open when that test was to have the server.
    StillConnected { next: &'test str },
}

/// Says that the server of `test` has been ended.
pub(super) fn remember(test: &str, server: &dyn Display, why: Why<'_>) {
    let sentence = match why {
        Why::CloneAlive => report::lease::ended_with_clone(test, server),
        Why::StillConnected { next } => report::lease::ended_with_connection(test, server, next),
    };
    report::print(&report::warning(&sentence));
    let mut ended = lock(&ENDED);
    if ended.len() < REMEMBERED {
        ended.push(sentence);
    }
}

/// What was said so far.
pub(crate) fn remembered() -> Vec<String> {
    lock(&ENDED).clone()
}
