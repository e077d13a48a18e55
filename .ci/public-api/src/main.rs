//! Prints the public items in a file of rustdoc's JSON, one per line, ordered by path.

use std::collections::HashSet;
use std::error::Error;

/// Auto traits that no user of a test library relies on. `Send` and `Sync` stay.
const OMITTED: [&str; 4] = [
    "impl core::marker::Freeze ",
    "impl core::marker::Unpin ",
    "impl core::panic::unwind_safe::",
    "impl !core::panic::",
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: public-api-listing RUSTDOC_JSON")?;
    let api = public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).build()?;
    // An item that is exported under two paths is listed once.
    let mut listed = HashSet::new();
    for line in api.items().map(ToString::to_string) {
        if !OMITTED.iter().any(|start| line.starts_with(start)) && listed.insert(line.clone()) {
            println!("{line}");
        }
    }
    Ok(())
}
