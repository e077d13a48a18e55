//! One value in a message, read without the rest of the message.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A text or a number. A value of another type counts as missing.
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
