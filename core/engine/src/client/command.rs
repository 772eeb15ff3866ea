//! What a Rust program may connect to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Client, MemoryEnd, Target};
use crate::Error;

/// Where the standard error of a server that is started goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stderr {
    /// Where this program's goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To this program, line by line: notifications with the event `stderr` and the parameters `{line, lost?}`. A line is
    /// UTF-8 with replacements, and cut after 8 KiB; while 256 lines wait further ones are dropped, and counted in `lost` of
    /// the next. The server is never held up.
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

    /// Program and arguments.
    pub(crate) fn of(argv: Vec<String>) -> ServerCommand {
        let (env, stderr) = (BTreeMap::new(), Stderr::default());
        ServerCommand { argv, env, inherit_env: false, cwd: None, stderr }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Whether the server gets all of this program's environment, secrets included. Default: false; it gets `HOME`, `LANG`,
    /// `LC_ALL`, `LC_CTYPE`, `LOGNAME`, `PATH`, `SHELL`, `TERM`, `TMPDIR`, `TZ` and `USER`, and what [`ServerCommand::env`] adds.
    pub fn inherit_env(mut self, all: bool) -> Self {
        self.inherit_env = all;
        self
    }

    /// Where its standard error goes. Default: where this program's goes.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// A variable added to the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The working directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Start the server and connect with the default options; for others, give this to
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
