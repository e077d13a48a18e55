//! How the clients of a schedule ended, and the counts of an exploration.

use std::any::Any;
use std::fmt;

use super::coordinator::End;
use crate::report;

/// How the clients of one schedule ended, for its check.
///
/// ```
/// use redis::{Commands, RedisResult};
/// use transient_fixtures::{TestRequest, races, redis};
///
/// /// The code under test. Returns true if this visitor is the first.
/// fn is_first(redis_url: &str) -> RedisResult<bool> {
///     redis::Client::open(redis_url)?.get_connection()?.set_nx("first", 1)
/// }
///
/// let test_request = TestRequest::clean();
/// races::explore(&test_request)
///     .client("a", |client| is_first(client.redis_url()))
///     .client("b", |client| is_first(client.redis_url()))
///     .check(|_, outcomes| assert!(outcomes.value::<bool>("a") != outcomes.value("b")));
/// ```
pub struct Outcomes {
    pub(super) clients: Vec<Outcome>,
    pub(super) expired: Vec<String>,
}

pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) end: Option<End>,
    pub(super) is_dead: bool,
}

impl Outcomes {
    /// Returns the value that a client returned as `Ok`; `None` if it failed or died.
    ///
    /// # Panics
    ///
    /// Panics if no client has this name, or if its value has another type.
    #[must_use]
    #[track_caller]
    pub fn value<T: Any>(&self, client: &str) -> Option<&T> {
        let Some(End::Returned(Some(value), _)) = &self.of(client).end else { return None };
        let value = value.downcast_ref();
        assert!(value.is_some(), "{}", report::races::other_type(client, std::any::type_name::<T>()));
        value
    }

    /// Returns the error of a client. Only a client that had a fault can have one: all other errors fail the
    /// schedule.
    ///
    /// # Panics
    ///
    /// Panics if no client has this name.
    #[must_use]
    #[track_caller]
    pub fn error(&self, client: &str) -> Option<&str> {
        match &self.of(client).end {
            Some(End::Returned(_, error)) => error.as_deref(),
            _ => None,
        }
    }

    /// Returns true if a step of [`dying`](super::Exploration::dying) ended this client.
    ///
    /// # Panics
    ///
    /// Panics if no client has this name.
    #[must_use]
    #[track_caller]
    pub fn died(&self, client: &str) -> bool {
        self.of(client).is_dead
    }

    /// Returns the keys that steps of [`expiring`](super::Exploration::expiring) made expire, in that order.
    #[must_use]
    pub fn expired(&self) -> &[String] {
        &self.expired
    }

    #[track_caller]
    fn of(&self, client: &str) -> &Outcome {
        let found = self.clients.iter().find(|outcome| outcome.name == client);
        found.unwrap_or_else(|| panic!("{}", report::races::no_client(client)))
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outcomes").field("expired", &self.expired).finish_non_exhaustive()
    }
}

/// The counts of an exploration that passed.
#[derive(Clone, Copy, Debug)]
pub struct Explored {
    pub(super) schedules: usize,
    pub(super) abandoned: usize,
    pub(super) is_complete: bool,
}

impl Explored {
    /// Returns the number of schedules that were run to their end.
    #[must_use]
    pub fn schedules(&self) -> usize {
        self.schedules
    }

    /// Returns the number of schedules that were begun and then abandoned, because an equivalent one had been run.
    ///
    /// Always 0 without [`only_redis_is_shared`](super::Exploration::only_redis_is_shared).
    #[must_use]
    pub fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// Returns true if every schedule within the chosen bounds of preemptions was run.
    ///
    /// False if [`max_schedules`](super::Exploration::max_schedules), [`within`](super::Exploration::within) or
    /// [`random`](super::Exploration::random) left some out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}
