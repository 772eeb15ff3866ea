//! Measures the tasks per second of a server (created, run and finished), over each store, and the cost of a
//! poll.
//!
//!     task_bench [SECONDS]
//!
//! Server and clients are in one process, connected in memory: the engine and the store are measured. It
//! prints one line of JSON for each store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use trunnion::server::{Server, TaskSupport, Tool};
use trunnion::{Client, Error, store};
use trunnion_chaos::world::{Backend, Kept};

/// Clients at a time.
const CLIENTS: usize = 32;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: f64 = std::env::args().nth(1).map_or(Ok(2.0), |word| word.parse())?;
    let time = Duration::from_secs_f64(seconds);
    report("memory", measure("memory:", time).await);
    for backend in Backend::ALL {
        let measured = match Kept::start(backend) {
            Ok(kept) => measure(&kept.url, time).await,
            Err(why) => Err(Error::internal(why)),
        };
        report(&backend.to_string(), measured);
    }
    Ok(())
}

fn report(store: &str, measured: Result<[f64; 4], Error>) {
    match measured {
        Ok([tasks, task_cpu, polls, poll_cpu]) => println!(
            "{}",
            json!({
                "store": store, "tasks_per_second": tasks.round(), "cpu_us_per_task": task_cpu.round(),
                "polls_per_second": polls.round(), "cpu_us_per_poll": (poll_cpu * 10.0).round() / 10.0,
            })
        ),
        Err(why) => println!("{}", json!({ "store": store, "skipped": why.to_string() })),
    }
}

/// Tasks in a second, microseconds of this process's CPU for each, and the same of polls.
async fn measure(url: &str, time: Duration) -> Result<[f64; 4], Error> {
    let store = store::open(url).await.map_err(|error| Error::internal(error.to_string()))?;
    let server = Server::builder("tasks", "1.0.0")
        .task_store(store.tasks)
        .bus(store.bus)
        // Clients are notified of the end; they need not poll.
        .task_poll_interval(Duration::from_secs(10))
        .tool(Tool::new("nothing", async || "done").task(TaskSupport::Required))
        .build()?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::builder().connect(&server).await?);
    }
    let id = clients[0].call_tool("nothing", ()).task().await?.id().unwrap_or_default().to_owned();
    let [tasks, task_cpu] =
        count(&clients, time, async |client: &Client| client.call_tool("nothing", ()).await.map(drop))
            .await?;
    let [polls, poll_cpu] =
        count(&clients, time, async |client: &Client| client.task(id.as_str()).status().await.map(drop))
            .await?;
    for client in clients {
        client.close().await;
    }
    Ok([tasks, task_cpu, polls, poll_cpu])
}

/// Counts the operations of each client within the time: all together per second, and CPU microseconds per
/// operation.
async fn count(
    clients: &[Client],
    time: Duration,
    once: impl AsyncFn(&Client) -> Result<(), Error>,
) -> Result<[f64; 2], Error> {
    let done = Arc::new(AtomicU64::new(0));
    let (began, used) = (Instant::now(), cpu());
    let (once, counted) = (&once, &done);
    let each = clients.iter().map(|client| async move {
        while began.elapsed() < time {
            once(client).await?;
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Error>(())
    });
    for result in futures_util::future::join_all(each).await {
        result?;
    }
    let times = done.load(Ordering::Relaxed) as f64;
    Ok([times / began.elapsed().as_secs_f64(), (cpu() - used) * 1e6 / times])
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
