//! Elements that come too late, at the wrong end, or without a bound.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::mutate::answer::{Answer, Effect};
use crate::mutate::options::{end_of_options, options};
use crate::mutate::rule::{Number, Rule, Word, number_of};

pub(super) const SCORE_PLUS_1H: &[Rule] = &[Rule::by("ZADD", later_scores).when("!INCR")];

const DAY: f64 = 86_400.0;
const HOUR: f64 = 3600.0;

/// Adds an hour to the scores that are a time within a day of now, in seconds or milliseconds.
fn later_scores(words: &[Word]) -> Option<Vec<Word>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let mut changed = words.to_vec();
    let mut is_changed = false;
    for word in changed.iter_mut().skip(end_of_options(words)).step_by(2) {
        let Some(score) = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok()) else { continue };
        let Some(unit) = [1.0, 1000.0].into_iter().find(|unit| (score / unit - now).abs() <= DAY) else { continue };
        *word = (score + HOUR * unit).to_string().into_bytes();
        is_changed = true;
    }
    is_changed.then_some(changed)
}

pub(super) const FLIP: &[Rule] = &[
    // With one element, both ends are the same.
    Rule::to("LPUSH", "RPUSH $1*").effect(Effect::IfReplyAtLeast(2)),
    Rule::to("RPUSH", "LPUSH $1*").effect(Effect::IfReplyAtLeast(2)),
];

pub(super) const BOUND_DROP: &[Rule] = &[
    Rule::without("XADD", "MAXLEN")
        .first("XLEN $1")
        .answer_with(Answer::Same, Number::By(longest))
        .effect(Effect::IfFirstAtLeastNumber),
    Rule::without("XADD", "MINID"),
];

/// Returns the length that an XADD trims the stream to.
fn longest(words: &[Word]) -> Option<i64> {
    let option = options(words).into_iter().find(|option| option.name == "MAXLEN")?;
    words[option.at + 1..].iter().take(2).find_map(|word| number_of(word))
}
