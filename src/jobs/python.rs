//! What Python's queues write in the same way.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// How long a body may be that was compressed, in bytes. No job of a test has more.
pub(super) const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// What zlib has compressed; `None` where it has not, or has compressed more than that.
pub(super) fn inflate(body: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(body, LONGEST_BODY).ok()
}

/// As Python's `isoformat`: Celery before 5.3 drops a job whose time has more digits, or other letters behind it.
pub(super) fn iso_format(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let time = OffsetDateTime::UNIX_EPOCH.checked_add(since.try_into().ok()?)?;
    let (date, microsecond) = (time.date(), time.microsecond());
    let (hour, minute, second) = time.to_hms();
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}+00:00"))
}
