//! The server machines: one [`Exchange`] per request, one [`ServerConn`] per byte stream, one
//! [`admit_post`](post::admit_post) per HTTP POST.

mod conn;
mod encode;
mod exchange;
pub mod post;
mod request;

pub use conn::{Output, ServerConn, Time};
pub use encode::{Finished, Stamp};
pub use exchange::{Exchange, LogEntry, LogLevel, Progress};
pub use request::{Request, Settings};
