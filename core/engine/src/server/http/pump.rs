//! Calls of legacy sessions whose answers travel on a stream: they go on when their connection breaks, until the client comes
//! back, or has stayed away for too long.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trunnion_proto::server::Exchange;

use super::log::StreamLog;
use super::sessions::InSession;
use super::work::Work;
use crate::driver::{Driver, Sleep};
use crate::server::call::Say;

/// How long a call goes on, and a stream is kept, when its client does not read.
pub(super) const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// One call on its way into a stream.
pub(super) struct Pump {
    pub exchange: Exchange,
    pub work: Work,
    pub guard: InSession,
    pub stream: Arc<StreamLog>,
    /// The stream ends with the last of those who hold this.
    pub _open: Arc<OpenCalls>,
    pub driver: Driver,
    pub abandoned: Option<(Instant, Sleep)>,
}

/// Calls that answer on one stream: it ends with the last of them.
pub(super) struct OpenCalls(pub Arc<StreamLog>);

impl Drop for OpenCalls {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Pump {
    /// Run to the end.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        for message in self.guard.session.withdraw(&self.guard.id) {
            self.stream.append(&message);
        }
    }

    /// Say one thing on the stream. True: it was the answer.
    pub fn say(&mut self, say: Say) -> bool {
        let message = match say {
            Say::Progress(step) => self.exchange.progress(&step),
            Say::Log(entry) => self.exchange.log(&entry),
            Say::Notice(_) | Say::Missed(_) | Say::Store(_) => None,
            Say::CloseStream => {
                self.stream.close_reader();
                None
            }
            Say::Ask(asked) => {
                for message in self.guard.session.ask(&self.guard.id, asked) {
                    self.stream.append(&message);
                }
                None
            }
            Say::Done(outcome) => {
                for message in self.guard.session.withdraw(&self.guard.id) {
                    self.stream.append(&message);
                }
                let stamp = self.work.server.catalog.stamp();
                if let Some(finished) = self.exchange.finish(outcome, stamp) {
                    self.stream.append(&finished.bytes);
                }
                return true;
            }
        };
        if let Some(message) = message {
            self.stream.append(&message);
        }
        false
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Ended from outside: the session is over.
            if self.stream.is_over() || self.work.call.is_cancelled() {
                return Poll::Ready(());
            }
            let room = self.stream.poll_room(cx).is_ready();
            if self.has_been_abandoned(cx) {
                self.work.call.cancel(Some("the connection closed".into()));
                self.guard.session.drop_stream(self.stream.id());
                return Poll::Ready(());
            }
            if !room {
                return Poll::Pending;
            }
            match self.work.poll_next(cx) {
                Poll::Ready(say) => {
                    if self.say(say) {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => {
                    let mut cancelled = std::pin::pin!(self.work.call.cancelled());
                    return cancelled.as_mut().poll(cx);
                }
            }
        }
    }

    fn has_been_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(left) = self.stream.left() else {
            self.abandoned = None;
            return false;
        };
        if self.abandoned.as_ref().is_none_or(|(since, _)| *since != left) {
            self.abandoned = Some((left, self.driver.sleep_until(left + RESUME_LIMIT)));
        }
        self.abandoned.as_mut().is_some_and(|(_, sleep)| Pin::new(sleep).poll(cx).is_ready())
    }
}
