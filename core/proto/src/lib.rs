//! The Model Context Protocol as pure state machines.
//!
//! Bytes, time and completions come in; bytes, events and the next deadline go out. There is no I/O, no clock,
//! no entropy and no thread in this crate, so every rule of the protocol can be tested by value.
//!
//! The contract of every machine: mutate, then drain `poll()` until `None`, then read `next_deadline()`.
//!
//! Revisions fall into two [`Era`]s: *legacy* (2024-11-05 to 2025-11-25: an `initialize` handshake) and
//! *modern* (2026-07-28 and later: every request carries its own metadata). What exists in which revision is
//! the [method table](methods), and nothing else.

pub mod auth;
pub mod client;
pub mod error;
pub mod header;
pub mod json;
pub mod jsonrpc;
pub mod limits;
pub mod meta;
pub mod methods;
pub mod model;
pub mod outcome;
pub mod revision;
pub mod server;
pub mod sse;
pub mod tasks;
pub mod trace;

pub use error::{ErrorKind, RpcError};
pub use jsonrpc::Id;
pub use limits::Limits;
pub use revision::{Era, Revision};
