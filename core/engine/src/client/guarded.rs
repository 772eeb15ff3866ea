//! Exchanges of a client with sign-in: the handling of refusals.

use bytes::Bytes;
use http::Method;
use http::header::HeaderMap;
use trunnion_proto::auth::challenge::{Asked, wants_nonce};
use trunnion_proto::auth::flow::MAX_AUTHORIZATIONS;
use trunnion_proto::auth::{AuthError, Challenge};
use trunnion_proto::client::TransportFailure;

use super::auth::Authorizer;
use super::exchange::HttpEvent;
use super::stages::{Stage, Step, Wanted, advance};

/// A request that can be retried.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) wanted: Wanted,
}

/// A request that can still be retried after a refusal.
pub(super) struct Guarded {
    authorizer: Authorizer,
    pub(super) call: Call,
    /// Generation of the tokens it was sent with.
    seen: u64,
    renewals: u32,
    /// True if a nonce was requested since the last renewal; a second request for one is a final refusal.
    renonced: bool,
}

/// The next state of an exchange.
pub(super) enum Way {
    /// An exchange that is no longer retried.
    Open(Stage),
    /// An exchange that was sent and is not answered yet.
    Guarded(Box<Guarded>, Stage),
    /// An exchange to be sent by the owner of the connections.
    Send(Box<Guarded>),
    /// An exchange that waits for tokens, because of a challenge or for the first time.
    Waiting(Box<Guarded>, Option<Challenge>),
}

pub(super) async fn go(post: u64, way: Way, limit: usize) -> (Step, Option<Way>) {
    match way {
        Way::Open(stage) => {
            let mut step = advance(post, stage, limit).await;
            let next = step.next.take().map(Way::Open);
            (step, next)
        }
        Way::Guarded(guarded, stage) => guarded.advance(post, stage, limit).await,
        Way::Waiting(guarded, challenge) => guarded.wait(post, challenge).await,
        Way::Send(guarded) => (Step::idle(post), Some(Way::Send(guarded))),
    }
}

enum Refusal {
    Resend,
    Renew(Challenge),
    Final,
}

impl Guarded {
    pub(super) fn new(authorizer: Authorizer, call: Call) -> Box<Guarded> {
        Box::new(Guarded { authorizer, call, seen: 0, renewals: 0, renonced: false })
    }

    /// Returns the first state of the exchange.
    pub(super) fn begin(self: Box<Self>) -> Way {
        if self.is_farewell() || self.authorizer.is_ready() {
            Way::Send(self)
        } else {
            Way::Waiting(self, None)
        }
    }

    /// Returns true for the end of a session, which is no reason to send the user to a page.
    fn is_farewell(&self) -> bool {
        self.call.method == Method::DELETE
    }

    /// Returns the headers to send it with to this URL.
    pub(super) fn headers(&mut self, url: &str) -> HeaderMap {
        let mut headers = self.call.headers.clone();
        self.seen = self.authorizer.apply(&mut headers, self.call.method.as_str(), url);
        headers
    }

    async fn advance(mut self: Box<Self>, post: u64, stage: Stage, limit: usize) -> (Step, Option<Way>) {
        let mut step = advance(post, stage, limit).await;
        if let Some(nonce) = step.nonce.take() {
            self.authorizer.set_nonce(nonce);
        }
        if let HttpEvent::Failed { failure: TransportFailure::Status { status, asked, .. }, .. } = &step.event
        {
            let way = match self.refused(*status, asked) {
                Refusal::Final => None,
                Refusal::Resend => Some(Way::Send(self)),
                Refusal::Renew(challenge) => Some(Way::Waiting(self, Some(challenge))),
            };
            if way.is_some() {
                step.event = HttpEvent::Idle;
            }
            return (step, way);
        }
        let answered = !matches!(step.event, HttpEvent::Idle | HttpEvent::Failed { .. });
        if answered && self.renewals > 0 {
            self.authorizer.accepted();
        }
        let next = step.next.take();
        let way = next.map(|stage| if answered { Way::Open(stage) } else { Way::Guarded(self, stage) });
        (step, way)
    }

    fn refused(&mut self, status: u16, asked: &[Asked]) -> Refusal {
        if status == 401 && wants_nonce(asked) {
            return match std::mem::replace(&mut self.renonced, true) {
                false => Refusal::Resend,
                true => Refusal::Final,
            };
        }
        if self.is_farewell() {
            return Refusal::Final;
        }
        let challenge = Challenge::of(status, asked);
        let more = challenge.error.as_deref() == Some("insufficient_scope")
            || challenge.error.is_none() && challenge.scope.is_some();
        if status == 401 || status == 403 && more { Refusal::Renew(challenge) } else { Refusal::Final }
    }

    async fn wait(mut self: Box<Self>, post: u64, challenge: Option<Challenge>) -> (Step, Option<Way>) {
        let Some(challenge) = challenge else {
            self.authorizer.prepare().await;
            return (Step::idle(post), Some(Way::Send(self)));
        };
        // One refresh and the authorizations. The machine counts those of all requests; this one ends in any
        // case.
        let result = if self.renewals > MAX_AUTHORIZATIONS {
            Err(AuthError::TooManyAuthorizations { attempts: MAX_AUTHORIZATIONS }.into())
        } else {
            self.authorizer.renew(self.seen, challenge).await
        };
        match result {
            Ok(()) => {
                self.renewals += 1;
                self.renonced = false;
                (Step::idle(post), Some(Way::Send(self)))
            }
            Err(failure) => (Step::fails(post, failure.into()), None),
        }
    }
}
