//! Tasks under load while their servers are killed, and their store is restarted.
//!
//! Clients call random replicas. Properties that must hold, whatever dies: a task whose id was returned is
//! never lost; it ends exactly once, with the right result; an answer that was acknowledged is not asked for
//! again; a side effect that was stored does not happen again; every subscriber receives the end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunnion_chaos::judge::Judge;
use trunnion_chaos::load::Load;
use trunnion_chaos::random::Random;
use trunnion_chaos::wire::Wire;
use trunnion_chaos::world::{Backend, World};

const USAGE: &str = "usage: chaos [sqlite|postgres|redis]… [--quick] [--seed N]

  SQLite: one server, killed and started again. PostgreSQL and Redis: three replicas behind nginx, killed and
  started again in turn, and the store is restarted once. --quick: fewer tasks and fewer deaths.";

/// Size of the run.
#[derive(Debug, Clone, Copy)]
struct Size {
    tasks: usize,
    at_once: usize,
    kills: usize,
}

const FULL: Size = Size { tasks: 200, at_once: 24, kills: 20 };
const QUICK: Size = Size { tasks: 40, at_once: 12, kills: 4 };

struct Arguments {
    backends: Vec<Backend>,
    size: Size,
    seed: u64,
}

fn arguments() -> Result<Arguments, String> {
    let mut backends = Vec::new();
    let (mut size, mut seed) = (FULL, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => size = QUICK,
            "--seed" => seed = words.next().and_then(|n| n.parse().ok()),
            other => {
                backends.push(Backend::parse(other).ok_or_else(|| format!("unknown word {other}\n{USAGE}"))?)
            }
        }
    }
    if backends.is_empty() {
        backends = Backend::ALL.to_vec();
    }
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = seed.unwrap_or_else(|| clock().map_or(1, |now| now.as_nanos() as u64));
    Ok(Arguments { backends, size, seed })
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let mut held = true;
    for backend in arguments.backends {
        println!("\n{backend}: seed {}", arguments.seed);
        match runtime.block_on(run(backend, arguments.size, arguments.seed)) {
            Ok(judge) => held &= judge.print(),
            Err(why) => {
                println!("  could not be tried: {why}");
                held = false;
            }
        }
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(backend: Backend, size: Size, seed: u64) -> Result<Judge, String> {
    let began = Instant::now();
    let mut random = Random::new(seed);
    let mut world = World::start(backend)?;
    let wire = Arc::new(Wire::new(world.urls())?);
    let judge = Arc::new(Judge::default());
    let load = Load::start(wire.clone(), judge.clone(), size.tasks, size.at_once, random.fork());
    for kill in 1..=size.kills {
        tokio::time::sleep(Duration::from_millis(random.between(100, 700))).await;
        world.kill_and_restart(kill)?;
        judge.count("servers killed", 1);
        if kill == size.kills / 2 && world.restart_store()? {
            judge.count("store restarts", 1);
        }
    }
    load.finish().await;
    judge.ledger(&world.ledger()?);
    for what in ["tasks completed", "answers acknowledged", "listeners told the end", "side effects stored"] {
        judge.demand(what);
    }
    judge.count("milliseconds", began.elapsed().as_millis() as u64);
    drop(world);
    Arc::try_unwrap(judge).map_err(|_| "a listener is left over".to_owned())
}
