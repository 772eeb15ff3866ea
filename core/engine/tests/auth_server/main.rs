//! Servers that let nobody else in, over real HTTP, with an authorization server of our own.

#[path = "../common/mod.rs"]
mod common;

mod callers;
mod carried;
mod clients;
mod issuers;
mod proofs;
mod tokens;
mod world;
