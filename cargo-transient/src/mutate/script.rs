//! Commands in Lua scripts. A prefix makes the script's `redis.call` change them.
//!
//! The script with its prefix replies with an array: how many commands it has changed, how many of them can have had an
//! effect, and its own reply. The server also gets the original script, so that its hash is known.

use std::collections::HashMap;
use std::sync::Arc;

use transient_fixtures::redis::Script;

use super::answer::{Answer, Effect, Version, number_in};
use super::longer::TTL;
use super::operator::Operator;
use super::options::{FIRST_OPTIONS, FLAGS, VALUES, upper};
use super::rule::{Change, Number, Rule, Word};
use crate::resp::Reply;

/// Reads the rules and changes commands as `rule` and `answer` do.
const PREFIX: &str = include_str!("script.lua");

/// The scripts that the server knows, by their hashes.
#[derive(Default)]
pub(super) struct Scripts(HashMap<String, Arc<str>>);

impl Scripts {
    /// Returns the script that an EVAL has, or that an EVALSHA means.
    pub(super) fn called(&mut self, words: &[Word]) -> Option<Arc<str>> {
        let word = std::str::from_utf8(words.get(1)?).ok()?;
        if upper(&words[0]).starts_with("EVALSHA") {
            return self.0.get(&word.to_lowercase()).cloned();
        }
        let text: Arc<str> = word.into();
        self.0.insert(hash(word.as_bytes()), text.clone());
        Some(text)
    }

    /// Forgets the scripts at SCRIPT FLUSH. Returns the script of a SCRIPT LOAD.
    pub(super) fn administered(&mut self, words: &[Word]) -> Option<Arc<str>> {
        match upper(words.get(1)?).as_str() {
            "FLUSH" => {
                self.0.clear();
                None
            }
            "LOAD" => std::str::from_utf8(words.get(2)?).ok().map(Into::into),
            _ => None,
        }
    }

    /// Takes the reply to SCRIPT LOAD.
    pub(super) fn loaded(&mut self, reply: &Reply, script: Arc<str>) {
        if let Reply::Bytes(b'$', Some(hash)) = reply {
            self.0.insert(String::from_utf8_lossy(hash).into_owned(), script);
        }
    }
}

/// Returns true for EVAL, EVALSHA and their variants that only read.
pub(super) fn is_call(words: &[Word]) -> bool {
    let name = words.first().map(|word| upper(word)).unwrap_or_default();
    matches!(name.as_str(), "EVAL" | "EVAL_RO" | "EVALSHA" | "EVALSHA_RO")
}

/// Returns the command that makes the original script known, if this is not known to have happened, and the call of the
/// script with its prefix.
pub(super) fn changed(words: &[Word], script: &str, prefix: &str) -> (Option<Vec<Word>>, Vec<Word>) {
    let (name, mut call) = (upper(&words[0]), words.to_vec());
    // A header must stay the first line.
    let header = if script.starts_with("#!") { script.find('\n').map_or(script.len(), |end| end + 1) } else { 0 };
    let (header, body) = script.split_at(header);
    call[0] = name.replace("SHA", "").into_bytes();
    call[1] = format!("{header}{prefix}{body}\nend)())").into_bytes();
    let load = [b"SCRIPT".to_vec(), b"LOAD".to_vec(), script.as_bytes().to_vec()];
    ((!name.starts_with("EVALSHA")).then(|| load.to_vec()), call)
}

/// Takes the reply of a script with a prefix apart. A script that has failed does not tell what it has changed.
pub(super) fn result(reply: &Reply, version: Version) -> (u64, u64, Reply) {
    let Reply::Elements(b'*', Some(elements)) = reply else { return (0, 0, reply.clone()) };
    let count = |at: usize| elements.get(at).and_then(number_in).and_then(|count| count.try_into().ok()).unwrap_or(0);
    (count(0), count(1), elements.get(2).cloned().unwrap_or_else(|| version.nil()))
}

pub(super) fn hash(script: &[u8]) -> String {
    Script::new(&String::from_utf8_lossy(script)).get_hash().to_owned()
}

/// Returns the reply with the second hash in place of the first. An error names the script. It can also name the line,
/// which is then that of the prefix: 1, or 2 after a header.
pub(super) fn with_hash(reply: Reply, [sent, original]: &[String; 2]) -> Reply {
    match reply {
        Reply::Line(b'-', text) => {
            Reply::Line(b'-', String::from_utf8_lossy(&text).replace(sent, original).into_bytes())
        }
        reply => reply,
    }
}

/// Returns the prefix for an operator; `None` if it can't change commands in scripts.
pub(super) fn prefix(operator: &Operator, inner: Option<&str>) -> Option<String> {
    let rules: String = operator.rules.iter().filter_map(written).collect();
    if rules.is_empty() {
        return None;
    }
    let table = |pairs: &mut dyn Iterator<Item = (&str, String)>| {
        pairs.map(|(name, value)| name.to_owned() + "=" + &value + ",").collect::<String>()
    };
    let numbers =
        |pairs: &'static [(&str, usize)]| table(&mut pairs.iter().map(|(name, number)| (*name, number.to_string())));
    let flags = table(&mut FLAGS.split(' ').map(|flag| (flag, "true".to_owned())));
    let prefix = PREFIX.replace("RULES", &rules).replace("FIRST_OPTIONS", &numbers(FIRST_OPTIONS));
    let prefix = prefix.replace("VALUES", &numbers(VALUES)).replace("FLAGS", &flags);
    let inner = inner.map_or("nil".to_owned(), |inner| format!("'{inner}'"));
    // In one line, so that errors of the script keep their line.
    Some(prefix.replace("INNER", &inner).lines().map(str::trim).fold(String::new(), |line, next| line + next + " "))
}

/// Whether commands in scripts can be changed by a rule.
pub(super) fn can_write(rule: &Rule) -> bool {
    written(rule).is_some()
}

/// The script that a command calls, of those that are known by their hashes.
pub(super) fn text<'run>(words: &'run [Word], known: &'run HashMap<String, String>) -> Option<&'run str> {
    if !is_call(words) {
        return None;
    }
    let word = std::str::from_utf8(words.get(1)?).ok()?;
    if upper(&words[0]).starts_with("EVALSHA") {
        known.get(&word.to_lowercase()).map(String::as_str)
    } else {
        Some(word)
    }
}

/// The scripts that these commands make known, by their hashes.
pub(super) fn known<'run>(commands: impl Iterator<Item = &'run [Word]>) -> HashMap<String, String> {
    let text = |words: &'run [Word]| match upper(words.first()?).as_str() {
        "EVAL" | "EVAL_RO" => std::str::from_utf8(words.get(1)?).ok(),
        "SCRIPT" if upper(words.get(1)?) == "LOAD" => std::str::from_utf8(words.get(2)?).ok(),
        _ => None,
    };
    commands.filter_map(text).map(|text| (Script::new(text).get_hash().to_owned(), text.to_owned())).collect()
}

/// Returns a rule as a Lua table; `None` if it needs what only this program can do.
fn written(rule: &Rule) -> Option<String> {
    let (change, words) = match rule.change {
        Change::To(words) => ("To", words.to_owned()),
        Change::Without(options) => ("Without", format!("|{options}|")),
        Change::LongerOption => ("LongerOption", format!("|{TTL}|")),
        Change::LongerArgument => ("LongerArgument", String::new()),
        Change::By(_) => return None,
    };
    let number = match rule.number {
        Number::Is(number) => format!("'Is',{number}"),
        Number::Words(from, step) => format!("'Words',{from},{step}"),
        Number::Word(at) => format!("'Word',{at}"),
        Number::Negative(at) => format!("'Negative',{at}"),
        Number::By(_) => return None,
    };
    let answer = match rule.answer {
        Answer::Id => return None,
        answer => format!("{answer:?}"),
    };
    let effect = match rule.effect {
        Effect::IfFirstIs(number) => format!("'IfFirstIs',{number}"),
        Effect::IfReplyAtLeast(number) => format!("'IfReplyAtLeast',{number}"),
        effect => format!("'{effect:?}'"),
    };
    let Rule { commands, when, first, .. } = rule;
    Some(format!(
        "{{commands=' {commands} ',when='{when}',change='{change}',words='{words}',first='{first}',\
         answer='{answer}',number={{{number}}},effect={{{effect}}}}},"
    ))
}
