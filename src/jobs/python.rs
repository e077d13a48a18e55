//! Encodings that Celery and RQ share.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// The limit for a decompressed body, in bytes: far more than any job in a test has.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// Decompresses zlib. Returns `None` for other data, and beyond the limit.
pub(super) fn inflate(body: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(body, MAX_BODY).ok()
}

/// Compresses like Python's zlib.
pub(super) fn deflate(body: &[u8]) -> Vec<u8> {
    /// zlib's own default.
    const LEVEL: u8 = 6;
    miniz_oxide::deflate::compress_to_vec_zlib(body, LEVEL)
}

/// Formats a time like Python's `isoformat`. Celery before 5.3 drops a job whose time has more than 6 decimals, or `Z`
/// for the time zone.
pub(super) fn iso_format(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let time = OffsetDateTime::UNIX_EPOCH.checked_add(since.try_into().ok()?)?;
    let (date, microsecond) = (time.date(), time.microsecond());
    let (hour, minute, second) = time.to_hms();
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}+00:00"))
}
