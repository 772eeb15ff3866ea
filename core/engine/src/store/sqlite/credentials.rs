//! Credentials in the file, and the locks for their renewal.

use rusqlite::{OptionalExtension, params};
use tokio::sync::oneshot;

use super::worker::{Job, Waiting};
use super::{SqliteStore, int};
use crate::driver::files;
use crate::random::random_id;
use crate::store::{CredentialStore, Turn};
use crate::store::{StoreError, StoreFuture, credentials};
use trunnion_proto::auth::Credentials;

impl SqliteStore {
    /// Returns an error if other users can read or write the file: it would hold tokens.
    fn is_private(&self) -> Result<(), StoreError> {
        let failed =
            |error: &dyn std::fmt::Display| StoreError::new(format!("{}: {error}", self.path.display()));
        if files::is_private(&self.path).map_err(|error| failed(&error))? {
            return Ok(());
        }
        Err(failed(&format!("others may read or write it, so it takes no credentials; {}", files::PRIVATE)))
    }
}

impl CredentialStore for SqliteStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        let (private, server) = (self.is_private(), server.to_owned());
        let text = self.read(move |db| {
            let sql = "SELECT text FROM credentials WHERE server = ?1";
            db.prepare_cached(sql)?.query_row(params![server], |row| row.get(0)).optional()
        });
        Box::pin(async move {
            private?;
            let text: Option<String> = text.await?;
            text.as_deref().map(credentials::parse).transpose()
        })
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let text = match self.is_private().and_then(|()| credentials::text(&record)) {
            Ok(text) => text,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.write_durably(move |db| {
            // A first record replaces none.
            let sql = if record.version <= 1 {
                "INSERT INTO credentials (server, version, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
            } else {
                "UPDATE credentials SET version = ?2, text = ?3 WHERE server = ?1 AND version = ?2 - 1"
            };
            Ok(db.prepare_cached(sql)?.execute(params![record.server, int(record.version), text])? == 1)
        })
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        let (done, answer) = oneshot::channel();
        let waiting = Waiting { name: server.to_owned(), holder: random_id(), done, jobs: self.jobs.clone() };
        let _ = self.jobs.send(Job::Turn(waiting));
        Box::pin(async move { answer.await.map_err(|_| super::gone())? })
    }
}
