//! A network namespace for the command.
//!
//! Only a process without threads can enter a new user namespace, which a user needs. So this program starts itself
//! again: that process enters, listens at the ports, and passes the listeners to this one, which is outside and can
//! reach the server. When this process says so, it becomes the command, whose parent and group are as ever.
//!
//! The two talk through a socket that is the standard input of the second one. The command's own standard input is the
//! last message.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command};

use rustix::cmsg_space;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, sendto, socket_with, socketpair,
};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use transient_fixtures::__cargo_transient::start_command;

use super::Apart;
use crate::{Failure, program, report};

/// The subcommand of the process that becomes the command: `in-namespace PORT… -- COMMAND…`. No help lists it.
const SUBCOMMAND: &str = "in-namespace";

/// The messages with a descriptor, and the one after the last listener.
const LISTENER: &str = "listener";
const READY: &str = "ready";
const STANDARD_INPUT: &str = "stdin";

/// Longer than any message.
const LONGEST: usize = 1_000;

/// A command that waits in its namespace.
pub(crate) struct Held {
    process: Child,
    socket: OwnedFd,
    has_input: bool,
}

/// Starts the process that becomes the command, and returns its listeners.
///
/// # Errors
///
/// Returns why there is no namespace.
pub(super) fn hold(
    command: &Command,
    ports: &[u16],
    apart: Option<Apart<'_>>,
) -> Result<(Held, Vec<TcpListener>), String> {
    let start = || -> io::Result<Held> {
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut process = Command::new("/proc/self/exe");
        process.arg(SUBCOMMAND).args(ports.iter().map(u16::to_string));
        process.arg("--").arg(command.get_program()).args(command.get_args());
        if let Some(apart) = apart {
            apart(&mut process);
        }
        process.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(theirs);
        Ok(Held { process: start_command(&mut process)?, socket, has_input: apart.is_none() })
    };
    let mut held = start().map_err(|error| report::failed("clone", &error))?;
    match listeners(&held.socket) {
        Ok(Ok(listeners)) => Ok((held, listeners)),
        Ok(Err(why)) => {
            // It ends by itself.
            let _ = held.process.wait();
            Err(why)
        }
        // It has not said why.
        Err(error) => {
            let _ = held.process.kill();
            let status = held.process.wait();
            Err(status.map_or_else(|_| error.to_string(), |status| status.to_string()))
        }
    }
}

/// The listeners, or why there are none.
fn listeners(socket: &OwnedFd) -> io::Result<Result<Vec<TcpListener>, String>> {
    let mut listeners = Vec::new();
    loop {
        match receive(socket)? {
            (_, Some(listener)) => listeners.push(listener.into()),
            (text, None) if text.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            (text, None) if text == READY => return Ok(Ok(listeners)),
            (why, None) => return Ok(Err(why)),
        }
    }
}

impl Held {
    /// Lets the process become the command.
    ///
    /// # Errors
    ///
    /// Returns an error if that process has ended.
    pub(super) fn start(self) -> io::Result<Child> {
        if self.has_input {
            send(&self.socket, STANDARD_INPUT, Some(io::stdin().as_fd()))?;
        } else {
            send(&self.socket, STANDARD_INPUT, Some(fs::File::open("/dev/null")?.as_fd()))?;
        }
        Ok(self.process)
    }
}

/// Becomes the command if this is the second process. Returns a failure only if that fails.
pub(crate) fn become_command(words: &[OsString]) -> Option<Failure> {
    let words = words.get(1..).filter(|words| words.first().is_some_and(|word| word == SUBCOMMAND))?;
    let separator = words.iter().position(|word| word == "--")?;
    let command = words.get(separator + 1..).filter(|command| !command.is_empty())?;
    let ports: Vec<u16> = words[..separator].iter().filter_map(|word| word.to_str()?.parse().ok()).collect();
    Some(match wait_inside(&ports) {
        // The first process knows why, or is gone.
        Ok(None) => std::process::exit(1),
        Ok(Some(stdin)) => {
            let mut process = program::process(command);
            process.stdin(stdin);
            program::replace_this_process(process)
        }
        Err(error) => Failure::of(&report::only_for_exec(&error)),
    })
}

/// Enters a namespace, and returns the standard input of the command when the command may start.
fn wait_inside(ports: &[u16]) -> io::Result<Option<OwnedFd>> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    match enter().and_then(|()| listen(ports)) {
        Ok(listeners) => {
            for listener in &listeners {
                send(&socket, LISTENER, Some(listener.as_fd()))?;
            }
            send(&socket, READY, None)?;
            Ok(receive(&socket)?.1)
        }
        Err(why) => send(&socket, &why, None).map(|()| None),
    }
}

/// Enters a new network namespace and brings its loopback interface up.
///
/// # Errors
///
/// Returns the system call that has failed.
fn enter() -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    // A user needs a user namespace as well, in which nothing but the network is the user's to change.
    if unshare(UnshareFlags::NEWNET).is_err() {
        unshare(UnshareFlags::NEWNET | UnshareFlags::NEWUSER).map_err(|error| report::failed("unshare", &error))?;
        let maps = [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw())),
            ("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw())),
        ];
        for (path, text) in maps {
            fs::write(path, text).map_err(|error| report::failed(path, &error))?;
        }
    }
    // Entering may have undone it.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    bring_up_loopback().map_err(|error| report::failed("RTM_NEWLINK", &error))
}

fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    #[expect(deprecated, reason = "it is unsafe only for the table of open files, which stays as it is")]
    rustix::thread::unshare(namespaces).map_err(Into::into)
}

/// Sends the message of `ip link set lo up`.
fn bring_up_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    /// The loopback interface is the first one of every namespace.
    const INDEX: u32 = 1;

    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // struct nlmsghdr: the length, type, flags, sequence number and sender. struct ifinfomsg: family and type, which
    // are unspecified, then the index, the flags, and which of them change.
    let kind = [RTM_NEWLINK, NLM_F_REQUEST_AND_ACK].map(u16::to_ne_bytes).concat();
    let rest = [1, 0, 0, INDEX, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat();
    let message = [&32_u32.to_ne_bytes()[..], &kind, &rest].concat();
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut reply = [0; 64];
    let (_, length) = recv(&socket, &mut reply, RecvFlags::empty())?;
    // struct nlmsgerr after the header: zero, or a negative error.
    match reply[..length].get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Listens at both loopback addresses, or at the first one if the machine has no IPv6.
fn listen(ports: &[u16]) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for port in ports {
        listeners
            .push(TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map_err(|error| report::failed("bind", &error))?);
        listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, *port)));
    }
    Ok(listeners)
}

fn send(socket: &OwnedFd, text: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message. It is empty if the other side has ended.
fn receive(socket: &OwnedFd) -> io::Result<(String, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; LONGEST];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((String::from_utf8_lossy(&text[..received.bytes]).into_owned(), descriptor))
}
