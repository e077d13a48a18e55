//! `dump`: a backup of a database of a running server, which is only read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{
    Backup, Dump as Dumping, Dumped, Format, NotDumped, Source, running_settings,
};
use transient_fixtures::redis::Connection;

use crate::arguments::{Dump, FormatArgument};
use crate::new_file::NewFile;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::{Failure, connection, output, report};

/// How much is written to the file at once.
const WRITTEN_AT_ONCE: usize = 1 << 18;

pub(crate) fn run(arguments: &Dump) -> Result<ExitCode, Failure> {
    let stop = Stop::at_signals();
    let settings = running_settings(arguments.url.as_deref()).map_err(|error| Failure::of(&error))?;
    let database = arguments.database.unwrap_or(settings.databases().sessions);
    let to_stdout = arguments.file == Path::new("-");
    let file = if to_stdout { None } else { Some(NewFile::create(&arguments.file, arguments.replace)?) };
    let failed = |error| Failure::of(&report::not_shown(database, &error));
    let (mut redis, address) = connection::open(settings.redis_url(), database).map_err(failed)?;
    let format = match arguments.format {
        FormatArgument::Snapshot => Format::Snapshot,
        FormatArgument::Resp => Format::Commands,
    };
    let dump = Dumping { database, pattern: arguments.pattern.as_deref(), format };
    let dumped = match &file {
        Some(new) => {
            let dumped = write(dump, &mut redis, &new.file, &stop, &arguments.file)?;
            verify(&new.file, &dumped, &arguments.file)?;
            dumped
        }
        None => write(dump, &mut redis, io::stdout().lock(), &stop, &arguments.file)?,
    };
    if let Some(code) = stop.code() {
        return Err(Failure { code, ..Failure::of(&report::backup::STOPPED_DUMP) });
    }
    if let Some(new) = file {
        new.finish()?;
    }
    let about = report::backup::Dumped {
        file: (!to_stdout).then_some(arguments.file.as_path()),
        address: &address,
        database,
        keys: dumped.keys,
        took: dumped.took,
        writes: dumped.writes,
        gone: dumped.gone,
        unsure: dumped.unsure.first().map(|example| (dumped.unsure.len(), example.to_string())),
    };
    // Standard output has the backup itself.
    let print = if to_stdout { output::print_error } else { output::print };
    print(&report::backup::dumped(&about));
    for (kind, left_out) in &dumped.left_out {
        output::print_error(&report::backup::left_out(left_out.count, kind, &left_out.example));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(
    dump: Dumping<'_>,
    redis: &mut Connection,
    file: impl Write,
    stop: &Stop,
    path: &Path,
) -> Result<Dumped, Failure> {
    let mut progress = Progress::new();
    let mut file = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
    let dumped = dump.write(redis, &mut file, |keys, all| {
        progress.show(|| report::backup::dumping(keys, all));
        stop.code().is_none()
    });
    drop(progress);
    dumped.map_err(|error| {
        // What is still in memory is of no use.
        drop(file.into_parts());
        match (error, stop.code()) {
            (_, Some(code)) => Failure { code, ..Failure::of(&report::backup::STOPPED_DUMP) },
            (NotDumped::File(error), None) if path == Path::new("-") => output::not_written(&error),
            (NotDumped::File(error), None) => Failure::of(&report::backup::not_written(path, &error)),
            (NotDumped::Server(error), None) => Failure::of(&report::not_shown(dump.database, &error)),
            (NotDumped::Stopped, None) => Failure::of(&report::backup::STOPPED_DUMP),
        }
    })
}

/// Reads the file again.
fn verify(file: &File, dumped: &Dumped, path: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::of(&report::backup::not_written(path, &error));
    file.sync_all().map_err(failed)?;
    let source = Source::File(file.try_clone().map_err(failed)?);
    let mut progress = Progress::new();
    progress.show(|| report::backup::VERIFYING.to_owned());
    let is_same = match Backup::open(source) {
        Ok((_, contents)) => contents.digest == dumped.digest,
        Err(invalid) => return Err(Failure::of(&report::backup::damaged(path, &invalid.why))),
    };
    if is_same { Ok(()) } else { Err(Failure::of(&report::backup::damaged(path, report::backup::OTHER_KEYS))) }
}
