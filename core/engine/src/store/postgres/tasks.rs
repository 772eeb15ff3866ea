//! Tasks in the database.

use std::future::ready;
use std::time::Duration;

use tokio_postgres::Row;

use super::{PostgresStore, failed, int, micros, text, uint, values};
use crate::store::{
    DuePage, StoreError, StoreFuture, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes,
};

/// The condition for tasks that have not expired.
const KEPT: &str = "(until IS NULL OR until > statement_timestamp())";
/// Processes of earlier versions write no summary, and leave an existing one as it was: it is of another
/// version then.
const COLUMNS: &str = "id, version, owner, coalesce(over AND summarized = version, false),
    CASE WHEN summarized = version THEN summary ELSE '' END, text";
const SUMMARY: &str =
    "id, version, owner, CASE WHEN summarized = version AND summary <> '' THEN summary ELSE text END";
/// The number of bytes of a task that count as its owner's.
const SIZE: &str = "CASE WHEN summarized = version THEN tasks.bytes ELSE length(text) END";
/// The time at which a task is due, in the format that [`TaskStore::due`] accepts.
const DUE: &str = "to_char(due AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')";

impl TaskStore for PostgresStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.insert_within(task, times, TaskQuota::NONE)
    }

    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        let room = room("SELECT $3::bytea AS owner, 0::bigint AS number, $5::bigint AS bytes", "$10", "$11");
        let sql = format!(
            "WITH {room}, fits AS (SELECT FROM need
                WHERE need.tasks <= (SELECT count(*) FROM victims)
                    AND need.bytes <= (SELECT coalesce(sum(bytes), 0) FROM victims)),
            gone AS (DELETE FROM @tasks AS tasks USING victims, fits WHERE tasks.number = victims.number)
            INSERT INTO @tasks (id, version, owner, over, bytes, summarized, summary, text, due, until)
            SELECT $1::bytea, $2::bigint, $3::bytea, $4::boolean, $5::bigint, $2::bigint, $6::bytea, $7::bytea,
                statement_timestamp() + $8::float8 * interval '1 microsecond',
                statement_timestamp() + $9::float8 * interval '1 microsecond'
            FROM fits RETURNING 1"
        );
        let bytes = size(&task);
        let StoredTask { id, version, owner, over, summary, text } = task;
        let values = values![
            id.into_bytes(),
            int(version),
            owner.into_bytes(),
            over,
            bytes,
            summary.into_bytes(),
            text.into_bytes(),
            times.due.map(micros),
            times.keep.map(micros),
            int(quota.tasks),
            int(quota.bytes),
        ];
        self.query(&sql, values, move |rows| if rows.is_empty() { Err(quota.exceeded()) } else { Ok(()) })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        let sql = format!("SELECT {COLUMNS} FROM @tasks WHERE id = $1 AND {KEPT}");
        self.query(&sql, values![id.as_bytes().to_vec()], |rows| rows.first().map(stored).transpose())
    }

    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        let sql = format!("SELECT {SUMMARY} FROM @tasks WHERE id = $1 AND {KEPT}");
        self.query(&sql, values![id.as_bytes().to_vec()], |rows| rows.first().map(summary).transpose())
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.replace_within(task, due, TaskQuota::NONE)
    }

    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        let room = room("SELECT owner, number, bytes FROM done WHERE over", "$8", "$9");
        let sql = format!(
            "WITH done AS (UPDATE @tasks SET version = $2::bigint, over = $3, bytes = $4, summarized = $2::bigint,
                summary = $5, text = $6, due = statement_timestamp() + $7::float8 * interval '1 microsecond'
            WHERE id = $1 AND version = $2::bigint - 1 AND {KEPT} RETURNING owner, number, bytes, over),
            {room},
            gone AS (DELETE FROM @tasks AS tasks USING victims WHERE tasks.number = victims.number)
            SELECT 1 FROM done"
        );
        let bytes = size(&task);
        let StoredTask { id, version, over, summary, text, .. } = task;
        let values = values![
            id.into_bytes(),
            int(version),
            over,
            bytes,
            summary.into_bytes(),
            text.into_bytes(),
            due.map(micros),
            int(quota.tasks),
            int(quota.bytes),
        ];
        self.changes(&sql, values)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let sql = format!("DELETE FROM @tasks WHERE id = $1 AND {KEPT} RETURNING 1");
        self.changes(&sql, values![id.as_bytes().to_vec()])
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        let sql = format!(
            "SELECT {SUMMARY}, {DUE}, number FROM @tasks WHERE due <= statement_timestamp() AND {KEPT}
                AND ($1::text IS NULL OR (due, number) > ($1::text::timestamp AT TIME ZONE 'UTC', $2::bigint))
            ORDER BY due, number LIMIT $3"
        );
        let place = after.map(|place| {
            let (due, number) = place.rsplit_once(';')?;
            Some((due.to_owned(), number.parse::<i64>().ok()?))
        });
        let (due, number) = match place {
            Some(Some((due, number))) => (Some(due), number),
            Some(None) => {
                return Box::pin(ready(Err(StoreError::new("no page of due tasks begins there"))));
            }
            None => (None, 0),
        };
        // One more than the limit, to detect further tasks.
        self.query(&sql, values![due, number, rows(limit).saturating_add(1)], move |rows| {
            let place = |row: &Row| -> Result<String, StoreError> {
                let (due, number) = (row.try_get::<_, String>(4), row.try_get::<_, i64>(5));
                Ok(format!("{};{}", due.map_err(failed)?, number.map_err(failed)?))
            };
            let page = &rows[..limit.min(rows.len())];
            let next = page.last().filter(|_| rows.len() > limit).map(place).transpose()?;
            Ok(DuePage { tasks: page.iter().map(summary).collect::<Result<_, _>>()?, next })
        })
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

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
        // Owners can be longer than an index accepts; the digest finds them. One row at least shows that the
        // anchor exists.
        let sql = format!(
            "WITH anchor AS (SELECT CASE WHEN $2::bytea IS NULL THEN 0
                ELSE (SELECT number FROM @tasks WHERE id = $2 AND owner = $1 AND {KEPT}) END AS number)
            SELECT page.*, anchor.number IS NOT NULL FROM anchor LEFT JOIN LATERAL (
                SELECT {SUMMARY} AS text, tasks.number AS place FROM @tasks AS tasks
                WHERE sha256(owner) = sha256($1) AND owner = $1 AND tasks.number > anchor.number AND {KEPT}
                ORDER BY tasks.number LIMIT $3
            ) AS page ON true ORDER BY place"
        );
        let values = values![owner.as_bytes().to_vec(), after.map(|id| id.as_bytes().to_vec()), rows(limit)];
        self.query(&sql, values, |rows| {
            let mut tasks = Vec::new();
            for row in &rows {
                if !row.try_get::<_, bool>(5).map_err(failed)? {
                    return Ok(None);
                }
                if row.try_get::<_, Option<&[u8]>>(0).map_err(failed)?.is_some() {
                    tasks.push(summary(row)?);
                }
            }
            Ok(Some(tasks))
        })
    }
}

/// Returns SQL that makes room for a task whose owner, number and bytes are in `new`: `need` is the excess,
/// `victims` are the oldest of the owner's other tasks that are over, as many as cover the excess. Two that
/// run at the same time may find the same victims; the next statement finds the rest.
fn room(new: &str, most_tasks: &str, most_bytes: &str) -> String {
    format!(
        "new AS ({new}),
        need AS (SELECT new.owner, new.number, greatest(mine.tasks + 1 - {most_tasks}::bigint, 0) AS tasks,
                greatest(mine.bytes + new.bytes - {most_bytes}::bigint, 0) AS bytes
            FROM new CROSS JOIN LATERAL (SELECT count(*) AS tasks, coalesce(sum({SIZE}), 0) AS bytes
                FROM @tasks AS tasks WHERE sha256(tasks.owner) = sha256(new.owner) AND tasks.owner = new.owner
                    AND tasks.number <> new.number AND {KEPT}) AS mine),
        others AS (SELECT tasks.number, tasks.bytes,
                row_number() OVER before - 1 AS tasks_before, sum(tasks.bytes) OVER before - tasks.bytes AS bytes_before
            FROM need CROSS JOIN LATERAL (SELECT tasks.number, tasks.bytes FROM @tasks AS tasks
                WHERE (need.tasks > 0 OR need.bytes > 0) AND sha256(tasks.owner) = sha256(need.owner)
                    AND tasks.owner = need.owner AND tasks.number <> need.number
                    AND tasks.over AND tasks.summarized = tasks.version AND {KEPT}) AS tasks
            WINDOW before AS (ORDER BY tasks.number)),
        victims AS (SELECT others.number, others.bytes FROM others, need
            WHERE others.tasks_before < need.tasks OR others.bytes_before < need.bytes)"
    )
}

fn stored(row: &Row) -> Result<StoredTask, StoreError> {
    Ok(StoredTask {
        id: text(row.try_get(0).map_err(failed)?)?,
        version: uint(row.try_get(1).map_err(failed)?),
        owner: text(row.try_get(2).map_err(failed)?)?,
        over: row.try_get(3).map_err(failed)?,
        summary: text(row.try_get(4).map_err(failed)?)?,
        text: text(row.try_get(5).map_err(failed)?)?,
    })
}

fn summary(row: &Row) -> Result<TaskSummary, StoreError> {
    Ok(TaskSummary {
        id: text(row.try_get(0).map_err(failed)?)?,
        version: uint(row.try_get(1).map_err(failed)?),
        owner: text(row.try_get(2).map_err(failed)?)?,
        text: text(row.try_get(3).map_err(failed)?)?,
    })
}

/// Returns how many bytes of a task count.
fn size(task: &StoredTask) -> i64 {
    rows(task.summary.len() + task.text.len())
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
