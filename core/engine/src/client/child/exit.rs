//! How a child ends, without reaping it: as long as it is not reaped nobody else can have its number, which is its group's.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Tells when a child has ended.
pub(super) struct Exit {
    pid: Pid,
    changes: Changes,
}

enum Changes {
    /// A descriptor that is readable once the child has ended.
    #[cfg(target_os = "linux")]
    Descriptor(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>),
    /// Told when any child has changed.
    Any(Signal),
}

impl Exit {
    pub(super) fn of(pid: Pid) -> io::Result<Exit> {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{PidfdFlags, pidfd_open};
            use tokio::io::{Interest, unix::AsyncFd};
            // Linux before 5.3 has none.
            if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) {
                // SAFETY: the descriptor is open, and stays what it is for as long as it is owned here.
                let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
                return Ok(Exit { pid, changes: Changes::Descriptor(fd) });
            }
        }
        Ok(Exit { pid, changes: Changes::Any(signal(SignalKind::child())?) })
    }

    /// How it has ended. Cancel-safe.
    pub(super) async fn status(&mut self) -> io::Result<ExitStatus> {
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
