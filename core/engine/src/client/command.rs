//! What a Rust program may connect to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Client, MemoryEnd, Target};
use crate::Error;

/// A server to start as a child process.
#[derive(Debug, Clone)]
pub struct ServerCommand {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
}

impl ServerCommand {
    pub(super) fn new(program: String) -> ServerCommand {
        ServerCommand { argv: vec![program], env: BTreeMap::new(), cwd: None }
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
        Target::Command { argv: command.argv, env: command.env, cwd: command.cwd }
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
