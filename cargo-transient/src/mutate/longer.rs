//! Expiries that are 60 times longer.

use std::time::{SystemTime, UNIX_EPOCH};

use super::options::{options, upper};
use super::rule::{Word, number_of};

/// The options that are an expiry.
pub(super) const TTL: &str = "EX|PX|EXAT|PXAT";

/// Makes the expiry in an option longer. `None` if it is not in the future.
pub(super) fn option(words: &[Word]) -> Option<Vec<Word>> {
    let option = options(words).into_iter().find(|option| TTL.split('|').any(|name| name == option.name))?;
    longer(words, option.at + 1, &option.name)
}

/// Makes the expiry in the second argument longer. `None` if it is not in the future.
pub(super) fn argument(words: &[Word]) -> Option<Vec<Word>> {
    longer(words, 2, &upper(words.first()?))
}

/// `unit` is the command or the option, which tell how the time is meant.
fn longer(words: &[Word], at: usize, unit: &str) -> Option<Vec<Word>> {
    let time = number_of(words.get(at)?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = match (unit.ends_with("AT"), unit.contains("PX") || unit.contains("PEX")) {
        (false, _) => 0,
        (true, false) => i64::try_from(now.as_secs()).ok()?,
        (true, true) => i64::try_from(now.as_millis()).ok()?,
    };
    let rest = time.checked_sub(now).filter(|rest| *rest > 0)?;
    let longer = rest.checked_mul(60)?.checked_add(now)?;
    let mut words = words.to_vec();
    words[at] = longer.to_string().into_bytes();
    Some(words)
}
