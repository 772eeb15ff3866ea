//! Credentials in the server, and the locks for their renewal.

use std::sync::Arc;

use super::{RedisStore, Server, bytes, millis, number};
use crate::store::credentials::{self, LEASE, Leases};
use crate::store::{CredentialStore, Turn};
use crate::store::{StoreError, StoreFuture};
use trunnion_proto::auth::Credentials;

impl CredentialStore for RedisStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        type Known = (Option<u64>, Option<String>);
        self.eval(
            |scripts| &scripts.load,
            vec![self.key("c", server)],
            Vec::new(),
            |(_, text): Known| text.as_deref().map(credentials::parse).transpose(),
        )
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let text = match credentials::text(&record) {
            Ok(text) => text,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let arguments = vec![number(record.version), text.into_bytes()];
        self.eval(|scripts| &scripts.swap, vec![self.key("c", &record.server)], arguments, Ok)
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        credentials::turn(self.runtime.handle(), self.server.clone(), server)
    }
}

impl Leases for Arc<Server> {
    async fn take(self, name: String, holder: String) -> Result<bool, StoreError> {
        self.eval(&self.scripts.take, &[self.key("turn", &name)], &[bytes(&holder), millis(LEASE)]).await
    }

    async fn renew(self, name: String, holder: String) -> Result<bool, StoreError> {
        self.eval(&self.scripts.renew, &[self.key("turn", &name)], &[bytes(&holder), millis(LEASE)]).await
    }

    async fn release(self, name: String, holder: String) -> Result<(), StoreError> {
        let released: bool =
            self.eval(&self.scripts.release, &[self.key("turn", &name)], &[bytes(&holder)]).await?;
        if !released {
            tracing::debug!("a turn had ended by itself");
        }
        Ok(())
    }
}
