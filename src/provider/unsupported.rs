//! Stand-ins for the providers that this platform or set of features lacks. They only report that.

use std::time::Duration;

use super::{Started, Unavailable};
use crate::report;
use crate::settings::{Provider, Settings};

#[cfg(not(feature = "container"))]
pub(crate) mod container {
    use super::{Duration, Provider, Settings, Started, Unavailable, report};

    pub(crate) fn start(settings: &Settings, _: Duration) -> Result<Started, Unavailable> {
        let remedy = if settings.command().is_some() {
            report::container::REMEDY_NOT_IN_PROGRAM
        } else {
            report::container::REMEDY_NOT_BUILT_IN
        };
        Err(Unavailable {
            provider: Provider::Container.to_string(),
            why: report::container::NOT_BUILT_IN.to_owned(),
            remedy: remedy.to_owned(),
        })
    }
}

/// No wheel serves these platforms.
#[cfg(not(unix))]
pub(crate) mod download {
    use std::path::PathBuf;

    use super::{Duration, Provider, Settings, Unavailable, report};

    pub(crate) fn cached() -> Option<PathBuf> {
        None
    }

    pub(crate) fn fetch(_: &Settings, _: Duration) -> Result<PathBuf, Unavailable> {
        Err(Unavailable::new(Provider::Download, report::download::no_wheel()))
    }
}

/// The supervisor needs process groups.
#[cfg(not(unix))]
pub(crate) mod process {
    use std::path::{Path, PathBuf};

    use super::{Duration, Provider, Settings, Started, Unavailable, report};

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
}
