//! URL mode elicitations that a session has received, and that the server may report as complete (2025-11-25,
//! elicitation, "Completion Notifications for URL Mode Elicitation").

use std::collections::VecDeque;

use serde::Deserialize;

use crate::error::RpcError;
use crate::limits::MAX_URI;
use crate::outcome::Outcome;
use crate::revision::Revision;

/// The code of an error with the pages that the user must visit before the request is sent again (2025-11-25,
/// elicitation, "URL Elicitation Required Error").
const ELICITATION_REQUIRED: i64 = -32042;
/// Most elicitations of one session whose completion can still be reported: the newest ones.
const MAX_OPEN: usize = 256;

/// The elicitations of one legacy session that are not known to be complete.
#[derive(Debug, Default)]
pub struct Elicitations {
    open: VecDeque<String>,
}

impl Elicitations {
    /// Remembers an elicitation of the session by its id. Revisions other than 2025-11-25 do not report the
    /// completion.
    pub fn asked(&mut self, revision: Revision, id: &str) {
        if revision != Revision::V2025_11_25 || id.len() > MAX_URI || self.open.iter().any(|open| open == id)
        {
            return;
        }
        if self.open.len() >= MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(id.to_owned());
    }

    /// Remembers the elicitations of the error with which a request of the session ends.
    pub fn ended(&mut self, revision: Revision, outcome: &Outcome) {
        if let Outcome::Error(error) = outcome {
            for id in required(error) {
                self.asked(revision, &id);
            }
        }
    }

    /// Removes an elicitation that is complete. True: this session received it, and was not yet notified.
    pub fn complete(&mut self, id: &str) -> bool {
        let known = self.open.iter().position(|open| open == id);
        known.is_some_and(|index| self.open.remove(index).is_some())
    }
}

/// Returns the ids of the elicitations of an error.
fn required(error: &RpcError) -> Vec<String> {
    #[derive(Deserialize)]
    struct Data {
        elicitations: Vec<Elicitation>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Elicitation {
        elicitation_id: String,
    }
    let data = error.data.as_ref().filter(|_| error.code == ELICITATION_REQUIRED);
    let data = data.and_then(|data| serde_json::from_str::<Data>(data.get()).ok());
    let elicitations = data.map_or_else(Vec::new, |data| data.elicitations);
    elicitations.into_iter().map(|elicitation| elicitation.elicitation_id).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn an_elicitation_is_complete_once_and_only_where_it_was_asked() {
        let mut session = Elicitations::default();
        session.asked(Revision::V2025_11_25, "a");
        assert!(!session.complete("b"));
        assert!(session.complete("a"));
        assert!(!session.complete("a"), "it was told");
        for revision in [Revision::V2025_06_18, Revision::LATEST] {
            session.asked(revision, "c");
            assert!(!session.complete("c"), "{revision:?} has no such notification");
        }
    }

    #[test]
    fn the_newest_elicitations_of_a_session_are_kept() {
        let mut session = Elicitations::default();
        for n in 0..=MAX_OPEN {
            session.asked(Revision::V2025_11_25, &n.to_string());
        }
        assert!(!session.complete("0"));
        assert!(session.complete("1"));
        assert!(session.complete(&MAX_OPEN.to_string()));
        session.asked(Revision::V2025_11_25, &"x".repeat(MAX_URI + 1));
        assert!(!session.complete(&"x".repeat(MAX_URI + 1)));
    }

    #[test]
    fn an_error_that_requires_elicitations_asks_for_them() {
        let error = |code: i64| RpcError {
            code,
            ..RpcError::new(ErrorKind::InternalError, "sign in first")
                .with_data(json!({"elicitations": [{"mode": "url", "elicitationId": "a"}]}))
        };
        let mut session = Elicitations::default();
        session.ended(Revision::V2025_11_25, &Outcome::Error(error(-32603)));
        assert!(!session.complete("a"), "another error");
        session.ended(Revision::V2025_11_25, &Outcome::Error(error(ELICITATION_REQUIRED)));
        assert!(session.complete("a"));
    }
}
