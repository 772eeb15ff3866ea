//! Tests of the protocol through its public API: one program, so that it is linked once.

mod auth;
mod auth_resource;
mod catalog;
mod framing;
mod limits;
mod models;
#[path = "../../../tests/vectors/pattern.rs"]
mod pattern;
mod properties;
#[path = "../../../tests/vectors/schema.rs"]
mod schema;
mod vectors;
