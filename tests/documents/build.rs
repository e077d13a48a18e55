//! Writes a file for each block whose language is exactly `rust`, and a list of these files as modules.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut pages: Vec<_> = fs::read_dir(root.join("docs")).expect("docs").flatten().map(|page| page.path()).collect();
    pages.push(root.join("README.md"));
    pages.sort();
    println!("cargo::rerun-if-changed={}", root.join("docs").display());
    let mut modules = String::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        println!("cargo::rerun-if-changed={}", page.display());
        let text = fs::read_to_string(page).expect("a page");
        let name = page.file_stem().and_then(|name| name.to_str()).expect("UTF-8").to_lowercase().replace('-', "_");
        for (line, block) in blocks(&text) {
            let module = format!("{name}_line_{line}");
            let file = out.join(format!("{module}.rs"));
            fs::write(&file, block).expect("OUT_DIR can be written");
            writeln!(modules, "#[allow(dead_code)]\n#[path = {file:?}]\nmod {module};").expect("a String");
        }
    }
    fs::write(out.join("blocks.rs"), modules).expect("OUT_DIR can be written");
}

/// The blocks with the numbers of their first lines, from 1.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if line == "```rust" => open = Some((number + 2, String::new())),
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
        }
    }
    found
}
