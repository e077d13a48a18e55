//! A case of a sweep: one fault at one boundary.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::report;

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
    FailingPoint,
}

impl Fault {
    /// Returns the fault in words, up to the place: `reply lost after command`.
    pub(super) fn at(&self) -> String {
        match self {
            Self::CutBefore => report::faults::CUT_BEFORE.to_owned(),
            Self::CutAfter => report::faults::CUT_AFTER.to_owned(),
            Self::Late(time) => report::faults::late(*time),
            Self::Error(error) => report::faults::error(error),
            Self::LosingData => report::faults::LOSING_DATA.to_owned(),
            Self::Losing(pattern) => report::faults::losing(pattern),
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
            Self::FailingPoint => formatter.write_str("failing-point"),
        }
    }
}

/// A fault at the boundary with this index, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) boundary: usize,
    pub(super) fault: Fault,
}

/// Writes the case as in `TRANSIENT_REPLAY`: `3/cut-after`. There, boundaries are counted from 1.
impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.boundary + 1, self.fault)
    }
}

impl FromStr for Case {
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
            ("failing-point", "") => Fault::FailingPoint,
            _ => return Err(()),
        };
        Ok(Self { boundary, fault })
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
            Fault::LosingData,
            Fault::Losing("cart:*".to_owned()),
            Fault::FailingPoint,
        ] {
            let case = Case { boundary: 2, fault };
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for text in ["", "0/cut-before", "3", "x/cut-before", "3/no", "3/late=x"] {
            assert_eq!(text.parse::<Case>(), Err(()), "{text}");
        }
    }
}
