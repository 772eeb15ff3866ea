//! The engine of trunnion: the drivers of [`trunnion_proto`] over real transports, with stores and telemetry.
//!
//! This crate has no promise of stability. Programs use the crate `trunnion`; the bindings of other languages use
//! `trunnion-facade`. Modules import only those of a lower floor:
//!
//! | floor | modules |
//! | --- | --- |
//! | 4 | [`client`], [`server`]: neither imports the other |
//! | 3 | [`store`], [`telemetry`] |
//! | 2 | `outbound`: outgoing HTTP |
//! | 1 | [`error`], [`driver`], [`sync`], `random` |

pub mod client;
pub mod driver;
pub mod error;
pub mod outbound;
pub(crate) mod random;
pub mod server;
pub mod store;
pub mod sync;
pub mod telemetry;
