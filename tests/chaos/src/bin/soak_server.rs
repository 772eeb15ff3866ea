//! The server of `soak`: a host of the engine with one of its two drivers.
//!
//! ```sh
//! soak_server hosted|threaded
//! ```
//!
//! It prints `port N`, and for each line `live` of its standard input the engine's counters. When its
//! standard input ends, it closes the engine, prints the counters once more and ends.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunnion::Error;
use trunnion_facade::{Completion, Engine, Event};

const TEXT: u32 = 1;
const CALL_TOOL: u32 = 1;
const CANCELLED: u32 = 5;
const ERROR: u32 = 11;
const LISTENING: u32 = 13;
/// Bytes of the answer of the tool `big`.
const BIG: usize = 1 << 20;

fn main() -> Result<(), Error> {
    let driver = std::env::args().nth(1).unwrap_or_else(|| "hosted".into());
    let engine = Engine::new(&json!({ "driver": driver }).to_string())?;
    let server = engine.server_new(r#"{"name":"soak","version":"1"}"#)?;
    let takes = |name: &str, argument: &str, kind: &str| json!({"name": name, "inputSchema": {"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]}});
    let tools = [
        takes("echo", "text", "string"),
        json!({"name": "big"}),
        takes("later", "ms", "integer"),
        takes("steps", "n", "integer"),
        json!({"name": "hang"}),
    ];
    for (target, tool) in (0..).zip(&tools) {
        engine.server_add(server, "tool", &tool.to_string(), "{}", target)?;
    }
    let options = json!({"port": 0, "sessionIdleMs": 5000, "allowedHosts": ["127.0.0.1"]});
    engine.serve_http(server, &options.to_string())?;

    let closing = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let (engine, closing) = (engine.clone(), closing.clone());
        move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if line == "live" {
                    give_back();
                    println!("{}", engine.live());
                }
            }
            closing.store(true, Ordering::Release);
        }
    });
    Host { engine: engine.clone(), later: BTreeMap::new(), big: "x".repeat(BIG) }.run(&closing)?;
    engine.close(Duration::from_secs(10));
    println!("{}", engine.live());
    Ok(())
}

/// Returns freed memory to the system, so that resident memory is in use: glibc retains the peak otherwise.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call has no precondition.
    unsafe {
        libc::malloc_trim(0);
    }
}

struct Host {
    engine: Engine,
    /// Delayed answers: exchange ids by their time, and a number that distinguishes equal times.
    later: BTreeMap<(Instant, u64), u64>,
    big: String,
}

impl Host {
    fn run(&mut self, closing: &AtomicBool) -> Result<(), Error> {
        let mut completions = Vec::new();
        while !closing.load(Ordering::Acquire) {
            let events = self.engine.drain(std::mem::take(&mut completions));
            if events.is_empty() {
                let next = self
                    .later
                    .first_key_value()
                    .map(|((due, _), _)| due.saturating_duration_since(Instant::now()));
                self.engine.wait(Some(next.unwrap_or(Duration::MAX).min(Duration::from_millis(100))));
            }
            for event in events {
                completions.extend(self.answer(&event)?);
            }
            while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= Instant::now()) {
                completions.push(Completion { id: entry.remove(), outcome: TEXT, payload: "later".into() });
            }
        }
        Ok(())
    }

    fn answer(&mut self, event: &Event) -> Result<Option<Completion>, Error> {
        let text = |payload: &str| Some(Completion { id: event.id, outcome: TEXT, payload: payload.into() });
        let input: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        Ok(match event.kind {
            LISTENING => {
                println!("port {}", input["port"]);
                None
            }
            ERROR => return Err(Error::internal(event.payload.clone())),
            // No client waits for it any more, but begun work is ended.
            CANCELLED => {
                self.later.retain(|_, id| *id != event.id);
                text("cancelled")
            }
            CALL_TOOL => match event.target {
                0 => text(input["text"].as_str().unwrap_or_default()),
                1 => text(&self.big),
                2 => {
                    let due =
                        Instant::now() + Duration::from_millis(input["ms"].as_u64().unwrap_or_default());
                    self.later.insert((due, event.id), event.id);
                    None
                }
                3 => {
                    let steps = input["n"].as_u64().unwrap_or_default();
                    for step in 1..=steps {
                        self.engine
                            .progress(event.id, &json!({"progress": step, "total": steps}).to_string())?;
                    }
                    text("steps")
                }
                _ => None,
            },
            _ => None,
        })
    }
}
