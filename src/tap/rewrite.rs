//! Commands that are rewritten before they are forwarded, and their replies.

use super::control::Control;
use super::{Tap, start};
use crate::error::Error;
use crate::lease::Lease;

/// Rewrites the commands of a tap. The tap's thread calls it, so it must not block.
///
/// A tap with one holds each command, and each reply that is changed, in memory as a whole, whatever its size.
pub trait Rewrite: Send {
    /// A command has arrived, as these bytes. Returns `None` if it is forwarded as it came, and so is its reply.
    fn command(&mut self, connection: u64, frame: &[u8]) -> Option<Rewritten>;

    /// A client has connected, from this port. Its commands come after this.
    fn connects(&mut self, _connection: u64, _port: Option<u16>) {}

    /// A connection is closed. Replies that were pending do not come.
    fn closes(&mut self, _connection: u64) {}
}

/// Takes a reply.
pub type TakesReply = Box<dyn FnOnce(&[u8]) + Send>;

/// Returns the reply that the client gets instead of this one.
pub type ChangesReply = Box<dyn FnOnce(&[u8]) -> Vec<u8> + Send>;

/// The fate of a command.
#[derive(Default)]
pub struct Rewritten {
    /// The bytes that the server gets instead; `None` for the command as it came.
    pub forward: Option<Vec<u8>>,
    /// Set if `forward` is two commands. It gets the reply to the first one, which the client does not get.
    pub first: Option<TakesReply>,
    /// Turns the reply, to the second one if there are two, into that which the client gets; `None` for it as it comes.
    pub reply: Option<ChangesReply>,
}

/// As [`tap`](super::tap), and rewrites commands.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server is gone, or uses TLS without the feature
/// `tap-tls`.
pub(crate) fn rewriting_tap(lease: &Lease, rewrite: Box<dyn Rewrite>) -> Result<Tap, Error> {
    start(lease, Control::of(lease)?, None, Some(rewrite))
}
