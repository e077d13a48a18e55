//! `--publish`: the server at ports that the command has hard-coded.
//!
//! On Linux the command gets a network namespace of its own, where all ports are free: `namespace`. Where that can't be
//! had, it gets the machine's port, one command after another: `turn`. In both cases this process listens at the port
//! and forwards to the server: `forward`.

#[cfg(unix)]
mod forward;
#[cfg(target_os = "linux")]
pub(crate) mod namespace;
#[cfg(unix)]
mod turn;

use std::io;
use std::process::{Child, Command};

use transient_fixtures::__cargo_transient::start_command;
use transient_fixtures::redis::ConnectionAddr;

#[cfg(unix)]
use crate::report;

/// Sets the outputs and the process group of a command.
pub(crate) type Apart<'run> = &'run dyn Fn(&mut Command);

/// A command that can be started.
pub(crate) enum Start {
    /// As it is.
    Here(Command),
    /// It waits in its namespace.
    #[cfg(target_os = "linux")]
    InNamespace(namespace::Held),
}

impl Start {
    /// Publishes the server at these ports for the command.
    ///
    /// # Errors
    ///
    /// Returns an error if a port is in use.
    #[cfg(unix)]
    pub(crate) fn new(
        command: Command,
        ports: &[u16],
        server: &ConnectionAddr,
        apart: Option<Apart<'_>>,
    ) -> Result<Self, String> {
        use std::io::Write as _;

        let mut ports = ports.to_vec();
        // In the same order in every process, which wait for each other.
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() {
            return Ok(Self::Here(command));
        }
        #[cfg(target_os = "linux")]
        let why = match namespace::hold(&command, &ports, apart) {
            Ok((held, listeners)) => {
                for listener in listeners {
                    forward::start(listener, server)?;
                }
                return Ok(Self::InNamespace(held));
            }
            Err(why) => why,
        };
        #[cfg(not(target_os = "linux"))]
        let why = {
            let _ = apart;
            report::only_linux()
        };
        // If nobody reads it, the command still runs.
        let _ = writeln!(io::stderr(), "{}", report::machine_ports(&ports, &why));
        for port in ports {
            for listener in turn::take(port)? {
                forward::start(listener, server)?;
            }
        }
        Ok(Self::Here(command))
    }

    /// The argument `--publish` is not there.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn new(command: Command, _: &[u16], _: &ConnectionAddr, _: Option<Apart<'_>>) -> Result<Self, String> {
        Ok(Self::Here(command))
    }

    /// Starts the command. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// Returns an error if that fails.
    pub(crate) fn start(self) -> io::Result<Child> {
        let child = match self {
            Self::Here(mut command) => start_command(&mut command)?,
            #[cfg(target_os = "linux")]
            Self::InNamespace(held) => held.start()?,
        };
        // Not before, since the command inherits the limit.
        #[cfg(unix)]
        forward::allow_more_connections();
        Ok(child)
    }
}
