//! The other side of an authorization: what a server that takes tokens has to check (OAuth 2.1, section 5).
//!
//! Everything here is a rule by value: texts and the time come in, claims or a [`Refusal`] come out. Signatures are
//! checked by the driver, which is told over what ([`jws::Jws`]); so are HTTP, keys and randomness its part.
//!
//! Sources: the authorization pages of the specification, RFC 6750, 7515, 7517, 7519, 7638, 7662, 8414, 8707, 9068,
//! 9449 and 9728.

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
