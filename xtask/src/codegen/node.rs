//! `node/src/generated.ts`.

use super::MARK;
use super::surface::{Item, Opt, Surface, camel, error_class, pascal};

/// The whole file.
pub fn file(surface: &Surface) -> String {
    let _ = (surface, MARK, camel("a"), error_class("a"), pascal("a"));
    let _: Option<(Item, Opt)> = None;
    String::new()
}
