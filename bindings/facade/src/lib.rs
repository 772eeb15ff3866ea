//! The one surface that every language sees: poll/complete over a small typed envelope plus JSON text.
//!
//! An [`Engine`] owns one event queue. The host watches [`Engine::fd`] with its own loop (or blocks in
//! [`Engine::wait`], or is told by [`Engine::set_wake`]), calls [`Engine::drain`], runs user code in its own
//! way and answers by id with [`Engine::complete`]. Nothing here calls user code, and every function may be
//! called from any thread. The names, numbers and option keys are those of `bindings/surface.toml`.

pub use trunnion::host::{Completion, Engine, Error, Event};

/// The engine's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
