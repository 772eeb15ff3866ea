//! trunnion: the Model Context Protocol for servers and clients.

pub mod client;
pub mod host;
