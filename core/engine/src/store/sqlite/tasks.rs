//! Tasks in the file.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, int, now, uint, until};
use crate::store::{StoreFuture, StoredTask, TaskStore, TaskTimes};

/// What is kept still.
const KEPT: &str = "(until IS NULL OR until > ?1)";
const COLUMNS: &str = "id, version, owner, text";

impl TaskStore for SqliteStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.write_durably(move |db| {
            let sql =
                "INSERT INTO tasks (id, version, owner, text, due, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let StoredTask { id, version, owner, text } = task;
            let (due, end) = (times.due.map(until), times.keep.map(until));
            db.prepare_cached(sql)?.execute(params![id, int(version), owner, text, due, end])?;
            Ok(())
        })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        let id = id.to_owned();
        self.read(move |db| {
            let sql = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?2 AND {KEPT}");
            db.prepare_cached(&sql)?.query_row(params![now(), id], stored).optional()
        })
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.write_durably(move |db| {
            let sql = format!(
                "UPDATE tasks SET version = ?3, text = ?4, due = ?5
                WHERE id = ?2 AND version = ?3 - 1 AND {KEPT}"
            );
            let StoredTask { id, version, text, .. } = task;
            let values = params![now(), id, int(version), text, due.map(until)];
            Ok(db.prepare_cached(&sql)?.execute(values)? == 1)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write_durably(move |db| {
            let sql = format!("DELETE FROM tasks WHERE id = ?2 AND {KEPT}");
            Ok(db.prepare_cached(&sql)?.execute(params![now(), id])? == 1)
        })
    }

    fn due(&self, limit: usize) -> StoreFuture<Vec<StoredTask>> {
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM tasks WHERE due <= ?1 AND {KEPT} ORDER BY due, number LIMIT ?2"
            );
            db.prepare_cached(&sql)?.query_map(params![now(), rows(limit)], stored)?.collect()
        })
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        self.read(|db| {
            let now = now();
            let sql = format!("SELECT due FROM tasks WHERE due IS NOT NULL AND {KEPT} ORDER BY due LIMIT 1");
            let due: Option<i64> =
                db.prepare_cached(&sql)?.query_row(params![now], |row| row.get(0)).optional()?;
            Ok(due.map(|due| Duration::from_millis(uint(due.saturating_sub(now)))))
        })
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<StoredTask>>> {
        let (owner, after) = (owner.to_owned(), after.map(str::to_owned));
        self.read(move |db| {
            let after = match after {
                None => 0,
                Some(id) => match number(db, &owner, &id)? {
                    Some(number) => number,
                    None => return Ok(None),
                },
            };
            let sql = format!(
                "SELECT {COLUMNS} FROM tasks WHERE owner = ?2 AND number > ?3 AND {KEPT} ORDER BY number LIMIT ?4"
            );
            let tasks = db
                .prepare_cached(&sql)?
                .query_map(params![now(), owner, after, rows(limit)], stored)?
                .collect::<Result<_, _>>()?;
            Ok(Some(tasks))
        })
    }
}

fn number(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT number FROM tasks WHERE id = ?2 AND owner = ?3 AND {KEPT}");
    db.prepare_cached(&sql)?.query_row(params![now(), id, owner], |row| row.get(0)).optional()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredTask> {
    Ok(StoredTask { id: row.get(0)?, version: uint(row.get(1)?), owner: row.get(2)?, text: row.get(3)? })
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
