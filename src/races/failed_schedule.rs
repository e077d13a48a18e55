//! A failing schedule as JSON, for programs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::explorer::{Counts, Failure};
use crate::report;
use crate::settings::SCHEDULES_DIRECTORY;

/// The version of the form.
const VERSION: u32 = 1;

/// A schedule that failed, and what is known about the others.
pub(super) struct FailedSchedule<'a> {
    pub(super) failure: &'a Failure,
    pub(super) counts: &'a Counts,
    pub(super) clients: &'a [&'a str],
    pub(super) replay: &'a str,
}

impl FailedSchedule<'_> {
    fn json(&self) -> Value {
        let steps = self.failure.steps.iter().map(|step| {
            json!({
                "client": step.client.map(|client| self.clients[client]),
                "step": step.line,
                "reply": step.reply.as_ref().map(|(head, size)| report::tap::reply(head, *size)),
                "fault": step.note,
            })
        });
        json!({
            "transient_schedule": VERSION,
            "failure": self.failure.message,
            "schedule": self.failure.number,
            "schedules": self.counts.schedules,
            "failed": self.counts.failed,
            "is_complete": self.counts.is_complete,
            "clients": self.clients,
            "steps": steps.collect::<Vec<_>>(),
            "replay": self.replay,
        })
    }

    /// Writes the schedule to a file in the directory that `TRANSIENT_SCHEDULES` names, if it is set. Returns its path.
    pub(super) fn write(&self, test: &str) -> Option<PathBuf> {
        let directory = PathBuf::from(std::env::var_os(SCHEDULES_DIRECTORY).filter(|name| !name.is_empty())?);
        let path = directory.join(format!("{}.json", test.replace("::", ".")));
        let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, format!("{:#}\n", self.json())));
        match written {
            Ok(()) => Some(path),
            Err(error) => {
                report::print(&report::warning(&report::races::schedule_not_written(&path, &error)));
                None
            }
        }
    }
}
