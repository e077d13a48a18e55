//! The provider `download` on platforms that no wheel serves.

use std::path::PathBuf;
use std::time::Duration;

use super::Unavailable;
use crate::report;
use crate::settings::{Provider, Settings};

pub(crate) fn cached() -> Option<PathBuf> {
    None
}

pub(crate) fn fetch(_: &Settings, _: Duration) -> Result<PathBuf, Unavailable> {
    Err(Unavailable::new(Provider::Download, report::download::no_wheel()))
}
