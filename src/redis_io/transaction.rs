//! Many commands in one MULTI, sent in one piece: all of them are taken, or none.

use redis::{Connection, RedisResult, Value};

/// Commands, in the form in which they are sent.
pub(crate) struct Transaction {
    packed: Vec<u8>,
    count: usize,
}

/// What came of them. A number is that of a command, the first being 0.
pub(crate) enum Outcome {
    Done,
    /// These were refused when they were queued, in the server's words. Nothing was executed.
    Refused(Vec<(usize, String)>),
    /// These failed when they were executed; all others were executed, too.
    Failed {
        errors: Vec<(usize, String)>,
        replies: Vec<Value>,
    },
}

impl Transaction {
    pub(crate) fn new() -> Self {
        let mut new = Self { packed: Vec::new(), count: 0 };
        new.pack(&["MULTI"]);
        new
    }

    pub(crate) fn push(&mut self, arguments: &[impl AsRef<[u8]>]) {
        self.pack(arguments);
        self.count += 1;
    }

    /// How many commands there are.
    pub(crate) fn len(&self) -> usize {
        self.count
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

    /// # Errors
    ///
    /// When the server does not answer. What it says of the commands is an [`Outcome`].
    pub(crate) fn run(mut self, redis: &mut Connection) -> RedisResult<Outcome> {
        self.pack(&["EXEC"]);
        redis.send_packed_command(&self.packed)?;
        // MULTI's own.
        words(redis.recv_response()?)
            .map_err(|words| redis::RedisError::from((redis::ErrorKind::Extension, "MULTI", words)))?;
        let mut refused = Vec::new();
        for number in 0..self.count {
            if let Err(words) = words(redis.recv_response()?) {
                refused.push((number, words));
            }
        }
        let replies = match redis.recv_response()? {
            Value::Array(replies) if refused.is_empty() => replies,
            Value::ServerError(error) if refused.is_empty() => return Err(error.into()),
            _ => return Ok(Outcome::Refused(refused)),
        };
        let errors: Vec<_> = replies
            .iter()
            .enumerate()
            .filter_map(|(number, reply)| match reply {
                Value::ServerError(error) => Some((number, error_words(error))),
                _ => None,
            })
            .collect();
        Ok(if errors.is_empty() { Outcome::Done } else { Outcome::Failed { errors, replies } })
    }
}

fn words(reply: Value) -> Result<(), String> {
    match reply {
        Value::ServerError(error) => Err(error_words(&error)),
        _ => Ok(()),
    }
}

/// As the server has put it.
fn error_words(error: &redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}
