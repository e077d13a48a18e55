//! Tasks for the shop's workers, which use Celery.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Client, Commands, Connection, RedisResult, Script};
use serde_json::{Value, json};

use crate::random;

/// How long the id of a job is kept, in seconds.
const ID_KEPT_FOR: u64 = 86_400;

/// Queues a message and notes the id of its job, in one step.
const ENQUEUE_ONCE: &str = "
    if redis.call('SET', KEYS[2], '', 'NX', 'EX', ARGV[2]) then
        redis.call('LPUSH', KEYS[1], ARGV[1])
    end";

/// The queues of the workers, in Redis.
pub(crate) struct Jobs {
    redis: Connection,
}

impl Jobs {
    pub(crate) fn open(jobs_url: &str) -> RedisResult<Self> {
        Ok(Self { redis: Client::open(jobs_url)?.get_connection()? })
    }

    /// Returns an id for a job.
    pub(crate) fn new_id(&mut self) -> RedisResult<String> {
        random::hexadecimal(&mut self.redis, 128)
    }

    /// Queues a task with an array of arguments.
    pub(crate) fn enqueue(&mut self, queue: &str, task: &str, args: &Value) -> RedisResult<()> {
        let id = self.new_id()?;
        self.redis.lpush(queue, message(&id, queue, task, args))
    }

    /// Queues a task unless a job with this id has been queued. So after an error, it can be called again.
    pub(crate) fn enqueue_once(&mut self, id: &str, queue: &str, task: &str, args: &Value) -> RedisResult<()> {
        let (script, note) = (Script::new(ENQUEUE_ONCE), format!("queued:{id}"));
        script.key(queue).key(note).arg(message(id, queue, task, args)).arg(ID_KEPT_FOR).invoke(&mut self.redis)
    }
}

/// A message of Celery's protocol 2.
fn message(id: &str, queue: &str, task: &str, args: &Value) -> String {
    let body = json!([args, {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]);
    let message = json!({
        "body": BASE64_STANDARD.encode(body.to_string()),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "rust", "task": task, "id": id, "root_id": id, "retries": 0},
        "properties": {
            "correlation_id": id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": id,
            "body_encoding": "base64",
        },
    });
    message.to_string()
}
