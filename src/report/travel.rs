//! Text about time travel and TTLs.

use std::fmt::{Debug, Display};
use std::time::Duration;

/// The source is the server's error.
pub(crate) fn not_travelled(server: &dyn Display) -> String {
    format!("could not advance time on {server}. Check that it is still running")
}

pub(crate) fn clock_did_not_move(server: &dyn Display, within: Duration) -> String {
    format!(
        "could not advance time on {server}: its clock did not move within {} s. Check that its directory still \
         exists",
        within.as_secs()
    )
}

pub(crate) fn fields_stay(server: &dyn Display, count: u64, within: Duration) -> String {
    format!(
        "could not advance time on {server}: HLEN still counts {count} expired hash fields, and none was removed within \
         {} s. Enable active expiry (DEBUG SET-ACTIVE-EXPIRE 1)",
        within.as_secs()
    )
}

pub(crate) fn without_ttl(key: &str) -> String {
    format!("the key {key:?} does not exist or has no TTL")
}

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn ttl_not_read(key: &str, error: &dyn Debug) -> String {
    format!("could not read the TTL of {key:?}: {error:?}")
}

pub(crate) fn other_ttl(key: &str, range: &dyn Debug, lives: Option<Duration>, is_there: bool) -> String {
    let is = match lives {
        Some(lives) => format!("it expires in {lives:?}"),
        None if is_there => "it never expires. Its EXPIRE is missing, or a SET removed the TTL".to_owned(),
        None => "the test databases have no such key".to_owned(),
    };
    format!("expected a TTL of {range:?} for {key:?}, but {is}")
}
