//! Child processes: each leads a process group of its own, which is ended as a whole.

use std::io;
use std::process::Stdio;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(crate) use super::exit::Exit;
use super::sigpipe;

/// Variables of this program's environment that a server gets: it may be a stranger's program, and the rest may hold secrets.
pub(crate) const SAFE_ENV: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// Program that opens a page in the user's browser, with the arguments that come before the URL.
pub(crate) const OPEN_PAGE: &[&str] = if cfg!(target_vendor = "apple") { &["open"] } else { &["xdg-open"] };

/// A child and all that it starts.
pub(crate) struct Group(Pid);

impl Group {
    /// Ask all of them to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// End all of them at once.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Fails when nobody is left, which is what is wanted.
        let _ = kill_process_group(self.0, signal);
    }
}

/// Start a program in a group of its own.
pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Option<Group>)> {
    command.process_group(0);
    let child = sigpipe::inherited(|| command.spawn())?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    Ok((child, group.map(Group)))
}

/// A command of this program, which `execvp` looks up in PATH.
pub(crate) fn command(program: &str, _path: Option<&str>) -> Command {
    Command::new(program)
}

/// Standard error of this process, for a child. A copy of the descriptor, since the descriptor itself may be set to be closed in
/// children (Node does that), and inheriting it would leave the child without any.
pub(crate) fn inherited_stderr() -> Stdio {
    match fcntl_dupfd_cloexec(io::stderr(), 3) {
        Ok(copy) => copy.into(),
        Err(_) => Stdio::null(),
    }
}
