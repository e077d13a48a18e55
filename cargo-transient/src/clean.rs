//! `clean`: what is kept on this machine.

use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{Kept, list};

use crate::arguments::Clean;
use crate::{Failure, output, report};

/// Prints what there is, and removes what is not in use.
pub(crate) fn run(arguments: &Clean) -> Result<ExitCode, Failure> {
    let kept = list();
    for kept in &kept {
        let (free, used) = kept.entries();
        output::print(&report::kept(kept.path(), kept.what(), free, used, kept.bytes()));
        if !arguments.dry_run {
            let failed = |error: std::io::Error| Failure::of(&report::not_removed(kept.path(), &error));
            kept.remove().map_err(failed)?;
        }
    }
    let entries = kept.iter().map(|kept| kept.entries().0).sum();
    let bytes = kept.iter().map(Kept::bytes).sum();
    output::print(&report::cleaned(entries, bytes, arguments.dry_run));
    Ok(ExitCode::SUCCESS)
}
