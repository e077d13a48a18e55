//! One fact that a message says of its job, read without what else the message says.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A text or a number. A fact of another type is as good as missing.
#[derive(Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Fact<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Number(u64),
    Other(IgnoredAny),
    #[default]
    Missing,
}

impl Fact<'_> {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(&self) -> Option<T> {
        match self {
            Self::Number(number) => (*number).try_into().ok(),
            _ => None,
        }
    }
}
