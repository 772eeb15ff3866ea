//! Server side of authorization: the checks of a server that accepts tokens (OAuth 2.1, section 5).
//!
//! The rules are pure functions: texts and the time are the input, claims or a [`Refusal`] the output. The
//! driver checks signatures over the bytes that [`jws::Jws`] names, and provides HTTP, keys and randomness.
//!
//! Sources: the authorization pages of the specification, RFC 6750, 7515, 7517, 7519, 7638, 7662, 8414, 8707,
//! 9068, 9449 and 9728.

pub mod challenge;
pub mod claims;
pub mod document;
pub mod jws;
pub mod keys;
pub mod proof;
pub mod refusal;
pub mod visibility;

pub use claims::{Access, Caller};
pub use refusal::Refusal;
pub use visibility::Visibility;
