//! `restore`: the keys of a backup, written to a running server.

mod target;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use transient_fixtures::__cargo_transient::{
    Backup, NotRestored, Restore as Restoring, Source, has_field_ttls, running_settings,
};

use crate::arguments::Restore;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::{Failure, output, report};
use target::{Place, Target};

pub(crate) fn run(arguments: &Restore) -> Result<ExitCode, Failure> {
    let stop = Stop::at_signals();
    let file = arguments.file.as_path();
    let source = source(file).map_err(|error| Failure::of(&report::backup::not_read(file, &error)))?;
    let mut progress = Progress::new();
    progress.show(|| report::backup::CHECKING.to_owned());
    let (backup, contents) =
        Backup::open(source).map_err(|invalid| Failure::of(&report::backup::invalid(file, &invalid)))?;
    drop(progress);
    if let Some((database, key, kind)) = &contents.unwritable {
        return Err(Failure::of(&report::backup::unwritable(file, *database, key, kind)));
    }
    let settings = running_settings(arguments.url.as_deref()).map_err(|error| Failure::of(&error))?;
    let places = target::places(arguments, &contents, &settings)?;
    let target = Target::open(arguments, &settings, &places)?;
    if contents.has_field_ttls
        && let Some(place) = places.first()
    {
        let (mut redis, _) = target.connect(place.into)?;
        let knows = has_field_ttls(&mut redis);
        if !knows.map_err(|error| Failure::of(&report::backup::not_restored(place.into, &error, None)))? {
            return Err(Failure::of(&report::backup::no_field_ttls(file)));
        }
    }
    for place in &places {
        restore(*place, &backup, &target, arguments.replace, &stop, file)?;
    }
    if target.is_for_tests() {
        output::print(report::backup::TESTS_REFUSE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes of a file; those of standard input or a pipe in memory.
fn source(path: &Path) -> io::Result<Source> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(Source::Memory(bytes));
    }
    let mut file = File::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(Source::File(file));
    }
    file.read_to_end(&mut bytes)?;
    Ok(Source::Memory(bytes))
}

/// Writes the keys of one database, and compares.
fn restore(
    place: Place,
    backup: &Backup,
    target: &Target,
    replace: bool,
    stop: &Stop,
    file: &Path,
) -> Result<(), Failure> {
    let (mut redis, address) = target.connect(place.into)?;
    let restoring = Restoring { from: place.from, replace };
    let mut progress = Progress::new();
    let (started, written) = (Instant::now(), Cell::new(0));
    let restored = restoring.write(backup, &mut redis, |keys| {
        written.set(keys);
        progress.show(|| report::backup::restoring(keys, place.keys));
        stop.code().is_none() && target.is_held()
    });
    let restored = restored.and_then(|restored| {
        restoring.verify(backup, &mut redis, started, |keys| {
            progress.show(|| report::backup::verifying(keys, place.keys));
            stop.code().is_none() && target.is_held()
        })?;
        Ok(restored)
    });
    drop(progress);
    let restored = restored.map_err(|error| {
        let (into, written) = (place.into, written.get());
        let report = match &error {
            _ if stop.code().is_some() => report::backup::stopped_restore(into, written),
            _ if !target.is_held() => report::backup::lost(into, written),
            NotRestored::Server(error) => report::backup::not_restored(into, error, Some(written)),
            NotRestored::Rejected(key, words) => report::backup::rejected(into, key, words, written),
            NotRestored::Differs(key) => report::backup::differs(into, key),
            NotRestored::File(_) => report::backup::changed(file, written),
            NotRestored::Stopped => report::backup::stopped_restore(into, written),
        };
        Failure { code: stop.code().unwrap_or(1), ..Failure::of(&report) }
    })?;
    output::print(&report::backup::restored(file, restored.keys, restored.expired, place.into, &address));
    Ok(())
}
