//! Faults at every boundary, in turn.

mod case;
mod run;
mod sweep;

pub use run::{Outcome, PointFailed, Run};
#[cfg(feature = "tokio")]
pub use sweep::sweep_async;
pub use sweep::{Sweep, sweep};
