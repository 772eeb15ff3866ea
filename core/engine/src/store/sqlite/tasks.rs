//! Tasks in the file.

use std::future::ready;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, int, now, uint, until};
use crate::store::{
    DuePage, StoreError, StoreFuture, StoredTask, TaskQuota, TaskStore, TaskSummary, TaskTimes,
};

/// The condition for tasks that have not expired.
const KEPT: &str = "(until IS NULL OR until > ?1)";
/// Processes of earlier versions write no summary, and leave an existing one as it was: it is of another
/// version then.
const COLUMNS: &str = "id, version, owner, coalesce(over, 0) = 1 AND summarized = version,
    CASE WHEN summarized = version THEN summary ELSE '' END, text";
const SUMMARY: &str =
    "id, version, owner, CASE WHEN summarized = version AND summary <> '' THEN summary ELSE text END";

impl TaskStore for SqliteStore {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.insert_within(task, times, TaskQuota::NONE)
    }

    fn insert_within(&self, task: StoredTask, times: TaskTimes, quota: TaskQuota) -> StoreFuture<()> {
        let made = self.write_durably(move |db| {
            let bytes = size(&task);
            let forgotten = match room(db, &task.owner, None, bytes, quota)? {
                (forgotten, true) => forgotten,
                (_, false) => return Ok(Err(quota.exceeded())),
            };
            forget(db, &forgotten)?;
            let sql =
                "INSERT INTO tasks (id, version, owner, due, until, over, bytes, summarized, summary, text)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?2, ?8, ?9)";
            let StoredTask { id, version, owner, over, summary, text } = task;
            let (due, end) = (times.due.map(until), times.keep.map(until));
            let values = params![id, int(version), owner, due, end, over, bytes, summary, text];
            db.prepare_cached(sql)?.execute(values)?;
            Ok(Ok(()))
        });
        Box::pin(async move { made.await? })
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        let id = id.to_owned();
        self.read(move |db| {
            let sql = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?2 AND {KEPT}");
            db.prepare_cached(&sql)?.query_row(params![now(), id], stored).optional()
        })
    }

    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        let id = id.to_owned();
        self.read(move |db| {
            let sql = format!("SELECT {SUMMARY} FROM tasks WHERE id = ?2 AND {KEPT}");
            db.prepare_cached(&sql)?.query_row(params![now(), id], summary).optional()
        })
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.replace_within(task, due, TaskQuota::NONE)
    }

    fn replace_within(&self, task: StoredTask, due: Option<Duration>, quota: TaskQuota) -> StoreFuture<bool> {
        self.write_durably(move |db| {
            let sql = format!(
                "UPDATE tasks SET version = ?3, due = ?4, over = ?5, bytes = ?6, summarized = ?3, summary = ?7,
                    text = ?8
                WHERE id = ?2 AND version = ?3 - 1 AND {KEPT} RETURNING owner, number"
            );
            let bytes = size(&task);
            let StoredTask { id, version, over, summary, text, .. } = task;
            let values = params![now(), id, int(version), due.map(until), over, bytes, summary, text];
            let place: Option<(String, i64)> = db
                .prepare_cached(&sql)?
                .query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((owner, number)) = place else { return Ok(false) };
            if over {
                forget(db, &room(db, &owner, Some(number), 0, quota)?.0)?;
            }
            Ok(true)
        })
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        let id = id.to_owned();
        self.write_durably(move |db| {
            let sql = format!("DELETE FROM tasks WHERE id = ?2 AND {KEPT}");
            Ok(db.prepare_cached(&sql)?.execute(params![now(), id])? == 1)
        })
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        let place = after.map(|place| {
            let (due, number) = place.split_once(':')?;
            Some((due.parse::<i64>().ok()?, number.parse::<i64>().ok()?))
        });
        let Some((due, number)) = place.unwrap_or(Some((i64::MIN, 0))) else {
            return Box::pin(ready(Err(StoreError::new("no page of due tasks begins there"))));
        };
        self.read(move |db| {
            let sql = format!(
                "SELECT {SUMMARY}, due, number FROM tasks WHERE due <= ?1 AND (due, number) > (?2, ?3) AND {KEPT}
                ORDER BY due, number LIMIT ?4"
            );
            let mut statement = db.prepare_cached(&sql)?;
            // One more than the limit, to detect further tasks.
            let values = params![now(), due, number, rows(limit).saturating_add(1)];
            let mut found = statement.query(values)?;
            let (mut page, mut last) = (DuePage::default(), None);
            while let Some(row) = found.next()? {
                if page.tasks.len() == limit {
                    page.next = last;
                    break;
                }
                page.tasks.push(summary(row)?);
                last = Some(format!("{}:{}", row.get::<_, i64>(4)?, row.get::<_, i64>(5)?));
            }
            Ok(page)
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

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
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
                "SELECT {SUMMARY} FROM tasks WHERE owner = ?2 AND number > ?3 AND {KEPT} ORDER BY number LIMIT ?4"
            );
            let tasks = db
                .prepare_cached(&sql)?
                .query_map(params![now(), owner, after, rows(limit)], summary)?
                .collect::<Result<_, _>>()?;
            Ok(Some(tasks))
        })
    }
}

/// Returns the tasks to remove for a task of the owner with so many bytes more, and whether there is room
/// then. `own`: the number of the task, if it exists already.
fn room(
    db: &Connection,
    owner: &str,
    own: Option<i64>,
    bytes: i64,
    quota: TaskQuota,
) -> rusqlite::Result<(Vec<i64>, bool)> {
    if quota == TaskQuota::NONE {
        return Ok((Vec::new(), true));
    }
    let (most_tasks, most_bytes) = (int(quota.tasks), int(quota.bytes));
    let more = i64::from(own.is_none());
    let sum = "SELECT tasks, bytes FROM kept WHERE owner = ?1";
    let kept = |db: &Connection| -> rusqlite::Result<(i64, i64)> {
        let kept = db.prepare_cached(sum)?.query_row(params![owner], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(kept.optional()?.unwrap_or_default())
    };
    let fits = |(tasks, kept): (i64, i64)| {
        tasks.saturating_add(more) <= most_tasks && kept.saturating_add(bytes) <= most_bytes
    };
    if fits(kept(db)?) {
        return Ok((Vec::new(), true));
    }
    // An expired task counts until it is swept.
    let sql = "DELETE FROM tasks WHERE owner = ?1 AND until <= ?2";
    db.prepare_cached(sql)?.execute(params![owner, now()])?;
    let (mut tasks, mut sum) = kept(db)?;
    let sql = "SELECT number, bytes FROM tasks WHERE owner = ?1 AND over = 1 AND summarized = version
        AND number <> ?2 ORDER BY number";
    let mut statement = db.prepare_cached(sql)?;
    let mut over = statement.query(params![owner, own.unwrap_or(0)])?;
    let mut forgotten = Vec::new();
    while !fits((tasks, sum)) {
        let Some(row) = over.next()? else { return Ok((forgotten, false)) };
        forgotten.push(row.get(0)?);
        (tasks, sum) = (tasks - 1, sum - row.get::<_, i64>(1)?);
    }
    Ok((forgotten, true))
}

fn forget(db: &Connection, numbers: &[i64]) -> rusqlite::Result<()> {
    for number in numbers {
        db.prepare_cached("DELETE FROM tasks WHERE number = ?1")?.execute(params![number])?;
    }
    Ok(())
}

fn number(db: &Connection, owner: &str, id: &str) -> rusqlite::Result<Option<i64>> {
    let sql = format!("SELECT number FROM tasks WHERE id = ?2 AND owner = ?3 AND {KEPT}");
    db.prepare_cached(&sql)?.query_row(params![now(), id, owner], |row| row.get(0)).optional()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredTask> {
    Ok(StoredTask {
        id: row.get(0)?,
        version: uint(row.get(1)?),
        owner: row.get(2)?,
        over: row.get::<_, Option<bool>>(3)?.unwrap_or_default(),
        summary: row.get(4)?,
        text: row.get(5)?,
    })
}

fn summary(row: &Row<'_>) -> rusqlite::Result<TaskSummary> {
    Ok(TaskSummary { id: row.get(0)?, version: uint(row.get(1)?), owner: row.get(2)?, text: row.get(3)? })
}

/// Returns how many bytes of a task count.
fn size(task: &StoredTask) -> i64 {
    rows(task.summary.len() + task.text.len())
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
