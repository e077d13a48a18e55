//! Tasks for the shop's workers, which use Celery.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Client, Commands, Connection, RedisResult};
use serde_json::{Value, json};

use crate::random;

/// The queues of the workers, in Redis.
pub(crate) struct Jobs {
    redis: Connection,
}

impl Jobs {
    pub(crate) fn open(jobs_url: &str) -> RedisResult<Self> {
        Ok(Self { redis: Client::open(jobs_url)?.get_connection()? })
    }

    /// Queues a task with an array of arguments, as a message of Celery's protocol 2.
    pub(crate) fn enqueue(&mut self, queue: &str, task: &str, args: &Value) -> RedisResult<()> {
        let id = random::hexadecimal(&mut self.redis, 128)?;
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
        self.redis.lpush(queue, message.to_string())
    }
}
