//! Subscriptions to the changes of a server.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use trunnion_engine::error::Error;
use trunnion_engine::sync::lock;
use trunnion_proto::client::{ClientError, kind};
use trunnion_proto::json::Json;

use super::Client;

/// Maximum number of changes in the queue of a program that does not read them.
const MAX_WAITING: usize = 1024;

/// The changes to subscribe to.
///
/// ```
/// use trunnion::client::Listen;
///
/// let listen = Listen::new().tools().resource("file:///notes.txt");
/// assert!(listen.tools && !listen.prompts);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listen {
    /// The list of tools.
    pub tools: bool,
    /// The list of prompts.
    pub prompts: bool,
    /// The list of resources.
    pub resources: bool,
    /// The contents of these resources, and of the resources below them.
    pub resource_uris: Vec<String>,
}

impl Listen {
    /// Returns an empty subscription.
    pub fn new() -> Listen {
        Listen::default()
    }

    /// Adds the list of tools.
    pub fn tools(mut self) -> Listen {
        self.tools = true;
        self
    }

    /// Adds the list of prompts.
    pub fn prompts(mut self) -> Listen {
        self.prompts = true;
        self
    }

    /// Adds the list of resources.
    pub fn resources(mut self) -> Listen {
        self.resources = true;
        self
    }

    /// Adds the contents of a resource.
    pub fn resource(mut self, uri: impl Into<String>) -> Listen {
        self.resource_uris.push(uri.into());
        self
    }
}

/// A change at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources.
    Resources,
    /// The contents of the resource of this URI.
    Resource(String),
}

/// The changes as they arrive: a [`Stream`], or [`Changes::next`]. A change that already waits to be read is
/// not queued again. It ends when the server ends it, and with an error when the connection fails. Dropping
/// it unsubscribes.
#[derive(Debug)]
pub struct Changes {
    client: Client,
    op: u64,
    feed: Arc<Feed>,
}

/// The state that the client's task and a [`Changes`] share.
#[derive(Debug, Default)]
pub(super) struct Feed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    granted: Option<Listen>,
    waiting: VecDeque<Change>,
    /// The end of the subscription; the error is returned once.
    ended: Option<Result<(), Error>>,
    waker: Option<Waker>,
}

impl Changes {
    pub(super) fn new(client: Client, op: u64, feed: Arc<Feed>) -> Changes {
        Changes { client, op, feed }
    }

    /// Waits until the server has acknowledged the subscription.
    pub(super) async fn begun(self) -> Result<Changes, Error> {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.feed.0);
            if state.granted.is_some() {
                return Poll::Ready(Ok(()));
            }
            match state.ended.take() {
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
                Some(Ok(())) => {
                    state.granted = Some(Listen::new());
                    state.ended = Some(Ok(()));
                    Poll::Ready(Ok(()))
                }
                Some(Err(error)) => Poll::Ready(Err(error)),
            }
        })
        .await
        .map(|()| self)
    }

    /// Returns the granted part of the subscription: it may be less than requested.
    pub fn granted(&self) -> Listen {
        lock(&self.feed.0).granted.clone().unwrap_or_default()
    }

    /// Returns the next change; `None` once the server has ended the subscription.
    pub async fn next(&mut self) -> Option<Result<Change, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Changes {
    type Item = Result<Change, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.feed.0);
        if let Some(change) = state.waiting.pop_front() {
            return Poll::Ready(Some(Ok(change)));
        }
        match &mut state.ended {
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(ended) => Poll::Ready(std::mem::replace(ended, Ok(())).err().map(Err)),
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.client.stop_listening(self.op);
    }
}

impl Feed {
    pub fn take(&self, event: &str, params: &Json) {
        let mut state = lock(&self.0);
        if state.ended.is_some() {
            return;
        }
        let change = match event {
            "listening" => {
                state.granted = Some(serde_json::from_str(params.as_str()).unwrap_or_default());
                None
            }
            "tools_changed" => Some(Change::Tools),
            "prompts_changed" => Some(Change::Prompts),
            "resources_changed" => Some(Change::Resources),
            _ => uri_of(params).map(Change::Resource),
        };
        if let Some(change) = change.filter(|change| !state.waiting.contains(change)) {
            if state.waiting.len() >= MAX_WAITING {
                let message = format!("more than {MAX_WAITING} changes wait to be read");
                return state.end(Err(ClientError::local(kind::LIMIT, message).into()));
            }
            state.waiting.push_back(change);
        }
        state.wake();
    }

    pub fn end(&self, result: Result<(), Error>) {
        lock(&self.0).end(result);
    }
}

impl State {
    fn end(&mut self, result: Result<(), Error>) {
        self.ended.get_or_insert(result);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn uri_of(params: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Updated {
        uri: String,
    }
    serde_json::from_str::<Updated>(params.as_str()).ok().map(|updated| updated.uri)
}
