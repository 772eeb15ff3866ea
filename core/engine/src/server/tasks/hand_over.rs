//! Hand-over of tasks to other processes when a server closes gracefully.

use std::sync::Arc;
use std::time::Duration;

use super::Tasks;
use super::run::Leave;
use crate::sync::lock;

/// Counts an endpoint that serves, until it drains.
pub struct Serving {
    tasks: Arc<Tasks>,
    left: std::sync::atomic::AtomicBool,
}

impl Serving {
    /// Accepts no more requests. With the last endpoint of its server the tasks are handed over: those that
    /// can run again at once; the others have this much time, then they fail.
    pub fn leave(&self, limit: Duration) {
        if self.left.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        let running: Vec<_> = {
            let mut state = lock(&self.tasks.state);
            state.serving -= 1;
            if state.serving > 0 {
                return;
            }
            state.leaving = true;
            state.running.values().cloned().collect()
        };
        self.tasks.due.notify_one();
        for signals in &running {
            if signals.resumable {
                signals.leave(Leave::Release);
            }
        }
        let others: Vec<_> = running.into_iter().filter(|signals| !signals.resumable).collect();
        if others.is_empty() {
            return;
        }
        if let Some(runtime) = self.tasks.runtime.get() {
            let mut working = self.tasks.working.subscribe();
            let tasks = Arc::downgrade(&self.tasks);
            runtime.spawn(async move {
                let idle = working.wait_for(|working| *working == 0);
                if tokio::time::timeout(limit, idle).await.is_ok() {
                    return;
                }
                let leaving = tasks.upgrade().is_some_and(|tasks| lock(&tasks.state).leaving);
                // Another endpoint may have begun to serve.
                if leaving {
                    others.iter().for_each(|signals| signals.leave(Leave::Fail));
                }
            });
        }
    }

    /// Completes when no task is worked on.
    pub fn left(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut working = self.tasks.working.subscribe();
        async move {
            let _ = working.wait_for(|working| *working == 0).await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Dropped without [`Serving::leave`]: running tasks continue for as long as the server lives.
        if !self.left.swap(true, std::sync::atomic::Ordering::AcqRel) {
            lock(&self.tasks.state).serving -= 1;
        }
    }
}

impl Tasks {
    /// Registers an endpoint that begins to serve.
    pub fn serving(self: &Arc<Self>) -> Serving {
        let mut state = lock(&self.state);
        state.serving += 1;
        state.leaving = false;
        Serving { tasks: self.clone(), left: std::sync::atomic::AtomicBool::new(false) }
    }
}
