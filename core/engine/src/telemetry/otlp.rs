//! OTLP encoding of spans and durations in JSON (OTLP 1.x, "JSON Protobuf Encoding": ids in hexadecimal,
//! 64-bit numbers as strings).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use trunnion_proto::methods::Role;
use trunnion_proto::revision::Revision;

use super::span::{Ended, Side};

/// Upper bounds of the buckets in seconds, from the semantic conventions for MCP.
const BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The attributes that durations are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub side: Side,
    pub method: &'static str,
    pub about: Option<String>,
    /// `None` for the overflow series.
    pub role: Option<Role>,
    pub failure: Option<String>,
    pub revision: Option<Revision>,
    pub transport: &'static str,
}

impl Series {
    pub fn overflow(side: Side) -> Series {
        Series { side, method: "", about: None, role: None, failure: None, revision: None, transport: "" }
    }

    fn attributes(&self) -> Vec<Value> {
        let Some(role) = self.role else {
            return vec![json!({"key": "otel.metric.overflow", "value": {"boolValue": true}})];
        };
        let mut out = vec![attribute("mcp.method.name", self.method)];
        named(&mut out, role, self.about.as_deref());
        spoken(&mut out, self.revision, self.transport);
        if let Some(failure) = &self.failure {
            out.push(attribute("error.type", failure));
        }
        out
    }
}

/// The number and the sum of durations since the start.
#[derive(Debug, Default, Clone)]
pub(super) struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    count: u64,
    sum: f64,
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        // A bound belongs to the bucket below it.
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += seconds;
    }
}

/// Returns the body for `/v1/traces`.
pub(super) fn traces(service: &str, spans: &[Ended]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": resource(service),
        "scopeSpans": [{"scope": scope(), "spans": spans}],
    }]})
}

/// Returns the body for `/v1/metrics`; `since` and `now` count from 1970.
pub(super) fn metrics(
    service: &str,
    durations: &[(Series, Histogram)],
    since: Duration,
    now: Duration,
) -> Value {
    let metric = |side: Side, name: &str, description: &str| {
        let points: Vec<Value> = durations
            .iter()
            .filter(|(series, _)| series.side == side)
            .map(|(series, histogram)| {
                json!({
                    "attributes": series.attributes(),
                    "startTimeUnixNano": nanos(since),
                    "timeUnixNano": nanos(now),
                    "count": histogram.count.to_string(),
                    "sum": histogram.sum,
                    "bucketCounts": histogram.buckets.iter().map(u64::to_string).collect::<Vec<_>>(),
                    "explicitBounds": BOUNDS,
                })
            })
            .collect();
        let cumulative = 2;
        (!points.is_empty()).then(|| {
            json!({"name": name, "description": description, "unit": "s",
                "histogram": {"aggregationTemporality": cumulative, "dataPoints": points}})
        })
    };
    let all: Vec<Value> = [
        metric(Side::Server, "mcp.server.operation.duration", "How long requests took to be handled."),
        metric(Side::Client, "mcp.client.operation.duration", "How long requests took to be answered."),
    ]
    .into_iter()
    .flatten()
    .collect();
    json!({"resourceMetrics": [{
        "resource": resource(service),
        "scopeMetrics": [{"scope": scope(), "metrics": all}],
    }]})
}

fn span(ended: &Ended) -> Value {
    let method = ended.method;
    let mut attributes = vec![attribute("mcp.method.name", method.name)];
    named(&mut attributes, method.role, ended.about.as_deref());
    if method.role == Role::ReadResource
        && let Some(uri) = &ended.about
    {
        attributes.push(attribute("mcp.resource.uri", uri));
    }
    if !ended.id.is_empty() {
        attributes.push(attribute("jsonrpc.request.id", &ended.id));
    }
    spoken(&mut attributes, ended.revision, ended.transport);
    if let Some(session) = &ended.session {
        attributes.push(attribute("mcp.session.id", session));
    }
    if let Some(failure) = &ended.failure {
        attributes.push(attribute("error.type", &failure.kind));
        if let Some(code) = failure.code {
            attributes.push(attribute("rpc.response.status_code", &code.to_string()));
        }
    }
    let target = ended.about.as_ref().filter(|_| matches!(method.role, Role::CallTool | Role::GetPrompt));
    let name = match target {
        Some(target) => format!("{} {target}", method.name),
        None => method.name.to_owned(),
    };
    let (server, client) = (2, 3);
    let mut out = json!({
        "traceId": hexadecimal(&ended.context.parent.trace_id),
        "spanId": hexadecimal(&ended.context.parent.span_id),
        "name": name,
        "kind": if ended.side == Side::Server { server } else { client },
        "startTimeUnixNano": nanos(ended.at),
        "endTimeUnixNano": nanos(ended.at + ended.took),
        "attributes": attributes,
    });
    if let Some(parent) = &ended.parent {
        out["parentSpanId"] = hexadecimal(parent).into();
    }
    if !ended.context.state.is_empty() {
        out["traceState"] = ended.context.state.as_str().into();
    }
    if ended.failure.is_some() {
        let error = 2;
        out["status"] = json!({"code": error});
    }
    out
}

fn named(out: &mut Vec<Value>, role: Role, about: Option<&str>) {
    match (role, about) {
        (Role::CallTool, about) => {
            out.push(attribute("gen_ai.operation.name", "execute_tool"));
            out.extend(about.map(|name| attribute("gen_ai.tool.name", name)));
        }
        (Role::GetPrompt, Some(name)) => out.push(attribute("gen_ai.prompt.name", name)),
        _ => {}
    }
}

fn spoken(out: &mut Vec<Value>, revision: Option<Revision>, transport: &str) {
    out.extend(revision.map(|revision| attribute("mcp.protocol.version", revision.as_str())));
    match transport {
        "http" => out.push(attribute("network.transport", "tcp")),
        "stdio" => out.push(attribute("network.transport", "pipe")),
        _ => {}
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn resource(service: &str) -> Value {
    json!({"attributes": [
        attribute("service.name", service),
        attribute("telemetry.sdk.name", "trunnion"),
        attribute("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ]})
}

fn scope() -> Value {
    json!({"name": "trunnion", "version": env!("CARGO_PKG_VERSION")})
}

fn nanos(time: Duration) -> String {
    time.as_nanos().to_string()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
