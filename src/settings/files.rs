//! The settings files: test.ini, its includes, and Websauna's secrets file.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};

use super::known::{OTHER_NAMES, SECRET, SECRETS_FILE};
use super::locate::{self, Places};
use super::{Origin, Values, ini};
use crate::error::{Error, Kind};
use crate::report;

/// The maximum number of included files.
const MOST_FILES: usize = 64;

/// The settings files. Each one is read once.
#[derive(Default)]
pub(super) struct Files {
    pub(super) values: Values,
    pub(super) notes: Vec<String>,
    /// Canonical paths.
    read: Vec<PathBuf>,
    open: Vec<PathBuf>,
}

impl Files {
    /// Adds the keys of a file, then those of its includes. The first file that sets a key takes precedence.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_settings`](Error::is_settings) if a file can't be read or parsed.
    pub(super) fn add(&mut self, path: &Path, canonical: PathBuf) -> Result<(), Error> {
        let contents = ini::read(path)?;
        for (key, value) in named_once(path, contents.values)? {
            self.values.entry(key).or_insert(value);
        }
        self.read.push(canonical.clone());
        self.open.push(canonical);
        for (name, line) in contents.includes {
            self.include(path, &name, line)?;
        }
        self.open.pop();
        Ok(())
    }

    fn include(&mut self, path: &Path, name: &str, line: usize) -> Result<(), Error> {
        let Places { mut named, beside } = locate::places(path, name);
        let is_other = |path: &PathBuf| path.canonicalize().is_ok_and(|path| !self.read.contains(&path));
        let included = if name.contains("://") {
            let found = named.into_iter().find(|path| path.is_file());
            found.or_else(|| beside.into_iter().find(|path| path.is_file()).filter(is_other))
        } else {
            named.pop()
        };
        let Some(included) = included else {
            // A missing package is common, and often nothing in it is needed.
            self.notes.push(report::settings::skipped_include(path, line, name));
            return Ok(());
        };
        let refuse = |report: String| Err(Error::new(Kind::Settings, report));
        let Ok(canonical) = included.canonicalize() else {
            return refuse(report::settings::no_such_include(path, line, &included));
        };
        if self.open.contains(&canonical) {
            return refuse(report::settings::include_circle(&included));
        }
        if self.read.contains(&canonical) {
            return Ok(());
        }
        if self.read.len() > MOST_FILES {
            return refuse(report::settings::too_many_includes(path, line, MOST_FILES));
        }
        self.add(&included, canonical)
    }

    /// Adds Websauna's secrets file, which `websauna.secrets_file` names. Its `[app:main]` overrides all other files,
    /// and its `[session] secret` signs the cookies.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_settings`](Error::is_settings) if the file can't be read or parsed. A missing file is
    /// only a note, since it is often not committed.
    pub(super) fn add_secrets(&mut self) -> Result<(), Error> {
        let Some((name, Origin::File(path, line))) = self.values.get(SECRETS_FILE.key).cloned() else {
            return Ok(());
        };
        if name.is_empty() {
            return Ok(());
        }
        let Places { named: mut paths, beside } = locate::places(&path, &name);
        paths.extend(beside);
        if !name.contains("://") {
            // Websauna also looks in its working directory.
            paths.push(PathBuf::from(&name));
        }
        let Some(secrets) = paths.into_iter().find(|path| path.is_file()) else {
            self.notes.push(report::settings::no_secrets_file(&path, line, &name));
            return Ok(());
        };
        let contents = ini::read(&secrets)?;
        let mut values = named_once(&secrets, contents.values)?;
        if let Some((secret, line)) = contents.session_secret {
            values.insert(SECRET.key.to_owned(), (secret, Origin::File(secrets.clone(), line)));
        }
        for (key, (value, origin)) in values {
            // In Websauna, `$NAME` is an environment variable.
            let variable = value.strip_prefix('$').map(str::to_owned);
            let value = variable.as_deref().map_or(Ok(value), env::var);
            if let Ok(value) = value {
                self.values.insert(key, (value, origin));
            } else if let Some(variable) = variable {
                self.notes.push(report::settings::no_variable(&origin, &key, &variable));
            }
        }
        Ok(())
    }
}

/// The keys of a file. A setting with two names is stored under the one in `known`.
///
/// # Errors
///
/// Returns an error if the file sets both names to different values.
fn named_once(path: &Path, values: BTreeMap<String, (String, usize)>) -> Result<Values, Error> {
    let place = |line| Origin::File(path.to_path_buf(), line);
    let mut named = Values::new();
    let mut taken = BTreeSet::new();
    for (other, known) in OTHER_NAMES {
        let Some((value, line)) = values.get(other) else { continue };
        if let Some((_, own_line)) = values.get(known.key).filter(|(own, _)| own != value) {
            let (first, second) = (*own_line.min(line), *own_line.max(line));
            return Err(Error::new(Kind::Settings, report::settings::two_names(path, first, second, known.key, other)));
        }
        named.insert(known.key.to_owned(), (value.clone(), place(*line)));
        taken.insert(known.key);
    }
    for (key, (value, line)) in values {
        if !taken.contains(key.as_str()) && OTHER_NAMES.iter().all(|(other, _)| key != *other) {
            named.insert(key, (value, place(line)));
        }
    }
    Ok(named)
}
