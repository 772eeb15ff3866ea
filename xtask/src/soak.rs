//! `cargo xtask soak`: hostile and careless clients beside well-behaved ones, on a server of each driver; the
//! program is in `tests/chaos`.

use std::time::Duration;

use crate::args::Args;
use crate::process::cmd;
use crate::session::{Session, Work, target};
use crate::setup;

/// Minutes of load without `--minutes`, and seconds as a part of the tests.
const MINUTES: u64 = 10;
const SHORT: u64 = 30;
/// Time for the server to settle, and a margin.
const GRACE: Duration = Duration::from_secs(300);

/// `cargo xtask soak [--minutes N] [--seed N]`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let minutes = match args.option("--minutes")? {
        Some(text) => text.parse().ok().filter(|minutes| *minutes > 0).ok_or("--minutes wants a number")?,
        None => MINUTES,
    };
    let seed = args.option("--seed")?;
    args.done()?;
    if session.step("build the server and its clients", |log| setup::build(&["trunnion-chaos"]).run(log)) {
        steps(session, minutes * 60, seed.as_deref());
    }
    Ok(())
}

/// The short form, as a part of the tests; two minutes, with the time that the servers take to settle.
pub fn short(session: &Session) {
    steps(session, SHORT, None);
}

/// A step for each driver, both at the same time.
fn steps(session: &Session, seconds: u64, seed: Option<&str>) {
    let work = ["hosted", "threaded"].map(|driver| -> Work<'_> {
        let soak = move |_: &crate::session::Log| {
            let program = target().join("debug/soak").to_string_lossy().into_owned();
            let count = seconds.to_string();
            let words = [driver, "--seconds", &count]
                .into_iter()
                .chain(seed.iter().flat_map(|seed| ["--seed", seed]));
            let finished = cmd(&program, words).output_within(Duration::from_secs(seconds) + GRACE)?;
            print!("{}", finished.stdout);
            finished.success()
        };
        (format!("soak: {driver}"), Box::new(soak))
    });
    session.parallel(work.into());
}
