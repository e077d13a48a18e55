//! What a test must not leave when it has passed: the words of `redis.lint` and `#[clean_redis(lint = "…")]`.

use std::time::Duration;

/// A lint, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lint {
    None,
    /// No key at all.
    Empty,
    /// No key without a timeout; and none whose timeout is out of bounds.
    Ttl(Option<Bound>),
}

/// How a key's timeout must compare with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    at_least: bool,
    /// Whether the limit itself is in bounds.
    with_limit: bool,
    limit: Duration,
}

impl Bound {
    pub(crate) fn holds(self, left: Duration) -> bool {
        let beyond = if self.at_least { left > self.limit } else { left < self.limit };
        beyond || (self.with_limit && left == self.limit)
    }
}

/// `None` where it is not a lint. The macro has the same grammar (`macros/src/options.rs`).
pub(crate) fn parse(text: &str) -> Option<Lint> {
    match text.trim() {
        "none" => return Some(Lint::None),
        "empty" => return Some(Lint::Empty),
        "ttl" => return Some(Lint::Ttl(None)),
        _ => {}
    }
    let rest = text.trim().strip_prefix("ttl")?.trim_start();
    let at_least = rest.starts_with('>');
    let rest = rest.strip_prefix(['<', '>'])?;
    let limit = rest.strip_prefix('=');
    let limit = Lint::duration(limit.unwrap_or(rest).trim()).map(|duration| (limit.is_some(), duration));
    let (with_limit, limit) = limit?;
    Some(Lint::Ttl(Some(Bound { at_least, with_limit, limit })))
}

impl Lint {
    /// `90s`, `15m`, `12h`, `7d`, `2w`, `500ms`.
    fn duration(text: &str) -> Option<Duration> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let milliseconds: u64 = match unit.trim_start() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Lint, parse};

    #[test]
    fn bounds_are_read_and_held() {
        let around = [86_399_999, 86_400_000, 86_400_001].map(Duration::from_millis);
        for (text, below, exactly, above) in [
            ("ttl <= 1d", true, true, false),
            ("ttl<24h", true, false, false),
            (" ttl >= 1440 m ", false, true, true),
            ("ttl > 86400000ms", false, false, true),
        ] {
            let Some(Lint::Ttl(Some(bound))) = parse(text) else { panic!("{text}") };
            let holds = around.map(|left| bound.holds(left));
            assert_eq!(holds, [below, exactly, above], "{text}");
        }
        for text in ["", "ttl <=", "ttl <= 7", "ttl <= d", "ttl = 7d", "ttl <= 7y", "ttl <= -1d", "ttls <= 7d", "size"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("ttl < {}w", u64::MAX)), None);
    }
}
