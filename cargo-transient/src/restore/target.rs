//! Where the keys of a backup go.

use transient_fixtures::__cargo_transient::{Contents, TestDatabases};
use transient_fixtures::Settings;
use transient_fixtures::redis::{Connection, cmd};

use crate::arguments::Restore;
use crate::{Failure, connection, report};

/// A database of the file, and the one that gets its keys.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) from: u32,
    pub(super) into: u32,
    pub(super) keys: usize,
}

/// The test databases get their own keys, unless the command line names another place.
pub(super) fn places(arguments: &Restore, contents: &Contents, settings: &Settings) -> Result<Vec<Place>, Failure> {
    let tests = [settings.databases().sessions, settings.databases().jobs];
    let from: Vec<_> = contents.databases.keys().copied().collect();
    let into = match (arguments.database, &from[..]) {
        (Some(into), _) if !tests.contains(&into) && !arguments.even_if_not_a_test_database => {
            return Err(Failure::of(&report::backup::not_a_test_database(into, tests)));
        }
        (Some(into), [] | [_]) => vec![into; from.len()],
        (None, from) if from.iter().all(|from| tests.contains(from)) => from.to_vec(),
        (None, [_]) => vec![tests[0]],
        _ => return Err(Failure::of(&report::backup::several_databases(&arguments.file, &from, tests))),
    };
    let keys = contents.databases.iter().zip(into);
    Ok(keys.map(|((from, keys), into)| Place { from: *from, into, keys: *keys }).collect())
}

/// The server.
pub(super) enum Target {
    Tests(TestDatabases),
    /// The URL of a server.
    Any(String),
}

impl Target {
    /// Makes sure that no key is there that must stay. Nothing has been written if it fails.
    pub(super) fn open(arguments: &Restore, settings: &Settings, places: &[Place]) -> Result<Self, Failure> {
        if arguments.even_if_not_a_test_database {
            let target = Self::Any(settings.redis_url().to_owned());
            for place in places.iter().filter(|_| !arguments.replace) {
                let (mut redis, address) = target.connect(place.into)?;
                let keys: Result<u64, _> = cmd("DBSIZE").query(&mut redis);
                let keys =
                    keys.map_err(|error| Failure::of(&report::backup::not_restored(place.into, &error, None)))?;
                if keys > 0 {
                    return Err(Failure::of(&report::backup::not_empty(&address, place.into, keys)));
                }
            }
            return Ok(target);
        }
        let databases: Vec<_> = places.iter().map(|place| place.into).collect();
        let turn = TestDatabases::begin(settings, "cargo transient restore", &databases, !arguments.replace);
        turn.map(Self::Tests).map_err(|error| {
            if error.is_refused() { Failure::of(&report::backup::refused(&error)) } else { Failure::of(&error) }
        })
    }

    pub(super) fn is_for_tests(&self) -> bool {
        matches!(self, Self::Tests(_))
    }

    /// Whether no test can have had the databases in the meantime.
    pub(super) fn is_held(&self) -> bool {
        match self {
            Self::Tests(turn) => turn.is_held(),
            Self::Any(_) => true,
        }
    }

    pub(super) fn connect(&self, database: u32) -> Result<(Connection, String), Failure> {
        let url = match self {
            Self::Tests(turn) => turn.url(database).map_err(|error| Failure::of(&error))?,
            Self::Any(url) => url.clone(),
        };
        let failed = |error| Failure::of(&report::backup::not_restored(database, &error, None));
        connection::open(&url, database).map_err(failed)
    }
}
