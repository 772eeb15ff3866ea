//! The server machines: one [`Exchange`] per request, one [`ServerConn`] per byte stream, one
//! [`admit_post`](post::admit_post) per HTTP POST.

mod asking;
pub mod catalog;
mod conn;
mod content;
mod elicitations;
mod encode;
mod exchange;
pub mod memory;
mod notice;
pub mod post;
mod request;
pub(crate) mod schema;
mod session;
mod template;

pub use asking::{Question, questions};
pub use conn::{Output, ServerConn, Time};
pub use elicitations::Elicitations;
pub use encode::{Finished, Stamp};
pub use exchange::{Exchange, LogEntry, LogLevel, Progress};
pub use notice::{Filter, Notice};
pub use request::{Request, Settings};
pub use session::Session;
