//! Many commands, sent at once: in one MULTI, so that all of them are executed or none, or without it.

use redis::{Connection, RedisResult, Value};

/// Commands in the form in which they are sent (RESP). The redis crate's pipelines lack the error of each queued
/// command.
#[derive(Default)]
pub(crate) struct PackedCommands {
    packed: Vec<u8>,
    count: usize,
}

/// The result of a MULTI. Commands are numbered from 0.
pub(crate) enum Outcome {
    Done,
    /// The server rejected these commands when it queued them, with these messages. It executed nothing.
    Refused(Vec<(usize, String)>),
    /// These commands failed when they were executed. All others were executed, too.
    Failed {
        errors: Vec<(usize, String)>,
        replies: Vec<Value>,
    },
}

impl PackedCommands {
    pub(crate) fn push(&mut self, arguments: &[impl AsRef<[u8]>]) {
        self.pack(arguments);
        self.count += 1;
    }

    /// Returns the number of commands.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns their size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.packed.len()
    }

    /// Returns the bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.packed
    }

    fn pack(&mut self, arguments: &[impl AsRef<[u8]>]) {
        self.pack_number(b'*', arguments.len());
        for argument in arguments {
            let argument = argument.as_ref();
            self.pack_number(b'$', argument.len());
            self.packed.extend_from_slice(argument);
            self.packed.extend_from_slice(b"\r\n");
        }
    }

    fn pack_number(&mut self, kind: u8, number: usize) {
        self.packed.push(kind);
        match u8::try_from(number) {
            // Most numbers are digits, and a fixture can have a hundred thousand lines.
            Ok(digit @ 0..10) => self.packed.push(b'0' + digit),
            _ => self.packed.extend_from_slice(number.to_string().as_bytes()),
        }
        self.packed.extend_from_slice(b"\r\n");
    }

    /// Runs the commands in one MULTI.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer. Errors of the commands are in the [`Outcome`].
    pub(crate) fn run(&self, redis: &mut Connection) -> RedisResult<Outcome> {
        let refused = self.queue(redis, "EXEC")?;
        let replies = match redis.recv_response()? {
            Value::Array(replies) if refused.is_empty() => replies,
            Value::ServerError(error) if refused.is_empty() => return Err(error.into()),
            _ => return Ok(Outcome::Refused(refused)),
        };
        let errors: Vec<_> = replies
            .iter()
            .enumerate()
            .filter_map(|(number, reply)| match reply {
                Value::ServerError(error) => Some((number, error_message(error))),
                _ => None,
            })
            .collect();
        Ok(if errors.is_empty() { Outcome::Done } else { Outcome::Failed { errors, replies } })
    }

    /// Returns the commands that the server would reject in a MULTI. Nothing is executed.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(crate) fn refused(&self, redis: &mut Connection) -> RedisResult<Vec<(usize, String)>> {
        let refused = self.queue(redis, "DISCARD")?;
        message(redis.recv_response()?).map_err(|message| failed("DISCARD", message))?;
        Ok(refused)
    }

    /// Queues the commands. The caller reads the reply to `end`.
    fn queue(&self, redis: &mut Connection, end: &str) -> RedisResult<Vec<(usize, String)>> {
        let (mut begin, mut finish) = (Self::default(), Self::default());
        begin.pack(&["MULTI"]);
        finish.pack(&[end]);
        for part in [&begin, self, &finish] {
            part.send(redis)?;
        }
        message(redis.recv_response()?).map_err(|message| failed("MULTI", message))?;
        self.errors(redis)
    }

    /// Sends the commands without MULTI. The caller reads the replies.
    pub(crate) fn send(&self, redis: &mut Connection) -> RedisResult<()> {
        if self.packed.is_empty() { Ok(()) } else { redis.send_packed_command(&self.packed) }
    }

    /// Reads the replies to all sent commands and returns the errors, including those in the reply to an EXEC.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(crate) fn errors(&self, redis: &mut Connection) -> RedisResult<Vec<(usize, String)>> {
        let mut errors = Vec::new();
        for number in 0..self.count {
            let reply = match redis.recv_response()? {
                Value::Array(replies) => replies.into_iter().try_for_each(message),
                reply => message(reply),
            };
            errors.extend(reply.err().map(|message| (number, message)));
        }
        Ok(errors)
    }
}

fn failed(command: &'static str, message: String) -> redis::RedisError {
    (redis::ErrorKind::Extension, command, message).into()
}

fn message(reply: Value) -> Result<(), String> {
    match reply {
        Value::ServerError(error) => Err(error_message(&error)),
        _ => Ok(()),
    }
}

/// Returns the server's own message.
fn error_message(error: &redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}
