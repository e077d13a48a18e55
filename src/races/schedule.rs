//! One schedule: the steps that are possible, and the one that is taken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::clients::Clients;
use super::control_connection::{ControlConnection, Key};
use super::coordinator::{Blocked, ClientState, Coordinator, Held, Place, Stalled, Step};
use super::footprint::has_written;
use super::plan::{Fault, Plan, SCHEDULE_WITHIN};
use super::retry_loops::RetryLoops;
use super::space::{Chooser, Refused};
use crate::error::Error;
use crate::report;
use crate::tap::Decision;

/// How long a client can do nothing.
const STALLS_AFTER: Duration = Duration::from_secs(5);

/// How often the server is asked whether it has blocked a client.
const ASKS_EVERY: Duration = Duration::from_millis(1);

/// A step that can happen a limited number of times, by its index in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limited {
    Fault(usize),
    Expiry(usize),
    Travel(usize),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Lets this client leave the stop with this index.
    Release(usize, usize, Decision),
    /// Lets the blocking command of this client on this connection time out.
    TimeOut(usize, u64),
    Die(usize),
    /// Makes a key expire; the index of its rule.
    Expire(usize, Key),
    Travel(usize),
}

/// Why a schedule has no end that could be checked.
pub(super) enum Halted {
    /// It fails whatever the check says.
    Failed(String),
    /// Every schedule that begins like this is equivalent to one that has been run.
    Equivalent,
    /// It must be run again, from its node with this number on.
    Again(usize),
    /// The exploration can't go on.
    Broken(String),
}

impl From<Error> for Halted {
    fn from(error: Error) -> Self {
        Self::Broken(error.in_full())
    }
}

/// The facts about the schedule that is being run.
pub(super) struct Schedule<'a> {
    pub(super) plan: &'a Plan,
    clients: &'a Clients,
    pub(super) coordinator: &'a Coordinator,
    /// The points that clients begin after, known from earlier schedules.
    pub(super) begins_after: &'a mut BTreeMap<usize, String>,
    /// The labels of the steps taken.
    pub(super) labels: Vec<String>,
    pub(super) expired: Vec<String>,
    /// The clients that had a fault.
    pub(super) faulted: Vec<usize>,
    last: Option<usize>,
    pub(super) passed: Vec<String>,
    pub(super) used: BTreeMap<Limited, usize>,
    /// The client that wrote a key last.
    pub(super) owners: BTreeMap<Key, usize>,
    pub(super) loops: RetryLoops,
    /// The number of the first step that goes another way in later schedules.
    differs_from: Option<usize>,
    /// Whether it repeats the beginning of the schedule before it.
    pub(super) is_again: bool,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(plan: &'a Plan, clients: &'a Clients, begins_after: &'a mut BTreeMap<usize, String>) -> Self {
        Self {
            plan,
            clients,
            coordinator: &clients.coordinator,
            begins_after,
            labels: Vec::new(),
            expired: Vec::new(),
            faulted: Vec::new(),
            last: None,
            passed: Vec::new(),
            used: BTreeMap::new(),
            owners: BTreeMap::new(),
            loops: RetryLoops::new(plan.clients.len()),
            differs_from: None,
            is_again: false,
        }
    }

    /// Runs the schedule until all clients have ended.
    pub(super) fn run(&mut self, control: &mut ControlConnection<'_>, chooser: &mut Chooser) -> Result<(), Halted> {
        let began = Instant::now();
        loop {
            self.settle(control)?;
            self.check_clients()?;
            let choices = self.choices(control)?;
            if choices.is_empty() {
                return self.ended();
            }
            let index = match chooser.choose(&choices, self.last) {
                Ok(index) => index,
                Err(Refused::Equivalent) => return Err(Halted::Equivalent),
                Err(Refused::Differs(step, before, now)) => {
                    return Err(Halted::Broken(report::races::differs(step, &before, &now)));
                }
                Err(Refused::Impossible(step, label)) => {
                    return Err(Halted::Broken(report::races::impossible(step, &label)));
                }
            };
            let choice = choices.into_iter().nth(index).map(|choice| (choice.label, choice.act));
            let Some((label, act)) = choice else { return self.ended() };
            self.labels.push(label);
            self.take(act, control)?;
            if began.elapsed() > SCHEDULE_WITHIN {
                return Err(Halted::Failed(report::races::too_long(SCHEDULE_WITHIN)));
            }
        }
    }

    /// Waits until no client runs, and no message and no reply is on its way.
    fn settle(&self, control: &mut ControlConnection<'_>) -> Result<(), Halted> {
        self.wait_idle()?;
        let state = self.coordinator.state();
        let is_blocked = state.clients.iter().any(|client| !client.blocked.is_empty());
        let is_listening = state.clients.iter().any(ClientState::is_listening);
        let ended = state.clients.iter().all(|client| client.end.is_some());
        drop(state);
        if !(is_blocked || is_listening) || ended {
            return Ok(());
        }
        if is_blocked {
            self.coordinator.only_blocked(&control.blocked()?);
        }
        if is_listening {
            self.coordinator.wait_caught_up(|| self.clients.wake());
        }
        self.wait_idle()
    }

    fn wait_idle(&self) -> Result<(), Halted> {
        self.coordinator.wait_idle(STALLS_AFTER).map_err(|stalled| self.stalled(&stalled))
    }

    fn stalled(&self, stalled: &Stalled) -> Halted {
        let state = self.coordinator.state();
        let last = state.steps.iter().rev().find(|step| step.client == Some(stalled.0));
        let last = last.map_or(report::races::START, |step| &step.line);
        Halted::Failed(report::races::stalled(&self.plan.clients[stalled.0].name, last, STALLS_AFTER))
    }

    /// Looks for clients that gave up, and for those whose start depends on a point.
    fn check_clients(&mut self) -> Result<(), Halted> {
        let state = self.coordinator.state();
        for (index, client) in state.clients.iter().enumerate() {
            if let Some(line) = &client.gave_up {
                return Err(Halted::Broken(report::races::gave_up(&self.plan.clients[index].name, line)));
            }
            if let Some(point) = &client.begins_after
                && self.begins_after.get(&index) != Some(point)
            {
                self.begins_after.insert(index, point.clone());
                return Err(Halted::Again(0));
            }
        }
        Ok(())
    }

    /// There is no step left: either all clients have ended, or those that have not wait for each other.
    fn ended(&self) -> Result<(), Halted> {
        let state = self.coordinator.state();
        let waiting = state.clients.iter().enumerate().filter(|(_, client)| client.end.is_none() && !client.is_dead);
        let waiting: Vec<_> = waiting
            .map(|(index, client)| {
                let stop = client.stops.first().map(|stop| stop.place.line());
                let begins = self.begins_after.get(&index).filter(|_| !client.has_begun);
                let begins = begins.map(|point| report::races::after(point));
                let last = state.steps.iter().rev().find(|step| step.client == Some(index));
                let at = begins.or(stop).or(last.map(|step| step.line.clone())).unwrap_or_default();
                (self.plan.clients[index].name.clone(), at)
            })
            .collect();
        drop(state);
        if !waiting.is_empty() {
            return Err(Halted::Failed(report::races::deadlock(&waiting)));
        }
        self.differs_from.map_or(Ok(()), |step| Err(Halted::Again(step)))
    }

    fn take(&mut self, act: Act, control: &mut ControlConnection<'_>) -> Result<(), Halted> {
        match act {
            Act::Release(client, at, decision) => self.release(client, at, decision, control),
            Act::TimeOut(client, connection) => {
                self.last = Some(client);
                self.loops.other_step(Some(client));
                let id = self.coordinator.state().clients[client].blocked.get(&connection).map(|blocked| blocked.id);
                self.note(Some(client), report::races::TIMEOUT.to_owned());
                Ok(control.time_out(id.unwrap_or_default())?)
            }
            Act::Die(client) => {
                self.use_fault(&Fault::Dying(client));
                self.faulted.push(client);
                self.note(Some(client), report::races::DIES.to_owned());
                self.coordinator.state().clients[client].is_dead = true;
                // The server closes its connections before the next step.
                self.coordinator.wait_caught_up(|| self.clients.wake());
                Ok(())
            }
            Act::Expire(index, key) => {
                *self.used.entry(Limited::Expiry(index)).or_default() += 1;
                let shown = String::from_utf8_lossy(&key.1).into_owned();
                self.loops.other_step(None);
                self.note(None, report::races::expires(&shown));
                self.expired.push(shown);
                Ok(control.expire(&key)?)
            }
            Act::Travel(index) => {
                *self.used.entry(Limited::Travel(index)).or_default() += 1;
                let time = report::races::travels(self.plan.time[index]);
                self.loops.other_step(None);
                self.note(None, time.clone());
                self.passed.push(time);
                Ok(control.travel(self.plan.time[index])?)
            }
        }
    }

    fn note(&self, client: Option<usize>, line: String) {
        self.coordinator.state().steps.push(Step { client, line, ..Step::default() });
    }

    fn use_fault(&mut self, fault: &Fault) {
        if let Some(index) = self.plan.faults.iter().position(|(other, _)| other == fault) {
            *self.used.entry(Limited::Fault(index)).or_default() += 1;
        }
    }

    fn release(
        &mut self,
        client: usize,
        at: usize,
        decision: Decision,
        control: &mut ControlConnection<'_>,
    ) -> Result<(), Halted> {
        // The server can have closed its connection.
        let place = self.coordinator.state().clients[client].stops.get(at).map(|stop| stop.place.clone());
        let Some(place) = place else { return Ok(()) };
        let note = match decision {
            Decision::Cut => Some(report::tap::CUT_BEFORE),
            Decision::LoseReply => Some(report::tap::CUT_AFTER),
            _ => None,
        };
        if note.is_some() {
            let lost = decision == Decision::LoseReply;
            self.use_fault(&if lost { Fault::LosingReply(client) } else { Fault::Cutting(client) });
            self.faulted.push(client);
        }
        if let Place::Point(name) = &place {
            self.passed.push(name.clone());
        }
        self.last = Some(client);
        let step = Step { client: Some(client), line: place.line(), note, ..Step::default() };
        let Place::Command(held) = &place else {
            self.coordinator.release(client, at, decision, step);
            self.loops.other_step(Some(client));
            return Ok(());
        };
        // With a fault, the reply does not tell whether the command has written.
        let is_unknown = has_written(&held.name, b"").is_none() && self.loops.can_repeat(client, &shape_of(held));
        let asks = note.is_some() || is_unknown;
        let changes = if asks { Some(control.changes()?) } else { None };
        let blocked = if held.timeout.is_some() { control.blocked()? } else { Vec::new() };
        let index = self.coordinator.release(client, at, decision, step);
        self.clients.taps[client].wake();
        if held.timeout.is_some() && decision != Decision::Cut {
            self.wait_answered_or_blocked(client, held, &blocked, control)?;
        }
        self.after_command(client, held, index, changes, control)
    }

    /// Waits until the reply to a blocking command has arrived, or the server has blocked one client more.
    fn wait_answered_or_blocked(
        &self,
        client: usize,
        held: &Held,
        before: &[u64],
        control: &mut ControlConnection<'_>,
    ) -> Result<(), Halted> {
        let sent = Instant::now();
        while sent.elapsed() < STALLS_AFTER {
            if let Some(id) = control.blocked()?.into_iter().find(|id| !before.contains(id)) {
                self.coordinator.block(client, held.connection, Blocked { id, can_time_out: has_timeout(held) });
                return Ok(());
            }
            if self.coordinator.wait_answered(client, held.connection, ASKS_EVERY) {
                return Ok(());
            }
        }
        Err(self.stalled(&Stalled(client)))
    }

    /// Learns from the reply to a command.
    fn after_command(
        &mut self,
        client: usize,
        held: &Held,
        step: usize,
        changes: Option<u64>,
        control: &mut ControlConnection<'_>,
    ) -> Result<(), Halted> {
        self.wait_idle()?;
        let reply = self.coordinator.state().steps.get(step).and_then(|step| step.reply.clone());
        let reply = reply.map(|(head, _)| head).unwrap_or_default();
        if reply.starts_with(b"-NOSCRIPT") && !self.is_again {
            // The client loads the script now. In later schedules the server knows it.
            self.differs_from.get_or_insert(self.labels.len());
        }
        let wrote = match changes {
            Some(before) => control.changes()? != before,
            None => has_written(&held.name, &reply).unwrap_or(true),
        };
        self.loops.command(client, shape_of(held), reply, wrote);
        if wrote {
            for key in &held.keys {
                self.owners.insert(key.clone(), client);
            }
        }
        Ok(())
    }
}

/// A command that is a repetition of one with the same shape.
pub(super) fn shape_of(held: &Held) -> String {
    let key = held.keys.first().map(|(_, key)| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
    format!("{} {key} {}", held.name, held.arity)
}

/// Whether a blocking command has a timeout other than 0.
fn has_timeout(held: &Held) -> bool {
    held.timeout.as_ref().is_some_and(|timeout| timeout.parse::<f64>().is_ok_and(|time| time > 0.0))
}
