//! The rung `download` on platforms that no wheel serves.

use std::path::PathBuf;
use std::time::Duration;

use crate::report::{self, Fallen};
use crate::settings::{Provider, Settings};

pub(crate) fn cached() -> Option<PathBuf> {
    None
}

pub(crate) fn fetch(_: &Settings, _: Duration) -> Result<PathBuf, Fallen> {
    Err(Fallen {
        rung: Provider::Download.to_string(),
        why: report::download::NO_WHEEL.to_owned(),
        remedy: report::download::REMEDY_NO_WHEEL.to_owned(),
    })
}
