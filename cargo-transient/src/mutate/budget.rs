//! How much time is left.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::report;

/// How long the suite is run with mutants, if no limit is given.
const WITHOUT_LIMIT: Duration = Duration::from_secs(300);

/// A time such as `90s`, `5m` or `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Duration);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(report::mutate::no_time()),
        };
        let number: u64 = number.parse().map_err(|_| report::mutate::no_time())?;
        Ok(Self(Duration::from_secs(number.checked_mul(seconds).ok_or_else(report::mutate::no_time)?)))
    }
}

/// The time since the start, and its limit.
pub(super) struct Time {
    began: Instant,
    limit: Option<Duration>,
}

impl Time {
    pub(super) fn starts(limit: Option<Limit>) -> Self {
        Self { began: Instant::now(), limit: limit.map(|Limit(time)| time) }
    }

    pub(super) fn taken(&self) -> Duration {
        self.began.elapsed()
    }

    /// `None` without a limit.
    pub(super) fn left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.taken()))
    }

    pub(super) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The time when runs with mutants end. Without a limit they have some minutes from now on.
    pub(super) fn of_runs(&self, is_unlimited: bool) -> Self {
        let limit = self.limit.or((!is_unlimited).then(|| self.taken() + WITHOUT_LIMIT));
        Self { began: self.began, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn times_have_a_unit() {
        let seconds = |text: &str| text.parse().map(|Limit(time)| time.as_secs());
        assert_eq!([seconds("90s"), seconds("5m"), seconds("1h")], [Ok(90), Ok(300), Ok(3_600)]);
        for wrong in ["", "5", "m", "5d", "-1s", "1.5h", "99999999999999999999s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
