//! The strings of Redis: keys, values and members, which are bytes and mostly text.

use std::borrow::Borrow;
use std::fmt;

use super::text;

/// A Redis string: the bytes of a key, a value, a field or a member.
///
/// It compares with `str` and with byte slices. [`Display`](fmt::Display) and [`Debug`](fmt::Debug) show it as
/// redis-cli does, in quotation marks and with escapes.
///
/// ```
/// use transient_fixtures::snapshot::RedisBytes;
///
/// assert_eq!(RedisBytes::from("ÅÄÖ"), "ÅÄÖ");
/// assert_eq!(RedisBytes::from("ÅÄÖ").to_string(), r#""ÅÄÖ""#);
/// assert_eq!(RedisBytes::from(b"\xff\0".as_slice()).to_string(), r#""\xff\x00""#);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedisBytes(Vec<u8>);

impl RedisBytes {
    /// Returns the bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text if the bytes are UTF-8.
    ///
    /// ```
    /// use transient_fixtures::snapshot::RedisBytes;
    ///
    /// assert_eq!(RedisBytes::from("ÅÄÖ").to_str(), Some("ÅÄÖ"));
    /// assert_eq!(RedisBytes::from(vec![0xff]).to_str(), None);
    /// ```
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns the bytes without copying them.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for RedisBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Finds a key of a map by a byte slice.
impl Borrow<[u8]> for RedisBytes {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for RedisBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for RedisBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for RedisBytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for RedisBytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl PartialEq<str> for RedisBytes {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for RedisBytes {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<[u8]> for RedisBytes {
    fn eq(&self, bytes: &[u8]) -> bool {
        self.0 == bytes
    }
}

impl PartialEq<&[u8]> for RedisBytes {
    fn eq(&self, bytes: &&[u8]) -> bool {
        self.0 == *bytes
    }
}

impl<const N: usize> PartialEq<[u8; N]> for RedisBytes {
    fn eq(&self, bytes: &[u8; N]) -> bool {
        self.0 == bytes
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for RedisBytes {
    fn eq(&self, bytes: &&[u8; N]) -> bool {
        self.0 == *bytes
    }
}

/// Shows all bytes, in quotation marks.
impl fmt::Display for RedisBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&text::quoted(&self.0, usize::MAX))
    }
}

impl fmt::Debug for RedisBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl redis::FromRedisValue for RedisBytes {
    fn from_redis_value(value: redis::Value) -> Result<Self, redis::ParsingError> {
        redis::from_redis_value(value).map(Self)
    }
}
