//! Calls of legacy sessions that answer on a stream: they continue when their connection breaks, until the
//! client reconnects or a time limit passes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::Exchange;

use super::log::StreamLog;
use super::sessions::{InSession, Session};
use super::work::Work;
use crate::driver::{Driver, Sleep};
use crate::server::call::Say;

/// The time for which a call continues, and a stream is stored, when its client does not read.
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

/// Calls that answer on one stream: it ends with the last of them, and is forgotten when its client has been
/// away from it for [`RESUME_LIMIT`].
pub(super) struct OpenCalls {
    pub stream: Arc<StreamLog>,
    session: Weak<Session>,
    driver: Driver,
}

impl OpenCalls {
    pub fn new(session: &Arc<Session>, stream: Arc<StreamLog>, driver: &Driver) -> Arc<OpenCalls> {
        Arc::new(OpenCalls { stream, session: Arc::downgrade(session), driver: driver.clone() })
    }
}

impl Drop for OpenCalls {
    fn drop(&mut self) {
        self.stream.end();
        self.driver.spawn(forget(self.session.clone(), Arc::downgrade(&self.stream), self.driver.clone()));
    }
}

/// Forget an ended stream once nobody has read it for long enough.
async fn forget(session: Weak<Session>, stream: Weak<StreamLog>, driver: Driver) {
    loop {
        let left = poll_fn(|cx| match stream.upgrade() {
            Some(stream) => stream.poll_left(cx).map(Some),
            None => Poll::Ready(None),
        });
        let Some(left) = left.await else { return };
        driver.sleep_until(left + RESUME_LIMIT).await;
        let (Some(session), Some(stream)) = (session.upgrade(), stream.upgrade()) else { return };
        // Nobody has come back meanwhile, not even for a while.
        if stream.left() == Some(left) {
            session.drop_stream(stream.id());
            return;
        }
    }
}

/// Returns the error for a client that has left too much unread.
pub(super) fn no_room() -> RpcError {
    let message =
        "the server keeps as much for its clients as it can (maxKeptBytes); read what waits, and try again";
    RpcError::new(ErrorKind::InternalError, message)
}

/// A new stream that nobody has been told of: it goes when its request does.
pub(super) struct Unread<'a> {
    session: &'a Session,
    pub stream: Arc<StreamLog>,
    taken: bool,
}

impl<'a> Unread<'a> {
    pub fn new(session: &'a Session) -> Unread<'a> {
        Unread { session, stream: session.new_stream(), taken: false }
    }

    /// Somebody reads it from here on.
    pub fn taken(mut self) -> Arc<StreamLog> {
        self.taken = true;
        self.stream.clone()
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.session.drop_stream(self.stream.id());
        }
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

    /// Sends one message on the stream. Returns true if it was the answer.
    pub fn say(&mut self, say: Say) -> bool {
        let message = match say {
            // Whoever has no more room is told less on the way.
            Say::Progress(_) | Say::Log(_) if !self.stream.has_room() => None,
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
                self.guard.session.ends(&outcome);
                let stamp = self.work.server.catalog.stamp();
                let outcome = if self.stream.has_room() { outcome } else { Outcome::Error(no_room()) };
                if let Some(finished) = self.exchange.finish(outcome, stamp) {
                    self.stream.answer(&finished.bytes);
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
            // Its time passes whether or not somebody reads.
            let said = if room { self.work.poll_next(cx) } else { self.work.poll_limit(cx) };
            match said {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use trunnion_proto::auth::resource::Access;
    use trunnion_proto::server::catalog::{Catalog, Offer};
    use trunnion_proto::server::post::{Admission, admit_post};
    use trunnion_proto::server::{Session as Facts, Settings, Stamp};

    use super::super::HttpOptions;
    use super::super::caller::HeaderView;
    use super::super::sessions::Sessions;
    use super::*;
    use crate::server::ServerCore;
    use crate::server::call::Handler;
    use crate::server::seal::{DEFAULT_TTL, Sealer};

    async fn session(driver: &Driver) -> Arc<Session> {
        let offer = Offer { stamp: Stamp::new("{}", 0, "private"), instructions: None, page_size: 10 };
        let catalog: Catalog<Arc<dyn Handler>> = Catalog::new(Settings::default(), offer);
        let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        let server =
            Arc::new(ServerCore::new(catalog, Arc::default(), sealer, None, None, None, Default::default()));
        let sessions = Sessions::new(server, driver.clone(), &HttpOptions::default());
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
        let headers = HeaderMap::new();
        let admitted =
            admit_post(&Settings::default(), &HeaderView(&headers), &Bytes::from_static(body), None);
        let Admission::Request(admitted) = admitted else { panic!("refused") };
        let opened = sessions.open(Facts::of(&admitted.1), &Access::Anybody, &None).await;
        let Ok(session) = opened else { panic!("refused") };
        session
    }

    #[tokio::test(start_paused = true)]
    async fn ended_streams_are_forgotten_a_minute_after_their_last_reader() {
        let driver = Driver::Tokio(tokio::runtime::Handle::current());
        let session = session(&driver).await;
        let ended = || {
            let stream = session.new_stream();
            stream.answer(b"{}");
            drop(OpenCalls::new(&session, stream.clone(), &driver));
            stream
        };
        let left = ended();
        tokio::time::sleep(RESUME_LIMIT - Duration::from_secs(1)).await;
        assert!(session.stream(left.id()).is_some(), "its client may come back");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(session.stream(left.id()).is_none());

        let read = ended();
        let reader = read.read(0, false).expect("a reader");
        tokio::time::sleep(2 * RESUME_LIMIT).await;
        assert!(session.stream(read.id()).is_some(), "somebody reads");
        drop(reader);
        tokio::time::sleep(RESUME_LIMIT).await;
        assert!(session.stream(read.id()).is_none());
    }
}
