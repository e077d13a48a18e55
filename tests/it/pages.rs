//! The repository's files, and the text and links of its pages.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below this path with these endings, without those that cargo made.
pub(crate) fn files(below: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            if !path.ends_with("target") {
                open.extend(fs::read_dir(&path).expect("read").flatten().map(|entry| entry.path()));
            }
        } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
            found.push(path);
        }
    }
    found
}

/// All pages of the repository.
pub(crate) fn pages() -> Vec<PathBuf> {
    let directories = ["docs", "examples", "benches", "interop", "cargo-transient", ".github"].into_iter();
    let mut pages: Vec<_> = directories.flat_map(|below| files(below, &["md"])).collect();
    let here = fs::read_dir(root()).expect("read").flatten().map(|entry| entry.path());
    pages.extend(here.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    pages
}

/// The lines of a page outside its code blocks, with their numbers.
pub(crate) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(|(index, line)| (index + 1, line)).collect()
}

/// The destinations of the inline links on a line.
pub(crate) fn inline_links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The name and the destination of a line `[name]: destination`.
pub(crate) fn link_definition(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('[')?.split_once("]: ")
}

/// The anchor that GitHub and rustdoc give a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Whether the destination is another site, or an item that rustdoc resolves.
pub(crate) fn is_elsewhere(destination: &str) -> bool {
    destination.contains(':') || !destination.contains(['/', '.', '#'])
}

/// Asserts that a link of this page leads to a file, and to a heading in it.
pub(crate) fn assert_leads_somewhere(page: &Path, destination: &str) {
    let place = format!("{}: {destination}", page.display());
    let (file, fragment) = destination.split_once('#').unwrap_or((destination, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().expect("a directory").join(file) };
    assert!(target.exists(), "{place}: no such file");
    if !fragment.is_empty() {
        let text = fs::read_to_string(&target).unwrap_or_else(|error| panic!("{place}: {error}"));
        let headings = prose(&text).into_iter().filter(|(_, line)| line.starts_with('#'));
        assert!(headings.map(|(_, heading)| anchor(heading)).any(|it| it == fragment), "{place}: no such heading");
    }
}
