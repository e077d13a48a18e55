//! One INI file as Python's configparser reads it, with the line of every key.
//!
//! The crate `configparser` knows the values; that an error can name a line, that a key or a section given twice is
//! noticed, that `%(name)s` stands for another value, and that a continuation line may start with `[`, is added here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use configparser::ini::{Ini, IniDefault};

use crate::error::{Error, Kind};
use crate::report;

/// The section that holds an application's settings (`PasteDeploy`), and the one whose keys hold in every section.
const SECTIONS: [&str; 2] = ["app:main", "default"];

/// Stands in front of a continuation line that starts with `[`, which is no section header to Python.
const SHIELD: char = '\u{1}';

/// (section, key) to line.
type Lines = BTreeMap<(String, String), usize>;

pub(super) struct File {
    /// Lower-case key to value and line, of `[app:main]` and, behind it, `[DEFAULT]`.
    pub(super) values: BTreeMap<String, (String, usize)>,
    /// `include_ini_files` of `[includes]`, in the file's order, with the line of the key.
    pub(super) includes: Vec<(String, usize)>,
}

/// # Errors
///
/// When the file can't be read, isn't UTF-8, isn't INI, or gives a key or a section twice.
pub(super) fn read(path: &Path) -> Result<File, Error> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::with_source(Kind::Settings, report::unreadable_ini(path, &error), error))?;
    let (text, lines) = index(path, text.trim_start_matches('\u{feff}'))?;
    let mut ini = Ini::new_from_defaults(options());
    let sections = ini.read(text).map_err(|what| Error::new(Kind::Settings, report::not_ini(path, &what)))?;
    let here = path.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    let raw = |section: &str, key: &str| {
        let raw = sections.get(section)?.get(key)?.as_deref().unwrap_or_default();
        Some(raw.replace(SHIELD, "").trim().to_owned())
    };
    let value = |section: &str, key: &str| {
        let other = |name: &str| match name {
            "here" => Some(here.clone()),
            name => raw(section, name).or_else(|| raw("default", name)),
        };
        raw(section, key).map(|text| interpolate(&text, &other, DEEPEST))
    };
    let line = |section: &str, key: &str| lines.get(&(section.to_owned(), key.to_owned())).copied().unwrap_or_default();
    let mut values = BTreeMap::new();
    for section in SECTIONS {
        for key in sections.get(section).into_iter().flat_map(|keys| keys.keys()) {
            if let Some(text) = value(section, key) {
                values.entry(key.clone()).or_insert_with(|| (text, line(section, key)));
            }
        }
    }
    let includes = value("includes", "include_ini_files").unwrap_or_default();
    let at = line("includes", "include_ini_files");
    let includes = includes.split_whitespace().map(|name| (name.to_owned(), at)).collect();
    Ok(File { values, includes })
}

/// How deep values may stand in values: as deep as in Python.
const DEEPEST: u32 = 10;

/// `%(name)s` is the value of that name, and `%%` one percent sign. A name that there is not stays as it stands.
fn interpolate(text: &str, value: &dyn Fn(&str) -> Option<String>, depth: u32) -> String {
    let Some((before, rest)) = text.split_once('%') else { return text.to_owned() };
    let go_on = |rest: &str| interpolate(rest, value, depth);
    if let Some(rest) = rest.strip_prefix('%') {
        return format!("{before}%{}", go_on(rest));
    }
    let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(")s")).filter(|_| depth > 0);
    match name.and_then(|(name, rest)| Some((value(&name.to_lowercase())?, rest))) {
        Some((inner, rest)) => format!("{before}{}{}", interpolate(&inner, value, depth - 1), go_on(rest)),
        None => format!("{before}%{}", go_on(rest)),
    }
}

fn options() -> IniDefault {
    let mut options = IniDefault::default();
    options.multiline = true;
    // Python reads `#` inside a value as part of it.
    options.enable_inline_comments = false;
    options
}

/// The line of every key by (section, key), and the text with shielded continuation lines.
fn index(path: &Path, text: &str) -> Result<(String, Lines), Error> {
    let mut lines = Lines::new();
    let mut shielded = String::with_capacity(text.len());
    let mut section: Option<String> = None;
    let mut headers = BTreeMap::new();
    let mut key_indent: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            shielded.push_str(line);
        } else if key_indent.is_some_and(|key| indent > key) {
            let bracket = if trimmed.starts_with('[') { SHIELD.to_string() } else { String::new() };
            shielded.push_str(&format!("{:indent$}{bracket}{trimmed}", ""));
        } else if let Some(header) = trimmed.strip_prefix('[') {
            // One that is not closed is reported by the parser.
            let name = header.rsplit_once(']').map_or(header, |(name, _)| name).trim().to_lowercase();
            // Python takes [DEFAULT] more than once.
            if let Some(first) = headers.insert(name.clone(), number).filter(|_| name != "default") {
                return Err(Error::new(Kind::Settings, report::section_twice(path, first, number, &name)));
            }
            section = Some(name);
            key_indent = None;
            shielded.push_str(line);
        } else {
            let Some(section) = &section else {
                return Err(Error::new(
                    Kind::Settings,
                    report::key_before_section(
                        path,
                        number,
                        trimmed.split(['=', ':']).next().unwrap_or_default().trim(),
                    ),
                ));
            };
            if !trimmed.contains(['=', ':']) {
                return Err(Error::new(
                    Kind::Settings,
                    report::no_delimiter(path, number, trimmed.split_whitespace().next().unwrap_or_default()),
                ));
            }
            let key = trimmed.split(['=', ':']).next().unwrap_or_default().trim().to_lowercase();
            if let Some(first) = lines.insert((section.clone(), key.clone()), number) {
                return Err(Error::new(Kind::Settings, report::key_twice(path, first, number, section, &key)));
            }
            key_indent = Some(indent);
            shielded.push_str(line);
        }
        shielded.push('\n');
    }
    Ok((shielded, lines))
}
