//! Absolute times in commands.

use std::time::Duration;

/// The index of an absolute expiry in a command, and how many of its units are a second.
pub(super) fn absolute_expiry(words: &[Vec<u8>]) -> Option<(usize, u64)> {
    let name = words.first()?.to_ascii_uppercase();
    let option = |from: usize| {
        let unit = |word: &Vec<u8>| match word.to_ascii_uppercase().as_slice() {
            b"EXAT" => Some(1),
            b"PXAT" => Some(1_000),
            _ => None,
        };
        words.iter().enumerate().skip(from).find_map(|(index, word)| Some((index + 1, unit(word)?)))
    };
    let found = match name.as_slice() {
        b"EXPIREAT" | b"HEXPIREAT" => Some((2, 1)),
        b"PEXPIREAT" | b"HPEXPIREAT" => Some((2, 1_000)),
        b"SET" => option(3),
        b"GETEX" | b"HGETEX" | b"HSETEX" => option(2),
        _ => None,
    };
    found.filter(|(index, _)| *index < words.len())
}

/// The same command at another time: its expiry is as far away then as it was.
pub(super) fn rebased(mut words: Vec<Vec<u8>>, recorded: Duration, now: Duration) -> Vec<Vec<u8>> {
    if let Some((index, per_second)) = absolute_expiry(&words)
        && let Some(time) = std::str::from_utf8(&words[index]).ok().and_then(|text| text.parse::<i128>().ok())
    {
        let units =
            |time: Duration| i128::try_from(time.as_millis()).unwrap_or(i128::MAX) * i128::from(per_second) / 1_000;
        words[index] = (time - units(recorded) + units(now)).max(1).to_string().into_bytes();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp;

    #[test]
    fn absolute_expiries_move_with_the_time() {
        for (command, expected) in [
            ("EXPIREAT k 1060", "EXPIREAT k 5060"),
            ("PEXPIREAT k 1000500 NX", "PEXPIREAT k 5000500 NX"),
            ("set k exat exat 1001", "set k exat exat 5001"),
            ("GETEX k PXAT 1000001", "GETEX k PXAT 5000001"),
            ("EXPIREAT k 10", "EXPIREAT k 4010"),
            ("EXPIREAT k -5000", "EXPIREAT k 1"),
            ("SET k v EX 60", "SET k v EX 60"),
            ("EXPIREAT k", "EXPIREAT k"),
            ("SET k v EXAT", "SET k v EXAT"),
        ] {
            let words = resp::words(command.as_bytes());
            let rebased = rebased(words, Duration::from_secs(1_000), Duration::from_secs(5_000));
            assert_eq!(rebased, resp::words(expected.as_bytes()), "{command}");
        }
    }
}
