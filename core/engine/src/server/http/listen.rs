//! The stream of `subscriptions/listen` (2026-07-28, "Subscriptions").

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, select};
use tokio::sync::watch;
use trunnion_proto::auth::resource::Access;
use trunnion_proto::error::RpcError;
use trunnion_proto::server::{Exchange, Filter, Notice};

use super::Phase;
use super::answer::{Events, event};
use crate::driver::Sleep;
use crate::server::ServerCore;
use crate::server::call::{Inbox, Missed, Say};
use crate::server::notices::{Listener, Membership};
use crate::server::tasks::Watch;

/// Changes that one client listens for.
pub(super) struct ListenEvents {
    exchange: Exchange,
    server: Arc<ServerCore>,
    access: Access,
    inbox: Arc<Inbox>,
    first: VecDeque<Bytes>,
    draining: BoxFuture<'static, ()>,
    over: bool,
    _membership: Membership,
    _watch: Option<Watch>,
}

impl ListenEvents {
    /// Fails where it cannot be told what there is to listen for.
    pub async fn new(
        server: &Arc<ServerCore>,
        mut exchange: Exchange,
        granted: Filter,
        access: Access,
        mut phase: watch::Receiver<Phase>,
        end: Option<Sleep>,
    ) -> Result<ListenEvents, Box<(Exchange, RpcError)>> {
        let inbox = Arc::new(Inbox::default());
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&inbox);
        // Before the acknowledgement, so that nothing falls between.
        let membership = server.line.hub().join(listener.clone());
        let mut first = VecDeque::new();
        let mut watch = None;
        if granted.tasks().next().is_some() {
            let principal = access.principal().map(|principal| &**principal);
            let mut granted = match server.tasks.grant(granted, principal).await {
                Ok(granted) => granted,
                Err(error) => return Err(Box::new((exchange, error))),
            };
            first.push_back(event(&exchange.listen(std::mem::take(&mut granted.filter))));
            // Where they are comes first: what happened before nobody tells again.
            let (news, watching) = granted.begin(listener);
            let news = news.into_iter().filter_map(|news| exchange.notice(&Notice::Task(news)));
            first.extend(news.map(|message| event(&message)));
            watch = Some(watching);
        } else {
            first.push_back(event(&exchange.listen(granted)));
        }
        let draining = Box::pin(async move {
            let draining = std::pin::pin!(phase.wait_for(|phase| *phase > Phase::Serving));
            match end {
                // The client comes back with a new token.
                Some(end) => drop(select(draining, end).await),
                None => drop(draining.await),
            }
        });
        let server = server.clone();
        Ok(ListenEvents {
            exchange,
            server,
            access,
            inbox,
            first,
            draining,
            over: false,
            _membership: membership,
            _watch: watch,
        })
    }
}

impl ListenEvents {
    fn told(&self, notice: &Notice) -> Option<Bytes> {
        let message = self.exchange.notice(notice)?;
        self.server.catalog.tells(notice, &self.access).then(|| event(&message))
    }

    /// Some changes were not kept: whatever is watched may have changed.
    fn tell_again(&mut self, mut missed: Missed) {
        let Some(filter) = self.exchange.filter() else { return };
        if missed.resources {
            let notices: Vec<Notice> =
                filter.resources().map(|uri| Notice::Resource(uri.to_owned())).collect();
            let told: Vec<Bytes> = notices.iter().filter_map(|notice| self.told(notice)).collect();
            self.first.extend(told);
        }
        missed.tasks.retain(|id| filter.tasks().any(|known| known == id));
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&self.inbox);
        self.server.tasks.tell_again(missed.tasks, listener);
    }
}

impl Events for ListenEvents {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(first));
        }
        if self.over {
            return Poll::Ready(None);
        }
        while let Poll::Ready((_, said)) = self.inbox.poll_next(cx) {
            let told = match said {
                Say::Notice(notice) => self.told(&notice),
                Say::Missed(missed) => {
                    self.tell_again(missed);
                    self.first.pop_front()
                }
                _ => None,
            };
            if told.is_some() {
                return Poll::Ready(told);
            }
        }
        std::task::ready!(Pin::new(&mut self.draining).poll(cx));
        self.over = true;
        let last = self.exchange.end_listening(self.server.catalog.stamp());
        Poll::Ready(last.map(|finished| event(&finished.bytes)))
    }
}
