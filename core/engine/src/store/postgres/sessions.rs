//! Sessions in the database.

use std::time::Duration;

use super::{PostgresStore, failed, int, micros, text, uint, values};
use crate::store::{SessionRecord, SessionStore, StoreFuture};

impl SessionStore for PostgresStore {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        let sql = "INSERT INTO @sessions (id, version, text, until)
            VALUES ($1, 1, $2, statement_timestamp() + $3::float8 * interval '1 microsecond')";
        self.query(sql, values![id.as_bytes().to_vec(), text.as_bytes().to_vec(), micros(keep)], |_| Ok(()))
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        let sql = "SELECT version, text FROM @sessions WHERE id = $1 AND until > statement_timestamp()";
        self.query(sql, values![id.as_bytes().to_vec()], |rows| {
            let Some(row) = rows.first() else { return Ok(None) };
            let version = uint(row.try_get(0).map_err(failed)?);
            Ok(Some(SessionRecord { version, text: text(row.try_get(1).map_err(failed)?)? }))
        })
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        let sql = "UPDATE @sessions SET version = version + 1, text = $3
            WHERE id = $1 AND version = $2 AND until > statement_timestamp() RETURNING 1";
        self.changes(sql, values![id.as_bytes().to_vec(), int(version), text.as_bytes().to_vec()])
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        let sql = "UPDATE @sessions SET until = statement_timestamp() + $2::float8 * interval '1 microsecond'
            WHERE id = $1 AND until > statement_timestamp() RETURNING 1";
        self.changes(sql, values![id.as_bytes().to_vec(), micros(keep)])
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let sql = "DELETE FROM @sessions WHERE id = $1 RETURNING until > statement_timestamp()";
        self.query(sql, values![id.as_bytes().to_vec()], |rows| {
            rows.first().map_or(Ok(false), |row| row.try_get(0).map_err(failed))
        })
    }
}
