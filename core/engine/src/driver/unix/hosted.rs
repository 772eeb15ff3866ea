//! The hosted driver: an executor and a readiness set behind one descriptor, run by the host.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::poller::{Events, Poller};
use super::signal;
use super::watch::{Direction, Done, FAIR_CALLS, READ_CLOSED, READABLE, WRITABLE, WRITE_CLOSED};
use crate::driver::Driver;

/// Maximum number of task polls in one turn; then the turn returns the thread to the host.
const POLLS_PER_TURN: usize = 1024;

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A single-threaded executor that the host runs whenever [`Reactor::fd`] is readable.
///
/// It owns its tasks: closing or dropping it drops them, and with them their sockets.
pub struct Reactor {
    shared: Arc<Shared>,
}

/// A handle that spawns on and registers with a [`Reactor`] without holding it open.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Reactor {
    /// Returns an idle reactor.
    pub fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            poller: Poller::new()?,
            awake: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            queue: Mutex::new(VecDeque::new()),
            tasks: Mutex::new(Slab::new()),
            sources: Mutex::new(Slab::new()),
            timers: Mutex::new(Timers { waiting: BTreeMap::new(), last: 0, armed: None }),
            turn: Mutex::new(Turn { events: Events::new(), wakers: Vec::new() }),
        });
        Ok(Self { shared })
    }

    /// Returns the driver for engine code.
    pub fn driver(&self) -> Driver {
        Driver::Hosted(Handle { shared: self.shared.clone() })
    }

    /// Returns the descriptor, which is readable when a turn has work: I/O, a wake-up from another thread, a
    /// timer, unfinished work.
    pub fn fd(&self) -> RawFd {
        self.shared.poller.fd().as_raw_fd()
    }

    /// Makes the descriptor readable until the next turn. Callable from any thread; costs nothing while a
    /// turn is running.
    pub fn notify(&self) {
        self.shared.notify();
    }

    /// Does the work that is ready, without blocking. Returns at once when another turn is running.
    ///
    /// Afterwards the descriptor is readable only if there is more work.
    pub fn turn(&self) {
        self.turn_with(|| ());
    }

    /// Runs [`Reactor::turn`] after `first`, whose wake-ups belong to this turn and cost no system call.
    pub fn turn_with<R>(&self, first: impl FnOnce() -> R) -> R {
        let shared = &*self.shared;
        let mut turn = match shared.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return first(),
        };
        shared.awake.store(true, SeqCst);
        let end = EndOfTurn(shared);
        let result = first();
        shared.dispatch(&mut turn);
        shared.run();
        drop(end);
        result
    }

    /// Blocks until the descriptor is readable; `None` waits without limit. Returns false if the time has
    /// passed.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        signal::wait_readable(self.shared.poller.fd(), timeout)
    }

    /// Drops every task. Later tasks are dropped when spawned, and streams that others own fail. Idempotent.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Handle {
    pub(in crate::driver) fn spawn(&self, future: BoxFuture) {
        let shared = &self.shared;
        let task = {
            let mut tasks = lock(&shared.tasks);
            let entry = tasks.vacant_entry();
            let task = Arc::new(Task {
                shared: shared.clone(),
                key: entry.key(),
                queued: AtomicBool::new(true),
                future: Mutex::new(Some(future)),
            });
            entry.insert(task.clone());
            task
        };
        if shared.closed.load(SeqCst) {
            task.finish();
        } else {
            shared.enqueue(task);
        }
    }

    /// Registers a descriptor; on failure, returns it with the error.
    pub(super) fn watch(&self, fd: OwnedFd) -> Result<Source, (OwnedFd, io::Error)> {
        // Assumed to be ready, so that the first call is tried at once.
        let ready = Arc::new(Readiness {
            flags: AtomicU8::new(READABLE | WRITABLE),
            calls: AtomicU32::new(0),
            reader: Mutex::new(None),
            writer: Mutex::new(None),
        });
        let key = lock(&self.shared.sources).insert(ready.clone());
        match self.shared.poller.add(fd.as_fd(), key) {
            Ok(()) => Ok(Source { shared: self.shared.clone(), key, fd, ready }),
            Err(error) => {
                lock(&self.shared.sources).remove(key);
                Err((fd, error))
            }
        }
    }

    /// Wakes `waker` at `deadline`. The key cancels it.
    pub(in crate::driver) fn timer_add(&self, deadline: Instant, waker: Waker) -> TimerKey {
        let mut timers = lock(&self.shared.timers);
        timers.last += 1;
        let key = TimerKey(deadline, timers.last);
        timers.waiting.insert(key, waker);
        timers.arm(&self.shared.poller);
        key
    }

    /// Replaces the waker of a timer that has not fired. Returns false if it has.
    pub(in crate::driver) fn timer_renew(&self, key: TimerKey, waker: &Waker) -> bool {
        match lock(&self.shared.timers).waiting.get_mut(&key) {
            Some(old) => {
                old.clone_from(waker);
                true
            }
            None => false,
        }
    }

    pub(in crate::driver) fn timer_remove(&self, key: TimerKey) {
        let waker = lock(&self.shared.timers).waiting.remove(&key);
        drop(waker);
    }
}

/// A descriptor that is registered with a reactor; deregistered when dropped.
pub(super) struct Source {
    shared: Arc<Shared>,
    key: usize,
    fd: OwnedFd,
    ready: Arc<Readiness>,
}

impl Source {
    /// Polls the descriptor; see `Watched::poll`.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<Done<R>>,
    ) -> Poll<io::Result<R>> {
        let (open, closed, slot) = match direction {
            Direction::Read => (READABLE, READ_CLOSED, &self.ready.reader),
            Direction::Write => (WRITABLE, WRITE_CLOSED, &self.ready.writer),
        };
        let flags = &self.ready.flags;
        if self.ready.calls.fetch_add(1, Relaxed) >= FAIR_CALLS {
            self.ready.calls.store(0, Relaxed);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            // Cleared before the call, so that an edge during the call is not lost.
            if flags.fetch_and(!open, SeqCst) & (open | closed) != 0 {
                match call(self.fd.as_fd()) {
                    Ok(done) => {
                        if !done.drained {
                            flags.fetch_or(open, SeqCst);
                        }
                        return Poll::Ready(Ok(done.value));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        flags.fetch_and(!closed, SeqCst);
                    }
                    Err(error) => {
                        flags.fetch_or(open, SeqCst);
                        if error.kind() == io::ErrorKind::Interrupted {
                            continue;
                        }
                        return Poll::Ready(Err(error));
                    }
                }
            }
            match &mut *lock(slot) {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
            if self.shared.closed.load(SeqCst) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    "the reactor is closed",
                )));
            }
            if flags.load(SeqCst) & (open | closed) == 0 {
                self.ready.calls.store(0, Relaxed);
                return Poll::Pending;
            }
        }
    }

    /// Completes once the poller has reported an error, or the end of both directions. Shares the waker of
    /// reading.
    pub(super) fn poll_failed(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *lock(&self.ready.reader) {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        let over = self.ready.flags.load(SeqCst) & WRITE_CLOSED != 0 || self.shared.closed.load(SeqCst);
        if over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Deleted explicitly: after closing alone it would remain in the set while a duplicate of it is open.
        self.shared.poller.delete(self.fd.as_fd());
        let ready = lock(&self.shared.sources).remove(self.key);
        drop(ready);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::driver) struct TimerKey(Instant, u64);

struct Shared {
    poller: Poller,
    /// True if a turn is running or due: further wake-ups need not touch the descriptor.
    awake: AtomicBool,
    closed: AtomicBool,
    queue: Mutex<VecDeque<Arc<Task>>>,
    tasks: Mutex<Slab<Arc<Task>>>,
    sources: Mutex<Slab<Arc<Readiness>>>,
    timers: Mutex<Timers>,
    turn: Mutex<Turn>,
}

/// The buffers of one turn, reused by the next.
struct Turn {
    events: Events,
    wakers: Vec<Waker>,
}

struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    last: u64,
    /// The time at which the poller will make the descriptor readable.
    armed: Option<Instant>,
}

struct Readiness {
    flags: AtomicU8,
    /// The number of calls since the last wait.
    calls: AtomicU32,
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

struct Task {
    shared: Arc<Shared>,
    key: usize,
    queued: AtomicBool,
    future: Mutex<Option<BoxFuture>>,
}

impl Shared {
    fn notify(&self) {
        if !self.awake.swap(true, SeqCst) {
            self.poller.notify();
        }
    }

    fn enqueue(&self, task: Arc<Task>) {
        lock(&self.queue).push_back(task);
        self.notify();
    }

    /// Collects readiness and due timers, and wakes the tasks that wait for them.
    fn dispatch(&self, turn: &mut Turn) {
        self.poller.poll(&mut turn.events);
        {
            let sources = lock(&self.sources);
            for (key, ready) in turn.events.iter() {
                let Some(source) = sources.get(key) else { continue };
                source.flags.fetch_or(ready, SeqCst);
                if ready & READABLE != 0 {
                    turn.wakers.extend(lock(&source.reader).take());
                }
                if ready & WRITABLE != 0 {
                    turn.wakers.extend(lock(&source.writer).take());
                }
            }
        }
        lock(&self.timers).take_due(&self.poller, &mut turn.wakers);
        // Outside the locks: a waker is foreign code.
        for waker in turn.wakers.drain(..) {
            waker.wake();
        }
    }

    fn run(&self) {
        for _ in 0..POLLS_PER_TURN {
            let Some(task) = lock(&self.queue).pop_front() else { return };
            task.run();
        }
    }

    fn close(&self) {
        self.closed.store(true, SeqCst);
        let tasks: Vec<_> = lock(&self.tasks).drain().collect();
        for task in tasks {
            task.drop_future();
        }
        lock(&self.queue).clear();
        let timers = std::mem::take(&mut lock(&self.timers).waiting);
        let sources: Vec<_> = lock(&self.sources).iter().map(|(_, source)| source.clone()).collect();
        for source in sources {
            for slot in [&source.reader, &source.writer] {
                let waker = lock(slot).take();
                waker.into_iter().for_each(Waker::wake);
            }
        }
        timers.into_values().for_each(Waker::wake);
        lock(&self.queue).clear();
    }
}

/// A guard that ends a turn on every path, so that after a panic the reactor still reacts to wake-ups.
struct EndOfTurn<'a>(&'a Shared);

impl Drop for EndOfTurn<'_> {
    fn drop(&mut self) {
        self.0.awake.store(false, SeqCst);
        if !lock(&self.0.queue).is_empty() {
            self.0.notify();
        }
    }
}

impl Timers {
    /// Removes the wakers that are due, and arms the poller for the next one.
    fn take_due(&mut self, poller: &Poller, due: &mut Vec<Waker>) {
        if self.waiting.is_empty() && self.armed.is_none() {
            return;
        }
        let now = Instant::now();
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        if self.armed.is_some_and(|armed| armed <= now) {
            self.armed = None;
        }
        self.arm(poller);
    }

    /// Arms the poller only for an earlier deadline than the set one. When the earliest timer is cancelled,
    /// the descriptor becomes readable once without work, which is cheaper than two system calls for every
    /// short timer.
    fn arm(&mut self, poller: &Poller) {
        let Some((&TimerKey(deadline, _), _)) = self.waiting.first_key_value() else { return };
        if self.armed.is_none_or(|armed| deadline < armed) {
            poller.arm(deadline);
            self.armed = Some(deadline);
        }
    }
}

impl Task {
    fn run(self: Arc<Self>) {
        self.queued.store(false, SeqCst);
        let done = {
            let mut future = lock(&self.future);
            let Some(running) = future.as_mut() else { return };
            let waker = Waker::from(self.clone());
            let mut cx = Context::from_waker(&waker);
            match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut cx))) {
                Ok(state) => state.is_ready(),
                Err(_) => {
                    tracing::error!("a task panicked and was dropped");
                    true
                }
            }
        };
        // Checked after the lock is free: `close` skips a task that is being polled.
        if done || self.shared.closed.load(SeqCst) {
            self.finish();
        }
    }

    fn finish(&self) {
        let kept = lock(&self.shared.tasks).try_remove(self.key);
        drop(kept);
        self.drop_future();
    }

    fn drop_future(&self) {
        let future = match self.future.try_lock() {
            Ok(mut future) => future.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
            tracing::error!("a task panicked while it was dropped");
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, SeqCst) {
            let shared = self.shared.clone();
            shared.enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, SeqCst) {
            self.shared.enqueue(self.clone());
        }
    }
}

/// Locks the mutex and ignores poisoning: the data is consistent between statements, so a panic elsewhere
/// does not corrupt it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
