//! Sessions in the server.

use std::time::Duration;

use super::{RedisStore, bytes, millis, number};
use crate::store::{SessionRecord, SessionStore, StoreError, StoreFuture};

impl SessionStore for RedisStore {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        let arguments = vec![bytes(text), millis(keep)];
        self.eval(
            |scripts| &scripts.insert_session,
            vec![self.key("s", id)],
            arguments,
            |made: bool| {
                if made { Ok(()) } else { Err(StoreError::new("there is a session of this id")) }
            },
        )
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        type Known = (Option<u64>, Option<String>);
        self.eval(
            |scripts| &scripts.load,
            vec![self.key("s", id)],
            Vec::new(),
            |(version, text): Known| {
                Ok(version.zip(text).map(|(version, text)| SessionRecord { version, text }))
            },
        )
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        let arguments = vec![number(version), bytes(text)];
        self.eval(|scripts| &scripts.replace_session, vec![self.key("s", id)], arguments, Ok)
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        self.eval(|scripts| &scripts.touch_session, vec![self.key("s", id)], vec![millis(keep)], Ok)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.eval(|scripts| &scripts.delete, vec![self.key("s", id)], Vec::new(), Ok)
    }
}
