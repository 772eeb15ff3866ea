//! Servers to connect to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::driver::in_process::MemoryEnd;

/// The server to connect to.
#[derive(Debug)]
pub enum Target {
    /// Streamable HTTP, or the older HTTP+SSE, at a URL that begins with `http://`, `https://` or
    /// `http+unix://`.
    Url(String),
    /// A child process that uses its standard streams.
    Command(ChildCommand),
    /// A server in this process.
    Memory(MemoryEnd),
}

impl Target {
    /// Returns `http`, `stdio` or `memory`.
    pub(super) fn transport(&self) -> &'static str {
        match self {
            Target::Url(_) => "http",
            Target::Command(_) => "stdio",
            Target::Memory(_) => "memory",
        }
    }
}

impl From<String> for Target {
    fn from(url: String) -> Target {
        Target::Url(url)
    }
}

impl From<&str> for Target {
    fn from(url: &str) -> Target {
        Target::Url(url.to_owned())
    }
}

impl From<MemoryEnd> for Target {
    fn from(end: MemoryEnd) -> Target {
        Target::Memory(end)
    }
}

/// The destination of the standard error of a server that is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stderr {
    /// The standard error of this program.
    #[default]
    Inherit,
    /// Discarded.
    Null,
    /// This program, line by line: notifications with the event `stderr` and the parameters `{line, lost?}`.
    /// A line is UTF-8 with replacement characters, and cut after 8 KiB. While 256 lines wait, further ones
    /// are dropped, and counted in `lost` of the next. The server is never blocked.
    Lines,
}

/// A server to start as a child process.
#[derive(Debug, Clone, Default)]
pub struct ChildCommand {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// True if the server inherits all of this program's environment; false: only a safe part of it.
    pub inherit_env: bool,
    /// The working directory; `None`: that of this program.
    pub cwd: Option<PathBuf>,
    /// The destination of its standard error.
    pub stderr: Stderr,
}
