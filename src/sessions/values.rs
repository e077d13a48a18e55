//! The values of a session, as the bytes that the application wrote.

use std::error::Error;

/// The values of a session by name, in the application's order.
///
/// Each value is its JSON text, and keeps its bytes until it is set: numbers of any size, `NaN` and invalid Unicode
/// stay.
///
/// ```
/// use transient_fixtures::SessionValues;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mut values = SessionValues::from_json(br#"{"price": NaN, "cart": ["brand-1"]}"#)?;
/// assert_eq!(values.get("cart"), Some(br#"["brand-1"]"#.as_slice()));
/// values.set("seen", "3");
/// values.remove("cart");
/// assert_eq!(values.to_json(), br#"{"price":NaN,"seen":3}"#);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionValues(Vec<Member>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: String,
    /// The stored name, with its quotes and escapes.
    quoted: Vec<u8>,
    text: Vec<u8>,
}

impl SessionValues {
    /// Creates an empty set of values.
    ///
    /// ```
    /// let values = transient_fixtures::SessionValues::new();
    /// assert_eq!(values.to_json(), b"{}");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the values of a JSON object. Splits it into members without parsing them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let values = transient_fixtures::SessionValues::from_json(br#"{"seen": 3}"#)?;
    /// assert_eq!(values.get("seen"), Some(b"3".as_slice()));
    /// assert!(transient_fixtures::SessionValues::from_json(b"[3]").is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a JSON object.
    pub fn from_json(object: &[u8]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut members = Vec::new();
        for piece in split(object, b'{', b'}').ok_or("it is not a JSON object")? {
            let length = string_length(piece).ok_or("a name in it is not a string")?;
            let (quoted, rest) = piece.split_at(length);
            let text = trim(rest).strip_prefix(b":").map(trim).filter(|text| !text.is_empty());
            let text = text.ok_or("a name in it has no value")?.to_vec();
            // A name that is not valid Unicode keeps its escapes.
            let name = serde_json::from_slice(quoted)
                .unwrap_or_else(|_| String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into_owned());
            members.push(Member { name, quoted: quoted.to_vec(), text });
        }
        Ok(Self(members))
    }

    /// Returns the values as a JSON object.
    ///
    /// ```
    /// let mut values = transient_fixtures::SessionValues::new();
    /// values.set("seen", "3");
    /// assert_eq!(values.to_json(), br#"{"seen":3}"#);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut object = vec![b'{'];
        for (number, member) in self.0.iter().enumerate() {
            if number > 0 {
                object.push(b',');
            }
            object.extend_from_slice(&member.quoted);
            object.push(b':');
            object.extend_from_slice(&member.text);
        }
        object.push(b'}');
        object
    }

    /// Returns the JSON text of that value. If the application wrote a name twice, the last value counts.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let values = transient_fixtures::SessionValues::from_json(br#"{"name": "Asa"}"#)?;
    /// assert_eq!(values.get("name"), Some(br#""Asa""#.as_slice()));
    /// assert_eq!(values.get("cart"), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|member| member.name == name).map(|member| &*member.text)
    }

    /// Sets a value to a JSON text. An existing value keeps its position, a new one is added at the end.
    ///
    /// The text is not checked: pass valid JSON.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let mut values = transient_fixtures::SessionValues::from_json(br#"{"seen": 3, "cart": []}"#)?;
    /// values.set("seen", "4");
    /// assert_eq!(values.to_json(), br#"{"seen":4,"cart":[]}"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&mut self, name: &str, json: impl Into<Vec<u8>>) {
        let text = json.into();
        match self.0.iter_mut().rev().find(|member| member.name == name) {
            Some(member) => member.text = text,
            None => self.0.push(Member { name: name.to_owned(), quoted: quoted(name), text }),
        }
    }

    /// Removes a value and returns its JSON text.
    ///
    /// ```
    /// let mut values = transient_fixtures::SessionValues::new();
    /// values.set("seen", "3");
    /// assert_eq!(values.remove("seen"), Some(b"3".to_vec()));
    /// assert_eq!(values.remove("seen"), None);
    /// ```
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        let text = self.get(name)?.to_vec();
        self.0.retain(|member| member.name != name);
        Some(text)
    }

    /// Removes all values.
    ///
    /// ```
    /// let mut values = transient_fixtures::SessionValues::new();
    /// values.set("seen", "3");
    /// values.clear();
    /// assert_eq!(values.get("seen"), None);
    /// ```
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the names and JSON texts, in the application's order.
    ///
    /// ```
    /// let mut values = transient_fixtures::SessionValues::new();
    /// values.set("seen", "3");
    /// assert_eq!(values.iter().next(), Some(("seen", b"3".as_slice())));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|member| (&*member.name, &*member.text))
    }
}

/// Reads an object whose values are JSON texts in JSON strings, as several libraries write them.
pub(super) fn from_texts(object: &[u8]) -> Result<SessionValues, Box<dyn Error + Send + Sync>> {
    let mut values = SessionValues::from_json(object)?;
    for member in &mut values.0 {
        let text: String = serde_json::from_slice(&member.text)?;
        member.text = text.into_bytes();
    }
    Ok(values)
}

/// Writes the object that [`from_texts`] reads.
pub(super) fn to_texts(values: &SessionValues) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut texts = values.clone();
    for member in &mut texts.0 {
        member.text = quoted(str::from_utf8(&member.text)?);
    }
    Ok(texts.to_json())
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// The JSON texts of an array's elements.
pub(super) fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    split(array, b'[', b']')
}

/// The pieces between the commas of an object or an array. Not recursive, so depth does not matter.
fn split(text: &[u8], open: u8, close: u8) -> Option<Vec<&[u8]>> {
    let inside = trim(text).strip_prefix(&[open])?.strip_suffix(&[close])?;
    let (mut pieces, mut start, mut depth, mut place) = (Vec::new(), 0, 0_usize, 0);
    while let Some(byte) = inside.get(place) {
        match byte {
            b'"' => {
                place += string_length(&inside[place..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                pieces.push(trim(&inside[start..place]));
                start = place + 1;
            }
            _ => {}
        }
        place += 1;
    }
    let last = trim(&inside[start..]);
    if !last.is_empty() || !pieces.is_empty() {
        pieces.push(last);
    }
    (depth == 0 && pieces.iter().all(|piece| !piece.is_empty())).then_some(pieces)
}

/// The length of the JSON string that the bytes start with, in bytes.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut escaped = bytes.first() != Some(&b'"');
    if escaped {
        return None;
    }
    for (place, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SessionValues, elements};

    #[test]
    fn splits_deep_values() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let values = SessionValues::from_json(format!("{{\"a\":{deep},\"b\":1}}").as_bytes()).expect("an object");
        assert_eq!((values.get("a").map(<[u8]>::len), values.get("b")), (Some(200_000), Some(b"1".as_slice())));
    }

    #[test]
    fn rejects_text_that_is_not_an_object() {
        for text in
            ["", "{", "}", "[]", "1", "{]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "{,}", "{\"a\":]}", "{\"a:1}"]
        {
            assert!(SessionValues::from_json(text.as_bytes()).is_err(), "{text}");
        }
        assert!(SessionValues::from_json(b" { } ").is_ok_and(|values| values == SessionValues::new()));
        assert_eq!(elements(br#"[1, "a,]", {"b": [2, 3]}]"#).map(|pieces| pieces.len()), Some(3));
    }

    proptest! {
        /// Splitting loses nothing.
        #[test]
        fn splits_or_rejects_any_bytes(text in "[{}\\[\\]\",:\\\\a1 ]{0,60}") {
            if let Ok(values) = SessionValues::from_json(text.as_bytes()) {
                prop_assert_eq!(SessionValues::from_json(&values.to_json()).expect("its own"), values);
            }
        }
    }
}
