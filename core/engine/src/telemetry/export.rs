//! The export task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::otlp::{self, Histogram, Series};
use super::span::Ended;
use super::{BATCH, Command, Destination, Queue};
use crate::outbound::Lane;
use crate::sync::lock;

/// The export interval.
const EVERY: Duration = Duration::from_secs(5);
/// Time limit of one request to the collector.
const LIMIT: Duration = Duration::from_secs(10);

/// Exports until every [`super::Telemetry`] is dropped.
pub(super) async fn run(
    queue: Arc<Queue>,
    destination: Destination,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let since = now();
    let mut failing = false;
    loop {
        let command = match tokio::time::timeout(EVERY, commands.recv()).await {
            Err(_) => Some(Command::Export),
            Ok(command) => command,
        };
        let sent = export(&queue, &destination, since).await;
        // Logged once per outage, not for every failure.
        if let (Err(reason), false) = (&sent, failing) {
            tracing::warn!(reason, "telemetry is not received");
        }
        failing = sent.is_err();
        match command {
            Some(Command::Export) => {}
            Some(Command::Flush(done)) => done(),
            None => return,
        }
    }
}

async fn export(queue: &Queue, destination: &Destination, since: Duration) -> Result<(), String> {
    let mut result = Ok(());
    // Spans that arrive meanwhile are left for the next export, so that this one ends.
    let mut left = lock(&queue.waiting).spans.len();
    while left > 0 && result.is_ok() {
        let batch: Vec<Ended> = {
            let mut waiting = lock(&queue.waiting);
            let count = left.min(BATCH).min(waiting.spans.len());
            waiting.spans.drain(..count).collect()
        };
        left -= left.min(BATCH);
        if batch.is_empty() {
            break;
        }
        let body = otlp::traces(&destination.service_name, &batch);
        result = post(&destination.traces, destination, body).await;
        if result.is_err() {
            queue.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }
    let durations: Vec<(Series, Histogram)> = {
        let mut waiting = lock(&queue.waiting);
        if !std::mem::take(&mut waiting.counted) {
            return result;
        }
        waiting.durations.iter().map(|(series, histogram)| (series.clone(), histogram.clone())).collect()
    };
    let body = otlp::metrics(&destination.service_name, &durations, since, now());
    let counted = post(&destination.metrics, destination, body).await;
    if counted.is_err() {
        // The durations are cumulative: the next ones include these too.
        lock(&queue.waiting).counted = true;
    }
    result.and(counted)
}

async fn post(lane: &Lane, destination: &Destination, body: Value) -> Result<(), String> {
    let sending = lane.post_once(&destination.headers, Bytes::from(body.to_string()));
    match tokio::time::timeout(LIMIT, sending).await {
        Err(_) => Err("the collector does not answer".into()),
        Ok(Err(reason)) => Err(reason),
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the collector answered with status {status}")),
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
