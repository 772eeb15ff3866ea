//! How a question of the server is answered.

use tokio::sync::mpsc::WeakUnboundedSender;
use trunnion_proto::error::{ErrorKind, RpcError};

use super::Command;

/// The one answer to a question. Dropped without one, it tells the server that the client failed.
#[derive(Debug)]
pub struct Reply {
    /// Weak: a question does not keep the connection open.
    commands: WeakUnboundedSender<Command>,
    question: u64,
    answered: bool,
}

impl Reply {
    pub(super) fn new(commands: WeakUnboundedSender<Command>, question: u64) -> Reply {
        Reply { commands, question, answered: false }
    }

    /// Answer with the text of a result object, or refuse. False: the client is closed.
    pub fn answer(mut self, answer: Result<String, RpcError>) -> bool {
        self.send(answer)
    }

    fn send(&mut self, answer: Result<String, RpcError>) -> bool {
        self.answered = true;
        let command = Command::Answer { question: self.question, answer };
        self.commands.upgrade().is_some_and(|commands| commands.send(command).is_ok())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.answered {
            self.send(Err(RpcError::new(ErrorKind::InternalError, "the client failed to answer")));
        }
    }
}
