//! x
use crate::{args::Args, session::Session};
pub fn run(_s: &mut Session, _a: &mut Args) -> Result<(), String> {
    Err("soon".into())
}
