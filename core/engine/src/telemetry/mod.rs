//! OpenTelemetry: a span for each request handled or sent, and how long they took, by OTLP/HTTP with JSON.
//!
//! Names and attributes follow the semantic conventions for MCP of OpenTelemetry (status: development). Nothing of a
//! request is told but names: no arguments, no content, no error messages. Requests put what they have to tell into a
//! bounded queue and go on; one task sends it. Why this is no use of the `opentelemetry` crates is in ADR 11.

mod client;
mod export;
mod otlp;
mod span;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};

use crate::client::{Lane, base_headers, server_url};
use crate::error::Error;
use crate::lock;

pub(crate) use client::Tracer;
use otlp::{Histogram, Series};
use span::Ended;
pub(crate) use span::{Failure, Span};

/// Spans that wait to be sent; above it the oldest goes.
const MAX_WAITING: usize = 2048;
/// As many are sent at once, without waiting for the next time.
const BATCH: usize = 512;
/// Different sets of attributes of the durations; what comes after is counted together.
const MAX_SERIES: usize = 1000;

/// Where spans and durations go: a collector that takes OTLP over HTTP. Cheap to clone; give it to
/// [`ServerBuilder::telemetry`](crate::server::ServerBuilder::telemetry) and
/// [`ClientBuilder::telemetry`](crate::client::ClientBuilder::telemetry). A collector that is down slows and fails
/// nothing. What is left when the last clone is dropped is sent by the runtime, if that lives; [`Telemetry::flush`] waits.
#[derive(Clone)]
pub struct Telemetry {
    queue: Arc<Queue>,
    commands: mpsc::UnboundedSender<Command>,
}

/// Describes a [`Telemetry`].
#[derive(Debug, Clone)]
#[must_use = "telemetry begins with start()"]
pub struct TelemetryBuilder {
    endpoint: String,
    service_name: Option<String>,
    headers: Vec<(String, String)>,
}

/// What waits to be sent.
struct Queue {
    waiting: Mutex<Waiting>,
    /// Spans that were never received.
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Ended>,
    durations: HashMap<Series, Histogram>,
    /// Something was counted since the durations were last sent.
    counted: bool,
}

enum Command {
    /// A batch is full.
    Export,
    /// Send all there is, then say so.
    Flush(Box<dyn FnOnce() + Send>),
}

/// Where and as whom to send.
struct Destination {
    traces: Lane,
    metrics: Lane,
    headers: HeaderMap,
    service_name: String,
}

impl Telemetry {
    /// Begin to describe where to send, for example `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are appended.
    pub fn builder(endpoint: impl Into<String>) -> TelemetryBuilder {
        TelemetryBuilder { endpoint: endpoint.into(), service_name: None, headers: Vec::new() }
    }

    /// Send everything that waits. False: that took longer than `limit`; it goes on.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        self.command(Command::Flush(Box::new(move || {
            let _ = done.send(());
        })));
        matches!(tokio::time::timeout(limit, flushed).await, Ok(Ok(())))
    }

    /// How many spans were dropped: the queue was full, or the collector did not take them.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// [`Telemetry::flush`] on a thread that may block, and is none of the runtime's.
    pub(crate) fn flush_blocking(&self, limit: Duration) {
        let (done, flushed) = std::sync::mpsc::channel();
        self.command(Command::Flush(Box::new(move || {
            let _ = done.send(());
        })));
        let _ = flushed.recv_timeout(limit);
    }

    fn command(&self, command: Command) {
        // The task is gone with its runtime: nobody waits, as the sender in the command is dropped.
        let _ = self.commands.send(command);
    }

    /// A span has ended.
    fn take(&self, ended: Ended) {
        let full = {
            let mut waiting = lock(&self.queue.waiting);
            let mut series = ended.series();
            if waiting.durations.len() >= MAX_SERIES && !waiting.durations.contains_key(&series) {
                series = Series::overflow(series.side);
            }
            waiting.durations.entry(series).or_default().add(ended.took);
            waiting.counted = true;
            if ended.sampled() {
                if waiting.spans.len() >= MAX_WAITING {
                    waiting.spans.pop_front();
                    self.queue.dropped.fetch_add(1, Ordering::Relaxed);
                }
                waiting.spans.push_back(ended);
            }
            waiting.spans.len() == BATCH
        };
        if full {
            self.command(Command::Export);
        }
    }
}

impl TelemetryBuilder {
    /// Who sends it: the resource attribute `service.name`. Default: `trunnion`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// A header for every request to the collector, such as an API key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Begin, on the tokio runtime of the caller. Fails with kind `usage` for what is no URL, no header, or where there is
    /// no runtime.
    pub fn start(self) -> Result<Telemetry, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::usage("telemetry needs a tokio runtime"))?;
        self.start_on(&runtime)
    }

    pub(crate) fn start_on(self, runtime: &tokio::runtime::Handle) -> Result<Telemetry, Error> {
        let wrong = |what: &str, why: String| Error::usage(format!("telemetry.{what}: {why}"));
        server_url(&self.endpoint).map_err(|why| wrong("endpoint", why))?;
        let lane = |path: &str| {
            let url = format!("{}{path}", self.endpoint.trim_end_matches('/'));
            Lane::new(&url).map_err(|why| wrong("endpoint", why))
        };
        let destination = Destination {
            traces: lane("/v1/traces")?,
            metrics: lane("/v1/metrics")?,
            headers: base_headers(&self.headers).map_err(|why| Error::usage(format!("telemetry.{why}")))?,
            service_name: self.service_name.clone().unwrap_or_else(|| "trunnion".into()),
        };
        let queue = Arc::new(Queue { waiting: Mutex::default(), dropped: AtomicU64::new(0) });
        let (commands, receiver) = mpsc::unbounded_channel();
        runtime.spawn(export::run(queue.clone(), destination, receiver));
        Ok(Telemetry { queue, commands })
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}
