//! OpenTelemetry: a span and the duration of each request that is handled or sent, exported by OTLP/HTTP with
//! JSON.
//!
//! Names and attributes follow the semantic conventions for MCP of OpenTelemetry (status: development). Only
//! names are exported: no arguments, no content, no error messages. Requests put their data into a bounded
//! queue without waiting; one task sends it. ADR 11 explains why the `opentelemetry` crates are not used.

mod export;
mod otlp;
mod span;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::outbound::{Lane, base_headers, server_url};
use crate::sync::lock;

use otlp::{Histogram, Series};
use span::Ended;
pub(crate) use span::{Failure, Span};

/// Maximum number of spans in the queue; beyond it, the oldest is dropped.
const MAX_WAITING: usize = 2048;
/// Number of spans in the queue that starts an export before the next interval, and maximum number of spans
/// of one request.
const BATCH: usize = 512;
/// Maximum number of different attribute sets of the durations; further ones share one overflow series.
const MAX_SERIES: usize = 1000;

/// An exporter of spans and durations to a collector that accepts OTLP over HTTP. Cheap to clone; pass it to
/// `ServerBuilder::telemetry` and
/// `ClientBuilder::telemetry`. An unavailable collector causes
/// neither delays nor failures. When the last clone is dropped, the runtime sends the rest if it still runs;
/// [`Telemetry::flush`] waits for it.
#[derive(Clone)]
pub struct Telemetry {
    queue: Arc<Queue>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The options of a [`Telemetry`].
#[derive(Debug, Clone)]
#[must_use = "telemetry begins with start()"]
pub struct TelemetryBuilder {
    endpoint: String,
    service_name: Option<String>,
    headers: Vec<(String, String)>,
}

/// The data that waits to be sent.
struct Queue {
    waiting: Mutex<Waiting>,
    /// The number of spans that the collector never received.
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Ended>,
    durations: HashMap<Series, Histogram>,
    /// True if a duration was recorded since the durations were last sent.
    counted: bool,
}

enum Command {
    /// Sends a full batch.
    Export,
    /// Sends everything, then calls the function.
    Flush(Box<dyn FnOnce() + Send>),
}

/// The endpoints and the sender's name.
struct Destination {
    traces: Lane,
    metrics: Lane,
    headers: HeaderMap,
    service_name: String,
}

impl Telemetry {
    /// Returns a builder for this endpoint, for example `http://127.0.0.1:4318`; `/v1/traces` and
    /// `/v1/metrics` are appended.
    pub fn builder(endpoint: impl Into<String>) -> TelemetryBuilder {
        TelemetryBuilder { endpoint: endpoint.into(), service_name: None, headers: Vec::new() }
    }

    /// Sends everything in the queue. Returns false if that takes longer than `limit`; sending continues.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        self.command(Command::Flush(Box::new(move || {
            let _ = done.send(());
        })));
        matches!(tokio::time::timeout(limit, flushed).await, Ok(Ok(())))
    }

    /// Returns the number of dropped spans: the queue was full, or the collector did not accept them.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }

    /// Runs [`Telemetry::flush`] on a thread that may block and does not belong to the runtime.
    pub fn flush_blocking(&self, limit: Duration) {
        let (done, flushed) = std::sync::mpsc::channel();
        self.command(Command::Flush(Box::new(move || {
            let _ = done.send(());
        })));
        let _ = flushed.recv_timeout(limit);
    }

    fn command(&self, command: Command) {
        // The task has ended with its runtime: nobody waits, as the sender in the command is dropped.
        let _ = self.commands.send(command);
    }

    /// Records a span that has ended.
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
    /// Sets the name of the sender: the resource attribute `service.name`. Default: `trunnion`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Adds a header to every request to the collector, such as an API key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Starts the export on the tokio runtime of the caller. Fails with kind `usage` for an invalid URL or
    /// header, and without a runtime.
    pub fn start(self) -> Result<Telemetry, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::usage("telemetry needs a tokio runtime"))?;
        self.start_on(&runtime)
    }

    /// Starts the export on a runtime.
    pub fn start_on(self, runtime: &tokio::runtime::Handle) -> Result<Telemetry, Error> {
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
