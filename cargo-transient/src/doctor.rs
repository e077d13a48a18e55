//! `doctor`: tries every provider, and explains.

use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{diagnose, provider_of};
use transient_fixtures::{Provider, Settings};

use crate::{Failure, output, report};

const ORDER: [Provider; 4] = [Provider::Running, Provider::Process, Provider::Container, Provider::Download];

/// Prints each provider as soon as it is known. Succeeds if a command can get a server.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let settings = Settings::load().map_err(|error| Failure::of(&error))?;
    output::print(&report::settings(settings.file(), settings.notes()));
    let mut working = Vec::new();
    for provider in ORDER {
        let diagnosis = diagnose(provider).map_err(|error| Failure::of(&error))?;
        output::print(&report::diagnosis(provider, &diagnosis));
        if diagnosis.is_ok() {
            working.push(provider);
        }
    }
    let named = provider_of(&settings);
    let tests = match named {
        Some(named) => Some(named).filter(|named| working.contains(named)),
        None => working.first().copied(),
    };
    let starts = |provider: &&Provider| **provider != Provider::Running;
    let command = match named.as_ref().filter(starts) {
        Some(named) => Some(*named).filter(|named| working.contains(named)),
        None => working.iter().find(starts).copied(),
    };
    output::print(&report::verdict(tests, command));
    Ok(if command.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
