//! One fact that a message says of its job, read without what else the message says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A text or a number. What has another type than it should have is not there.
#[derive(Default)]
pub(super) enum Fact<'a> {
    Text(Cow<'a, str>),
    Number(u64),
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

impl<'de: 'a, 'a> Deserialize<'de> for Fact<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Fact<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Fact<'de>, E> {
                Ok(Fact::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Fact<'de>, E> {
                Ok(Fact::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Fact<'de>, E> {
                Ok(Fact::Number(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Fact<'de>, E> {
                Ok(Fact::Missing)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Fact<'de>, E> {
                Ok(Fact::Missing)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Fact<'de>, E> {
                Ok(Fact::Missing)
            }

            fn visit_unit<E>(self) -> Result<Fact<'de>, E> {
                Ok(Fact::Missing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Fact<'de>, A::Error> {
                IgnoredAny.visit_seq(items).map(|_| Fact::Missing)
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Fact<'de>, A::Error> {
                IgnoredAny.visit_map(fields).map(|_| Fact::Missing)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
