//! HTTP+SSE, the transport of 2024-11-05: one event stream for the messages of the server, POSTs for those of
//! the client (2024-11-05, "Transports").

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use trunnion_proto::auth::resource::Access;

use super::Phase;
use super::answer::{Events, event};
use crate::driver::Driver;
use crate::driver::in_process::memory_pair;
use crate::random::random_id;
use crate::server::ServerCore;
use crate::server::stream::{self, Carrier};
use crate::sync::lock;

/// Bytes of messages that wait for a client who does not read, above which its stream ends.
const MAX_WAITING: usize = 8 << 20;

/// The open streams of one endpoint, by the ids that POSTs name.
#[derive(Default)]
pub(super) struct Channels(Mutex<HashMap<String, Channel>>);

/// One stream: where what is said to it goes, and who may say it.
#[derive(Clone)]
struct Channel {
    sender: mpsc::UnboundedSender<Bytes>,
    access: Arc<Mutex<Access>>,
}

impl Channels {
    /// Open a stream. `path`: where the POSTs go.
    pub fn open(
        self: &Arc<Self>,
        server: &Arc<ServerCore>,
        driver: &Driver,
        path: &str,
        mut phase: watch::Receiver<Phase>,
        access: Access,
    ) -> ChannelEvents {
        let (ours, theirs) = memory_pair();
        let id = random_id();
        let access = Arc::new(Mutex::new(access));
        lock(&self.0).insert(id.clone(), Channel { sender: theirs.outgoing, access: access.clone() });
        let stop = async move { drop(phase.wait_for(|phase| *phase > Phase::Serving).await) };
        let (server, serving) = (server.clone(), driver.clone());
        driver.spawn(async move {
            stream::serve_as(server, serving, Carrier::Memory(ours), "http", access, stop).await;
        });
        let waiting = Arc::new(Waiting::default());
        driver.spawn(forward(theirs.incoming, waiting.clone(), Arc::downgrade(self), id.clone()));
        let first = Some(Bytes::from(format!("event: endpoint\ndata: {path}?session={id}\n\n")));
        ChannelEvents { channels: self.clone(), id, first, waiting }
    }

    /// A client says something on a stream. False: there is none of that id that is its.
    pub fn deliver(&self, id: &str, message: Bytes, access: Access) -> bool {
        let Some(channel) = lock(&self.0).get(id).cloned() else { return false };
        {
            let mut known = lock(&channel.access);
            if known.principal() != access.principal() {
                return false;
            }
            // A newer token may let its owner do more.
            *known = access;
        }
        channel.sender.send(message).is_ok()
    }
}

/// Messages that wait to be sent.
#[derive(Default)]
struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    over: bool,
    reader: Option<Waker>,
}

impl Waiting {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = lock(&self.0);
            change(&mut state);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

async fn forward(
    mut said: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<Waiting>,
    channels: Weak<Channels>,
    id: String,
) {
    while let Some(message) = said.recv().await {
        waiting.change(|state| {
            state.bytes += message.len();
            state.messages.push_back(message);
            state.over |= state.bytes > MAX_WAITING;
        });
        if lock(&waiting.0).over {
            // Whoever does not read is not asked for its next event either, so the end must not wait for
            // that: nothing more is taken from this client, and nothing is kept for it.
            if let Some(channels) = channels.upgrade() {
                lock(&channels.0).remove(&id);
            }
            waiting.change(|state| state.messages.clear());
            return;
        }
    }
    waiting.change(|state| state.over = true);
}

/// All that the server says to one client. Dropping it ends the connection.
pub(super) struct ChannelEvents {
    channels: Arc<Channels>,
    id: String,
    first: Option<Bytes>,
    waiting: Arc<Waiting>,
}

impl Events for ChannelEvents {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let mut state = lock(&self.waiting.0);
        if let Some(message) = state.messages.pop_front() {
            state.bytes -= message.len();
            return Poll::Ready(Some(event(&message)));
        }
        if state.over {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ChannelEvents {
    fn drop(&mut self) {
        lock(&self.channels.0).remove(&self.id);
        self.waiting.change(|state| {
            state.over = true;
            state.messages.clear();
        });
    }
}
