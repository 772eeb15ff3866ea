//! Who is told when something changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunnion_proto::server::Notice;
use trunnion_proto::tasks::News as TaskNews;

use super::seal::random_id;
use crate::lock;
use crate::store::{Bus, Deliver, Subscriber};

/// Somebody who may want to hear of changes.
pub(crate) trait Listener: Send + Sync {
    /// Something has changed. Must not block.
    fn notice(&self, notice: &Notice);
}

/// Told what other processes say of the sessions that are shared with them.
pub(crate) trait Sharing: Send + Sync {
    /// Must not block.
    fn heard(&self, session: &str, news: News);
}

/// Told what other processes say of tasks.
pub(crate) trait Following: Send + Sync {
    /// A task has changed, or is due. `session`: the legacy session that has made it. Must not block.
    fn changed(&self, id: &str, session: Option<&str>, due: bool);
}

/// Who hears of what in one server.
#[derive(Default)]
pub(crate) struct Hub {
    members: Mutex<Members>,
    sharing: Mutex<Vec<Weak<dyn Sharing>>>,
    following: Mutex<Option<Weak<dyn Following>>>,
    /// The legacy sessions that this process serves, and how often.
    sessions: Mutex<HashMap<String, usize>>,
}

#[derive(Default)]
struct Members {
    listeners: BTreeMap<u64, Weak<dyn Listener>>,
    next: u64,
}

impl Hub {
    /// Listen until the membership is dropped.
    pub fn join(self: &Arc<Self>, listener: Weak<dyn Listener>) -> Membership {
        let mut members = lock(&self.members);
        members.next += 1;
        let id = members.next;
        members.listeners.insert(id, listener);
        Membership { hub: self.clone(), id }
    }

    /// Hear of shared sessions, as long as it lives.
    pub fn share(&self, sharing: Weak<dyn Sharing>) {
        lock(&self.sharing).push(sharing);
    }

    /// Hear of tasks, as long as it lives.
    pub fn follow(&self, following: Weak<dyn Following>) {
        *lock(&self.following) = Some(following);
    }

    /// This process serves a legacy session, which is told of its tasks, as long as what comes back lives.
    pub fn serves_session(self: &Arc<Self>, name: &str) -> ServedSession {
        *lock(&self.sessions).entry(name.to_owned()).or_default() += 1;
        ServedSession { hub: self.clone(), name: name.to_owned() }
    }

    /// Whether this process serves a legacy session.
    pub fn has_session(&self, name: &str) -> bool {
        lock(&self.sessions).contains_key(name)
    }

    /// Tell everybody here where a task is.
    pub fn task(&self, news: TaskNews) {
        self.notice(&Notice::Task(news));
    }

    /// Tell everybody here of a change.
    fn notice(&self, notice: &Notice) {
        // Not under the lock: who hears of it may leave.
        let listeners: Vec<_> = lock(&self.members).listeners.values().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            listener.notice(notice);
        }
    }
}

/// Listens while it lives.
pub(crate) struct Membership {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.hub.members).listeners.remove(&self.id);
    }
}

/// A legacy session that this process serves, while it lives.
pub(crate) struct ServedSession {
    hub: Arc<Hub>,
    name: String,
}

impl Drop for ServedSession {
    fn drop(&mut self) {
        let mut sessions = lock(&self.hub.sessions);
        if let Some(count) = sessions.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.name);
            }
        }
    }
}

/// A server's own place on the bus that it shares with other processes, if there is one.
pub(crate) struct Line {
    hub: Arc<Hub>,
    /// Marks what this server has said itself.
    origin: String,
    bus: Option<Arc<dyn Bus>>,
}

impl Line {
    /// Everything that comes over the bus reaches the hub.
    pub fn new(bus: Option<Arc<dyn Bus>>) -> Arc<Line> {
        let line = Arc::new(Line { hub: Arc::default(), origin: random_id(), bus });
        if let Some(bus) = &line.bus {
            let deliver: Weak<dyn Deliver> = Arc::<Line>::downgrade(&line);
            bus.subscribe(Subscriber::new(deliver));
        }
        line
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Something has changed: tell everybody, here and beyond.
    pub fn publish(&self, notice: &Notice) {
        self.hub.notice(notice);
        self.say(|| {
            let uri = notice.subject().map(str::to_owned);
            Word::Changed { event: notice.op().to_owned(), uri }
        });
    }

    /// Tell the other processes of a session.
    pub fn tell(&self, session: &str, news: News) {
        self.say(|| Word::Session { id: session.to_owned(), news });
    }

    /// Tell the other processes of a task: it has changed, or is `due`.
    pub fn task(&self, id: &str, session: Option<&str>, due: bool) {
        let session = session.map(str::to_owned);
        self.say(|| Word::Task { id: id.to_owned(), in_session: session.is_some(), session, due });
    }

    fn say(&self, word: impl FnOnce() -> Word) {
        if let Some(bus) = &self.bus {
            let envelope = Envelope { from: self.origin.clone(), word: word() };
            bus.publish(Bytes::from(serde_json::to_vec(&envelope).expect("an envelope is always JSON")));
        }
    }
}

impl Deliver for Line {
    fn deliver(&self, message: &[u8]) {
        let word = match serde_json::from_slice(message) {
            Ok(Envelope { from, .. }) if from == self.origin => return,
            Ok(Envelope { word, .. }) => word,
            Err(error) => {
                // Of another version, or none of ours.
                tracing::warn!(%error, "a message of the bus is not understood");
                return;
            }
        };
        match word {
            Word::Changed { event, uri } => {
                if let Some(notice) = Notice::of_op(&event, uri) {
                    self.hub.notice(&notice);
                }
            }
            Word::Task { id, session, due, .. } => {
                let following = lock(&self.hub.following).as_ref().and_then(Weak::upgrade);
                if let Some(following) = following {
                    following.changed(&id, session.as_deref(), due);
                }
            }
            Word::Session { id, news } => {
                let sharing: Vec<_> = lock(&self.hub.sharing).iter().filter_map(Weak::upgrade).collect();
                for sharing in sharing {
                    sharing.heard(&id, news.clone());
                }
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    from: String,
    word: Word,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// A [`Notice`], by the neutral name of its notification.
    Changed {
        event: String,
        /// What it is about: see [`Notice::subject`].
        uri: Option<String>,
    },
    Session {
        id: String,
        news: News,
    },
    /// Whoever wants to know more reads the store.
    Task {
        id: String,
        /// For processes of before, which read nothing more of it.
        in_session: bool,
        /// The legacy session that has made it. Processes of before do not say.
        #[serde(default)]
        session: Option<String>,
        due: bool,
    },
}

fn every_turn() -> u64 {
    u64::MAX
}

/// What processes tell each other of a session that they share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    /// Its record has another version, and this text. In the message itself: what is published after it must find it done.
    Changed { version: u64, text: String },
    /// It was ended by its client.
    Ended,
    /// Its client has answered what it was asked: the message.
    Answered { message: String },
    /// Its client gives up the request of this id, as JSON.
    Cancelled { id: String, reason: Option<String> },
    /// Whoever writes to a stream: there is more in the store.
    Appended { stream: u64 },
    /// Whoever writes to a stream: the connections of readers of this turn and of earlier ones are to be closed. Processes of
    /// before do not say which.
    Closing {
        stream: u64,
        #[serde(default = "every_turn")]
        turn: u64,
    },
    /// Whoever writes to a stream: it is here still.
    Alive { stream: u64 },
    /// Whoever has begun to read a stream, and has the events up to this one: connections of earlier turns are stale.
    Reads { stream: u64, sent: u64, turn: u64 },
    /// Whoever told changes on the standing stream and has not sent these messages: whoever tells them now is to.
    HandedOver { messages: Vec<String> },
    /// Whoever reads a stream: it is here, and has sent the events up to this one.
    Reading { stream: u64, sent: u64 },
}
