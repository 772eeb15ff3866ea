//! Commands that start a server as a child process.

use std::path::PathBuf;

use trunnion_engine::client::ChildCommand;
use trunnion_engine::error::Error;

use super::{Client, Stderr, Target};

/// A server to start as a child process.
#[derive(Debug, Clone)]
pub struct ServerCommand(ChildCommand);

impl ServerCommand {
    pub(super) fn new(program: String) -> ServerCommand {
        ServerCommand(ChildCommand { argv: vec![program], ..ChildCommand::default() })
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets whether the server inherits all of this program's environment, secrets included. Default: false;
    /// it inherits `HOME`, `LANG`, `LC_ALL`, `LC_CTYPE`, `LOGNAME`, `PATH`, `SHELL`, `TERM`, `TMPDIR`, `TZ`
    /// and `USER`, and gets the variables of [`ServerCommand::env`].
    pub fn inherit_env(mut self, all: bool) -> Self {
        self.0.inherit_env = all;
        self
    }

    /// Sets the destination of its standard error. Default: the standard error of this program.
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.0.stderr = stderr;
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.env.insert(name.into(), value.into());
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.0.cwd = Some(directory.into());
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
        Target::Command(command.0)
    }
}
