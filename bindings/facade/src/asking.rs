//! Operations of the host's handlers besides answering: input requests, stored values, the closing of a
//! stream.

use serde::Deserialize;
use serde_json::value::RawValue;
use trunnion_engine::error::Error;
use trunnion_engine::server::call::{Call, Stored};
use trunnion_proto::server::questions;

use super::tables::Operation;
use super::{Engine, Inner, options};

/// The operations of an exchange.
pub(super) const EXCHANGE_OPS: [&str; 3] = ["ask", "store", "checkpoint"];

impl Engine {
    /// Stores a JSON value under a key with an exchange, for this run of its handler and those that follow
    /// after an input request. In a task the value is stored where it outlives the process, some time after
    /// this has returned: the operation `store` reports when. False: the exchange is over. Fails with kind
    /// `limit` when too much is stored.
    pub fn remember(&self, id: u64, key: &str, value: &str) -> Result<bool, Error> {
        if serde_json::from_str::<&RawValue>(value).is_err() {
            return Err(Error::usage("value must be JSON"));
        }
        let Some(call) = self.live_exchange(id) else { return Ok(false) };
        if call.task().is_none() {
            return call.remember(key, value);
        }
        call.store_soon(key, value)
    }

    /// Closes the response stream of an exchange over legacy HTTP; the call continues, and the client
    /// reconnects for the rest. False: it has none.
    pub fn close_stream(&self, id: u64) -> bool {
        self.live_exchange(id).is_some_and(|call| call.close_stream())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    key: String,
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    value: Box<RawValue>,
}

impl Inner {
    /// Begins an operation of an exchange.
    pub(super) fn for_exchange(&self, call: &Call, op: &str, params: &str) -> Result<u64, Error> {
        match op {
            "ask" => self.ask(call, params),
            "store" => {
                let Store { key, value } = options::parse("params", params)?;
                Ok(self.store(call, Stored::Value(key), value.get()))
            }
            "checkpoint" => {
                let Checkpoint { value } = options::parse("params", params)?;
                Ok(self.store(call, Stored::Checkpoint, value.get()))
            }
            _ => {
                let message =
                    format!("an exchange takes the operations ask, store and checkpoint, not {op:?}");
                Err(Error::usage(message))
            }
        }
    }

    /// Stores a value with an exchange: the operation ends when it is done.
    fn store(&self, call: &Call, what: Stored, value: &str) -> u64 {
        let (id, tables) = (self.tables.begin(Operation::Ask), self.tables.clone());
        let reply = Box::new(move |result: Result<(), Error>| {
            tables.end(id, result.map(|()| "{}".to_owned()));
        });
        call.store_with(what, value.to_owned(), reply);
        id
    }

    /// Sends input requests to the client of an exchange.
    fn ask(&self, call: &Call, asked: &str) -> Result<u64, Error> {
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
