//! How an operator changes a command.

use super::answer::{Answer, Effect};
use super::longer;
use super::options::{end_of_options, options, upper};

/// A word of a command.
pub(crate) type Word = Vec<u8>;

/// A command that is sent changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// A command that is sent before it. The program does not get its reply.
    pub(crate) first: Option<Vec<Word>>,
    /// The command that is sent instead.
    pub(crate) forward: Vec<Word>,
    /// What the program gets, with this number.
    pub(crate) answer: Answer,
    pub(crate) number: i64,
    /// When the program, or its tests, can notice.
    pub(crate) effect: Effect,
}

/// How some commands are changed. The first rule of an operator that fits a command applies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Their names.
    pub(super) commands: &'static str,
    /// The options that they have; with `!` before them, those that they do not have; with `|` between, one of them.
    pub(super) when: &'static str,
    pub(super) change: Change,
    /// The words of the command that is sent before, as in [`Change::To`]. Empty for none.
    pub(super) first: &'static str,
    pub(super) answer: Answer,
    pub(super) number: Number,
    pub(super) effect: Effect,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// To these words, in which some stand for others:
    /// - `$0`, `$1`: the word with this index; `$2*`: all words from this index on;
    /// - `$3%`: every other word from this index on;
    /// - `$items`: the words after the options; `$items%`: every other one of them, from the second on;
    /// - `$fields`: the words after `FIELDS` and its number; `$pairs`: every other one of them.
    To(&'static str),
    /// Without these options.
    Without(&'static str),
    /// With an expiry in an option that is 60 times longer.
    LongerOption,
    /// The same, in the second argument.
    LongerArgument,
    /// To what this returns.
    By(fn(&[Word]) -> Option<Vec<Word>>),
}

/// The number of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Is(i64),
    /// How many words there are from the index on, divided by this.
    Words(usize, usize),
    /// The word with this index.
    Word(usize),
    /// The negative of it.
    Negative(usize),
    /// What this returns.
    By(fn(&[Word]) -> Option<i64>),
}

impl Rule {
    pub(super) const fn to(commands: &'static str, words: &'static str) -> Self {
        Self::of(commands, Change::To(words))
    }

    pub(super) const fn without(commands: &'static str, options: &'static str) -> Self {
        Self::of(commands, Change::Without(options)).when(options)
    }

    pub(super) const fn longer_option(commands: &'static str) -> Self {
        Self::of(commands, Change::LongerOption).when(longer::TTL)
    }

    pub(super) const fn longer_argument(commands: &'static str) -> Self {
        Self::of(commands, Change::LongerArgument)
    }

    pub(super) const fn by(commands: &'static str, change: fn(&[Word]) -> Option<Vec<Word>>) -> Self {
        Self::of(commands, Change::By(change))
    }

    const fn of(commands: &'static str, change: Change) -> Self {
        let (answer, number, effect) = (Answer::Same, Number::Is(0), Effect::Always);
        Self { commands, when: "", change, first: "", answer, number, effect }
    }

    pub(super) const fn when(self, when: &'static str) -> Self {
        Self { when, ..self }
    }

    pub(super) const fn first(self, first: &'static str) -> Self {
        Self { first, ..self }
    }

    pub(super) const fn answer(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }

    pub(super) const fn answer_with(self, answer: Answer, number: Number) -> Self {
        Self { answer, number, ..self }
    }

    pub(super) const fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// Returns the changed command; `None` if the rule does not fit.
    pub(super) fn mutate(&self, words: &[Word]) -> Option<Mutation> {
        let name = upper(words.first()?);
        if !self.is_for(&name) || !self.fits(words) {
            return None;
        }
        let forward = match self.change {
            Change::To(template) => filled(template, words)?,
            Change::Without(dropped) => without(dropped, words),
            Change::LongerOption => longer::option(words)?,
            Change::LongerArgument => longer::argument(words)?,
            Change::By(change) => change(words)?,
        };
        let first = if self.first.is_empty() { None } else { Some(filled(self.first, words)?) };
        let number = match self.number {
            Number::Is(number) => number,
            Number::Words(from, step) => i64::try_from(words.len().checked_sub(from)? / step).ok()?,
            Number::Word(at) => number_of(words.get(at)?)?,
            Number::Negative(at) => number_of(words.get(at)?)?.checked_neg()?,
            Number::By(number) => number(words)?,
        };
        Some(Mutation { first, forward, answer: self.answer, number, effect: self.effect })
    }

    /// Whether it is for commands with this name.
    pub(super) fn is_for(&self, name: &str) -> bool {
        self.commands.split(' ').any(|command| command == name)
    }

    fn fits(&self, words: &[Word]) -> bool {
        if self.when.is_empty() {
            return true;
        }
        let options = options(words);
        let has = |name: &str| options.iter().any(|option| option.name == name);
        self.when.split(' ').all(|condition| match condition.strip_prefix('!') {
            Some(name) => !has(name),
            None => condition.split('|').any(has),
        })
    }
}

pub(super) fn number_of(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Returns the words of a template. `None` if the command has too few.
fn filled(template: &str, words: &[Word]) -> Option<Vec<Word>> {
    let mut out = Vec::new();
    for part in template.split(' ') {
        let Some(place) = part.strip_prefix('$') else {
            out.push(part.as_bytes().to_vec());
            continue;
        };
        let (from, every) = match place {
            "items" => (end_of_options(words), 1),
            "items%" => (end_of_options(words) + 1, 2),
            "fields" | "pairs" => {
                let at = words.iter().skip(2).position(|word| word.eq_ignore_ascii_case(b"FIELDS"))?;
                (at + 4, if place == "pairs" { 2 } else { 1 })
            }
            _ => {
                let Some(from) = place.strip_suffix(['*', '%']) else {
                    out.push(words.get(place.parse::<usize>().ok()?)?.clone());
                    continue;
                };
                (from.parse().ok()?, if place.ends_with('%') { 2 } else { 1 })
            }
        };
        out.extend(words.get(from..)?.iter().step_by(every).cloned());
    }
    Some(out)
}

/// Returns the command without these options.
fn without(dropped: &str, words: &[Word]) -> Vec<Word> {
    let mut kept = words.to_vec();
    for option in options(words).into_iter().rev() {
        if dropped.split('|').any(|name| name == option.name) {
            let end = (option.at + option.length).min(kept.len());
            kept.drain(option.at..end);
        }
    }
    kept
}
