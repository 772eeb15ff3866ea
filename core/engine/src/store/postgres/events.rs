//! Streams in the database.

use bytes::Bytes;

use super::{PostgresStore, failed, int, micros, uint, values};
use crate::store::{Append, EventStore, Replay, StoreFuture, StoredEvent, StreamKey};

impl EventStore for PostgresStore {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        let numbers: Vec<i64> = append.events.iter().map(|event| int(event.number)).collect();
        let messages: Vec<Vec<u8>> = append.events.iter().map(|event| event.message.to_vec()).collect();
        let values = values![
            key.session.as_bytes().to_vec(),
            int(key.stream),
            numbers,
            messages,
            append.over,
            int(append.oldest),
            micros(append.keep),
        ];
        self.query("SELECT @append($1, $2, $3, $4, $5, $6, $7)", values, |_| Ok(()))
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        let sql =
            "SELECT streams.newest, streams.over, events.number, events.message FROM @streams AS streams
            LEFT JOIN @events AS events ON events.session = streams.session AND events.stream = streams.stream
                AND events.number > $3
            WHERE streams.session = $1 AND streams.stream = $2 AND streams.until > statement_timestamp()
            ORDER BY events.number";
        let values = values![key.session.as_bytes().to_vec(), int(key.stream), int(after)];
        self.query(sql, values, move |rows| {
            let Some(row) = rows.first() else { return Ok(None) };
            let newest = uint(row.try_get(0).map_err(failed)?);
            let over = row.try_get(1).map_err(failed)?;
            let mut events = Vec::new();
            for row in &rows {
                // A stream without events is one row.
                let Some(number) = row.try_get::<_, Option<i64>>(2).map_err(failed)? else { break };
                let message: Vec<u8> = row.try_get(3).map_err(failed)?;
                events.push(StoredEvent { number: uint(number), message: Bytes::from(message) });
            }
            let first = events.first().map_or(newest + 1, |event| event.number);
            let is_kept = after <= newest && first == after + 1;
            Ok(is_kept.then_some(Replay { events, over }))
        })
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        let sql =
            "WITH events AS (DELETE FROM @events WHERE session = $1 AND ($2::bigint IS NULL OR stream = $2))
            DELETE FROM @streams WHERE session = $1 AND ($2::bigint IS NULL OR stream = $2)";
        self.query(sql, values![session.as_bytes().to_vec(), stream.map(int)], |_| Ok(()))
    }
}
