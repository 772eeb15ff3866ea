//! What the stores of credentials have in common.

use std::time::Duration;

use crate::client::auth::Credentials;
use crate::store::StoreError;

/// For how long a turn is somebody's who does not renew it, for its process has died.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// How often it is renewed: what fails twice is not lost yet.
pub(super) const RENEW: Duration = Duration::from_secs(10);

pub(super) fn text(record: &Credentials) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(StoreError::new)
}

pub(super) fn parse(text: &str) -> Result<Credentials, StoreError> {
    // What serde says may quote the text, which holds tokens.
    serde_json::from_str(text).map_err(|_| StoreError::new("what the store holds is no credentials"))
}
