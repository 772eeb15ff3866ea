//! `cargo xtask chaos`: tasks under load while their servers and stores die; the program and its checks are
//! in `tests/chaos`.

use std::path::Path;
use std::time::Duration;

use crate::args::Args;
use crate::process::{cmd, exists};
use crate::session::{Session, target};
use crate::setup;

/// Time limit of one back end.
const LIMIT: Duration = Duration::from_secs(600);

/// A back end and the programs that it takes.
const BACKENDS: [(&str, &[&str]); 3] = [
    ("sqlite", &[]),
    ("postgres", &["/usr/lib/postgresql", "/usr/sbin/nginx"]),
    ("redis", &["redis-server", "/usr/sbin/nginx"]),
];

/// `cargo xtask chaos`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let (quick, seed) = (args.flag("--quick"), args.option("--seed")?);
    let filter = args.option("--filter")?;
    args.done()?;
    if !session.step("build the servers and their judge", |log| setup::build(&["trunnion-chaos"]).run(log)) {
        return Ok(());
    }
    steps(session, quick, seed.as_deref(), filter.as_deref());
    Ok(())
}

/// One step for each back end whose programs are here.
pub fn steps(session: &Session, quick: bool, seed: Option<&str>, filter: Option<&str>) {
    for (backend, programs) in BACKENDS {
        let name = format!("chaos: {backend}");
        if filter.is_some_and(|part| !name.contains(part)) {
            continue;
        }
        match programs.iter().find(|program| !is_there(program)) {
            Some(missing) => session.skip(&name, &format!("{missing} is not installed")),
            None => {
                session.step(&name, |_| chaos(backend, quick, seed));
            }
        }
    }
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') { Path::new(program).exists() } else { exists(program) }
}

/// The counts are reported, whatever the outcome.
fn chaos(backend: &str, quick: bool, seed: Option<&str>) -> Result<(), String> {
    let program = target().join("debug/chaos");
    let mut words = vec![backend];
    words.extend(quick.then_some("--quick"));
    words.extend(seed.iter().flat_map(|seed| ["--seed", seed]));
    let finished = cmd(&program.to_string_lossy(), words).output_within(LIMIT)?;
    print!("{}", finished.stdout);
    finished.success()
}
