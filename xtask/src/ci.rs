//! `cargo xtask ci`: the steps of `.ci/run` as one command, so that every set-up runs once and one table
//! shows all times.

use crate::args::Args;
use crate::session::Session;
use crate::{conformance, lint, test};

/// `cargo xtask ci`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    args.done()?;
    lint::all(session);
    test::all(session)?;
    conformance::all(session)
}
