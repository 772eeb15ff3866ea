//! The event queue, and the wake-up of the host.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::watch;
use trunnion_engine::driver::{Reactor, Signal};
use trunnion_engine::sync::lock;

use super::wake::{Wake, Waker};

/// Bytes of events that may wait for a host before its clients stop reading the messages of servers.
const MAX_BYTES: usize = 8 << 20;

/// Event kinds; see `[[event]]` in `bindings/surface.toml`.
pub(crate) mod kind {
    pub const CALL_TOOL: u32 = 1;
    pub const READ_RESOURCE: u32 = 2;
    pub const GET_PROMPT: u32 = 3;
    pub const COMPLETE: u32 = 4;
    pub const CANCELLED: u32 = 5;
    pub const ELICIT: u32 = 6;
    pub const SAMPLE: u32 = 7;
    pub const AUTHORIZE: u32 = 8;
    pub const VERIFY_TOKEN: u32 = 9;
    pub const RESULT: u32 = 10;
    pub const ERROR: u32 = 11;
    pub const PROGRESS: u32 = 12;
    pub const LISTENING: u32 = 13;
    pub const NOTIFICATION: u32 = 14;
    pub const CLOSED: u32 = 15;
    pub const HTTP_HEAD: u32 = 16;
    pub const HTTP_CHUNK: u32 = 17;
    pub const CREDENTIALS: u32 = 18;
}

/// One event. See `[[event]]` in `bindings/surface.toml` for the kinds.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Event kind.
    pub kind: u32,
    /// Exchange, operation or client handle.
    pub id: u64,
    /// The `target` given to `server_add` for server events, else 0.
    pub target: u64,
    /// JSON text.
    pub payload: String,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Event");
        shown.field("kind", &self.kind).field("id", &self.id).field("target", &self.target);
        match self.kind {
            // They hold tokens, which an event must not bring into a log.
            kind::CREDENTIALS | kind::VERIFY_TOKEN => shown.finish_non_exhaustive(),
            _ => shown.field("payload", &self.payload).finish(),
        }
    }
}

/// The answer to one exchange, for a batch. See `[[outcome]]` in `bindings/surface.toml`.
#[derive(Clone)]
pub struct Completion {
    /// The exchange.
    pub id: u64,
    /// Outcome kind.
    pub outcome: u32,
    /// JSON or plain text, by outcome kind.
    pub payload: String,
}

impl std::fmt::Debug for Completion {
    /// Formats without the payload, which may hold tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Completion");
        shown.field("id", &self.id).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// The signal to the host that the queue is not empty.
pub(crate) enum Notify {
    /// The reactor's own descriptor. Weak: its tasks hold the queue.
    Reactor(Weak<Reactor>),
    /// A separate descriptor.
    Signal(Signal),
}

impl Notify {
    pub fn reactor(reactor: &Arc<Reactor>) -> Notify {
        Notify::Reactor(Arc::downgrade(reactor))
    }

    pub fn signal() -> std::io::Result<Notify> {
        Signal::new().map(Notify::Signal)
    }

    fn set(&self) {
        match self {
            Notify::Reactor(reactor) => {
                if let Some(reactor) = reactor.upgrade() {
                    reactor.notify();
                }
            }
            Notify::Signal(signal) => signal.set(),
        }
    }
}

/// Events in the order they happened.
pub(crate) struct Queue {
    events: Mutex<Waiting>,
    /// True if more waits than the limit.
    full: watch::Sender<bool>,
    notify: Notify,
    waker: Waker,
    /// True if no event will follow: the engine is closed.
    ended: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// The sum of their payloads.
    bytes: usize,
}

impl Queue {
    pub fn new(notify: Notify) -> Queue {
        Queue {
            events: Mutex::default(),
            full: watch::Sender::new(false),
            notify,
            waker: Waker::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// Returns a receiver that is true while the host is behind: until it has taken the waiting events,
    /// clients read nothing more.
    pub fn fullness(&self) -> watch::Receiver<bool> {
        self.full.subscribe()
    }

    fn measure(&self, waiting: &Waiting) {
        let full = waiting.bytes > MAX_BYTES;
        self.full.send_if_modified(|was| std::mem::replace(was, full) != full);
    }

    pub fn push(&self, event: Event) {
        {
            let mut waiting = lock(&self.events);
            waiting.bytes += event.payload.len();
            waiting.events.push_back(event);
            if waiting.bytes > MAX_BYTES {
                self.measure(&waiting);
            }
            if waiting.events.len() > 1 {
                return;
            }
            // Under the lock, so that it cannot fall between a consumer's last check and its clearing.
            self.notify.set();
        }
        self.waker.call();
    }

    /// Returns the next events, at most `most`. Remaining events keep the descriptor readable.
    pub fn take(&self, most: usize) -> Vec<Event> {
        let mut waiting = lock(&self.events);
        let was_full = waiting.bytes > MAX_BYTES;
        let taken: Vec<Event> = if waiting.events.len() <= most {
            if let Notify::Signal(signal) = &self.notify {
                signal.clear();
            }
            waiting.bytes = 0;
            std::mem::take(&mut waiting.events).into()
        } else {
            let taken: Vec<Event> = waiting.events.drain(..most).collect();
            waiting.bytes -= taken.iter().map(|event| event.payload.len()).sum::<usize>();
            self.notify.set();
            taken
        };
        if was_full {
            self.measure(&waiting);
        }
        taken
    }

    /// Ends the queue: no event will follow. Waiting threads are woken once more to notice the end; the
    /// callback is neither running nor called any longer.
    pub fn end(&self) {
        {
            let _events = lock(&self.events);
            self.ended.store(true, Ordering::Release);
            self.notify.set();
        }
        self.disarm();
    }

    /// Removes the callback permanently: it is neither running nor called any longer.
    pub fn disarm(&self) {
        self.waker.end();
    }

    /// Returns true if no event is left and none will follow.
    pub fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) && lock(&self.events).events.is_empty()
    }

    pub fn fd(&self) -> i32 {
        match &self.notify {
            Notify::Reactor(reactor) => reactor.upgrade().map_or(-1, |reactor| reactor.fd()),
            Notify::Signal(signal) => signal.fd(),
        }
    }

    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        match &self.notify {
            Notify::Reactor(reactor) => reactor.upgrade().is_some_and(|reactor| reactor.wait(timeout)),
            Notify::Signal(signal) => signal.wait(timeout),
        }
    }

    /// Sets the callback, and calls it if events are waiting already.
    pub fn set_wake(&self, wake: Wake) {
        self.waker.set(wake);
        if !lock(&self.events).events.is_empty() {
            self.waker.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_when_the_host_is_behind_and_when_it_is_not() {
        let queue = Queue::new(Notify::signal().expect("a descriptor"));
        let full = queue.fullness();
        let payload = "x".repeat(1 << 20);
        let event = || Event { kind: kind::NOTIFICATION, id: 1, target: 0, payload: payload.clone() };
        for _ in 0..MAX_BYTES >> 20 {
            queue.push(event());
        }
        assert!(!*full.borrow());
        queue.push(event());
        assert!(*full.borrow());
        assert_eq!(queue.take(1).len(), 1);
        assert!(!*full.borrow());
        queue.push(event());
        assert!(*full.borrow());
        assert_eq!(queue.take(usize::MAX).len(), 9);
        assert!(!*full.borrow());
    }
}
