//! Clients that repeat themselves, and so have to wait for another's step.

/// The longest loop that is recognised, in commands.
const LONGEST: usize = 6;

/// How often clients that only repeat themselves are released when no other step is possible.
const ATTEMPTS: usize = 20;

struct Command {
    shape: String,
    reply: Vec<u8>,
    wrote: bool,
    /// The number of steps of others before it that were not idle.
    others: usize,
}

/// The commands of each client in the current schedule.
pub(super) struct RetryLoops {
    commands: Vec<Vec<Command>>,
    /// The number of steps of each client that were not idle, and of those of time.
    busy: Vec<usize>,
    of_time: usize,
    attempts: usize,
}

impl RetryLoops {
    pub(super) fn new(clients: usize) -> Self {
        Self { commands: (0..clients).map(|_| Vec::new()).collect(), busy: vec![0; clients], of_time: 0, attempts: 0 }
    }

    fn others(&self, client: usize) -> usize {
        self.busy.iter().sum::<usize>() - self.busy[client] + self.of_time
    }

    /// A step that is not a command, of this client or of time.
    pub(super) fn other_step(&mut self, client: Option<usize>) {
        match client {
            Some(client) => {
                self.busy[client] += 1;
                // It ends a loop: it could be a step outside Redis.
                self.commands[client].clear();
            }
            None => self.of_time += 1,
        }
        self.attempts = 0;
    }

    pub(super) fn command(&mut self, client: usize, shape: String, reply: Vec<u8>, wrote: bool) {
        let known = &self.commands[client];
        let is_repeated = known.iter().rev().take(LONGEST).any(|old| old.shape == shape && old.reply == reply);
        if wrote || !is_repeated {
            self.busy[client] += 1;
            self.attempts = 0;
        }
        let others = self.others(client);
        self.commands[client].push(Command { shape, reply, wrote, others });
    }

    /// Returns true if this command could be the repetition of an earlier one.
    pub(super) fn can_repeat(&self, client: usize, shape: &str) -> bool {
        self.commands[client].iter().rev().take(LONGEST).any(|command| command.shape == shape)
    }

    /// Returns true if the client has run the same loop twice, wrote nothing, and this command would begin it again
    /// without a step of another client since.
    pub(super) fn is_idle(&self, client: usize, shape: &str) -> bool {
        let commands = &self.commands[client];
        let others = self.others(client);
        (1..=LONGEST).any(|period| {
            let Some(start) = commands.len().checked_sub(2 * period) else { return false };
            let (first, second) = commands[start..].split_at(period);
            second[0].shape == shape
                && second.iter().all(|command| !command.wrote && command.others == others)
                && first.iter().zip(second).all(|(one, two)| one.shape == two.shape && one.reply == two.reply)
        })
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.attempts >= ATTEMPTS
    }

    /// Returns which of these clients repeats itself next.
    pub(super) fn next(&mut self, clients: usize) -> usize {
        self.attempts += 1;
        self.attempts % clients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(loops: &mut RetryLoops, client: usize) {
        loops.command(client, "GET lock 2".to_owned(), b"$1\r\na\r\n".to_vec(), false);
    }

    #[test]
    fn the_third_repetition_is_idle_until_another_step() {
        let mut loops = RetryLoops::new(2);
        poll(&mut loops, 0);
        assert!(!loops.is_idle(0, "GET lock 2"));
        poll(&mut loops, 0);
        assert!(loops.is_idle(0, "GET lock 2") && !loops.is_idle(0, "GET other 2"));
        loops.command(1, "SET a 3".to_owned(), b"+OK\r\n".to_vec(), true);
        assert!(!loops.is_idle(0, "GET lock 2"));
        poll(&mut loops, 0);
        assert!(loops.is_idle(0, "GET lock 2"));
        loops.other_step(None);
        assert!(!loops.is_idle(0, "GET lock 2"));
    }

    #[test]
    fn a_loop_that_writes_is_never_idle() {
        let mut loops = RetryLoops::new(1);
        for _ in 0..6 {
            loops.command(0, "INCR a 2".to_owned(), b":1\r\n".to_vec(), true);
            assert!(!loops.is_idle(0, "INCR a 2"));
        }
    }

    #[test]
    fn loops_of_several_commands_are_found() {
        let mut loops = RetryLoops::new(1);
        for _ in 0..2 {
            assert!(!loops.is_idle(0, "EXISTS a 2"));
            for command in ["EXISTS a 2", "PTTL a 2", "GET b 2"] {
                loops.command(0, command.to_owned(), b":1\r\n".to_vec(), false);
            }
        }
        assert!(loops.is_idle(0, "EXISTS a 2"));
    }
}
