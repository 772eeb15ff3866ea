//! Tests of the engine through its public API: one program, so that its dependencies are linked once.

mod answering;
mod asking;
mod auth_client;
mod auth_server;
mod axum;
mod client;
mod client_tasks;
mod common;
mod connections;
mod foreign_issuer;
mod limits;
mod macro_faults;
mod macros;
mod server;
mod sessions;
mod shared_sessions;
mod store_contract;
mod tasks;
mod telemetry;
#[cfg(unix)]
mod unix_socket;
mod vectors;
