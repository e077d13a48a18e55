//! Many commands, sent in one piece: in one MULTI, so that all of them are taken or none; or as they are.

use redis::{Connection, RedisResult, Value};

/// Commands, in the form in which they are sent.
#[derive(Default)]
pub(crate) struct PackedCommands {
    packed: Vec<u8>,
    count: usize,
}

/// What came of them. A number is that of a command, the first being 0.
pub(crate) enum Outcome {
    Done,
    /// These were refused when they were queued, in the server's message. Nothing was executed.
    Refused(Vec<(usize, String)>),
    /// These failed when they were executed; all others were executed, too.
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

    /// How many commands there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Their size, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.packed.len()
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
            // Most are: a fixture may have a hundred thousand lines.
            Ok(digit @ 0..10) => self.packed.push(b'0' + digit),
            _ => self.packed.extend_from_slice(number.to_string().as_bytes()),
        }
        self.packed.extend_from_slice(b"\r\n");
    }

    /// In one MULTI.
    ///
    /// # Errors
    ///
    /// When the server does not answer. What it says of the commands is an [`Outcome`].
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

    /// Which of them the server would refuse in a MULTI. Nothing is executed.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(crate) fn refused(&self, redis: &mut Connection) -> RedisResult<Vec<(usize, String)>> {
        let refused = self.queue(redis, "DISCARD")?;
        message(redis.recv_response()?).map_err(|message| failed("DISCARD", message))?;
        Ok(refused)
    }

    /// The reply to `end` has not been read yet.
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

    /// As they are; nobody has read the replies yet.
    pub(crate) fn send(&self, redis: &mut Connection) -> RedisResult<()> {
        if self.packed.is_empty() { Ok(()) } else { redis.send_packed_command(&self.packed) }
    }

    /// Reads the replies to what was sent: the errors among them, also those within the reply to an EXEC.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
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

/// As the server has put it.
fn error_message(error: &redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}
