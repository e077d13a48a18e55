//! `doctor`: tries every provider, and explains.

use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{PROVIDERS, diagnose, providers};
use transient_fixtures::Settings;

use crate::{Failure, output, report};

/// Prints each provider as soon as it is known. Succeeds if a command can get a server.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let settings = Settings::load().map_err(|error| Failure::of(&error))?;
    output::print(&report::settings(settings.file(), settings.notes()));
    let mut working = Vec::new();
    for provider in PROVIDERS {
        let diagnosis = diagnose(provider).map_err(|error| Failure::of(&error))?;
        output::print(&report::diagnosis(provider, &diagnosis));
        if diagnosis.is_ok() {
            working.push(provider);
        }
    }
    let providers = providers().map_err(|error| Failure::of(&error))?;
    let [tests, command] = providers.map(|tried| tried.into_iter().find(|provider| working.contains(provider)));
    output::print(&report::verdict(tests, command));
    Ok(if command.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
