//! The server that is killed: one tool, in which every step is a side effect that the ledger counts.
//!
//!     chaos_server PORT STORE LEDGER

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunnion::Error;
use trunnion::server::{Args, Ask, Context, Server, State, TaskSupport, Tool};

/// Short, for the tasks of a dead server are to be taken over within the patience of a test.
const LEASE: Duration = Duration::from_millis(1500);

#[derive(Deserialize, JsonSchema)]
struct Work {
    key: String,
    steps: u32,
    #[serde(default)]
    ask: bool,
    #[serde(default)]
    fail: bool,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Word {
    word: String,
}

/// Lines that many processes append to.
struct Ledger(File);

impl Ledger {
    fn open(path: &Path) -> std::io::Result<Ledger> {
        OpenOptions::new().append(true).open(path).map(Ledger)
    }

    /// In one write: lines of several processes do not mix.
    fn note(&self, word: &str, key: &str, step: u32) -> Result<(), Error> {
        let line = format!("{word} {key} {step}\n");
        (&self.0).write_all(line.as_bytes()).map_err(|error| Error::internal(error.to_string()))
    }
}

async fn work(Args(work): Args<Work>, ledger: State<Ledger>, ctx: Context) -> Result<String, Error> {
    let done: u32 = ctx.last_checkpoint()?.unwrap_or(0);
    for step in done..work.steps {
        ctx.once(&format!("step {step}"), || async {
            ledger.note("effect", &work.key, step)?;
            Ok::<_, Error>(step)
        })
        .await?;
        ledger.note("stored", &work.key, step)?;
        ctx.checkpoint(&(step + 1)).await?;
        ctx.progress(f64::from(step + 1), Some(f64::from(work.steps)), Some("another step is done"));
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let mut words = vec![work.key.clone(), work.steps.to_string()];
    if work.ask {
        let asks = ["first", "second"].map(|key| (key, Ask::form::<Word>(format!("The {key} word?"))));
        let answers = ctx.ask(asks).await?;
        for key in ["first", "second"] {
            words.extend(answers.form::<Word>(key)?.accepted().map(|answer| answer.word));
        }
    }
    if work.fail {
        return Err(Error::internal("it was to fail"));
    }
    Ok(words.join(" "))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("usage: chaos_server PORT STORE LEDGER");
    let (port, store, ledger) = (word()?, word()?, word()?);
    let store = trunnion::store::open(&store).await?;
    let server = Server::builder("chaos", "1.0.0")
        .state(Ledger::open(ledger.as_ref())?)
        .task_store(store.tasks)
        .bus(store.bus)
        .task_lease(LEASE)
        .task_poll_interval(Duration::from_millis(50))
        .tool(Tool::new("work", work).task(TaskSupport::Required).resumable())
        .build()?;
    server.serve_http(format!("127.0.0.1:{port}")).await?;
    Ok(())
}
