//! Explorations, which run several clients in every order of their commands.
//!
//! [`explore`] prepares an exploration. [`Exploration`] has an example, and the [guide](crate::guide::races) a chapter.
//! [`stampede`] counts how often a cache's loader runs when many clients miss at once.

mod board;
mod choices;
mod client;
mod exploration;
mod explorer;
mod footprint;
mod hold;
mod outcomes;
mod plan;
mod quiet;
mod replay;
mod schedule;
mod space;
mod spin;
mod stampede;
mod world;

pub use client::{Client, Returned};
pub use exploration::{Exploration, explore};
pub use outcomes::{Explored, Outcomes};
pub use stampede::{Stampede, stampede};
