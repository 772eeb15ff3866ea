//! Execution of a handler for one request of a POST, and the event stream that may result.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::Era;
use trunnion_proto::server::Exchange;

use super::answer::event;
use super::budget::Charge;
use super::pipe::Pipe;
use crate::driver::Sleep;
use crate::server::ServerCore;
use crate::server::asking::{Asked, suspend};
use crate::server::call::{Call, Inbox, Say};

/// A handler at work. Dropping it before the answer tells the handler that the caller has left.
pub(super) struct Work {
    pub call: Call,
    pub inbox: Arc<Inbox>,
    pub future: Option<BoxFuture<'static, Outcome>>,
    pub limit: Option<Sleep>,
    pub server: Arc<ServerCore>,
    /// The input requests of a modern call, until its run ends.
    pub asked: Vec<Asked>,
    /// The charge for the request while it is processed.
    pub _charge: Arc<Charge>,
}

impl Work {
    /// The next thing it says. [`Say::Ask`] comes in the legacy era only.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Say> {
        loop {
            let said = self.poll_said(cx);
            match said {
                Poll::Ready(Say::Ask(asked)) if self.call.revision().era() == Era::Modern => {
                    self.asked.push(asked);
                }
                // Questions of one call are sent together.
                Poll::Pending if !self.asked.is_empty() => {
                    let asked = std::mem::take(&mut self.asked);
                    return Poll::Ready(Say::Done(suspend(&self.call, &self.server.sealer, &asked)));
                }
                said => return said,
            }
        }
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Say> {
        if let Poll::Ready((_, say)) = self.inbox.poll_next(cx) {
            return Poll::Ready(say);
        }
        if let Some(future) = &mut self.future
            && let Poll::Ready(outcome) = future.as_mut().poll(cx)
        {
            self.future = None;
            self.call.complete(outcome);
            if let Poll::Ready((_, say)) = self.inbox.poll_next(cx) {
                return Poll::Ready(say);
            }
        }
        // What the future has just said.
        if let Poll::Ready((_, say)) = self.inbox.poll_next(cx) {
            return Poll::Ready(say);
        }
        self.poll_limit(cx)
    }

    /// The answer that the time limit gives; for when nothing else may be said yet.
    pub fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Say> {
        if let Some(limit) = &mut self.limit
            && Pin::new(limit).poll(cx).is_ready()
        {
            self.limit = None;
            self.future = None;
            self.call.cancel(Some("time limit".into()));
            return Poll::Ready(Say::Done(Outcome::ToolError("the tool exceeded its time limit".into())));
        }
        Poll::Pending
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.call.cancel(Some("the connection closed".into()));
        self.inbox.close();
    }
}

/// A call whose answer travels on an event stream that ends with its connection. It has a task of its own: a
/// connection that cannot be written to asks for no events, and the call and its time limit go on.
pub(super) struct Streamed {
    pub exchange: Exchange,
    pub work: Work,
    pub pipe: Arc<Pipe>,
}

impl Streamed {
    /// Run to the end, or until nobody reads any more.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.work.call.is_cancelled() {
                return Poll::Ready(());
            }
            let said = if self.pipe.poll_room(cx).is_ready() {
                self.work.poll_next(cx)
            } else {
                self.work.poll_limit(cx)
            };
            let message = match ready!(said) {
                Say::Progress(step) => self.exchange.progress(&step),
                Say::Log(entry) => self.exchange.log(&entry),
                Say::Ask(asked) => {
                    refuse_ask(asked);
                    None
                }
                Say::CloseStream | Say::Store(_) | Say::Notice(_) | Say::Missed(_) => None,
                Say::Done(outcome) => {
                    let stamp = self.work.server.catalog.stamp();
                    if let Some(finished) = self.exchange.finish(outcome, stamp) {
                        self.pipe.push(event(&finished.bytes));
                    }
                    return Poll::Ready(());
                }
            };
            if let Some(message) = message {
                self.pipe.push(event(&message));
            }
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.pipe.end();
    }
}

/// A legacy client can be asked in its session only: that is where its answer would come in.
pub(super) fn refuse_ask(asked: Asked) {
    let message = "the client cannot be asked: it has no session, or does not accept text/event-stream";
    asked.reply(Err(crate::error::Error::local(crate::error::local::TRANSPORT, message)));
}
