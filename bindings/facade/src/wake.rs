//! The host's callback, called from any thread, and removed permanently before its resources are freed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use trunnion_engine::sync::lock;

/// A callback of the host. It only signals.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// The callback of an engine. Once [`Waker::set`] or [`Waker::end`] has returned, the previous callback is
/// not running (except further up on the calling thread) and is never called again.
#[derive(Default)]
pub(crate) struct Waker {
    state: Mutex<State>,
    /// Notified when a call has returned.
    returned: Condvar,
}

#[derive(Default)]
struct State {
    wake: Option<Arc<Wake>>,
    /// The number of the present callback in `wake`.
    generation: u64,
    /// The calls that have not returned.
    running: Vec<(u64, ThreadId)>,
    ended: bool,
}

impl Waker {
    /// Calls the callback, if there is one.
    pub fn call(&self) {
        let mut state = lock(&self.state);
        let Some(wake) = state.wake.clone() else { return };
        let entry = (state.generation, thread::current().id());
        state.running.push(entry);
        drop(state);
        let running = Running { waker: self, entry, wake: Some(wake) };
        if let Some(wake) = &running.wake {
            wake();
        }
    }

    /// Replaces the callback by `wake`. After [`Waker::end`] it is dropped instead.
    pub fn set(&self, wake: Wake) {
        self.replace(Some(wake), false);
    }

    /// Removes the callback permanently.
    pub fn end(&self) {
        self.replace(None, true);
    }

    fn replace(&self, wake: Option<Wake>, ended: bool) {
        let me = thread::current().id();
        let mut state = lock(&self.state);
        state.ended |= ended;
        let wake = if state.ended { None } else { wake.map(Arc::new) };
        let old = std::mem::replace(&mut state.wake, wake);
        state.generation += 1;
        let generation = state.generation;
        // A callback that calls this, against the rules, would wait for itself.
        while state.running.iter().any(|(started, thread)| *started < generation && *thread != me) {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        // Outside of the lock: the objects that it holds may have destructors.
        drop(old);
    }
}

/// One call; it counts as running until it has returned or panicked, and has dropped its reference to the
/// callback.
struct Running<'a> {
    waker: &'a Waker,
    entry: (u64, ThreadId),
    wake: Option<Arc<Wake>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.wake = None;
        let running = &mut lock(&self.waker.state).running;
        if let Some(at) = running.iter().position(|entry| *entry == self.entry) {
            running.swap_remove(at);
        }
        self.waker.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use super::*;

    /// Checks with threads that call without a pause, while `change` removes the callback: after it no call
    /// may be seen.
    fn no_call_after(change: fn(&Waker)) {
        let late = Arc::new(AtomicUsize::new(0));
        for _ in 0..200 {
            let waker = Waker::default();
            let alive = Arc::new(AtomicBool::new(true));
            let called = Arc::new(AtomicBool::new(false));
            let (living, entered, seen) = (alive.clone(), called.clone(), late.clone());
            waker.set(Box::new(move || {
                entered.store(true, SeqCst);
                for _ in 0..20 {
                    thread::yield_now();
                    seen.fetch_add(usize::from(!living.load(SeqCst)), SeqCst);
                }
            }));
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !stop.load(SeqCst) {
                            waker.call();
                        }
                    });
                }
                while !called.load(SeqCst) {
                    thread::yield_now();
                }
                change(&waker);
                alive.store(false, SeqCst);
                waker.call();
                stop.store(true, SeqCst);
            });
        }
        assert_eq!(late.load(SeqCst), 0);
    }

    #[test]
    fn no_callback_runs_after_the_end() {
        no_call_after(Waker::end);
    }

    #[test]
    fn no_callback_runs_after_it_was_replaced() {
        no_call_after(|waker| waker.set(Box::new(|| {})));
    }

    #[test]
    fn a_callback_that_is_set_after_the_end_is_never_called() {
        let waker = Waker::default();
        waker.end();
        waker.set(Box::new(|| panic!("called")));
        waker.call();
    }

    #[test]
    fn a_callback_that_replaces_itself_returns() {
        let waker = Arc::new(Waker::default());
        let itself = Arc::downgrade(&waker);
        waker.set(Box::new(move || itself.upgrade().expect("alive").end()));
        waker.call();
        assert!(lock(&waker.state).running.is_empty());
    }

    #[test]
    fn a_callback_that_panics_is_not_waited_for() {
        let waker = Waker::default();
        waker.set(Box::new(|| panic!("as it may")));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.call())).is_err());
        waker.end();
    }
}
