//! Rules about `src/report/golden`, by which tests recognise reports.

use std::collections::BTreeSet;

use crate::golden::{GOLDEN, QUOTE, entries, golden, own_runs, runs};
use crate::pages::{files, read};

#[test]
fn a_report_is_recognised_by_its_own_words() {
    assert_eq!(runs("a 1 bb ccc, d (e) ff"), ["a", "bb ccc, d", "ff"]);
    assert_eq!(golden("lease::over"), own_runs("lease::over")[0]);
    for name in QUOTE {
        let is_there =
            |(file, heading, _): (&str, &str, &str)| format!("{file}::{heading}").split(", ").next() == Some(name);
        assert!(entries().any(is_there), "{name}");
    }
}

/// A golden file that is missing here would be missing in `repository::no_test_quotes_a_report` too.
#[test]
fn all_golden_files_are_known() {
    let files = files("src/report/golden", &["txt"]);
    let mut names: Vec<_> = files.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    names.sort_unstable();
    assert_eq!(names, GOLDEN.map(|(name, _)| name));
}

#[test]
fn tests_use_entries_with_words_of_their_own() {
    let mut ambiguous = BTreeSet::new();
    for path in ["tests/it", "tests/engine", "tests/clock"].into_iter().flat_map(|below| files(below, &["rs"])) {
        let text = read(&path);
        let names = text.split("golden(\"").skip(1).filter_map(|rest| rest.split('"').next());
        ambiguous.extend(names.filter(|name| own_runs(name).is_empty()).map(str::to_owned));
    }
    assert!(ambiguous.is_empty(), "{ambiguous:#?}");
}
