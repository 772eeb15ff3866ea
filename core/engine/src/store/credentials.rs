//! The shared parts of the credential stores.

#[cfg(any(feature = "postgres", feature = "redis"))]
use std::future::Future;
use std::time::Duration;

use crate::store::StoreError;
use trunnion_proto::auth::Credentials;

/// The time after which a lock ends that is not renewed, for its process has died.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// The interval of renewals: two failures in a row do not lose the lock yet.
pub(super) const RENEW: Duration = Duration::from_secs(10);

pub(super) fn text(record: &Credentials) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(StoreError::new)
}

pub(super) fn parse(text: &str) -> Result<Credentials, StoreError> {
    // An error of serde may quote the text, which holds tokens.
    serde_json::from_str(text).map_err(|_| StoreError::new("what the store holds is no credentials"))
}

/// Locks of a server that end by themselves.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) trait Leases: Clone + Send + Sync + 'static {
    /// Acquires a lock for [`LEASE`], if it is free.
    fn take(self, name: String, holder: String) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// Renews a lock for [`LEASE`]. False: another holder has it.
    fn renew(self, name: String, holder: String) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// Releases a lock.
    fn release(self, name: String, holder: String) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Waits for a lock, renews it, and releases it when the returned value is dropped.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(super) fn turn(
    runtime: &tokio::runtime::Handle,
    leases: impl Leases,
    name: &str,
) -> crate::store::StoreFuture<crate::store::Turn> {
    use tokio::sync::oneshot;

    /// The interval at which an occupied lock is tried again.
    const AGAIN: Duration = Duration::from_millis(50);

    let (name, holder) = (name.to_owned(), crate::random::random_id());
    let (mut done, answer) = oneshot::channel();
    runtime.spawn(async move {
        loop {
            match leases.clone().take(name.clone(), holder.clone()).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return drop(done.send(Err(error))),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                // The caller no longer waits.
                () = done.closed() => return,
            }
        }
        let (held, mut dropped) = oneshot::channel::<()>();
        // The caller may no longer wait: then it is dropped at once.
        let _ = done.send(Ok(Box::new(held) as crate::store::Turn));
        loop {
            tokio::select! {
                _ = &mut dropped => break,
                () = tokio::time::sleep(RENEW) => {}
            }
            match leases.clone().renew(name.clone(), holder.clone()).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!("a turn was held for too long without the store; another has it"),
                Err(error) => tracing::warn!(%error, "a turn could not be renewed"),
            }
        }
        if let Err(error) = leases.release(name, holder).await {
            tracing::warn!(%error, "a turn could not be given back; it ends by itself");
        }
    });
    Box::pin(async move { answer.await.map_err(|_| StoreError::new("the store was closed"))? })
}
