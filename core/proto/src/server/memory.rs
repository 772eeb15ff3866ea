//! State of a call between the runs of its handler: answers of the client, and values that the handler
//! stored. In the modern era it travels through the client as `requestState` (2026-07-28, "Multi Round-Trip
//! Requests").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};
use crate::methods::Method;
use crate::server::asking::Question;
use crate::server::request::invalid;

/// Most bytes that a handler may store in one call: all of it travels with every round.
pub const MAX_KEPT: usize = 256 << 10;

/// The memory of one call.
#[derive(Debug, Default)]
pub struct Memory {
    answers: BTreeMap<String, Answer>,
    asked: BTreeMap<String, u64>,
    kept: BTreeMap<String, Json>,
    kept_bytes: usize,
    checkpoint: Option<Json>,
}

#[derive(Debug)]
struct Answer {
    /// Of the question it was given to; `None` where it came unasked.
    digest: Option<u64>,
    value: Json,
}

/// The sealed content.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    #[serde(rename = "x")]
    expires: u64,
    #[serde(rename = "a", borrow)]
    answers: BTreeMap<String, (u64, &'a RawValue)>,
    #[serde(rename = "q")]
    asked: BTreeMap<String, u64>,
    #[serde(rename = "k", borrow)]
    kept: BTreeMap<String, &'a RawValue>,
    #[serde(rename = "c", borrow, default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a RawValue>,
}

impl Memory {
    /// Restores the state from the opened `requestState` of a request, if it has one, and its
    /// `inputResponses`. `now` is in milliseconds since 1970.
    pub fn recall(state: Option<&str>, responses: &Json, now: u64) -> Result<Memory, RpcError> {
        let mut memory = Memory::default();
        if let Some(state) = state {
            let sealed: Sealed<'_> = serde_json::from_str(state).map_err(|_| broken())?;
            if sealed.expires <= now {
                return Err(invalid("params.requestState has expired; send the request again without it"));
            }
            let own = |raw: &RawValue| Json::from(raw.get().to_owned());
            memory.asked = sealed.asked;
            for (key, (digest, value)) in sealed.answers {
                memory.answers.insert(key, Answer { digest: Some(digest), value: own(value) });
            }
            for (key, value) in sealed.kept {
                memory.keep(&key, value.get());
            }
            if let Some(checkpoint) = sealed.checkpoint {
                memory.mark(checkpoint.get());
            }
        }
        if matches!(responses.as_str(), "" | "null") {
            return Ok(memory);
        }
        let given = json::members(responses.as_str())
            .ok_or_else(|| invalid("params.inputResponses must be an object"))?;
        for (key, value) in given {
            let digest = memory.asked.get(&key).copied();
            // An answer that is in already cannot be changed afterwards: the handler may have acted on it.
            if digest.is_some() || !memory.answers.contains_key(&key) {
                memory.answers.insert(key, Answer { digest, value: Json::from(value.get().to_owned()) });
            }
        }
        Ok(memory)
    }

    /// The answer to a question, if it is there.
    pub fn answer(&self, question: &Question) -> Option<&Json> {
        let answer = self.answers.get(&question.key)?;
        // Another question under the same key is another question.
        answer.digest.is_none_or(|digest| digest == question.digest()).then_some(&answer.value)
    }

    /// Store a value. False: the call has stored too much.
    pub fn keep(&mut self, key: &str, value: &str) -> bool {
        let old = self.kept.get(key).map_or(0, |old| old.as_bytes().len() + key.len());
        let bytes = self.kept_bytes - old + key.len() + value.len();
        if bytes > MAX_KEPT {
            return false;
        }
        self.kept_bytes = bytes;
        self.kept.insert(key.to_owned(), Json::from(value.to_owned()));
        true
    }

    /// Stores the checkpoint of the handler, replacing the previous one. Returns false if the call has stored
    /// too much.
    pub fn mark(&mut self, value: &str) -> bool {
        let old = self.checkpoint.as_ref().map_or(0, |old| old.as_bytes().len());
        let bytes = self.kept_bytes - old + value.len();
        if bytes > MAX_KEPT {
            return false;
        }
        self.kept_bytes = bytes;
        self.checkpoint = Some(Json::from(value.to_owned()));
        true
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> Option<&Json> {
        self.checkpoint.as_ref()
    }

    /// The value stored under a key.
    pub fn kept(&self, key: &str) -> Option<&Json> {
        self.kept.get(key)
    }

    /// All that was stored, as a JSON object; `None` where it is nothing.
    pub fn kept_json(&self) -> Option<String> {
        let members: Vec<String> = self
            .kept
            .iter()
            .map(|(key, value)| format!("{}:{}", json::string(key), value.as_str()))
            .collect();
        (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
    }

    /// The text to seal when these questions are asked. It expires at `expires`, in milliseconds since 1970.
    pub fn to_sealed(&self, questions: &[Question], expires: u64) -> String {
        let raw = |json: &Json| RawValue::from_string(json.as_str().to_owned()).expect("it is JSON");
        let answers: Vec<_> = self
            .answers
            .iter()
            // What came unasked and was not used is not carried on.
            .filter_map(|(key, answer)| answer.digest.map(|digest| (key, digest, raw(&answer.value))))
            .collect();
        let kept: Vec<_> = self.kept.iter().map(|(key, value)| (key, raw(value))).collect();
        let checkpoint = self.checkpoint.as_ref().map(raw);
        let sealed = Sealed {
            checkpoint: checkpoint.as_deref(),
            expires,
            answers: answers
                .iter()
                .map(|(key, digest, value)| ((*key).clone(), (*digest, &**value)))
                .collect(),
            asked: questions.iter().map(|question| (question.key.clone(), question.digest())).collect(),
            kept: kept.iter().map(|(key, value)| ((*key).clone(), &**value)).collect(),
        };
        serde_json::to_string(&sealed).expect("it is JSON")
    }

    /// Bind an answer that came unasked to the question it was used for, so that later runs see the same.
    pub fn used(&mut self, question: &Question) {
        if let Some(answer) = self.answers.get_mut(&question.key) {
            answer.digest = Some(question.digest());
        }
    }
}

/// The data that a sealed state is bound to: the method and its target. Together with the principal, it
/// prevents the use of the state for another request or by another caller.
pub fn binding(method: &Method, name: &str, arguments: &Json, principal: &str) -> Vec<u8> {
    // Clients may write the same arguments in another order; serde_json's maps are sorted.
    let arguments: Value = serde_json::from_str(arguments.as_str()).unwrap_or_default();
    let parts = (method.name, name, principal, arguments);
    serde_json::to_vec(&parts).expect("it is JSON")
}

/// A state that was not sealed here, for this request.
pub fn broken() -> RpcError {
    RpcError::new(
        ErrorKind::InvalidParams,
        "params.requestState is not valid for this request; where several processes serve, give all of them the same \
         stateKeys",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::asking::questions;

    fn ask(message: &str) -> Question {
        let asked = json!({"q": {"op": "elicit", "params": {"message": message,
            "requestedSchema": {"type": "object", "properties": {}}}}});
        questions(&asked.to_string()).expect("valid").remove(0)
    }

    fn answers(text: &str) -> Json {
        Json::from(text.to_owned())
    }

    #[test]
    fn answers_and_stored_values_come_back() {
        let mut memory = Memory::default();
        assert!(memory.keep("charged", "{\"id\": 7}"));
        let state = memory.to_sealed(&[ask("one")], 1000);
        let later =
            Memory::recall(Some(&state), &answers(r#"{"q": {"action": "decline"}}"#), 999).expect("valid");
        assert_eq!(later.kept("charged").map(Json::as_str), Some("{\"id\": 7}"));
        assert_eq!(later.answer(&ask("one")).map(Json::as_str), Some(r#"{"action": "decline"}"#));
        assert!(later.answer(&ask("another")).is_none(), "the same key, another question");

        let state = later.to_sealed(&[], 1000);
        let third =
            Memory::recall(Some(&state), &answers(r#"{"q": {"action": "accept"}}"#), 0).expect("valid");
        assert_eq!(
            third.answer(&ask("one")).map(Json::as_str),
            Some(r#"{"action": "decline"}"#),
            "answered before"
        );
        assert_eq!(third.kept_json().as_deref(), Some("{\"charged\":{\"id\": 7}}"));
    }

    #[test]
    fn an_answer_may_come_unasked_but_not_too_late() {
        let memory = Memory::recall(None, &answers(r#"{"q": 5}"#), 0).expect("valid");
        assert_eq!(memory.answer(&ask("anything")).map(Json::as_str), Some("5"));
        assert!(Memory::recall(None, &answers("null"), 0).is_ok());
        assert!(Memory::recall(None, &answers("[]"), 0).is_err());
        let state = Memory::default().to_sealed(&[], 1000);
        assert!(Memory::recall(Some(&state), &Json::default(), 1000).is_err(), "expired");
    }

    #[test]
    fn a_call_cannot_store_without_end() {
        let mut memory = Memory::default();
        let half = format!("\"{}\"", "x".repeat(MAX_KEPT / 2));
        assert!(memory.keep("a", &half));
        assert!(memory.keep("a", &half), "instead of the first");
        assert!(!memory.keep("b", &half));
    }
}
