//! What handlers of the host do besides answering: ask the client, remember, let the stream go.

use serde_json::value::RawValue;
use trunnion_proto::server::questions;

use super::tables::Operation;
use super::{Engine, Inner};
use crate::error::Error;
use crate::server::call::Call;

impl Engine {
    /// Store a JSON value under a key with an exchange, for this run of its handler and those that follow when it asks the
    /// client something. False: it is over. Fails with kind `limit` when too much is stored.
    pub fn remember(&self, id: u64, key: &str, value: &str) -> Result<bool, Error> {
        if serde_json::from_str::<&RawValue>(value).is_err() {
            return Err(Error::usage("value must be JSON"));
        }
        self.live_exchange(id).map_or(Ok(false), |call| call.remember(key, value))
    }

    /// Close the response stream of an exchange over legacy HTTP; the call goes on, and the client comes back for the rest.
    /// False: it has none.
    pub fn close_stream(&self, id: u64) -> bool {
        self.live_exchange(id).is_some_and(|call| call.close_stream())
    }
}

impl Inner {
    /// Ask the client of an exchange.
    pub(super) fn ask(&self, call: &Call, op: &str, asked: &str) -> Result<u64, Error> {
        if op != "ask" {
            return Err(Error::usage(format!("an exchange takes the operation ask, not {op:?}")));
        }
        let questions = questions(asked).map_err(|error| Error::usage(error.message))?;
        let (id, tables) = (self.tables.begin(Operation::Ask), self.tables.clone());
        call.ask_with(
            questions,
            Box::new(move |result| {
                tables.end(id, result);
            }),
        );
        Ok(id)
    }
}
