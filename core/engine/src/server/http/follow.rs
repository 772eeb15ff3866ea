//! Readers of streams that another process writes. They read from the store, which the writer announces to
//! have grown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream};
use tokio::sync::Notify;

use super::answer::Events;
use super::log;
use super::sessions::Session;
use super::shared::Backing;
use crate::server::notices::News;
use crate::store::{Replay, StoredEvent};

/// How often the store is looked at without being told to, and whoever writes is told that somebody reads:
/// well within the time after which it would give its caller up.
const TICK: Duration = Duration::from_secs(15);
/// After how many of these without a word from whoever writes it is taken for dead.
const SILENT: u32 = 4;

/// The session's state of a reader of a stream that another process writes.
pub(super) struct Follower {
    pub stream: u64,
    pub turn: u64,
    news: Notify,
    /// There is no reason to go on once all has been sent that there is.
    closing: AtomicBool,
    /// Ticks since whoever writes was heard of.
    silent: AtomicU32,
}

impl Follower {
    pub fn new(stream: u64, turn: u64) -> Arc<Follower> {
        let (news, closing, silent) = (Notify::new(), AtomicBool::new(false), AtomicU32::new(0));
        Arc::new(Follower { stream, turn, news, closing, silent })
    }

    /// Records that the writer lives.
    pub fn alive(&self) {
        self.silent.store(0, Ordering::Release);
    }

    /// There is more in the store.
    pub fn appended(&self) {
        self.alive();
        self.news.notify_one();
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

/// A connection that reads such a stream.
pub(super) struct FollowEvents(BoxStream<'static, Bytes>);

impl FollowEvents {
    /// `after`: the event that the client has; `turn`: since when it reads; `first`: what the store holds
    /// after the event.
    pub fn new(
        session: Arc<Session>,
        backing: Backing,
        after: u64,
        turn: u64,
        first: Replay,
    ) -> FollowEvents {
        let follower = session.follow(backing.key.stream, turn);
        // Of what came since the first look nobody was told.
        follower.appended();
        let reader = Reader {
            registered: Registered { session, follower },
            backing,
            sent: after,
            told: None,
            ticked: false,
            waiting: VecDeque::new(),
            over: false,
        };
        let reader = reader.with(first);
        FollowEvents(stream::unfold(reader, Reader::next).boxed())
    }
}

impl Events for FollowEvents {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Known to the session while it lives.
struct Registered {
    session: Arc<Session>,
    follower: Arc<Follower>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.session.unfollow(&self.follower);
    }
}

struct Reader {
    registered: Registered,
    backing: Backing,
    /// The newest event that was handed on, and the newest that whoever writes was told of.
    sent: u64,
    told: Option<u64>,
    ticked: bool,
    waiting: VecDeque<StoredEvent>,
    over: bool,
}

impl Reader {
    fn with(mut self, replay: Replay) -> Reader {
        if !replay.events.is_empty() {
            self.registered.follower.alive();
        }
        self.waiting.extend(replay.events);
        self.over = replay.over;
        self
    }

    async fn next(mut self) -> Option<(Bytes, Reader)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.sent = event.number;
                let bytes = log::event(self.backing.key.stream, event.number, &event.message);
                return Some((bytes, self));
            }
            let follower = &self.registered.follower;
            if self.over || follower.closing.load(Ordering::Acquire) {
                self.tell();
                return None;
            }
            if follower.silent.load(Ordering::Acquire) > SILENT {
                // Whoever wrote has died: the answer will not come, and the client is to hear that when it
                // comes back.
                let key = &self.backing.key;
                self.backing.shared.forget_events(&key.session, Some(key.stream));
                return None;
            }
            if self.told != Some(self.sent) || self.ticked {
                self.tell();
            }
            self.ticked = {
                let follower = &self.registered.follower;
                let news = std::pin::pin!(follower.news.notified());
                let tick = self.backing.shared.driver.sleep(TICK);
                matches!(select(news, tick).await, Either::Right(_))
            };
            if self.ticked {
                self.registered.follower.silent.fetch_add(1, Ordering::AcqRel);
            }
            match self.backing.read(self.sent).await {
                Ok(Some(replay)) => self = self.with(replay),
                Ok(None) => return None,
                // It may be back at the next look.
                Err(_) => {}
            }
        }
    }

    fn tell(&mut self) {
        let sent = self.sent;
        self.told = Some(sent);
        self.backing.tell(|stream| News::Reading { stream, sent });
    }
}
