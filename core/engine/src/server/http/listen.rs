//! The stream of `subscriptions/listen` (2026-07-28, "Subscriptions").

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, select};
use tokio::sync::watch;
use trunnion_proto::server::{Exchange, Filter};

use super::Phase;
use super::answer::{Events, event};
use crate::driver::Sleep;
use crate::server::ServerCore;
use crate::server::call::{Inbox, Say};
use crate::server::notices::{Listener, Membership};

/// Changes that one client listens for.
pub(super) struct ListenEvents {
    exchange: Exchange,
    server: Arc<ServerCore>,
    inbox: Arc<Inbox>,
    first: Option<Bytes>,
    draining: BoxFuture<'static, ()>,
    over: bool,
    _membership: Membership,
}

impl ListenEvents {
    pub fn new(
        server: &Arc<ServerCore>,
        mut exchange: Exchange,
        granted: Filter,
        mut phase: watch::Receiver<Phase>,
        end: Option<Sleep>,
    ) -> ListenEvents {
        let inbox = Arc::new(Inbox::default());
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&inbox);
        // Before the acknowledgement, so that nothing falls between.
        let membership = server.line.hub().join(listener);
        let first = Some(event(&exchange.listen(granted)));
        let draining = Box::pin(async move {
            let draining = std::pin::pin!(phase.wait_for(|phase| *phase > Phase::Serving));
            match end {
                // The client comes back with a new token.
                Some(end) => drop(select(draining, end).await),
                None => drop(draining.await),
            }
        });
        let server = server.clone();
        ListenEvents { exchange, server, inbox, first, draining, over: false, _membership: membership }
    }
}

impl Events for ListenEvents {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if self.over {
            return Poll::Ready(None);
        }
        while let Poll::Ready((_, said)) = self.inbox.poll_next(cx) {
            if let Say::Notice(notice) = said
                && let Some(message) = self.exchange.notice(&notice)
            {
                return Poll::Ready(Some(event(&message)));
            }
        }
        std::task::ready!(Pin::new(&mut self.draining).poll(cx));
        self.over = true;
        let last = self.exchange.end_listening(self.server.catalog.stamp());
        Poll::Ready(last.map(|finished| event(&finished.bytes)))
    }
}
