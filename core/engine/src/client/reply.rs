//! The answer to an input request of the server.

use tokio::sync::mpsc::WeakUnboundedSender;
use trunnion_proto::error::{ErrorKind, RpcError};

use super::Command;

/// The handle for the one answer to an input request. If it is dropped without an answer, the server gets an
/// error of the client.
#[derive(Debug)]
pub struct Reply {
    /// Weak, so that an input request does not keep the connection open.
    commands: WeakUnboundedSender<Command>,
    question: u64,
    answered: bool,
}

impl Reply {
    pub(super) fn new(commands: WeakUnboundedSender<Command>, question: u64) -> Reply {
        Reply { commands, question, answered: false }
    }

    /// Sends the text of a result object, or a refusal. Returns false if the client is closed.
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
