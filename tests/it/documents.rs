//! Rules about the README and the pages of `docs/`: their links lead somewhere, and their quotations are exact.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::golden::GOLDEN;
use crate::pages::{assert_leads_somewhere, files, inline_links, is_elsewhere, link_definition, pages, prose, read};

/// The pages of `docs/`, which rustdoc shows as well.
fn guide_pages() -> Vec<PathBuf> {
    let pages = files("docs", &["md"]);
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

#[test]
fn links_between_pages_lead_somewhere() {
    let (mut inline, mut defined) = (0, 0);
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for (_, line) in prose(&text) {
            for link in inline_links(line).filter(|link| !is_elsewhere(link)) {
                assert_leads_somewhere(&page, link);
                inline += 1;
            }
            if let Some((_, link)) = link_definition(line).filter(|(_, link)| !is_elsewhere(link)) {
                assert_leads_somewhere(&page, link);
                defined += 1;
            }
        }
    }
    assert!(inline > 3 && defined > 10, "{inline} inline links, {defined} definitions");
}

/// rustdoc shows the pages at other paths than the repository. So links use definitions, which `src/guide.rs` replaces.
#[test]
fn links_between_pages_work_in_rustdoc() {
    let guide = read("src/guide.rs");
    for page in guide_pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let name = page.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        assert!(guide.contains(&format!("{:?}", name.trim_end_matches(".md"))), "src/guide.rs does not show {name}");
        for (_, line) in prose(&text) {
            for link in inline_links(line) {
                let works = link.contains("://") || link.starts_with('#');
                assert!(works, "{name}: give the link to {link} a definition at the end of the page");
            }
            if let Some((link, _)) = link_definition(line) {
                let is_known = guide.contains(&format!("[{link}]:")) || guide.contains(&format!("\"{link}\""));
                assert!(is_known, "{name}: [{link}]");
            }
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
    for page in guide_pages() {
        for (path, block) in marked("from", &fs::read_to_string(&page).expect("a page")) {
            assert_eq!(block, read(&path), "{} has another version of {path}", page.display());
            count += 1;
        }
        for (path, block) in marked("part of", &fs::read_to_string(&page).expect("a page")) {
            assert!(read(&path).contains(&block), "{} has another version of {path}: {block}", page.display());
            count += 1;
        }
    }
    assert!(count >= 13, "{count}");
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
    let lines: BTreeSet<_> = GOLDEN.iter().flat_map(|(_, text)| text.lines()).collect();
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
