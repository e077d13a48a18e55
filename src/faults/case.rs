//! A case of a sweep: a fault at a boundary, or two of them.

use std::fmt;
use std::iter;
use std::str::FromStr;
use std::time::Duration;

use crate::report;

/// Separates the faults of a pair in `TRANSIENT_REPLAY`.
const THEN: &str = " then ";

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    CutBefore,
    CutAfter,
    Late(Duration),
    Error(String),
    LosingData,
    /// All keys that match the pattern.
    Losing(String),
    /// All keys that match the pattern and have a TTL.
    Expiring(String),
    Restart,
    FailingPoint,
}

impl Fault {
    /// Returns true if the tap itself changes data.
    pub(super) fn changes_data(&self) -> bool {
        matches!(self, Self::LosingData | Self::Losing(_) | Self::Expiring(_) | Self::Restart)
    }

    /// Returns the fault in words, up to the place: `reply lost after command`.
    pub(super) fn at(&self) -> String {
        match self {
            Self::CutBefore => report::faults::CUT_BEFORE.to_owned(),
            Self::CutAfter => report::faults::CUT_AFTER.to_owned(),
            Self::Late(time) => report::faults::late(*time),
            Self::Error(error) => report::faults::error(error),
            Self::LosingData => report::faults::LOSING_DATA.to_owned(),
            Self::Losing(pattern) => report::faults::losing(pattern),
            Self::Expiring(pattern) => report::faults::expiring(pattern),
            Self::Restart => report::faults::RESTART.to_owned(),
            Self::FailingPoint => report::faults::FAILING_POINT.to_owned(),
        }
    }
}

/// Writes the fault as in `TRANSIENT_REPLAY`.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutBefore => formatter.write_str("cut-before"),
            Self::CutAfter => formatter.write_str("cut-after"),
            Self::Late(time) => write!(formatter, "late={}", time.as_millis()),
            Self::Error(error) => write!(formatter, "error={error}"),
            Self::LosingData => formatter.write_str("losing-data"),
            Self::Losing(pattern) => write!(formatter, "losing={pattern}"),
            Self::Expiring(pattern) => write!(formatter, "expiring={pattern}"),
            Self::Restart => formatter.write_str("restart"),
            Self::FailingPoint => formatter.write_str("failing-point"),
        }
    }
}

/// A fault at the boundary with this index, from 0, or at the point with this index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Injection {
    pub(super) boundary: usize,
    pub(super) fault: Fault,
}

impl Injection {
    pub(super) fn is_at_point(&self) -> bool {
        self.fault == Fault::FailingPoint
    }
}

/// Writes the injection as in `TRANSIENT_REPLAY`: `3/cut-after`. There, boundaries are counted from 1.
impl fmt::Display for Injection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.boundary + 1, self.fault)
    }
}

impl FromStr for Injection {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (boundary, fault) = text.split_once('/').ok_or(())?;
        let boundary = boundary.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).ok_or(())?;
        let fault = match fault.split_once('=').unwrap_or((fault, "")) {
            ("cut-before", "") => Fault::CutBefore,
            ("cut-after", "") => Fault::CutAfter,
            ("late", time) => Fault::Late(Duration::from_millis(time.parse().map_err(drop)?)),
            ("error", error) => Fault::Error(error.to_owned()),
            ("losing-data", "") => Fault::LosingData,
            ("losing", pattern) => Fault::Losing(pattern.to_owned()),
            ("expiring", pattern) => Fault::Expiring(pattern.to_owned()),
            ("restart", "") => Fault::Restart,
            ("failing-point", "") => Fault::FailingPoint,
            _ => return Err(()),
        };
        Ok(Self { boundary, fault })
    }
}

/// The faults of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) first: Injection,
    /// The second fault of a pair. Its index counts the boundaries of the run with the first fault.
    pub(super) second: Option<Injection>,
}

impl Case {
    pub(super) fn injections(&self) -> impl Iterator<Item = &Injection> {
        iter::once(&self.first).chain(&self.second)
    }

    fn boundaries(&self) -> impl Iterator<Item = usize> {
        self.injections().map(|injection| injection.boundary)
    }

    /// Returns true if its boundaries are earlier.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.boundaries().lt(other.boundaries())
    }
}

/// Writes the case as in `TRANSIENT_REPLAY`: `3/cut-after`, or `3/cut-after then 4/cut-before`.
impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.second {
            None => self.first.fmt(formatter),
            Some(second) => write!(formatter, "{}{THEN}{second}", self.first),
        }
    }
}

impl FromStr for Case {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // The text of an error reply can contain the word.
        let mut splits = text.match_indices(THEN).map(|(at, _)| (&text[..at], &text[at + THEN.len()..]));
        let pair = splits.find_map(|(first, second)| Some((first, second.parse().ok()?)));
        let (first, second) = pair.map_or((text, None), |(first, second)| (first, Some(second)));
        Ok(Self { first: first.parse()?, second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_round_trip() {
        for fault in [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Late(Duration::from_millis(600)),
            Fault::Error("LOADING not = yet".to_owned()),
            Fault::Error("OOM then nothing".to_owned()),
            Fault::LosingData,
            Fault::Losing("cart:*".to_owned()),
            Fault::Expiring("cart:*".to_owned()),
            Fault::Restart,
            Fault::FailingPoint,
        ] {
            let first = Injection { boundary: 2, fault };
            for second in [None, Some(Injection { boundary: 3, ..first.clone() })] {
                let case = Case { first: first.clone(), second };
                assert_eq!(case.to_string().parse(), Ok(case));
            }
        }
        for text in
            ["", "0/cut-before", "3", "x/cut-before", "3/no", "3/late=x", "3/restart=x", "3/no then 4/cut-after"]
        {
            assert_eq!(text.parse::<Case>(), Err(()), "{text}");
        }
    }
}
