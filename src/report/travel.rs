//! Text about time travel and TTLs.

use std::fmt::{Debug, Display};
use std::time::Duration;

/// The source is the server's error.
pub(crate) fn not_travelled(server: &dyn Display) -> String {
    format!("could not advance time on {server}. Check that it is still running, and that its directory still exists")
}

pub(crate) fn clock_stands_still(server: &dyn Display, within: Duration) -> String {
    format!(
        "could not advance time on {server}: its clock did not move within {within:?}. Check that its directory still \
         exists"
    )
}

pub(crate) fn fields_stay(server: &dyn Display, count: u64, within: Duration) -> String {
    format!(
        "could not advance time on {server}: HLEN still counts {count} expired hash fields, and none was removed within \
         {within:?}. Enable active expiry (DEBUG SET-ACTIVE-EXPIRE 1)"
    )
}

pub(crate) fn no_end(key: &str) -> String {
    format!("the key {key:?} does not exist or has no TTL")
}

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn no_ttl(key: &str, error: &dyn Debug) -> String {
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
