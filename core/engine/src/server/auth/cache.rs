//! Cache of the verdicts on tokens. The keys are digests of the tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use trunnion_proto::auth::resource::{Caller, Refusal};

use crate::sync::lock;

/// Maximum number of cached tokens.
const MAX_KNOWN: usize = 4096;

/// SHA-256 of a token.
pub(super) type Digest = [u8; 32];

pub(super) fn digest(token: &str) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The result of a check: the caller, or the refusal.
pub(super) type Verdict = Result<Arc<Caller>, Refusal>;

/// The tokens of one endpoint. Times are seconds since 1970.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<Digest, (u64, Verdict)>>);

impl Known {
    /// Returns the cached verdict on a token, unless it has expired.
    pub fn get(&self, token: &Digest, now: u64) -> Option<Verdict> {
        let known = lock(&self.0);
        known.get(token).filter(|(until, _)| *until > now).map(|(_, verdict)| verdict.clone())
    }

    /// Remember until then.
    pub fn put(&self, token: Digest, verdict: Verdict, until: u64, now: u64) {
        let mut known = lock(&self.0);
        if known.len() >= MAX_KNOWN && !known.contains_key(&token) {
            known.retain(|_, (until, _)| *until > now);
            // Still full: what would be forgotten next goes now.
            if known.len() >= MAX_KNOWN
                && let Some(first) =
                    known.iter().min_by_key(|(_, (until, _))| *until).map(|(token, _)| *token)
            {
                known.remove(&first);
            }
        }
        known.insert(token, (until, verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_are_remembered() {
        let known = Known::default();
        for number in 0..MAX_KNOWN as u64 + 10 {
            known.put(digest(&number.to_string()), Err(Refusal::Inactive), 100 + number, 0);
        }
        assert_eq!(lock(&known.0).len(), MAX_KNOWN);
        assert!(known.get(&digest("0"), 0).is_none(), "the first to be forgotten");
        assert!(known.get(&digest("4000"), 4099).is_some() && known.get(&digest("4000"), 4100).is_none());
    }
}
