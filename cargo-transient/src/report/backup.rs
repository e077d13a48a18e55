//! Sentences about backups.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use transient_fixtures::__cargo_transient::{Invalid, Place, Writes};

/// What a dump has, and what it can't have.
pub(crate) struct Dumped<'a> {
    /// `None` for standard output.
    pub(crate) file: Option<&'a Path>,
    pub(crate) address: &'a str,
    pub(crate) database: u32,
    pub(crate) keys: usize,
    pub(crate) took: Duration,
    pub(crate) writes: Option<Writes>,
    /// How many keys were gone when their turn came.
    pub(crate) gone: usize,
    /// How many large keys may have changed while they were read, and one of them.
    pub(crate) unsure: Option<(usize, String)>,
}

pub(crate) fn dumped(dumped: &Dumped<'_>) -> String {
    let what = format!("{} of database {} at {}", keys(dumped.keys), dumped.database, dumped.address);
    let took = format!("{:.1} s", dumped.took.as_secs_f64());
    let mut text = match dumped.file {
        Some(file) => format!("{}: {what}. The file was read again, and has exactly what was read.", file.display()),
        None => format!("{what} were written to standard output, which can't be read again."),
    };
    text += &match dumped.writes {
        Some(Writes::None) => {
            format!(
                "\nNobody wrote to the server in the {took} that this took: these keys were all there at one moment."
            )
        }
        Some(Writes::Some) => format!(
            "\nOther programs wrote to the server in the {took} that this took. Each key is as it was at some moment of \
             them; what changed after it was read is not here."
        ),
        None => format!(
            "\nThe server does not tell whether other programs wrote to it in the {took} that this took. Each key is as it \
             was at some moment of them."
        ),
    };
    if dumped.gone > 0 {
        text += &format!("\nExpired or deleted before it could be read: {}.", keys(dumped.gone));
    }
    if let Some((count, example)) = &dumped.unsure {
        text += &format!(
            "\nWritten by others while it was read in parts, which can be of different moments: {}, such as {example}.",
            keys(*count)
        );
    }
    text
}

pub(crate) fn left_out(count: usize, kind: &str, example: &dyn Display) -> String {
    super::error(&format!(
        "left out {} of the type {kind}, such as {example}: the commands of Redis can't read that type. Back them up with \
         redis-cli --rdb",
        keys(count)
    ))
}

pub(crate) fn dumping(written: usize, all: usize) -> String {
    if all == 0 { "Listing keys".to_owned() } else { format!("Dumping: {written} of {}", keys(all)) }
}

pub(crate) const VERIFYING: &str = "Reading the file again";

pub(crate) const STOPPED_DUMP: &str = "the dump was interrupted. No file was written";

pub(crate) fn exists(path: &Path) -> String {
    format!("{} exists already. Choose another name, or replace it with --replace", path.display())
}

pub(crate) fn no_file(path: &Path) -> String {
    format!("{} is no file. Choose the name of a file, or - for standard output", path.display())
}

pub(crate) fn not_written(path: &Path, cause: &io::Error) -> String {
    format!(
        "could not write {} ({cause}). No file of that name was written or changed. Choose a directory that you can write \
         to, with enough space",
        path.display()
    )
}

pub(crate) fn stdout_failed(cause: &io::Error) -> String {
    format!("could not write to standard output ({cause}). What was written is incomplete")
}

pub(crate) const OTHER_KEYS: &str = "it has other keys";

pub(crate) fn damaged(path: &Path, why: &str) -> String {
    format!(
        "{} was written, but reading it again did not give what was read from the server: {why}. It was removed. Check \
         the disk",
        path.display()
    )
}

pub(crate) fn not_read(path: &Path, cause: &io::Error) -> String {
    format!("could not read {} ({cause}). Name a file that cargo transient dump has written", path.display())
}

pub(crate) fn invalid(path: &Path, invalid: &Invalid) -> String {
    let place = match invalid.place {
        Place::Line(line, column) => format!(":{line}:{column}"),
        Place::Byte(byte) => format!(", byte {byte}"),
        Place::Whole => String::new(),
    };
    format!(
        "{}{place}: not a valid backup: {}. Nothing was restored. Use a file that cargo transient dump has written",
        path.display(),
        invalid.why
    )
}

pub(crate) fn unwritable(path: &Path, database: u32, key: &dyn Display, kind: &str) -> String {
    format!(
        "could not restore {}: the key {key} of database {database} has the type {kind}, whose content is not in the file. \
         Nothing was restored. Remove its line",
        path.display()
    )
}

pub(crate) fn no_field_ttls(path: &Path) -> String {
    format!(
        "could not restore {}: it has hash fields with TTLs, which this server does not have. Nothing was restored. Use \
         Redis 7.4, Valkey 9, or newer",
        path.display()
    )
}

pub(crate) fn not_a_test_database(database: u32, [sessions, jobs]: [u32; 2]) -> String {
    format!(
        "database {database} is not one of the test databases {sessions} and {jobs}. Nothing was restored. To write to it, \
         add --even-if-not-a-test-database"
    )
}

pub(crate) fn several_databases(path: &Path, from: &[u32], [sessions, jobs]: [u32; 2]) -> String {
    let from: Vec<_> = from.iter().map(u32::to_string).collect();
    format!(
        "{} has keys of the databases {}. Nothing was restored. Several can only be restored together if they are the test \
         databases {sessions} and {jobs}, and without --database: change the numbers in the file, or dump one at a time",
        path.display(),
        from.join(", ")
    )
}

pub(crate) fn not_empty(address: &str, database: u32, count: u64) -> String {
    let keys = super::keys(count);
    format!(
        "database {database} at {address} has {keys}. Nothing was restored. Use an empty one, or add --replace: then keys \
         of the same names are replaced, and all others stay"
    )
}

pub(crate) fn refused(why: &dyn Display) -> String {
    format!("{why}. To keep them and replace only keys of the same names, add --replace")
}

pub(crate) fn not_restored(database: u32, cause: &dyn Display, written: Option<usize>) -> String {
    format!(
        "could not write to database {database} ({cause}). {}. Name a running server with --url or TRANSIENT_REDIS_URL, \
         with its password",
        written.map_or_else(|| "Nothing was restored".to_owned(), so_far)
    )
}

pub(crate) fn rejected(database: u32, key: &dyn Display, words: &str, written: usize) -> String {
    format!(
        "could not write the key {key} to database {database}: {words}. {}. Use a server with enough memory, and a user \
         that may write",
        so_far(written)
    )
}

pub(crate) fn changed(path: &Path, written: usize) -> String {
    format!("{} changed while it was read. {}. Restore a file that nobody writes", path.display(), so_far(written))
}

pub(crate) fn differs(database: u32, key: &dyn Display) -> String {
    format!(
        "all keys were written to database {database}, but {key} is not as it was written. The keys remain. Another \
         program may have changed it, or the server may have evicted it"
    )
}

pub(crate) fn lost(database: u32, written: usize) -> String {
    format!(
        "lost the connection that keeps tests from database {database}, so that one may have used it. {}. Try again",
        so_far(written)
    )
}

pub(crate) fn stopped_restore(database: u32, written: usize) -> String {
    format!("the restore to database {database} was interrupted. {}", so_far(written))
}

fn so_far(written: usize) -> String {
    match written {
        0 => "Few keys or none were restored".to_owned(),
        _ => format!("At least {} were restored, and remain: --replace restores all", keys(written)),
    }
}

pub(crate) const CHECKING: &str = "Checking the file";

pub(crate) fn restoring(written: usize, all: usize) -> String {
    format!("Restoring: {written} of {}", keys(all))
}

pub(crate) fn verifying(verified: usize, all: usize) -> String {
    format!("Comparing: {verified} of {}", keys(all))
}

pub(crate) fn restored(path: &Path, count: usize, expired: usize, database: u32, address: &str) -> String {
    let expired = match expired {
        0 => String::new(),
        _ => format!(" {} of the file had expired.", keys(expired)),
    };
    format!(
        "{}: {} in database {database} at {address}. All were read again, and are as in the file.{expired}",
        path.display(),
        keys(count)
    )
}

pub(crate) const TESTS_REFUSE: &str = "\
These keys are yours: tests on this server refuse the database until TRANSIENT_ADOPT=1 lets them clear it.";

fn keys(count: usize) -> String {
    super::keys(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Every sentence, for the golden file.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let file = Path::new("backup.json");
    let full = io::Error::new(io::ErrorKind::StorageFull, "No space left on device (os error 28)");
    let missing = io::Error::new(io::ErrorKind::NotFound, "No such file or directory (os error 2)");
    let quiet = Dumped {
        file: Some(file),
        address: "127.0.0.1:6379",
        database: 14,
        keys: 1_000,
        took: Duration::from_millis(840),
        writes: Some(Writes::None),
        gone: 0,
        unsure: None,
    };
    let busy =
        Dumped { file: None, writes: Some(Writes::Some), gone: 1, unsure: Some((1, "\"queue\"".into())), ..quiet };
    let untold = Dumped { file: Some(file), writes: None, gone: 2, unsure: Some((3, "\"queue\"".into())), ..busy };
    let wrong = |place| Invalid { place, why: "it ends too early".to_owned() };
    vec![
        dumped(&quiet),
        dumped(&busy),
        dumped(&untold),
        left_out(2, "graphdata", &"\"social\""),
        dumping(0, 0),
        dumping(1_000, 20_000),
        VERIFYING.to_owned(),
        STOPPED_DUMP.to_owned(),
        exists(file),
        no_file(Path::new("/dev/full")),
        not_written(file, &full),
        stdout_failed(&full),
        damaged(file, OTHER_KEYS),
        not_read(file, &missing),
        invalid(file, &wrong(Place::Line(7, 12))),
        invalid(file, &wrong(Place::Byte(4_096))),
        invalid(file, &wrong(Place::Whole)),
        unwritable(file, 14, &"\"social\"", "graphdata"),
        no_field_ttls(file),
        not_a_test_database(0, [14, 15]),
        several_databases(file, &[0, 3], [14, 15]),
        not_empty("127.0.0.1:6379", 0, 1),
        not_empty("127.0.0.1:6379", 0, 12),
        refused(&"127.0.0.1:6379: database 14 holds 1 key that no earlier test run left. Nothing was changed"),
        not_restored(0, &"Connection refused (os error 111)", None),
        not_restored(0, &"Broken pipe (os error 32)", Some(0)),
        changed(file, 4_000),
        rejected(0, &"\"cart:1\"", "OOM command not allowed when used memory > 'maxmemory'", 4_000),
        differs(0, &"\"cart:1\""),
        lost(14, 4_000),
        stopped_restore(14, 4_000),
        CHECKING.to_owned(),
        restoring(1_000, 20_000),
        verifying(1_000, 20_000),
        restored(file, 1_000, 0, 14, "127.0.0.1:6379"),
        restored(file, 990, 10, 14, "127.0.0.1:6379"),
        TESTS_REFUSE.to_owned(),
    ]
}
