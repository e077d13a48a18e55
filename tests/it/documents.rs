//! Rules about the README and the pages of `docs/`: their links lead somewhere, and their quotations are exact.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages of `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = fs::read_dir(root().join("docs"))
        .expect("docs")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The destinations of inline links.
fn inline_links(prose: &str) -> Vec<&str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// `[name]: destination` on a line.
fn definitions(prose: &str) -> Vec<(&str, &str)> {
    prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).collect()
}

/// The anchor that GitHub and rustdoc give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn assert_leads_somewhere(page: &Path, destination: &str) {
    if destination.contains("://") {
        return;
    }
    let (file, fragment) = destination.split_once('#').unwrap_or((destination, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent().expect("a directory").join(file) };
    assert!(target.exists(), "{} links to {destination}, but there is no such file", page.display());
    if !fragment.is_empty() {
        let text = fs::read_to_string(&target).expect("a page");
        let mut headings = text.lines().filter(|line| line.starts_with('#'));
        assert!(
            headings.any(|line| anchor(line.trim_start_matches('#').trim()) == fragment),
            "{} links to {destination}, which has no such heading",
            page.display()
        );
    }
}

/// `repository.rs` checks inline links on all pages.
#[test]
fn definitions_of_links_lead_somewhere() {
    for page in pages() {
        let prose = prose(&fs::read_to_string(&page).expect("a page"));
        for (_, link) in definitions(&prose) {
            assert_leads_somewhere(&page, link);
        }
    }
}

/// rustdoc shows the pages at other paths than the repository. So links use definitions, which `src/guide.rs` replaces.
#[test]
fn links_between_pages_work_in_rustdoc() {
    let guide = read("src/guide.rs");
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let name = page.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        assert!(guide.contains(&format!("{:?}", name.trim_end_matches(".md"))), "src/guide.rs does not show {name}");
        let prose = prose(&text);
        for link in inline_links(&prose) {
            let works = link.contains("://") || link.starts_with('#');
            assert!(works, "{name}: give the link to {link} a definition at the end of the page");
        }
        for (link, _) in definitions(&prose) {
            assert!(
                guide.contains(&format!("[{link}]:")) || guide.contains(&format!("\"{link}\"")),
                "{name}: [{link}]"
            );
        }
    }
}

/// The blocks after a comment `<!-- WORD: PATH -->`, with the path.
fn marked(word: &str, text: &str) -> Vec<(String, String)> {
    let opening = format!("<!-- {word}: ");
    let pieces = text.split(&opening).skip(1);
    pieces
        .map(|piece| {
            let (path, rest) = piece.split_once(" -->\n").expect("the end of the comment");
            let block = rest.strip_prefix("```").and_then(|rest| rest.split_once('\n')).expect("a block").1;
            (path.to_owned(), block.split("```").next().expect("the end of the block").to_owned())
        })
        .collect()
}

#[test]
fn copied_code_equals_its_source() {
    let mut count = 0;
    for page in pages() {
        for (path, block) in marked("from", &fs::read_to_string(&page).expect("a page")) {
            assert_eq!(block, read(&path), "{} has another version of {path}", page.display());
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

/// Whether the text contains the pieces in this order.
fn has_in_order<'piece>(mut text: &str, pieces: impl Iterator<Item = &'piece str>) -> bool {
    for piece in pieces {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

/// Reports that a page shows, where the golden file has placeholders for the server.
#[test]
fn shown_reports_are_golden() {
    let page = read("docs/snapshots.md");
    let reports = marked("golden", &page);
    assert!(!reports.is_empty());
    for (path, block) in reports {
        let golden = read(&path);
        assert_eq!(block.lines().count(), golden.lines().count(), "{path}");
        for (line, golden) in block.lines().zip(golden.lines()) {
            let fixed = ["PRODUCT", "VERSION", "ADDRESS", "PROVIDER"]
                .iter()
                .fold(golden.to_owned(), |line, word| line.replace(word, "\0"));
            assert!(has_in_order(line, fixed.split('\0')), "docs/snapshots.md shows {line:?}, {path} {golden:?}");
        }
    }
}

/// The messages in the troubleshooting page: block quotations, with … for what differs.
#[test]
fn quoted_messages_are_golden() {
    let page = read("docs/troubleshooting.md");
    let mut golden = String::new();
    for entry in fs::read_dir(root().join("src/report/golden")).expect("golden files").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "txt") {
            golden += &fs::read_to_string(entry.path()).expect("a golden file");
        }
    }
    let lines: BTreeSet<_> = golden.lines().collect();
    let quotations: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    assert!(quotations.len() >= 10, "{quotations:?}");
    for quotation in quotations {
        let quoted = quotation.trim_matches('`');
        assert!(
            lines.iter().any(|line| has_in_order(line, quoted.split('…'))),
            "no golden file has the message {quoted:?}"
        );
    }
}
