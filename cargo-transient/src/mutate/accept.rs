//! Findings that the user has accepted.
//!
//! The file is JSON, as `--json` writes findings, so that one can be copied; its parser is in the tree already. A
//! parser of TOML would add a second to the build.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Failure, report};

/// A finding that is accepted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shape: String,
    pub(super) operator: String,
    pub(super) is_used: bool,
}

/// Reads the file of `--accept`.
///
/// # Errors
///
/// Returns an error if it can't be read, or an entry has no shape, operator and reason.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let failure = |cause: &dyn std::fmt::Display| Failure {
        text: report::error(&report::mutate::not_accepted(path, cause)),
        code: super::WRONG_USE,
    };
    let text = fs::read_to_string(path).map_err(|error| failure(&error))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| failure(&error))?;
    let entries = file["accept"].as_array().ok_or_else(|| failure(&report::mutate::NO_ENTRIES))?;
    entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
            match (text("shape"), text("operator"), text("reason")) {
                (Some(shape), Some(operator), Some(_)) => Ok(Entry { shape, operator, is_used: false }),
                _ => Err(failure(&report::mutate::incomplete_entry(&entry.to_string()))),
            }
        })
        .collect()
}

/// Returns whether a finding is accepted, and marks the entry as used.
pub(super) fn accepts(entries: &mut [Entry], shape: &str, operator: &str) -> bool {
    let found = entries.iter_mut().find(|entry| entry.shape == shape && entry.operator == operator);
    found.is_some_and(|entry| {
        entry.is_used = true;
        true
    })
}
