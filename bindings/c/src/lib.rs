//! `libtrunnion`: the facade as plain C functions. `include/trunnion.h` is generated from this crate, so the
//! doc comments of exported items are written for C readers.
//!
//! Conversion, ownership, errors and panics are handled here; protocol rules are not.

#![allow(non_camel_case_types, reason = "the names are those of the C header")]
#![allow(clippy::missing_safety_doc, reason = "the rules for callers stand once, at the top of the header")]

mod client;
mod engine;
mod json;
mod memory;
mod run;
mod server;
mod status;
mod surface;
mod version;
mod write;
