//! The provider `process` on platforms that have no keeper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Started, Unavailable};
use crate::report;
use crate::settings::{Provider, Settings};

pub(crate) fn find(_: &Settings) -> Result<PathBuf, Unavailable> {
    Err(not_here())
}

pub(crate) fn start(_: &Path, _: Provider, _: &Settings, _: Duration) -> Result<Started, Unavailable> {
    Err(not_here())
}

pub(crate) fn check(_: &Path, _: Provider, _: &mut Started) -> Result<(), Unavailable> {
    Ok(())
}

fn not_here() -> Unavailable {
    Unavailable::new(Provider::Process, report::process::not_here())
}
