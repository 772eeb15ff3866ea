//! Commands that start a server as a child process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Client, MemoryEnd, Target};
use crate::error::Error;

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
#[derive(Debug, Clone)]
pub struct ServerCommand {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) inherit_env: bool,
    pub(super) cwd: Option<PathBuf>,
    pub(super) stderr: Stderr,
}

impl ServerCommand {
    pub(super) fn new(program: String) -> ServerCommand {
        ServerCommand::of(vec![program])
    }

    /// Returns the command with this program and these arguments.
    pub(crate) fn of(argv: Vec<String>) -> ServerCommand {
        let (env, stderr) = (BTreeMap::new(), Stderr::default());
        ServerCommand { argv, env, inherit_env: false, cwd: None, stderr }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets whether the server inherits all of this program's environment, secrets included. Default: false;
    /// it inherits `HOME`, `LANG`, `LC_ALL`, `LC_CTYPE`, `LOGNAME`, `PATH`, `SHELL`, `TERM`, `TMPDIR`, `TZ`
    /// and `USER`, and gets the variables of [`ServerCommand::env`].
    pub fn inherit_env(mut self, all: bool) -> Self {
        self.inherit_env = all;
        self
    }

    /// Sets the destination of its standard error. Default: the standard error of this program.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Starts the server and connects with the default options; for other options, pass the command to
    /// [`ClientBuilder::connect`](super::ClientBuilder::connect).
    pub async fn connect(self) -> Result<Client, Error> {
        Client::builder().connect(self).await
    }
}

impl From<ServerCommand> for Target {
    fn from(command: ServerCommand) -> Target {
        Target::Command(command)
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
