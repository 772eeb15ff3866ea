//! trunnion: the Model Context Protocol for servers and clients.

mod driver;
pub mod host;
