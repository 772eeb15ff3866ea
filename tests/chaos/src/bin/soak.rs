//! Hostile and careless clients beside well-behaved ones on one server.
//!
//! Properties that must hold: every call of a well-behaved client is answered correctly; when all have left,
//! descriptors and live handles are back to their first numbers, memory is close to it, and a new client is
//! served.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use trunnion::Era;
use trunnion_chaos::judge::Judge;
use trunnion_chaos::random::Random;
use trunnion_chaos::soak::hostile::KINDS;
use trunnion_chaos::soak::polite;
use trunnion_chaos::soak::process::Server;

const USAGE: &str = "usage: soak hosted|threaded [--seconds N] [--seed N]";
const SECONDS: u64 = 600;
/// Well-behaved clients of each era.
const POLITE: usize = 4;
/// Number of hostile clients of each kind at a time.
const OF_A_KIND: usize = 2;
/// Longest time for which the server may hold temporary state: its longest time limit, and a margin.
const SETTLING: Duration = Duration::from_secs(180);
/// Permitted growth of resident memory, after the server's allocator has returned free memory: a factor of
/// the start, and MiB for pages that contain small objects.
const GROWTH: f64 = 1.2;
const PAGES_MIB: f64 = 16.0;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut driver, mut seconds, mut seed) = (None, Some(SECONDS), Some(1));
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok());
        match word.as_str() {
            "--seconds" => seconds = number(),
            "--seed" => seed = number(),
            "hosted" | "threaded" => driver = Some(word),
            _ => driver = None,
        }
    }
    let (Some(driver), Some(seconds), Some(seed)) = (driver, seconds, seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    println!("{driver}: {seconds} s, seed {seed}");
    let ran =
        runtime.expect("a runtime can be made").block_on(run(&driver, Duration::from_secs(seconds), seed));
    match ran {
        Ok(judge) if judge.print() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            println!("  could not be tried: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(driver: &str, time: Duration, seed: u64) -> Result<Arc<Judge>, String> {
    let (judge, mut random) = (Arc::new(Judge::default()), Random::new(seed));
    let mut server = Server::start(driver).await?;
    let url = format!("http://127.0.0.1:{}/mcp", server.port);
    polite::is_served(url.clone()).await?;
    let (memory, files) = (server.resident()?, server.descriptors()?);

    let finish = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..POLITE {
        for era in [Era::Modern, Era::Legacy] {
            clients.spawn(polite::client(url.clone(), era, judge.clone(), finish.clone(), random.fork()));
        }
    }
    for kind in KINDS {
        for _ in 0..OF_A_KIND {
            clients.spawn(kind.visits(server.port, judge.clone(), finish.clone(), random.fork()));
        }
    }
    let (start, mut peak) = (Instant::now(), memory);
    while start.elapsed() < time {
        sleep(Duration::from_millis(500)).await;
        peak = server.resident()?.max(peak);
    }
    finish.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            judge.broken(format!("a client of the soak panicked: {error}"));
        }
    }
    judge.demand("calls of well-behaved clients answered");
    KINDS.into_iter().for_each(|kind| judge.demand(kind.name()));

    let start = Instant::now();
    let (mut live, mut open, mut held) = (Value::Null, 0, f64::MAX);
    while start.elapsed() < SETTLING {
        (live, open, held) = (server.live().await?, server.descriptors()?, server.resident()?);
        if quiet(&live) && open <= files && held <= memory * GROWTH + PAGES_MIB {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    println!("  settled after {:.0} s: {live}", start.elapsed().as_secs_f64());
    println!("  descriptors: {files}, now {open}");
    println!("  MiB of resident memory: {memory:.0}, {peak:.0} at most, now {held:.0}");
    if !quiet(&live) {
        judge.broken(format!("left behind: {live}"));
    }
    if open > files {
        judge.broken(format!("{} descriptors were left open", open - files));
    }
    if held > memory * GROWTH + PAGES_MIB {
        judge.broken(format!("{:.0} MiB were not given back", held - memory));
    }
    if let Err(why) = polite::is_served(url).await {
        judge.broken(format!("a client that came afterwards: {why}"));
    }
    let last = server.close().await?;
    if last.as_object().is_none_or(|counters| counters.values().any(|count| *count != 0)) {
        judge.broken(format!("left behind after close: {last}"));
    }
    Ok(judge)
}

/// Nothing is alive but the server itself and the operation that serves.
fn quiet(live: &Value) -> bool {
    ["exchanges", "connections", "sessions"].iter().all(|name| live[*name] == 0)
}
