//! A client that authorizes itself, against an MCP server and an authorization server of our own, on loopback.

mod flights;
mod grants;
mod host;
mod hostile;
mod stores;
mod world;
