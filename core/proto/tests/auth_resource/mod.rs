//! The rules of a server that accepts tokens, with time as an argument.

mod keys;
mod proofs;
mod rules;
