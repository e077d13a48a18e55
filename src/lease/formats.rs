//! The formats of sessions or jobs that a test has used. Time travel ages the data that is stored in them.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// Formats with the same `Debug` output count as the same format.
pub(crate) struct Formats<Format: ?Sized>(Mutex<Vec<Arc<Format>>>);

impl<Format: ?Sized> Default for Formats<Format> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Format: Debug + ?Sized> Formats<Format> {
    pub(crate) fn add(&self, format: &Arc<Format>) {
        let mut known = lock(&self.0);
        let text = format!("{format:?}");
        if !known.iter().any(|other| format!("{other:?}") == text) {
            known.push(format.clone());
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Format>> {
        lock(&self.0).clone()
    }
}
