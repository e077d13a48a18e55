//! The steps that are possible now.

use super::control_connection::ControlConnection;
use super::coordinator::{ClientState, Held, Place, State, Stop};
use super::footprint::Footprint;
use super::plan::Fault;
use super::schedule::{Act, Halted, Limited, Schedule, shape_of};
use super::space::Choice;
use crate::error::Error;
use crate::report;
use crate::tap::Decision;

/// The possible steps by kind.
#[derive(Default)]
struct Possible {
    steps: Vec<Choice<Act>>,
    faults: Vec<Choice<Act>>,
    /// Commands that repeat a loop, each with its line.
    spinning: Vec<(Choice<Act>, String)>,
}

impl Schedule<'_> {
    /// Returns the steps that are possible now. There are none if all clients have ended, or wait for each other.
    pub(super) fn choices(&mut self, control: &mut ControlConnection<'_>) -> Result<Vec<Choice<Act>>, Halted> {
        let mut possible = Possible::default();
        let state = self.coordinator.state();
        for (index, client) in state.clients.iter().enumerate().filter(|(_, client)| !client.is_dead) {
            self.of_client(index, client, &mut possible);
        }
        let is_over = is_over(&state);
        drop(state);
        if is_over {
            return Ok(Vec::new());
        }
        self.of_time(control, &mut possible.steps)?;
        let Possible { mut steps, faults, mut spinning } = possible;
        steps.extend(faults);
        if steps.is_empty() && !spinning.is_empty() {
            // Only clients that repeat themselves are left. They can give up after a number of attempts.
            if self.loops.is_exhausted() {
                let spun = spinning.iter().filter_map(|(choice, _)| choice.client);
                let spun: Vec<_> = spun.map(|client| self.plan.clients[client].name.clone()).collect();
                let lines: Vec<_> = spinning.into_iter().map(|(_, line)| line).collect();
                return Err(Halted::Failed(report::races::spins(&spun, &lines)));
            }
            let next = self.loops.next(spinning.len());
            steps.push(spinning.swap_remove(next).0);
        }
        Ok(steps)
    }

    fn of_client(&self, index: usize, client: &ClientState, possible: &mut Possible) {
        let name = &self.plan.clients[index].name;
        for (at, stop) in client.stops.iter().enumerate().filter(|(_, stop)| self.can_leave(index, stop)) {
            let label = if client.stops.len() > 1 { format!("{name}#{}", at + 1) } else { name.clone() };
            let (shape, footprint) = described(&stop.place);
            let act = Act::Release(index, at, decision(&stop.place));
            let choice = Choice { label, shape, client: Some(index), footprint, act };
            let Place::Command(held) = &stop.place else {
                possible.steps.push(choice);
                continue;
            };
            for (fault, word, decision) in [
                (Fault::Cutting(index), "cut", Decision::Cut),
                (Fault::LosingReply(index), "lose-reply", Decision::LoseReply),
            ] {
                if self.can_inject(fault) {
                    let label = format!("{word}/{}", choice.label);
                    possible.faults.push(other(label, held.name.to_string(), Act::Release(index, at, decision)));
                }
            }
            if self.loops.is_idle(index, &shape_of(held)) {
                possible.spinning.push((choice, held.line.clone()));
            } else {
                possible.steps.push(choice);
            }
        }
        for connection in timeouts(client) {
            let timeout = other(format!("timeout/{name}"), String::new(), Act::TimeOut(index, connection));
            possible.steps.push(Choice { client: Some(index), ..timeout });
        }
        if client.has_begun && client.end.is_none() && self.can_inject(Fault::Dying(index)) {
            possible.faults.push(other(format!("die/{name}"), String::new(), Act::Die(index)));
        }
    }

    /// Adds the keys that can expire, and the travels.
    fn of_time(&self, control: &mut ControlConnection<'_>, steps: &mut Vec<Choice<Act>>) -> Result<(), Error> {
        for (index, (rule, most)) in self.plan.expiring.iter().enumerate() {
            if !self.can_use(Limited::Expiry(index), *most) {
                continue;
            }
            let owns_none = |client| !self.owners.values().any(|owner| *owner == client);
            if rule.client.is_some_and(owns_none) {
                continue;
            }
            for key in control.keys_with_ttl(&rule.pattern)? {
                if rule.client.is_none_or(|client| self.owners.get(&key) == Some(&client)) {
                    let kind = if rule.client.is_some() { "expire-own" } else { "expire" };
                    let label = format!("{kind}/{}/{}", key.0, String::from_utf8_lossy(&key.1));
                    steps.push(other(label, String::new(), Act::Expire(index, key)));
                }
            }
        }
        for (index, time) in self.plan.time.iter().enumerate() {
            if self.can_use(Limited::Travel(index), 1) {
                steps.push(other(format!("time/{}", time.as_millis()), String::new(), Act::Travel(index)));
            }
        }
        Ok(())
    }

    /// Whether the point has been passed that the client waits for, if there is one.
    fn can_leave(&self, index: usize, stop: &Stop) -> bool {
        let point = match &stop.place {
            Place::After(point) => Some(point),
            Place::Start => self.begins_after.get(&index),
            _ => None,
        };
        point.is_none_or(|point| self.passed.contains(point))
    }

    fn can_inject(&self, fault: Fault) -> bool {
        let known = self.plan.faults.iter().position(|(other, _)| *other == fault);
        known.is_some_and(|index| self.can_use(Limited::Fault(index), self.plan.faults[index].1))
    }

    fn can_use(&self, step: Limited, most: usize) -> bool {
        self.used.get(&step).copied().unwrap_or_default() < most
    }
}

/// A step that no client takes.
fn other(label: String, shape: String, act: Act) -> Choice<Act> {
    Choice { label, shape, client: None, footprint: Footprint::Everything, act }
}

fn is_over(state: &State) -> bool {
    state.clients.iter().all(|client| client.end.is_some() || client.is_dead)
}

/// The connections whose blocking commands can time out.
fn timeouts(client: &ClientState) -> impl Iterator<Item = u64> {
    let is_running = client.end.is_none();
    let blocked = client.blocked.iter().filter(move |(_, blocked)| is_running && blocked.can_time_out);
    blocked.map(|(connection, _)| *connection)
}

fn described(place: &Place) -> (String, Footprint) {
    match place {
        Place::Start => (String::new(), Footprint::Nothing),
        Place::Command(held) => {
            let footprint = Footprint::of_command(&held.name, &held.keys, held.timeout.is_some());
            (shape(held), footprint)
        }
        Place::Point(_) | Place::After(_) => (place.line(), Footprint::Everything),
    }
}

/// What must be the same in every schedule that begins with the same steps.
fn shape(held: &Held) -> String {
    format!("{}/{}", held.name, held.arity)
}

fn decision(place: &Place) -> Decision {
    match place {
        Place::Command(held) if held.timeout.is_some() => Decision::WithoutTimeout,
        _ => Decision::Forward,
    }
}
