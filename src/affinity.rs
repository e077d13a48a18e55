//! Threads and a server on one core.
//!
//! Waking an idle core takes longer than most commands. Code that waits for each reply is up to three times as fast if
//! all of its threads, and the server, share a core.

#[cfg(target_os = "linux")]
pub(crate) use linux::OneCore;

/// Keeps this thread, threads that it starts, and a server on one core until it is dropped.
#[cfg(target_os = "linux")]
mod linux {
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    pub(crate) struct OneCore {
        server: Pid,
        /// The cores of the server and of this thread before.
        before: [CpuSet; 2],
    }

    impl OneCore {
        /// `server` is the id of a process on this machine. Returns `None` if the system forbids it.
        pub(crate) fn share(server: u32) -> Option<Self> {
            let server = Pid::from_raw(server.try_into().ok()?)?;
            let before = [sched_getaffinity(Some(server)).ok()?, sched_getaffinity(None).ok()?];
            let mut core = CpuSet::new();
            core.set(sched_getcpu());
            let guard = Self { server, before };
            sched_setaffinity(Some(server), &core).ok()?;
            sched_setaffinity(None, &core).ok()?;
            Some(guard)
        }
    }

    impl Drop for OneCore {
        fn drop(&mut self) {
            // If the server has ended, there is nothing to restore.
            let _ = sched_setaffinity(Some(self.server), &self.before[0]);
            let _ = sched_setaffinity(None, &self.before[1]);
        }
    }
}

/// Other systems have no such setting.
#[cfg(not(target_os = "linux"))]
pub(crate) struct OneCore;

#[cfg(not(target_os = "linux"))]
impl OneCore {
    pub(crate) fn share(_: u32) -> Option<Self> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::OneCore;

    #[test]
    fn one_core_is_shared_until_the_guard_is_dropped() {
        let before = sched_getaffinity(None).unwrap();
        let guard = OneCore::share(std::process::id()).unwrap();
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        let inherited = std::thread::spawn(|| sched_getaffinity(None).unwrap().count());
        assert_eq!(inherited.join().unwrap(), 1);
        drop(guard);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
