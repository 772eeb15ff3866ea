//! The tests of the facade, as a host uses it: one program, so that the engine is linked once.

mod auth;
mod carried;
mod client;
mod common;
mod server;
mod tasks;
mod vectors;
