//! Spans of one client's requests: one for each operation, also if the request is sent several times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use trunnion_proto::json::Json;
use trunnion_proto::methods::Method;
use trunnion_proto::revision::Revision;
use trunnion_proto::trace::{self, TraceContext};

use super::{ClientEvent, Sink};
use crate::error::Error;
use crate::sync::lock;
use crate::telemetry::{Failure, Span, Telemetry};

/// A recorder of a client's operations.
pub(crate) struct Tracer {
    telemetry: Telemetry,
    transport: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revision: Option<Revision>,
    open: HashMap<u64, Span>,
}

impl Tracer {
    /// `transport`: `http`, `stdio` or `memory`.
    pub fn new(telemetry: Telemetry, transport: &'static str) -> Arc<Tracer> {
        Arc::new(Tracer { telemetry, transport, state: Mutex::default() })
    }

    /// Returns a sink that ends spans according to the events for `sink`.
    pub fn watch(self: &Arc<Self>, sink: Sink) -> Sink {
        let tracer = self.clone();
        Box::new(move |event| {
            tracer.see(&event);
            sink(event);
        })
    }

    /// Begins the span of an operation; `meta` contains the caller's entries for `_meta`. Returns them with
    /// the span, which is a child of the span that the caller named.
    pub fn begin(&self, op: u64, method: &'static Method, params: &str, meta: &Json) -> Json {
        let (about, own) = trace::about(method, params);
        let from =
            TraceContext::of_meta(meta.as_str()).or_else(|| own.as_deref().and_then(TraceContext::of_meta));
        let span = self.telemetry.send(from, method, about.as_deref());
        let meta = span.carry(meta.as_str());
        lock(&self.state).open.insert(op, span);
        meta
    }

    fn see(&self, event: &ClientEvent) {
        match event {
            ClientEvent::Ready(facts) => lock(&self.state).revision = Some(facts.revision),
            ClientEvent::Result { op, result } => {
                self.end(*op, |span| Failure::of_result(span.method(), result.as_str()))
            }
            ClientEvent::Error { op, error } => {
                self.end(*op, |_| Some(Failure::of_error(&Error::from(error.clone()))));
            }
            // This event answers a subscription request; the lifetime of the subscription is not part of the
            // duration.
            ClientEvent::Told { op, event: "listening", .. } => self.end(*op, |_| None),
            _ => {}
        }
    }

    fn end(&self, op: u64, failure: impl FnOnce(&Span) -> Option<Failure>) {
        let (span, revision) = {
            let mut state = lock(&self.state);
            (state.open.remove(&op), state.revision)
        };
        if let Some(mut span) = span {
            span.spoken(revision, self.transport);
            let failure = failure(&span);
            span.end(failure);
        }
    }
}
