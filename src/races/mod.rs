//! Explorations, which run several clients in every order of their commands.
//!
//! [`explore`] prepares an exploration. [`Exploration`] has an example, and the [guide](crate::guide::races) a chapter.
//! [`stampede`] counts how often a cache's loader runs when many clients miss at once.

mod choices;
mod client;
mod clients;
mod control_connection;
mod coordinator;
mod exploration;
mod explorer;
mod failed_schedule;
mod footprint;
mod hold;
mod outcomes;
mod plan;
mod process;
mod replay;
mod retry_loops;
mod schedule;
mod silent_panics;
mod space;
mod stampede;

pub use client::{Client, Returned};
pub use exploration::{Exploration, explore};
pub use outcomes::{Explored, Outcomes};
pub use stampede::{Stampede, stampede};
