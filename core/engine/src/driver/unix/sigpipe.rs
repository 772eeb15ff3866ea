//! SIGPIPE suppression for hosts that do not ignore the signal.
//!
//! Writing to a pipe without a reader raises SIGPIPE, which ends the process unless it is ignored. Rust,
//! Python and Node programs ignore it; C and Swift programs do not, and the engine must not change their
//! disposition. So the engine's threads block it, and a write on the host's thread blocks it for its
//! duration. If a socket has an option or a flag against it, that is used instead.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;

use rustix::net::SendFlags;

/// The flag for sends that raise no signal. Apple's systems have none: accepted sockets have `SO_NOSIGPIPE`
/// there instead.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::driver) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(in crate::driver) const NO_SIGNAL: SendFlags = SendFlags::empty();

thread_local! {
    /// True if the engine has blocked SIGPIPE in this thread.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Blocks SIGPIPE permanently in this thread, which belongs to the engine.
pub fn block_in_thread() {
    BLOCKED.set(!change(libc::SIG_BLOCK));
}

/// Runs `start`, which starts a process, so that the process does not inherit the effect of
/// [`block_in_thread`].
pub(crate) fn inherited<R>(start: impl FnOnce() -> R) -> R {
    if !BLOCKED.get() {
        return start();
    }
    // The signal of an earlier write; unblocking would deliver it.
    take_pending();
    change(libc::SIG_UNBLOCK);
    let result = start();
    change(libc::SIG_BLOCK);
    result
}

/// Returns true if SIGPIPE would end this process.
pub(super) fn is_deadly() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only queries; `action` is written if the call succeeds.
    unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

/// Runs `write` so that it fails with `BrokenPipe` and raises no signal.
pub(super) fn without(write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    if BLOCKED.get() || change(libc::SIG_BLOCK) {
        return write();
    }
    let result = write();
    if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        take_pending();
    }
    change(libc::SIG_UNBLOCK);
    result
}

/// Blocks or unblocks SIGPIPE in this thread; returns true if it was blocked before.
fn change(how: libc::c_int) -> bool {
    let set = only_sigpipe();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets live through the calls, and `old` is written if the first succeeds.
    unsafe {
        libc::pthread_sigmask(how, &raw const set, old.as_mut_ptr()) == 0
            && libc::sigismember(old.as_ptr(), libc::SIGPIPE) == 1
    }
}

/// Consumes the signal that a failed write left pending for this thread.
fn take_pending() {
    let set = only_sigpipe();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    let mut signal = 0;
    // SAFETY: all sets live through the calls; `pending` is read only when it was written. Waiting for a
    // pending signal returns at once.
    unsafe {
        if libc::sigpending(pending.as_mut_ptr()) == 0
            && libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
        {
            libc::sigwait(&raw const set, &raw mut signal);
        }
    }
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set that sigaddset and the caller read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}
