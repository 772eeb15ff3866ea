//! The common interface of all bindings: poll/complete over a small typed envelope plus JSON text.
//!
//! An [`Engine`] owns one event queue. The host watches [`Engine::fd`] with its own loop (or blocks in
//! [`Engine::wait`], or receives the callback of [`Engine::set_wake`]), calls [`Engine::drain`], runs user
//! code in its own way and answers by id with [`Engine::complete`]. This crate never calls user code, and
//! every function may be called from any thread. The names, numbers and option keys are those of
//! `bindings/surface.toml`.

pub use trunnion::host::{Completion, Engine, Error, Event};

/// The engine's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
