//! Sessions in the file.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{SqliteStore, int, now, uint, until};
use crate::store::{SessionRecord, SessionStore, StoreFuture};

impl SessionStore for SqliteStore {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |db| {
            db.prepare_cached("INSERT INTO sessions (id, version, text, until) VALUES (?1, 1, ?2, ?3)")?
                .execute(params![id, text, until(keep)])?;
            Ok(())
        })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        let id = id.to_owned();
        self.read(move |db| {
            db.prepare_cached("SELECT version, text FROM sessions WHERE id = ?1 AND until > ?2")?
                .query_row(params![id, now()], |row| {
                    Ok(SessionRecord { version: uint(row.get(0)?), text: row.get(1)? })
                })
                .optional()
        })
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        let (id, text) = (id.to_owned(), text.to_owned());
        self.write(move |db| {
            let sql = "UPDATE sessions SET version = version + 1, text = ?3
                WHERE id = ?1 AND version = ?2 AND until > ?4";
            Ok(db.prepare_cached(sql)?.execute(params![id, int(version), text, now()])? == 1)
        })
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write(move |db| {
            let sql = "UPDATE sessions SET until = ?2 WHERE id = ?1 AND until > ?3";
            Ok(db.prepare_cached(sql)?.execute(params![id, until(keep), now()])? == 1)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write(move |db| {
            let sql = "DELETE FROM sessions WHERE id = ?1 RETURNING until";
            let until: Option<i64> =
                db.prepare_cached(sql)?.query_row(params![id], |row| row.get(0)).optional()?;
            Ok(until.is_some_and(|until| until > now()))
        })
    }
}
