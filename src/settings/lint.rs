//! The lint, which fails a passing test that leaves certain keys: `redis.lint` and `#[clean_redis(lint = "…")]`.

use std::time::Duration;

/// A lint, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lint {
    None,
    /// Allows no keys.
    Empty,
    /// Allows no keys without a TTL, or with a TTL out of bounds.
    Ttl(Option<Bound>),
}

/// The bound on a key's TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    at_least: bool,
    /// Whether the bound includes the limit.
    with_limit: bool,
    limit: Duration,
}

impl Bound {
    pub(crate) fn holds(self, ttl: Duration) -> bool {
        let beyond = if self.at_least { ttl > self.limit } else { ttl < self.limit };
        beyond || (self.with_limit && ttl == self.limit)
    }
}

/// `None` if the text is not a lint. The macro has the same grammar (`macros/src/options.rs`).
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
    fn parses_and_checks_bounds() {
        let around = [86_399_999, 86_400_000, 86_400_001].map(Duration::from_millis);
        for (text, below, exactly, above) in [
            ("ttl <= 1d", true, true, false),
            ("ttl<24h", true, false, false),
            (" ttl >= 1440 m ", false, true, true),
            ("ttl > 86400000ms", false, false, true),
        ] {
            let Some(Lint::Ttl(Some(bound))) = parse(text) else { panic!("{text}") };
            let holds = around.map(|ttl| bound.holds(ttl));
            assert_eq!(holds, [below, exactly, above], "{text}");
        }
        for text in ["", "ttl <=", "ttl <= 7", "ttl <= d", "ttl = 7d", "ttl <= 7y", "ttl <= -1d", "ttls <= 7d", "size"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("ttl < {}w", u64::MAX)), None);
    }
}
