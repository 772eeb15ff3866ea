//! Outgoing HTTP requests: URLs of servers, connections, TLS, decompression, and requests to addresses that the
//! machine permits.

mod address;
mod fetch;
pub mod http;
mod unpack;

pub use address::{server_url, unix_url};
pub(crate) use fetch::{Failure, Fetcher};
pub(crate) use http::{Lane, base_headers, install_provider};
