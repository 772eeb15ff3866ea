//! Child processes: each leads its own process group, which is ended as a whole.

use std::io;
use std::process::Stdio;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(crate) use super::exit::Exit;
use super::sigpipe;

/// Variables of this program's environment that a server inherits: the server may be a third-party program,
/// and the other variables may contain secrets.
pub(crate) const SAFE_ENV: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// The program that opens a page in the user's browser, with the arguments before the URL.
pub(crate) const OPEN_PAGE: &[&str] = if cfg!(target_vendor = "apple") { &["open"] } else { &["xdg-open"] };

/// A child and its descendants.
pub(crate) struct Group(Pid);

impl Group {
    /// Requests the end of all of them.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills all of them at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Fails when no process is left, which is the intended state.
        let _ = kill_process_group(self.0, signal);
    }
}

/// Starts a program in its own group.
pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Option<Group>)> {
    command.process_group(0);
    let child = sigpipe::inherited(|| command.spawn())?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    Ok((child, group.map(Group)))
}

/// Returns a command of this program, which `execvp` searches for in PATH.
pub(crate) fn command(program: &str, _path: Option<&str>) -> Command {
    Command::new(program)
}

/// Returns the standard error of this process, for a child. It is a copy of the descriptor: the descriptor
/// itself may be set to be closed in children (Node does that), and the child would then inherit none.
pub(crate) fn inherited_stderr() -> Stdio {
    match fcntl_dupfd_cloexec(io::stderr(), 3) {
        Ok(copy) => copy.into(),
        Err(_) => Stdio::null(),
    }
}
