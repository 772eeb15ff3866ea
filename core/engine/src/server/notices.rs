//! Change notifications and the listeners that receive them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunnion_proto::server::Notice;
use trunnion_proto::tasks::News as TaskNews;

use crate::random::random_id;
use crate::store::{Bus, Deliver, Subscriber};
use crate::sync::lock;

/// A receiver of change notifications.
pub trait Listener: Send + Sync {
    /// Receives a change. Must not block.
    fn notice(&self, notice: &Notice);
}

/// A receiver of messages from other processes about the sessions that they share.
pub trait Sharing: Send + Sync {
    /// Receives a message. Must not block.
    fn heard(&self, session: &str, news: News);
}

/// A receiver of messages from other processes about tasks.
pub trait Following: Send + Sync {
    /// Receives the id of a task that has changed, or is due. `session`: the legacy session that has made it.
    /// Must not block.
    fn changed(&self, id: &str, session: Option<&str>, due: bool);
}

/// The listeners of one server.
#[derive(Default)]
pub struct Hub {
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
    /// Subscribes a listener until the membership is dropped.
    pub fn join(self: &Arc<Self>, listener: Weak<dyn Listener>) -> Membership {
        let mut members = lock(&self.members);
        members.next += 1;
        let id = members.next;
        members.listeners.insert(id, listener);
        Membership { hub: self.clone(), id }
    }

    /// Subscribes to messages about shared sessions, as long as the subscriber lives.
    pub fn share(&self, sharing: Weak<dyn Sharing>) {
        lock(&self.sharing).push(sharing);
    }

    /// Subscribes to messages about tasks, as long as the subscriber lives.
    pub fn follow(&self, following: Weak<dyn Following>) {
        *lock(&self.following) = Some(following);
    }

    /// Registers a legacy session that this process serves, and that receives changes of its tasks, as long
    /// as the returned value lives.
    pub fn serves_session(self: &Arc<Self>, name: &str) -> ServedSession {
        *lock(&self.sessions).entry(name.to_owned()).or_default() += 1;
        ServedSession { hub: self.clone(), name: name.to_owned() }
    }

    /// Returns true if this process serves a legacy session.
    pub fn has_session(&self, name: &str) -> bool {
        lock(&self.sessions).contains_key(name)
    }

    /// Sends the state of a task to all listeners of this process.
    pub fn task(&self, news: TaskNews) {
        self.notice(&Notice::Task(news));
    }

    /// Sends a change to all listeners of this process.
    fn notice(&self, notice: &Notice) {
        // Not under the lock: a listener may unsubscribe.
        let listeners: Vec<_> = lock(&self.members).listeners.values().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            listener.notice(notice);
        }
    }
}

/// A subscription that lasts while it lives.
pub struct Membership {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.hub.members).listeners.remove(&self.id);
    }
}

/// A legacy session that this process serves, while it lives.
pub struct ServedSession {
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

/// The connection of a server to the bus that it shares with other processes, if there is one.
pub struct Line {
    hub: Arc<Hub>,
    /// Marks the messages that this server has published itself.
    origin: String,
    bus: Option<Arc<dyn Bus>>,
}

impl Line {
    /// Returns a line that passes every message of the bus to the hub.
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

    /// Publishes a change, in this process and to the others.
    pub fn publish(&self, notice: &Notice) {
        self.hub.notice(notice);
        self.say(|| {
            let uri = notice.subject().map(str::to_owned);
            Word::Changed { event: notice.op().to_owned(), uri }
        });
    }

    /// Sends a message about a session to the other processes.
    pub fn tell(&self, session: &str, news: News) {
        self.say(|| Word::Session { id: session.to_owned(), news });
    }

    /// Notifies the other processes that a task has changed, or is `due`.
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
                // A message of another version, or of another program.
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
        /// The subject of the change: see [`Notice::subject`].
        uri: Option<String>,
    },
    Session {
        id: String,
        news: News,
    },
    /// A changed task. A process that needs more reads the store.
    Task {
        id: String,
        /// For processes of earlier versions, which read nothing more of it.
        in_session: bool,
        /// The legacy session that has made it. Processes of earlier versions do not send it.
        #[serde(default)]
        session: Option<String>,
        due: bool,
    },
}

fn every_turn() -> u64 {
    u64::MAX
}

/// A message between processes about a session that they share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// The record has another version, and this text. The text is in the message itself: a change that is
    /// published after it must find it applied.
    Changed { version: u64, text: String },
    /// The client has ended the session.
    Ended,
    /// The client has answered a request of the server: the message.
    Answered { message: String },
    /// The client cancels the request of this id, as JSON.
    Cancelled { id: String, reason: Option<String> },
    /// From the writer of a stream: there is more in the store.
    Appended { stream: u64 },
    /// From the writer of a stream: the connections of readers of this turn and of earlier ones are to be
    /// closed. Processes of earlier versions do not send the turn.
    Closing {
        stream: u64,
        #[serde(default = "every_turn")]
        turn: u64,
    },
    /// From the writer of a stream: it is still alive.
    Alive { stream: u64 },
    /// From a process that has begun to read a stream, and has the events up to this one: connections of
    /// earlier turns are stale.
    Reads { stream: u64, sent: u64, turn: u64 },
    /// From the process that sent changes on the subscription stream and has not sent these messages: the
    /// process that now sends changes is to send them.
    HandedOver { messages: Vec<String> },
    /// From the reader of a stream: it is alive, and has sent the events up to this one.
    Reading { stream: u64, sent: u64 },
}
