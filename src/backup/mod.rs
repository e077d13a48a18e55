//! Backups of any database: what `cargo transient dump` and `restore` need of this crate.
//!
//! - [`dump`]: reads a database and writes a file; [`names`]: the keys that it reads;
//! - [`file`]: reads a file of either form; [`commands`]: the form that other programs can restore;
//! - [`restore`]: writes the keys of a file; [`verify`]: reads them again, and compares;
//! - [`test_databases`]: the turn of a user on them;
//! - [`moments`]: times that are left, and moments; [`digest`]: of keys that were read and written.

mod commands;
mod digest;
mod dump;
mod file;
mod moments;
mod names;
mod restore;
mod test_databases;
mod verify;

pub use dump::{Dump, Dumped, Format, LeftOut, NotDumped, Writes};
pub use file::{Backup, Contents, Invalid, Place, Source};
pub use restore::{NotRestored, Restore, Restored, has_field_ttls};
pub use test_databases::TestDatabases;
