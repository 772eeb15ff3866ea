//! The rules of a server that takes tokens, with time as an argument.

mod keys;
mod proofs;
mod rules;
