//! Servers that let nobody else in, over real HTTP, with an authorization server of our own.

mod callers;
mod carried;
mod clients;
mod issuers;
mod proofs;
mod tokens;
pub mod world;
