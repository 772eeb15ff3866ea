//! Streams in the server.

use bytes::Bytes;

use super::{RedisStore, millis, number};
use crate::store::{Append, EventStore, Replay, StoreError, StoreFuture, StoredEvent, StreamKey};

impl RedisStore {
    /// Returns the keys of the stream and of its events.
    fn stream(&self, StreamKey { session, stream }: &StreamKey) -> [Vec<u8>; 2] {
        ["m", "e"].map(|kind| self.key(kind, &format!("{session}:{stream}")))
    }
}

impl EventStore for RedisStore {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        let [stream, events] = self.stream(key);
        let keys = vec![stream, events, self.key("x", &key.session)];
        let mut arguments = vec![
            number(key.stream),
            number(u8::from(append.over)),
            number(append.oldest),
            millis(append.keep),
        ];
        for event in append.events {
            arguments.extend([number(event.number), event.message.to_vec()]);
        }
        self.eval(|scripts| &scripts.append, keys, arguments, |_: u64| Ok(()))
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        type Known = Option<(u64, u64, Vec<Vec<u8>>)>;
        self.eval(
            |scripts| &scripts.read,
            self.stream(key).to_vec(),
            vec![number(after)],
            move |known: Known| {
                let Some((newest, over, kept)) = known else { return Ok(None) };
                let mut events = Vec::new();
                for event in kept {
                    let event = stored(Bytes::from(event))?;
                    if event.number > after {
                        events.push(event);
                    }
                }
                let first = events.first().map_or(newest + 1, |event| event.number);
                let is_kept = after <= newest && first == after + 1;
                Ok(is_kept.then_some(Replay { events, over: over != 0 }))
            },
        )
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        let mut arguments =
            vec![self.key("m", &format!("{session}:")), self.key("e", &format!("{session}:"))];
        arguments.extend(stream.map(number));
        self.eval(|scripts| &scripts.remove_streams, vec![self.key("x", session)], arguments, |_: u64| Ok(()))
    }
}

/// Parses an event with its number before it.
fn stored(event: Bytes) -> Result<StoredEvent, StoreError> {
    let broken = || StoreError::new("what the server holds is no event");
    let space = event.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
    let number = std::str::from_utf8(&event[..space]).ok().and_then(|number| number.parse().ok());
    Ok(StoredEvent { number: number.ok_or_else(broken)?, message: event.slice(space + 1..) })
}
