//! Keys and values as Redis has them: strings of bytes, which are mostly text.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;

/// The name under which bytes that are no text stand in a file.
const BASE64: &str = "base64";

/// A string of bytes: a key, a value, a member. Equal to the `str` or the bytes that it is made of.
///
/// It is shown as redis-cli shows it, in quotation marks and with escapes; in a file it is a string where it is UTF-8,
/// and `{"base64": "…"}` where it is not.
///
/// ```
/// use transient_fixtures::snapshot::Bytes;
///
/// assert_eq!(Bytes::from("ÅÄÖ"), "ÅÄÖ");
/// assert_eq!(Bytes::from("ÅÄÖ").to_string(), r#""ÅÄÖ""#);
/// assert_eq!(Bytes::from(b"\xff\0".as_slice()).to_string(), r#""\xff\x00""#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// The text, where it is UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes themselves.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl PartialEq<str> for Bytes {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for Bytes {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, bytes: &[u8]) -> bool {
        self.0 == bytes
    }
}

impl PartialEq<&[u8]> for Bytes {
    fn eq(&self, bytes: &&[u8]) -> bool {
        self.0 == *bytes
    }
}

/// All of it, in quotation marks.
impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&text::quoted(&self.0, usize::MAX))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl redis::FromRedisValue for Bytes {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        redis::from_redis_value(value).map(Self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.to_str() {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(BASE64, &BASE64_STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrBase64)
    }
}

struct TextOrBase64;

impl<'de> Visitor<'de> for TextOrBase64 {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(r#"a string or {"base64": "…"}"#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let entry = map.next_entry::<String, String>()?.filter(|(name, _)| name == BASE64);
        let (Some((_, encoded)), None) = (entry, map.next_key::<String>()?) else {
            return Err(A::Error::custom(r#"expected {"base64": "…"}"#));
        };
        BASE64_STANDARD.decode(encoded).map(Bytes).map_err(|error| A::Error::custom(format!("invalid Base64: {error}")))
    }
}
