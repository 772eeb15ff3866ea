//! Tasks in the database.

use std::time::Duration;

use tokio_postgres::Row;

use super::{PostgresStore, failed, int, micros, text, uint, values};
use crate::store::{StoreError, StoreFuture, StoredTask, TaskStore, TaskTimes};

/// What is kept still.
const KEPT: &str = "(until IS NULL OR until > statement_timestamp())";
const COLUMNS: &str = "id, version, owner, text";

impl TaskStore for PostgresStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        let sql = "INSERT INTO @tasks (id, version, owner, text, due, until) VALUES ($1, $2, $3, $4,
            statement_timestamp() + $5::float8 * interval '1 microsecond',
            statement_timestamp() + $6::float8 * interval '1 microsecond')";
        let StoredTask { id, version, owner, text } = task;
        let (due, keep) = (times.due.map(micros), times.keep.map(micros));
        let values = values![id.into_bytes(), int(version), owner.into_bytes(), text.into_bytes(), due, keep];
        self.query(sql, values, |_| Ok(()))
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        let sql = format!("SELECT {COLUMNS} FROM @tasks WHERE id = $1 AND {KEPT}");
        self.query(&sql, values![id.as_bytes().to_vec()], |rows| rows.first().map(stored).transpose())
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        let sql = format!(
            "UPDATE @tasks SET version = $2::bigint, text = $3,
                due = statement_timestamp() + $4::float8 * interval '1 microsecond'
            WHERE id = $1 AND version = $2::bigint - 1 AND {KEPT} RETURNING 1"
        );
        let StoredTask { id, version, text, .. } = task;
        let values = values![id.into_bytes(), int(version), text.into_bytes(), due.map(micros)];
        self.changes(&sql, values)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let sql = format!("DELETE FROM @tasks WHERE id = $1 AND {KEPT} RETURNING 1");
        self.changes(&sql, values![id.as_bytes().to_vec()])
    }

    fn due(&self, limit: usize) -> StoreFuture<Vec<StoredTask>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM @tasks WHERE due <= statement_timestamp() AND {KEPT} ORDER BY due, number LIMIT $1"
        );
        self.query(&sql, values![rows(limit)], |rows| rows.iter().map(stored).collect())
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        let sql = format!(
            "SELECT ceil(extract(epoch FROM due - statement_timestamp()) * 1000000)::bigint FROM @tasks
            WHERE due IS NOT NULL AND {KEPT} ORDER BY due LIMIT 1"
        );
        self.query(&sql, Vec::new(), |rows| {
            let Some(row) = rows.first() else { return Ok(None) };
            Ok(Some(Duration::from_micros(uint(row.try_get(0).map_err(failed)?))))
        })
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<StoredTask>>> {
        // Owners can be longer than an index takes; the digest finds them. One row at least tells that the anchor is there.
        let sql = format!(
            "WITH anchor AS (SELECT CASE WHEN $2::bytea IS NULL THEN 0
                ELSE (SELECT number FROM @tasks WHERE id = $2 AND owner = $1 AND {KEPT}) END AS number)
            SELECT {COLUMNS}, anchor.number IS NOT NULL FROM anchor LEFT JOIN LATERAL (
                SELECT tasks.number AS place, {COLUMNS} FROM @tasks AS tasks
                WHERE sha256(owner) = sha256($1) AND owner = $1 AND tasks.number > anchor.number AND {KEPT}
                ORDER BY tasks.number LIMIT $3
            ) AS page ON true ORDER BY place"
        );
        let values = values![owner.as_bytes().to_vec(), after.map(|id| id.as_bytes().to_vec()), rows(limit)];
        self.query(&sql, values, |rows| {
            let mut tasks = Vec::new();
            for row in &rows {
                if !row.try_get::<_, bool>(4).map_err(failed)? {
                    return Ok(None);
                }
                if row.try_get::<_, Option<&[u8]>>(0).map_err(failed)?.is_some() {
                    tasks.push(stored(row)?);
                }
            }
            Ok(Some(tasks))
        })
    }
}

fn stored(row: &Row) -> Result<StoredTask, StoreError> {
    Ok(StoredTask {
        id: text(row.try_get(0).map_err(failed)?)?,
        version: uint(row.try_get(1).map_err(failed)?),
        owner: text(row.try_get(2).map_err(failed)?)?,
        text: text(row.try_get(3).map_err(failed)?)?,
    })
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
