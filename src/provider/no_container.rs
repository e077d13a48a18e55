//! The provider `container` without the feature of that name.

use std::time::Duration;

use super::{Started, Unavailable};
use crate::report;
use crate::settings::{Provider, Settings};

pub(crate) fn start(_: &Settings, _: Duration) -> Result<Started, Unavailable> {
    Err(Unavailable {
        provider: Provider::Container.to_string(),
        why: report::container::NOT_BUILT_IN.to_owned(),
        remedy: report::container::REMEDY_NOT_BUILT_IN.to_owned(),
    })
}
