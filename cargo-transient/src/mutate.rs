//! Mutation testing on the wire: commands are sent changed, to see whether a test notices.
//!
//! - `operator`: the ways to change a command; `rule`: how one is written down; `options`: the options of a command;
//!   `answer`: what the program gets;
//! - `mutant`: an operator at work in a tap; `transaction`: the reply to EXEC; `script`: commands in scripts.

pub(crate) mod answer;
mod longer;
pub(crate) mod mutant;
pub(crate) mod operator;
pub(crate) mod options;
pub(crate) mod rule;
mod script;
mod transaction;
