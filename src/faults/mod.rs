//! Sweeps, which inject a fault at every command of a scenario, one run at a time.
//!
//! [`sweep`] prepares a sweep of synchronous code, and `sweep_async` (feature `tokio`) one of asynchronous code.
//! [`Sweep`] has an example, and the [guide](crate::guide::sweeps) a chapter.

mod case;
mod run;
mod runner;
mod sweep;

pub use run::{Outcome, PointFailed, Run, Swept};
#[cfg(feature = "tokio")]
pub use sweep::sweep_async;
pub use sweep::{Sweep, sweep};
