//! Clients.
mod memory;
pub use memory::{MemoryEnd, memory_pair};
