//! Clients that authorize themselves, against an MCP server and an authorization server of the tests, on
//! loopback.

mod flights;
mod grants;
mod host;
mod hostile;
mod stores;
mod world;
