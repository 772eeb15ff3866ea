//! Streams in the file.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, int, now, uint, until};
use crate::store::{Append, EventStore, Replay, StoreFuture, StoredEvent, StreamKey};

impl EventStore for SqliteStore {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        let StreamKey { session, stream } = key.clone();
        let stream = int(stream);
        self.write(move |db| {
            let sql = "SELECT newest, until FROM streams WHERE session = ?1 AND stream = ?2";
            let known: Option<(i64, i64)> = db
                .prepare_cached(sql)?
                .query_row(params![session, stream], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let mut newest = match known {
                Some((newest, until)) if until > now() => newest,
                // The remains of an expired stream.
                Some(_) => {
                    remove_stream(db, &session, stream)?;
                    0
                }
                None => 0,
            };
            let sql = "INSERT INTO events (session, stream, number, message) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = db.prepare_cached(sql)?;
            for StoredEvent { number, message } in append.events {
                if int(number) > newest {
                    newest = int(number);
                    insert.execute(params![session, stream, newest, &message[..]])?;
                }
            }
            let sql = "DELETE FROM events WHERE session = ?1 AND stream = ?2 AND number < ?3";
            db.prepare_cached(sql)?.execute(params![session, stream, int(append.oldest)])?;
            let sql = "INSERT INTO streams (session, stream, newest, over, until) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO UPDATE SET newest = excluded.newest, over = over OR excluded.over, until = excluded.until";
            let values = params![session, stream, newest, append.over, until(append.keep)];
            db.prepare_cached(sql)?.execute(values)?;
            Ok(())
        })
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        let StreamKey { session, stream } = key.clone();
        self.read(move |db| {
            let sql = "SELECT newest, over FROM streams WHERE session = ?1 AND stream = ?2 AND until > ?3";
            let known: Option<(i64, bool)> = db
                .prepare_cached(sql)?
                .query_row(params![session, int(stream), now()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((newest, over)) = known else { return Ok(None) };
            let newest = uint(newest);
            let sql = "SELECT number, message FROM events
                WHERE session = ?1 AND stream = ?2 AND number > ?3 ORDER BY number";
            let events: Vec<StoredEvent> = db
                .prepare_cached(sql)?
                .query_map(params![session, int(stream), int(after)], |row| {
                    let message: Vec<u8> = row.get(1)?;
                    Ok(StoredEvent { number: uint(row.get(0)?), message: Bytes::from(message) })
                })?
                .collect::<Result<_, _>>()?;
            let first = events.first().map_or(newest + 1, |event| event.number);
            let is_kept = after <= newest && first == after + 1;
            Ok(is_kept.then_some(Replay { events, over }))
        })
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        let session = session.to_owned();
        self.write(move |db| match stream {
            Some(stream) => remove_stream(db, &session, int(stream)),
            None => {
                for sql in ["DELETE FROM events WHERE session = ?1", "DELETE FROM streams WHERE session = ?1"]
                {
                    db.prepare_cached(sql)?.execute(params![session])?;
                }
                Ok(())
            }
        })
    }
}

fn remove_stream(db: &Connection, session: &str, stream: i64) -> rusqlite::Result<()> {
    for table in ["events", "streams"] {
        let sql = format!("DELETE FROM {table} WHERE session = ?1 AND stream = ?2");
        db.prepare_cached(&sql)?.execute(params![session, stream])?;
    }
    Ok(())
}
