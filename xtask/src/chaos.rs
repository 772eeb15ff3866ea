//! `cargo xtask chaos`: tasks under load while their servers and stores die; `tests/chaos` does it and judges.

use crate::args::Args;
use crate::process::exists;
use crate::session::{Log, Session, target};
use crate::setup::{self, WHOLE};

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
    if !session.step("build the Rust workspace", |log| setup::cargo(["build"].iter().chain(&WHOLE)).run(log))
    {
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
                session.step(&name, |log| chaos(backend, quick, seed, log));
            }
        }
    }
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') { std::path::Path::new(program).exists() } else { exists(program) }
}

fn chaos(backend: &str, quick: bool, seed: Option<&str>, log: &Log) -> Result<(), String> {
    let program = target().join("debug/chaos");
    let mut words = vec![backend];
    words.extend(quick.then_some("--quick"));
    words.extend(seed.iter().flat_map(|seed| ["--seed", seed]));
    crate::process::cmd(&program.to_string_lossy(), words).run(log)
}
