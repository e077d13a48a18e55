//! Renders every sentence once with fixed values. `golden/*.txt` has the text, one file for each report file.
//!
//! A sentence with several forms has an entry for each.

/// Compares sentences with the golden file of that name. `[busy(…)]` is a sentence, and `[busy(…), "locally"]` one of
/// its forms.
macro_rules! golden {
    ($file:literal, $([$first:ident$(::$name:ident)* $(($($value:expr),* $(,)?))? $(, $form:literal)?]),* $(,)?) => {
        crate::report::golden::compare($file, &[$((
            concat!(stringify!($first), $("::", stringify!($name),)* $(", ", $form)?),
            String::from($first$(::$name)* $(($($value),*))?),
        )),*])
    };
}

mod backup;
mod command;
mod container;
mod data;
mod download;
mod failure;
mod faults;
mod jobs;
mod kept;
mod lease;
mod lint;
mod process;
mod races;
mod report;
mod running;
mod session;
mod settings;
mod snapshot;
mod tap;
mod travel;

use std::io;
use std::path::Path;

const PLACE: &str = "/shop/test.ini:7";
const SERVER: &str = "Valkey 8.1.4 at 127.0.0.1:41023 (process)";
const TEST: &str = "shop::carts::are_emptied";
const URL: &str = "redis://127.0.0.1:6379";
const WORDS: &str = "Connection refused (os error 111)";

fn no_permission() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "Permission denied (os error 13)")
}

/// As in the list of providers.
impl From<super::Reason> for String {
    fn from(reason: super::Reason) -> Self {
        format!("{}\n-> {}", reason.why, reason.remedy)
    }
}

fn compare(file: &str, sentences: &[(&str, String)]) {
    let entries: Vec<_> = sentences.iter().map(|(name, sentence)| format!("## {name}\n{sentence}\n")).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/report/golden/{file}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, entries.join("\n")).expect("write");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file");
    // One sentence is easier to read than all of them.
    for entry in &entries {
        assert!(expected.contains(entry), "{entry}\nUPDATE_GOLDEN=1 renews {}", golden.display());
    }
    assert_eq!(entries.join("\n"), expected, "UPDATE_GOLDEN=1 renews {}", golden.display());
}
