//! trunnion: the Model Context Protocol for servers and clients.

pub mod client;
pub(crate) mod driver;
pub(crate) mod error;
pub mod host;
pub(crate) mod outbound;
pub(crate) mod random;
pub mod server;
pub mod store;
pub(crate) mod sync;
pub mod telemetry;

pub use client::{Client, auth};
pub use error::Error;
pub use server::Server;
pub use telemetry::Telemetry;
pub use trunnion_proto::client::HttpTransport;
pub use trunnion_proto::model;
pub use trunnion_proto::revision::{Era, Revision};
/// The crates that the argument structs of the macros derive from. Structs that a program derives itself must
/// use the same versions.
#[cfg(feature = "macros")]
pub use {schemars, serde};

/// The snippets of the guide, compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct Guide;
