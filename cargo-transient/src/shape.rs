//! The shapes of commands: what those that a program sends for the same reason have in common.

mod options;
mod pattern;

use std::collections::{HashMap, HashSet};
use std::fmt;

use transient_fixtures::__cargo_transient::{keys, name_of};
use transient_fixtures::redis::Script;

use self::pattern::{ID, Segments};

/// How many different words a place in keys can have. With more, all of them are ids.
const WORDS: usize = 12;

/// The same for the first segment of a key that has several: most of these are words.
const PREFIXES: usize = 256;

/// How many different key patterns of a command are in its shape.
const PATTERNS: usize = 2;

/// How many characters of a script's first comment are its name.
const SCRIPT_NAME: usize = 40;

/// A command with its subcommand and options, and the pattern of its keys: `SET session:<id> EX NX`.
///
/// The shape of a script has the beginning of its SHA-1 and the first line of its comment, and that of a function its
/// name. Channels count as keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shape {
    name: String,
    script: Option<String>,
    pattern: Option<String>,
    options: Vec<&'static str>,
}

impl Shape {
    /// The shape of a command, given its words.
    pub(crate) fn of(words: &[Vec<u8>], vocabulary: &Vocabulary) -> Self {
        let name = name_of(words.iter().map(Vec::as_slice));
        let arguments = arguments(&name, words);
        let mut patterns = Vec::new();
        for key in keys_and_channels(&name, &arguments) {
            let pattern = vocabulary.pattern(key);
            if patterns.contains(&pattern) {
                continue;
            }
            if patterns.len() == PATTERNS {
                patterns.push("…".to_owned());
                break;
            }
            patterns.push(pattern);
        }
        Self {
            script: vocabulary.script(&name, &arguments),
            pattern: (!patterns.is_empty()).then(|| patterns.join(" ")),
            options: options::of(&name, &arguments),
            name,
        }
    }

    /// The name of the command in upper case, with its subcommand.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The pattern of the keys, `session:<id>`. `None` if the command has none.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.pattern.as_deref()
    }

    /// The names of the options, in upper case and in order.
    pub(crate) fn options(&self) -> &[&'static str] {
        &self.options
    }

    /// The same shape without its keys.
    pub(crate) fn skeleton(&self) -> Self {
        Self { pattern: None, ..self.clone() }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        for part in self.script.iter().chain(&self.pattern) {
            write!(formatter, " {part}")?;
        }
        self.options.iter().try_for_each(|option| write!(formatter, " {option}"))
    }
}

/// The keys that a command names. Its words begin with its name.
pub(crate) fn keys_of(words: &[Vec<u8>]) -> Vec<&[u8]> {
    let name = name_of(words.iter().map(Vec::as_slice));
    keys(&name, &arguments(&name, words))
}

/// The words after the name and the subcommand.
fn arguments<'word>(name: &str, words: &'word [Vec<u8>]) -> Vec<&'word [u8]> {
    words.iter().skip(1 + usize::from(name.contains(' '))).map(Vec::as_slice).collect()
}

fn keys_and_channels<'word>(name: &str, arguments: &[&'word [u8]]) -> Vec<&'word [u8]> {
    match name {
        "PUBLISH" | "SPUBLISH" => arguments.iter().take(1).copied().collect(),
        "SUBSCRIBE" | "SSUBSCRIBE" | "PSUBSCRIBE" | "UNSUBSCRIBE" | "SUNSUBSCRIBE" | "PUNSUBSCRIBE" => {
            arguments.to_vec()
        }
        _ => keys(name, arguments),
    }
}

/// What the keys of a run have for words, and its scripts for names.
///
/// By their form, UUIDs, hexadecimal and decimal numbers, tokens and binary data are ids. A place in keys (such as that
/// after `session:`) that has more than 12 different segments in a run has ids as well. All other segments are words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    words: HashSet<String>,
    /// The segments at each place, or `None` if they are too many for words.
    places: HashMap<Place, Option<HashSet<String>>>,
    /// The first comments of scripts, by their SHA-1.
    scripts: HashMap<String, String>,
}

/// A place in keys: their first segment, if it is not itself, the number of segments before it, and that of all.
type Place = (Option<String>, usize, usize);

impl Vocabulary {
    /// The vocabulary of a run.
    pub(crate) fn of<'run>(commands: impl IntoIterator<Item = &'run [Vec<u8>]>) -> Self {
        let mut vocabulary = Self::default();
        commands.into_iter().for_each(|words| vocabulary.learn(words));
        vocabulary
    }

    /// Adds a command.
    pub(crate) fn learn(&mut self, words: &[Vec<u8>]) {
        let name = name_of(words.iter().map(Vec::as_slice));
        let arguments = arguments(&name, words);
        if let ("EVAL" | "EVAL_RO" | "SCRIPT LOAD", Some(code)) = (name.as_str(), arguments.first())
            && let Some(comment) = first_comment(code)
        {
            self.scripts.insert(sha(code), comment);
        }
        for key in keys_and_channels(&name, &arguments) {
            let segments = Segments::of(key);
            for (index, segment) in segments.texts().enumerate() {
                self.learn_segment(place(&segments, index), segment);
            }
        }
    }

    fn learn_segment(&mut self, place: Place, segment: &str) {
        let limit = if place.1 == 0 && place.2 > 1 { PREFIXES } else { WORDS };
        let known = self.places.entry(place).or_insert_with(|| Some(HashSet::new()));
        let Some(segments) = known else { return };
        if segment == ID || segments.contains(segment) {
            return;
        }
        if segments.len() == limit {
            *known = None;
            return;
        }
        segments.insert(segment.to_owned());
        if !self.words.contains(segment) {
            self.words.insert(segment.to_owned());
        }
    }

    /// What two runs of the same suite have in common: a segment that only one of them has is an id.
    pub(crate) fn common_with(mut self, mut other: Self) -> Self {
        self.words.retain(|word| other.words.contains(word));
        for (place, segments) in other.places.drain().filter(|(_, segments)| segments.is_none()) {
            self.places.insert(place, segments);
        }
        self.scripts.extend(other.scripts);
        self
    }

    /// `session:<id>` for `session:17`.
    pub(crate) fn pattern(&self, key: &[u8]) -> String {
        let segments = Segments::of(key);
        segments.replace(|index, segment| {
            let is_crowded = || matches!(self.places.get(&place(&segments, index)), Some(None));
            if segment.is_empty() || self.words.contains(segment) && !is_crowded() { segment } else { ID }
        })
    }

    /// The beginning of the SHA-1 of a script, and its name if it has one; or the name of a function.
    fn script(&self, name: &str, arguments: &[&[u8]]) -> Option<String> {
        let first = arguments.first()?;
        let sha = match name {
            "EVAL" | "EVAL_RO" | "SCRIPT LOAD" => sha(first),
            "EVALSHA" | "EVALSHA_RO" => String::from_utf8_lossy(first).to_lowercase(),
            "FCALL" | "FCALL_RO" => return Some(first.escape_ascii().to_string()),
            _ => return None,
        };
        let short: String = sha.chars().take(8).collect();
        Some(self.scripts.get(&sha).map_or(short.clone(), |comment| format!("{short} ({comment})")))
    }
}

fn place(segments: &Segments, index: usize) -> Place {
    let first = (index > 0).then(|| segments.texts().next().unwrap_or_default().to_owned());
    (first, index, segments.texts().count())
}

fn sha(code: &[u8]) -> String {
    // A script that is not UTF-8 has a different one, which only has to be its own.
    Script::new(&String::from_utf8_lossy(code)).get_hash().to_owned()
}

/// The text of the comment that the script begins with.
fn first_comment(code: &[u8]) -> Option<String> {
    let code = String::from_utf8_lossy(code);
    let mut lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#!"));
    let comment = lines.next()?.strip_prefix("--")?.trim_matches(|letter: char| "-=*[] \t".contains(letter));
    let cut: String = comment.chars().take(SCRIPT_NAME).filter(|letter| !letter.is_control()).collect();
    (!cut.is_empty()).then_some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp;

    fn words(command: &str) -> Vec<Vec<u8>> {
        resp::words(command.as_bytes())
    }

    fn run(commands: &[&str]) -> Vocabulary {
        let commands: Vec<_> = commands.iter().map(|command| words(command)).collect();
        Vocabulary::of(commands.iter().map(Vec::as_slice))
    }

    fn shapes(commands: &[&str]) -> Vec<String> {
        let vocabulary = run(commands);
        commands.iter().map(|command| Shape::of(&words(command), &vocabulary).to_string()).collect()
    }

    #[test]
    fn shapes_have_the_command_its_keys_and_its_options() {
        for (command, expected) in [
            ("set session:17 x ex 60 nx", "SET session:<id> EX NX"),
            ("DEL 17 18", "DEL <id>"),
            ("RENAME tmp:1 live:1", "RENAME tmp:<id> live:<id>"),
            ("DEL a b c d", "DEL a b …"),
            ("CLIENT SETNAME EX", "CLIENT SETNAME"),
            ("XREADGROUP GROUP g c COUNT 1 STREAMS mail >", "XREADGROUP mail COUNT"),
            ("PUBLISH news:17 hello", "PUBLISH news:<id>"),
            ("FCALL take 1 lock:17", "FCALL take lock:<id>"),
            ("PING", "PING"),
            ("", ""),
        ] {
            assert_eq!(shapes(&[command]), [expected]);
        }
        let shape = Shape::of(&words("SET session:17 x NX"), &run(&["GET session:18"]));
        assert_eq!((shape.name(), shape.pattern(), shape.options()), ("SET", Some("session:<id>"), &["NX"][..]));
        assert_eq!(shape.skeleton().to_string(), "SET NX");
    }

    /// A name alone tells nothing; how many there are at its place does.
    #[test]
    fn many_different_segments_are_ids() {
        let commands = |count: u8| -> Vec<String> {
            (0..count).map(|index| format!("GET cart:{}:items", char::from(b'a' + index))).collect()
        };
        let shapes_of = |commands: &[String]| shapes(&commands.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(shapes_of(&commands(12))[0], "GET cart:a:items");
        assert_eq!(shapes_of(&commands(13))[0], "GET cart:<id>:items");
        // Segments at other places stay.
        let mut more = commands(13);
        more.push("GET a".to_owned());
        assert_eq!(shapes_of(&more)[13], "GET a");
    }

    #[test]
    fn segments_of_one_run_alone_are_ids() {
        let runs = ["GET cart:asa GET", "GET cart:bob"].map(|command| run(&[command, "GET cart:eva", "GET kjx:items"]));
        let [first, second] = runs;
        let vocabulary = first.common_with(second);
        let patterns =
            ["cart:asa", "cart:eva", "cart:eva:items", "xyz:items"].map(|key| vocabulary.pattern(key.as_bytes()));
        assert_eq!(patterns, ["cart:<id>", "cart:eva", "cart:eva:items", "<id>:items"]);
    }

    #[test]
    fn scripts_have_their_sha_and_their_first_comment() {
        let code = "-- Take a lock.\nreturn redis.call('GET', KEYS[1])";
        let script = Script::new(code);
        let command = |name: &str, first: &str| [name, first, "1", "lock:7"].map(|word| word.as_bytes().to_vec());
        let eval = command("EVAL", code);
        let vocabulary = Vocabulary::of([eval.as_slice()]);
        let short = &script.get_hash()[..8];
        let shape = |words: &[Vec<u8>]| Shape::of(words, &vocabulary).to_string();
        assert_eq!(shape(&eval), format!("EVAL {short} (Take a lock.) lock:<id>"));
        let by_sha = command("EVALSHA", script.get_hash());
        assert_eq!(shape(&by_sha), format!("EVALSHA {short} (Take a lock.) lock:<id>"));
        assert_eq!(Shape::of(&by_sha, &Vocabulary::default()).to_string(), format!("EVALSHA {short} <id>:<id>"));
    }
}
