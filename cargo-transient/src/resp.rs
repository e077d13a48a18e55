//! Whole commands and replies of the Redis protocol, RESP2 and RESP3.

use transient_fixtures::redis::{Cmd, ToRedisArgs};

/// The length of nil in RESP2.
const NIL: &[u8] = b"-1";

/// A reply, which can be written again byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple string, an error, a number, a boolean or the nil of RESP3: its type, and the rest of its line.
    Line(u8, Vec<u8>),
    /// A string, a long error or a verbatim string: its type and its bytes, or `None` for nil.
    Bytes(u8, Option<Vec<u8>>),
    /// An array, a set, a map or a push: its type and its elements (of a map, keys and values), or `None` for nil.
    Elements(u8, Option<Vec<Reply>>),
}

impl Reply {
    /// Reads one reply. Returns it with the bytes that follow, or `None` if it is incomplete or not the protocol.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (line, rest) = line(bytes)?;
        let (kind, text) = line.split_first()?;
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Some((Self::Line(*kind, text.to_vec()), rest)),
            b'$' | b'!' | b'=' => {
                if text == NIL {
                    return Some((Self::Bytes(*kind, None), rest));
                }
                let length = length(text)?;
                let (content, rest) = rest.split_at_checked(length)?;
                Some((Self::Bytes(*kind, Some(content.to_vec())), rest.strip_prefix(b"\r\n")?))
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                if text == NIL {
                    return Some((Self::Elements(*kind, None), rest));
                }
                let count = length(text)?;
                let count = if matches!(kind, b'%' | b'|') { count.checked_mul(2)? } else { count };
                let (mut elements, mut rest) = (Vec::new(), rest);
                for _ in 0..count {
                    let (element, after) = Self::read(rest)?;
                    elements.push(element);
                    rest = after;
                }
                // Attributes come before the reply that they describe.
                if *kind == b'|' { Self::read(rest) } else { Some((Self::Elements(*kind, Some(elements)), rest)) }
            }
            _ => None,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut head = |kind: u8, text: &[u8]| {
            out.push(kind);
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        };
        match self {
            Self::Line(kind, text) => head(*kind, text),
            Self::Bytes(kind, None) | Self::Elements(kind, None) => head(*kind, NIL),
            Self::Bytes(kind, Some(content)) => {
                head(*kind, content.len().to_string().as_bytes());
                out.extend_from_slice(content);
                out.extend_from_slice(b"\r\n");
            }
            Self::Elements(kind, Some(elements)) => {
                let count = if *kind == b'%' { elements.len() / 2 } else { elements.len() };
                head(*kind, count.to_string().as_bytes());
                for element in elements {
                    element.write(out);
                }
            }
        }
    }
}

/// Returns the words of a command: its name and its arguments. An incomplete command has fewer.
pub(crate) fn words(frame: &[u8]) -> Vec<Vec<u8>> {
    if frame.first() != Some(&b'*') {
        let words = frame.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return words.map(<[u8]>::to_vec).collect();
    }
    let mut rest = line(frame).map_or(&[][..], |(_, rest)| rest);
    let word = || {
        let (Reply::Bytes(b'$', Some(word)), after) = Reply::read(rest)? else { return None };
        rest = after;
        Some(word)
    };
    std::iter::from_fn(word).collect()
}

/// Returns the bytes of a command.
pub(crate) fn command(words: &[impl ToRedisArgs]) -> Vec<u8> {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.get_packed_command()
}

/// Splits off the first line.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

fn length(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written_as_they_were_read() {
        for reply in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-3\r\n",
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "$-1\r\n",
            "$4\r\na\r\nb\r\n",
            "!5\r\nERR x\r\n",
            "=7\r\ntxt:abc\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            "%1\r\n$1\r\na\r\n~1\r\n+b\r\n",
        ] {
            let bytes = format!("{reply}rest");
            let (read, rest) = Reply::read(bytes.as_bytes()).expect(reply);
            let mut written = Vec::new();
            read.write(&mut written);
            assert_eq!((written.as_slice(), rest), (reply.as_bytes(), b"rest".as_slice()));
            for end in 0..reply.len() {
                assert_eq!(Reply::read(&reply.as_bytes()[..end]), None, "{reply} up to {end}");
            }
        }
        assert_eq!(Reply::read(b"|1\r\n+a\r\n+b\r\n:1\r\n"), Some((Reply::Line(b':', b"1".to_vec()), &b""[..])));
    }

    #[test]
    fn commands_have_words() {
        let words_of = |frame: &str| words(frame.as_bytes()).concat();
        assert_eq!(words(&command(&["SET", "a b", ""])), [&b"SET"[..], b"a b", b""]);
        assert_eq!(words_of("  get  a\r\n"), b"geta");
        assert_eq!(words_of("*2\r\n$3\r\nGET\r\n$5\r\na"), b"GET");
    }
}
