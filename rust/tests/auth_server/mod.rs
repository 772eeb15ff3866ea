//! Servers that reject unauthorized requests, over real HTTP, with an authorization server of the tests.

mod callers;
mod carried;
mod clients;
mod issuers;
mod proofs;
mod tokens;
pub mod world;
