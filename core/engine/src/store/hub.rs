//! The shared parts of the buses over a server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Subscriber;
use crate::random::random_id;
use crate::sync::lock;

/// Most bytes that wait for a server that does not accept them.
const WAITING: usize = 16 * 1024 * 1024;

/// The subscribers of this process, and the queue of outgoing messages.
pub(super) struct Hub {
    /// Marks messages that were published here: they were delivered here already.
    publisher: String,
    subscribers: Mutex<Vec<Subscriber>>,
    queue: UnboundedSender<Bytes>,
    waiting: AtomicUsize,
    overflows: AtomicBool,
}

/// The outgoing messages.
pub(super) struct Queue {
    hub: Arc<Hub>,
    queue: UnboundedReceiver<Bytes>,
}

impl Hub {
    pub(super) fn new() -> (Arc<Hub>, Queue) {
        let (sender, queue) = unbounded_channel();
        let hub = Arc::new(Hub {
            publisher: random_id(),
            subscribers: Mutex::default(),
            queue: sender,
            waiting: AtomicUsize::new(0),
            overflows: AtomicBool::new(false),
        });
        (hub.clone(), Queue { hub, queue })
    }

    pub(super) fn publisher(&self) -> &str {
        &self.publisher
    }

    pub(super) fn subscribe(&self, subscriber: Subscriber) {
        lock(&self.subscribers).push(subscriber);
    }

    pub(super) fn publish(&self, message: Bytes) {
        self.deliver(&message);
        if self.waiting.load(Ordering::Relaxed) > WAITING {
            if !self.overflows.swap(true, Ordering::Relaxed) {
                tracing::warn!("the store's server takes no messages, and many wait; new ones are dropped");
            }
            return;
        }
        self.waiting.fetch_add(message.len(), Ordering::Relaxed);
        // Its reader ends with the store.
        let _ = self.queue.send(message);
    }

    /// Handles a message from the server.
    pub(super) fn hear(&self, publisher: &str, message: &[u8]) {
        if publisher != self.publisher {
            self.deliver(message);
        }
    }

    fn deliver(&self, message: &[u8]) {
        // Not under the lock: a subscriber may publish or subscribe.
        let subscribers = lock(&self.subscribers).clone();
        let heard = subscribers.iter().filter(|subscriber| subscriber.deliver(message)).count();
        if heard < subscribers.len() {
            lock(&self.subscribers).retain(Subscriber::is_alive);
        }
    }
}

impl Queue {
    /// Returns the next messages, in their order, as soon as there are any. Empty: there will be no more.
    pub(super) async fn next(&mut self, most: usize) -> Vec<Bytes> {
        let mut messages = Vec::new();
        self.queue.recv_many(&mut messages, most).await;
        messages
    }

    pub(super) fn publisher(&self) -> &str {
        &self.hub.publisher
    }

    /// Removes messages that were sent or dropped.
    pub(super) fn done(&self, messages: &[Bytes]) {
        let bytes = messages.iter().map(Bytes::len).sum();
        self.hub.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.hub.overflows.store(false, Ordering::Relaxed);
    }
}
