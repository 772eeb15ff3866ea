//! Credentials in the database, and the locks for their renewal.

use std::sync::Arc;

use super::{Database, PostgresStore, failed, int, micros, text, values};
use crate::store::credentials::{self, LEASE, Leases};
use crate::store::{CredentialStore, Turn};
use crate::store::{StoreError, StoreFuture};
use trunnion_proto::auth::Credentials;

impl CredentialStore for PostgresStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        let sql = "SELECT text FROM @credentials WHERE server = $1";
        self.query(sql, values![server.as_bytes().to_vec()], |rows| {
            let Some(row) = rows.first() else { return Ok(None) };
            credentials::parse(&text(row.try_get(0).map_err(failed)?)?).map(Some)
        })
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let text = match credentials::text(&record) {
            Ok(text) => text,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        // A first record replaces none.
        let sql = if record.version <= 1 {
            "INSERT INTO @credentials (server, version, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"
        } else {
            "UPDATE @credentials SET version = $2::bigint, text = $3 WHERE server = $1 AND version = $2::bigint - 1 RETURNING 1"
        };
        self.changes(sql, values![record.server.into_bytes(), int(record.version), text.into_bytes()])
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        credentials::turn(self.runtime.handle(), self.database.clone(), server)
    }
}

impl Leases for Arc<Database> {
    async fn take(self, name: String, holder: String) -> Result<bool, StoreError> {
        let sql = "INSERT INTO @turns AS kept (name, holder, until)
            VALUES ($1, $2, clock_timestamp() + $3::float8 * interval '1 microsecond')
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
            WHERE kept.until <= clock_timestamp() RETURNING 1";
        self.lease(sql, values![name.into_bytes(), holder, micros(LEASE)]).await
    }

    async fn renew(self, name: String, holder: String) -> Result<bool, StoreError> {
        let sql = "UPDATE @turns SET until = clock_timestamp() + $3::float8 * interval '1 microsecond'
            WHERE name = $1 AND holder = $2 RETURNING 1";
        self.lease(sql, values![name.into_bytes(), holder, micros(LEASE)]).await
    }

    async fn release(self, name: String, holder: String) -> Result<(), StoreError> {
        let sql = "DELETE FROM @turns WHERE name = $1 AND holder = $2 RETURNING 1";
        self.lease(sql, values![name.into_bytes(), holder]).await.map(drop)
    }
}

impl Database {
    async fn lease(&self, sql: &str, values: Vec<super::Value>) -> Result<bool, StoreError> {
        Ok(!self.query(&self.config.named(sql), values).await?.is_empty())
    }
}
