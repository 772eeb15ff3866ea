//! The runtime of the stores that connect to a server: their own, independent of the executor that polls
//! their futures.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::{StoreError, StoreFuture};

/// One thread. Tasks on it end with it.
pub(super) struct Background(Option<Runtime>);

impl Background {
    pub(super) fn new(name: &str) -> Result<Background, StoreError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        Ok(Background(Some(runtime.map_err(StoreError::new)?)))
    }

    pub(super) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle()
    }

    /// Runs a future to its end, even if its caller no longer waits: no operation is left half-way.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> StoreFuture<T> {
        let (done, answer) = oneshot::channel();
        self.handle().spawn(async move { drop(done.send(work.await)) });
        Box::pin(async move { answer.await.map_err(|_| StoreError::new("the store was closed"))? })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting would panic where the last owner is a task.
            runtime.shutdown_background();
        }
    }
}

/// The pause before the next attempt: longer each time, so that a server that recovers is not overrun.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) const fn new() -> Pause {
        Pause(Duration::from_millis(50))
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (2 * self.0).min(Duration::from_secs(2));
    }
}

/// Returns milliseconds; out of range means "for a hundred years".
pub(super) fn millis(time: Duration) -> u64 {
    const CENTURY: u64 = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(time.as_millis()).unwrap_or(CENTURY).min(CENTURY)
}
