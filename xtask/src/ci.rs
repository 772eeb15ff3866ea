//! `cargo xtask ci`: what `.ci/run` runs, as one command, so that nothing is set up twice and one table shows all times.

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
