//! Reads an INI file as Python's configparser does, with the line of every key.
//!
//! Size and time are bounded for any input, since the file can come from an untrusted repository.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Kind};
use crate::report;

/// The section of an application's settings (`PasteDeploy`), and the one whose keys apply to every section.
const SECTIONS: [&str; 2] = ["app:main", "default"];

/// The maximum size of a file, in bytes.
const LARGEST: u64 = 1 << 20;

/// The maximum length of an expanded value, in bytes.
const LONGEST_VALUE: usize = 1 << 16;

/// The maximum number of references in a value.
const MOST_REFERENCES: usize = 1_000;

/// The maximum length of the name in a reference, in bytes.
const LONGEST_NAME: usize = 256;

/// The maximum depth of references, as in Python.
const DEEPEST: usize = 10;

/// The keys of a section, each with its value and line.
type Section = BTreeMap<String, (String, usize)>;

pub(super) struct Contents {
    /// The keys of `[app:main]`, in lower case, and those of `[DEFAULT]` that it does not override.
    pub(super) values: Section,
    /// `include_ini_files` of `[includes]`, in order, with the line of the key.
    pub(super) includes: Vec<(String, usize)>,
    /// `secret` of `[session]`, with its line.
    pub(super) session_secret: Option<(String, usize)>,
}

/// # Errors
///
/// Returns an error if the file can't be read, is too large, isn't UTF-8, isn't INI, or repeats a key or a section.
pub(super) fn read(path: &Path) -> Result<Contents, Error> {
    let text = text(path)
        .map_err(|error| Error::with_source(Kind::Settings, report::settings::unreadable_ini(path), error))?;
    let mut sections = parse(path, text.trim_start_matches('\u{feff}'))?;
    let here = path.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    let expanded = |section: &str, key: &str| {
        let (raw, line) = sections.get(section)?.get(key)?;
        let text = Expansion { sections: &sections, section, here: &here, references: 0 }.of(raw);
        Some((text.unwrap_or_else(|| raw.clone()), *line))
    };
    let (includes, line) = expanded("includes", "include_ini_files").unwrap_or_default();
    let includes = includes.split_whitespace().map(|name| (name.to_owned(), line)).collect();
    let session_secret = expanded("session", "secret");
    let mut values = Section::new();
    for section in SECTIONS {
        for key in sections.get(section).into_iter().flat_map(BTreeMap::keys) {
            if let Some(value) = expanded(section, key) {
                values.entry(key.clone()).or_insert(value);
            }
        }
    }
    sections.clear();
    Ok(Contents { values, includes, session_secret })
}

fn text(path: &Path) -> io::Result<String> {
    // Reading a pipe or a device can block or never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok(text)
}

/// The sections by lower-case name. References are not expanded.
fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, Section>, Error> {
    let refuse = |report: String| Err(Error::new(Kind::Settings, report));
    let mut sections = BTreeMap::<String, Section>::new();
    let mut headers = BTreeMap::new();
    let mut section: Option<String> = None;
    // The key whose value the next line can continue, and its indentation.
    let mut open: Option<(String, usize)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        let continued = open.as_ref().filter(|(_, key)| indent > *key || trimmed.is_empty());
        if let (Some((key, _)), Some(section)) = (continued, &section) {
            let value = sections.get_mut(section).and_then(|keys| keys.get_mut(key));
            if let Some((value, _)) = value {
                value.push('\n');
                value.push_str(trimmed);
            }
        } else if trimmed.is_empty() {
        } else if let Some(header) = trimmed.strip_prefix('[') {
            let Some((name, _)) = header.rsplit_once(']') else {
                return refuse(report::settings::open_section(path, number, trimmed));
            };
            let name = name.trim().to_lowercase();
            // Python accepts [DEFAULT] more than once.
            if let Some(first) = headers.insert(name.clone(), number).filter(|_| name != "default") {
                return refuse(report::settings::section_twice(path, first, number, &name));
            }
            sections.entry(name.clone()).or_default();
            (section, open) = (Some(name), None);
        } else {
            let (key, value) = trimmed.split_once(['=', ':']).unwrap_or((trimmed, ""));
            let key = key.trim().to_lowercase();
            let Some(section) = &section else {
                return refuse(report::settings::key_before_section(path, number, &key));
            };
            if !trimmed.contains(['=', ':']) {
                let start = trimmed.split_whitespace().next().unwrap_or_default();
                return refuse(report::settings::no_delimiter(path, number, start));
            }
            if key.is_empty() {
                return refuse(report::settings::no_key(path, number));
            }
            let keys = sections.entry(section.clone()).or_default();
            if let Some((_, first)) = keys.insert(key.clone(), (value.trim().to_owned(), number)) {
                return refuse(report::settings::key_twice(path, first, number, section, &key));
            }
            open = Some((key, indent));
        }
    }
    for (value, _) in sections.values_mut().flat_map(BTreeMap::values_mut) {
        value.truncate(value.trim_end().len());
        *value = value.trim_start().to_owned();
    }
    Ok(sections)
}

/// Expands the references in a value: `%(name)s` is the value of that name, and `%%` is a percent sign. References to
/// unknown names stay unchanged.
struct Expansion<'file> {
    sections: &'file BTreeMap<String, Section>,
    section: &'file str,
    here: &'file str,
    references: usize,
}

impl<'file> Expansion<'file> {
    /// `None` if a value refers to itself or exceeds a limit.
    fn of(&mut self, text: &'file str) -> Option<String> {
        let mut out = String::new();
        self.add(text, &mut Vec::new(), &mut out)?;
        Some(out)
    }

    fn add(&mut self, text: &'file str, inside: &mut Vec<String>, out: &mut String) -> Option<()> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            rest = after;
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
            } else if let Some((name, value, after)) = self.reference(after) {
                self.references += 1;
                if inside.contains(&name) || inside.len() >= DEEPEST || self.references > MOST_REFERENCES {
                    return None;
                }
                if name == "here" {
                    out.push_str(value);
                } else {
                    inside.push(name);
                    self.add(value, inside, out)?;
                    inside.pop();
                }
                rest = after;
            } else {
                out.push('%');
            }
            if out.len() > LONGEST_VALUE {
                return None;
            }
        }
        out.push_str(rest);
        (out.len() <= LONGEST_VALUE).then_some(())
    }

    /// `(name)s` at the start of the text: the name, its value, and the rest of the text.
    fn reference<'text>(&self, text: &'text str) -> Option<(String, &'file str, &'text str)> {
        let text = text.strip_prefix('(')?;
        let near = &text.as_bytes()[..text.len().min(LONGEST_NAME)];
        let end = near.windows(2).position(|pair| pair == b")s")?;
        let name = text[..end].to_lowercase();
        Some((name.clone(), self.value(&name)?, &text[end + 2..]))
    }

    fn value(&self, name: &str) -> Option<&'file str> {
        let own = || self.sections.get(self.section)?.get(name);
        let default = || self.sections.get("default")?.get(name);
        if name == "here" { Some(self.here) } else { own().or_else(default).map(|(value, _)| value.as_str()) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{Expansion, LONGEST_VALUE, parse};

    proptest! {
        #[test]
        fn parses_or_rejects_any_text(text in "[ \\[\\]a%()s=:#;\n\\\\é]{0,400}") {
            if let Ok(sections) = parse(Path::new("test.ini"), &text) {
                for (section, keys) in &sections {
                    for (value, _) in keys.values() {
                        let mut expansion = Expansion { sections: &sections, section, here: "/here", references: 0 };
                        prop_assert!(expansion.of(value).is_none_or(|text| text.len() <= LONGEST_VALUE));
                    }
                }
            }
        }
    }
}
