//! Session values as JSON.

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind};
use crate::report;

/// `value`, to be stored under `name`.
pub(super) fn to_json(name: &str, value: impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&value).map_err(|error| Error::with_source(Kind::Data, report::session::no_json(name), error))
}

pub(super) fn read_as<T: DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| {
        let shown = report::session::shown(&String::from_utf8_lossy(value));
        Error::with_source(Kind::Data, report::session::wrong_type(name, type_name::<T>(), &shown), error)
    })
}
