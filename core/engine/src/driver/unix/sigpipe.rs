//! Keeps SIGPIPE away from hosts that do not ignore it.
//!
//! Writing to a pipe that nobody reads raises SIGPIPE, which ends the process unless it is ignored. Rust,
//! Python and Node programs ignore it; C and Swift programs do not, and their disposition is not ours to
//! change. So our threads block it, and a write on the host's thread blocks it for as long as it takes. Where
//! a socket can be asked not to raise it, that is done instead.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;

use rustix::net::SendFlags;

/// Flag with which a send raises no signal. Apple's systems have none: accepted sockets have `SO_NOSIGPIPE` there instead.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::driver) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(in crate::driver) const NO_SIGNAL: SendFlags = SendFlags::empty();

thread_local! {
    /// SIGPIPE is blocked in this thread because of us.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Block SIGPIPE in this thread, which is ours, for good.
pub(crate) fn block_in_thread() {
    BLOCKED.set(!change(libc::SIG_BLOCK));
}

/// Run `start`, which starts a process, so that the process does not inherit what [`block_in_thread`] did.
pub(crate) fn inherited<R>(start: impl FnOnce() -> R) -> R {
    if !BLOCKED.get() {
        return start();
    }
    // Of an earlier write; unblocking would deliver it.
    take_pending();
    change(libc::SIG_UNBLOCK);
    let result = start();
    change(libc::SIG_BLOCK);
    result
}

/// Whether SIGPIPE would end this process.
pub(super) fn is_deadly() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: only asks; `action` is written if the call succeeds.
    unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

/// Run `write` so that it fails with `BrokenPipe` and raises nothing.
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

/// Block or unblock SIGPIPE in this thread; whether it was blocked before.
fn change(how: libc::c_int) -> bool {
    let set = only_sigpipe();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets live through the calls, and `old` is written if the first succeeds.
    unsafe {
        libc::pthread_sigmask(how, &raw const set, old.as_mut_ptr()) == 0
            && libc::sigismember(old.as_ptr(), libc::SIGPIPE) == 1
    }
}

/// Take the signal that a failed write left waiting for this thread.
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
    // SAFETY: sigemptyset initialises the set that sigaddset and the caller read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}
