//! Handlers of a Rust program for the input requests of servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use trunnion_engine::error::Error;
use trunnion_engine::sync::lock;
use trunnion_proto::client::QuestionKind;
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::Json;
use trunnion_proto::model::{ElicitAnswer, ElicitRequest, SampleAnswer, SampleRequest};

use super::Reply;

type Handler<Q, A> = Arc<dyn Fn(Q) -> BoxFuture<'static, Result<A, Error>> + Send + Sync>;

/// The program's handlers, and the running calls of them.
#[derive(Default)]
pub(super) struct Asking {
    pub on_elicit: Option<Handler<ElicitRequest, ElicitAnswer>>,
    pub on_sample: Option<Handler<SampleRequest, SampleAnswer>>,
    running: Mutex<HashMap<u64, AbortHandle>>,
}

impl Asking {
    /// Returns `capabilities` with those that the handlers imply, unless the program has set them itself.
    pub fn declare(&self, capabilities: &Json) -> Json {
        let text = if capabilities.is_empty() { "{}" } else { capabilities.as_str() };
        let mut all: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).unwrap_or_default();
        if self.on_elicit.is_some() {
            all.entry("elicitation").or_insert_with(|| serde_json::json!({"form": {}, "url": {}}));
        }
        if self.on_sample.is_some() {
            all.entry("sampling").or_insert_with(|| serde_json::json!({}));
        }
        Json::from(serde_json::Value::Object(all).to_string())
    }

    /// Runs the handler. Called from the client's task, so there is a runtime to spawn on.
    pub fn ask(self: &Arc<Self>, question: u64, kind: QuestionKind, params: &Json, reply: Reply) {
        match kind {
            QuestionKind::Elicit => self.run(question, self.on_elicit.clone(), params, reply),
            QuestionKind::Sample => self.run(question, self.on_sample.clone(), params, reply),
        }
    }

    pub fn withdraw(&self, question: u64) {
        if let Some(task) = lock(&self.running).remove(&question) {
            task.abort();
        }
    }

    fn run<Q, A>(self: &Arc<Self>, question: u64, handler: Option<Handler<Q, A>>, params: &Json, reply: Reply)
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        let Some(handler) = handler else {
            reply.answer(Err(RpcError::new(ErrorKind::MethodNotFound, "the client has no handler for this")));
            return;
        };
        let asked: Q = match serde_json::from_str(params.as_str()) {
            Ok(asked) => asked,
            Err(error) => {
                reply.answer(Err(RpcError::new(ErrorKind::InvalidParams, error.to_string())));
                return;
            }
        };
        let this = Arc::clone(self);
        let mut running = lock(&self.running);
        let task = tokio::spawn(async move {
            let answer = handler(asked).await.map_err(Error::into_rpc).and_then(|answer| {
                serde_json::to_string(&answer)
                    .map_err(|error| RpcError::new(ErrorKind::InternalError, error.to_string()))
            });
            lock(&this.running).remove(&question);
            reply.answer(answer);
        });
        // A handler that panics drops the reply, which answers the server; its entry is removed with the next
        // input request.
        running.retain(|_, task| !task.is_finished());
        running.insert(question, task.abort_handle());
    }
}
