//! Load generator and floor server of the benchmarks.
//!
//! `load` drives a server over raw keep-alive TCP connections or over its standard streams, with requests
//! that were built beforehand, so that the driver costs little. `floor` answers the same requests with bare
//! hyper + serde_json and no protocol work: the physical limit that every figure is compared with.

pub mod http;
pub mod sample;
pub mod stdio;
pub mod wire;
