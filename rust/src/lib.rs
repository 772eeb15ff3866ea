//! trunnion: the Model Context Protocol for servers and clients.

pub mod client;
pub mod server;

pub use client::{Client, auth};
pub use server::Server;
pub use trunnion_engine::error::Error;
pub use trunnion_engine::telemetry::Telemetry;
pub use trunnion_engine::{store, telemetry};
pub use trunnion_proto::client::HttpTransport;
pub use trunnion_proto::model;
pub use trunnion_proto::revision::{Era, Revision};
/// The crates that the argument structs of the macros derive from. Structs that a program derives itself must
/// use the same versions.
#[cfg(feature = "macros")]
pub use {schemars, serde};

/// The snippets of the guide, compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Guide;
