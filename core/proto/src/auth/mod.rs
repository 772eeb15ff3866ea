//! Client authorization (OAuth 2.1) as pure state machines.
//!
//! [`Flow`](flow::Flow) is the complete flow. It receives a challenge and returns the next action
//! ([`Step`](flow::Step)): send this HTTP request, open this page, sign this text, done, failed. The result
//! of an action is passed back as an [`Input`](flow::Input). Time and random bytes are arguments ([`Fresh`]).
//! The other modules are the individual rules, usable alone; [`challenge`] parses the headers of a refusal.
//!
//! Duties of the driver, which a pure machine cannot enforce:
//! - send requests exactly as given, **follow no redirect**, and read at most [`MAX_RESPONSE_BYTES`] of a
//!   response (one more byte is enough for the machine to refuse it);
//! - before connecting to a name, check each resolved address with [`url::AddressPolicy::permits`];
//! - keep [`Credentials`](credentials::Credentials) in a store that compares versions before it writes.
//!
//! Sources: the authorization pages of the specification (2025-03-26 to 2026-07-28), RFC 6749, 6750, 7523,
//! 7591, 7636, 8414, 8693, 8707, 9207, 9449 and 9728. Issuers, `iss` and `resource` are compared and sent as
//! the strings that were received; no URL is parsed and printed again.

pub mod authorize;
pub mod challenge;
pub mod credentials;
pub mod dpop;
pub mod error;
pub mod flow;
pub mod http;
pub mod metadata;
pub mod pkce;
pub mod registration;
pub mod resource;
pub mod scope;
pub mod token;
pub mod url;

pub use credentials::{Credentials, Secret};
pub use error::AuthError;
pub use flow::{Challenge, Config, Flow, Input, Step};
pub use http::{HttpRequest, HttpResponse};

/// Most bytes of an answer of a metadata, registration or token endpoint.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// Time and randomness of one input. Each value is for one call of [`Flow::step`]; never pass the same bytes twice.
#[derive(Clone)]
pub struct Fresh {
    /// Seconds since 1970-01-01 UTC.
    pub now: u64,
    /// From a cryptographic generator: code verifier, `state` and `jti` are cut from it.
    pub random: [u8; 64],
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Fresh {
    pub(crate) fn verifier(&self) -> String {
        base64url(&self.random[..32])
    }

    pub(crate) fn state(&self) -> String {
        base64url(&self.random[32..48])
    }

    pub(crate) fn jti(&self) -> String {
        base64url(&self.random[48..])
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
