//! The rung `container` without the feature of that name.

use std::time::Duration;

use super::Throwaway;
use crate::report::{self, Fallen};
use crate::settings::{Provider, Settings};

pub(crate) fn start(_: &Settings, _: Duration) -> Result<Throwaway, Fallen> {
    Err(Fallen {
        rung: Provider::Container.to_string(),
        why: report::container::NOT_BUILT_IN.to_owned(),
        remedy: report::container::REMEDY_NOT_BUILT_IN.to_owned(),
    })
}
