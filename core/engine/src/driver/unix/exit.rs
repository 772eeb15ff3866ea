//! A watch for the end of a child that does not reap it: until it is reaped, no other process can have its
//! number, which is the number of its group.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The end of a child, which is reaped when this is dropped.
pub(crate) struct Exit {
    _child: Child,
    pid: Pid,
    changes: Changes,
}

enum Changes {
    /// A descriptor that is readable once the child has ended.
    #[cfg(target_os = "linux")]
    Descriptor(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// A signal that any child has changed.
    Any(Signal),
}

impl Exit {
    pub(crate) fn of(child: Child) -> io::Result<Exit> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no number"))?;
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open};
            use tokio::io::{Interest, unix::AsyncFd};
            // Linux before 5.3 has none.
            if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) {
                // SAFETY: the descriptor is open and stays the same for as long as it is owned here.
                let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
                return Ok(Exit { _child: child, pid, changes: Changes::Descriptor(fd) });
            }
        }
        Ok(Exit { _child: child, pid, changes: Changes::Any(signal(SignalKind::child())?) })
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the end. Cancel-safe.
    pub(crate) async fn status(&mut self) -> io::Result<ExitStatus> {
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if let Some(status) = waitid(WaitId::Pid(self.pid), options)? {
                let code = status.exit_status().map(|code| (code & 0xff) << 8);
                return Ok(ExitStatus::from_raw(code.or(status.terminating_signal()).unwrap_or_default()));
            }
            match &mut self.changes {
                #[cfg(target_os = "linux")]
                Changes::Descriptor(fd) => fd.readable().await?.clear_ready(),
                Changes::Any(signal) => drop(signal.recv().await),
            }
        }
    }
}
