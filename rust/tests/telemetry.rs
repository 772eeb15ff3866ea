//! Spans and durations at a collector, through the public API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use trunnion::client::Client;
use trunnion::server::{Context, Server, Tool, ToolError};
use trunnion::{Era, Telemetry};
use trunnion_facade::{Completion, Engine};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// Nothing waits as long where all is well.
const LONG: Duration = Duration::from_secs(30);

/// A collector that accepts every POST.
struct Collector {
    url: String,
    posts: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let posts = Arc::new(Mutex::new(Vec::new()));
        let taken = posts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).expect("a head") == 0 {
                        break;
                    }
                }
                let head = head.to_lowercase();
                let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
                let length = field("content-length: ").and_then(|length| length.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let body = serde_json::from_slice(&body).expect("JSON");
                taken.lock().expect("not poisoned").push((head, body));
                (&stream)
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                    .expect("written");
            }
        });
        Collector { url, posts }
    }

    fn bodies(&self, path: &str) -> Vec<Value> {
        let posts = self.posts.lock().expect("not poisoned");
        let to = format!("post {path} ");
        posts.iter().filter(|(head, _)| head.starts_with(&to)).map(|(_, body)| body.clone()).collect()
    }

    fn spans(&self, name: &str) -> Vec<Value> {
        let all = self.bodies("/v1/traces").into_iter().flat_map(|body| {
            body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().expect("spans")
        });
        all.filter(|span| span["name"] == name).collect()
    }

    /// The one span of that name and kind: 2 a server's, 3 a client's.
    fn span(&self, name: &str, kind: u64) -> Value {
        let mut spans = self.spans(name);
        spans.retain(|span| span["kind"] == kind);
        assert_eq!(spans.len(), 1, "{name} {kind}: {spans:?}");
        spans.remove(0)
    }

    /// Returns the number of requests in the latest durations of that name.
    fn counted(&self, metric: &str, method: &str) -> u64 {
        let body = self.bodies("/v1/metrics").pop().expect("durations");
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().cloned();
        let metric = metrics.expect("metrics").into_iter().find(|known| known["name"] == metric);
        let metric = metric.expect("a metric of that name");
        assert_eq!(metric["unit"], "s");
        let points = metric["histogram"]["dataPoints"].as_array().cloned().expect("points");
        let of_method = points.iter().filter(|point| attribute(point, "mcp.method.name") == method);
        of_method.map(|point| point["count"].as_str().expect("text").parse::<u64>().expect("a number")).sum()
    }
}

fn attribute(of: &Value, key: &str) -> Value {
    let attributes = of["attributes"].as_array().expect("attributes");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    found.map_or(Value::Null, |found| found["value"]["stringValue"].clone())
}

fn caller(flags: &str) -> Map<String, Value> {
    let traceparent = format!("00-{TRACE}-{CALLER}-{flags}");
    let meta = json!({"traceparent": traceparent, "tracestate": "a=b", "baggage": "c=d"});
    meta.as_object().cloned().expect("an object")
}

async fn see(ctx: Context) -> String {
    let meta = ctx.meta();
    let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or("none").to_owned();
    format!("{} {} {}", text("traceparent"), text("tracestate"), text("baggage"))
}

async fn fail() -> Result<&'static str, ToolError> {
    Err(ToolError::new("the secret is out"))
}

fn server(telemetry: Option<&Telemetry>) -> Server {
    let mut builder =
        Server::builder("traced", "1").tool(Tool::new("see", see)).tool(Tool::new("fail", fail));
    builder = builder.cache(Duration::from_secs(60), false);
    if let Some(telemetry) = telemetry {
        builder = builder.telemetry(telemetry);
    }
    builder.build().expect("valid")
}

#[tokio::test]
async fn a_call_is_one_trace_in_each_era() {
    for era in [Era::Modern, Era::Legacy] {
        let collector = Collector::start();
        let telemetry = Telemetry::builder(&collector.url).header("x-key", "k").start().expect("a URL");
        let listening = server(Some(&telemetry)).http().bind("127.0.0.1:0").await.expect("an address");
        let client = Client::builder().era(era).telemetry(&telemetry);
        let client = client.connect(listening.url()).await.expect("connected");
        let call = client.call_tool("see", json!({})).meta(&caller("01"));
        let seen = call.await.expect("answered").text();
        assert!(telemetry.flush(LONG).await);

        let (sent, handled) = (collector.span("tools/call see", 3), collector.span("tools/call see", 2));
        assert_eq!((&sent["traceId"], &sent["parentSpanId"]), (&json!(TRACE), &json!(CALLER)));
        assert_eq!((&handled["traceId"], &handled["parentSpanId"]), (&json!(TRACE), &sent["spanId"]));
        assert_eq!(handled["traceState"], "a=b");
        let span = handled["spanId"].as_str().expect("an id");
        assert_eq!(
            seen,
            format!("00-{TRACE}-{span}-01 a=b c=d"),
            "what the handler calls is a child of its span"
        );
        for span in [&sent, &handled] {
            assert_eq!(attribute(span, "mcp.method.name"), "tools/call");
            assert_eq!(attribute(span, "gen_ai.tool.name"), "see");
            assert_eq!(attribute(span, "mcp.protocol.version"), client.server().revision.as_str());
            assert_eq!(attribute(span, "error.type"), Value::Null);
            assert_eq!(span.get("status"), None);
        }
        assert_eq!(attribute(&handled, "mcp.session.id").is_string(), era == Era::Legacy);
        assert_eq!(collector.counted("mcp.server.operation.duration", "tools/call"), 1);
        assert_eq!(collector.counted("mcp.client.operation.duration", "tools/call"), 1);
        assert!(
            collector.posts.lock().expect("not poisoned").iter().all(|(head, _)| head.contains("x-key: k"))
        );
        client.close().await;
    }
}

#[tokio::test]
async fn failures_have_a_type_and_nothing_is_told_but_names() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder(&collector.url).service_name("me").start().expect("a URL");
    let server = server(Some(&telemetry));
    let client = Client::builder().telemetry(&telemetry).connect(&server).await.expect("connected");
    assert!(client.call_tool("fail", json!({"secret": 1})).await.expect("answered").is_error);
    client.call_tool("missing", json!({"secret": 1})).await.expect_err("there is no such tool");
    assert!(telemetry.flush(LONG).await);

    for kind in [2, 3] {
        let failed = collector.span("tools/call fail", kind);
        assert_eq!(attribute(&failed, "error.type"), "tool_error");
        assert_eq!(failed["status"]["code"], 2);
        let missing = collector.span("tools/call missing", kind);
        assert_eq!(attribute(&missing, "error.type"), "-32602");
        assert_eq!(attribute(&missing, "rpc.response.status_code"), "-32602");
        assert_eq!(missing["parentSpanId"].is_null(), kind == 3, "a call that has no parent begins a trace");
    }
    let all = format!("{:?}", collector.posts.lock().expect("not poisoned"));
    assert!(!all.contains("secret"), "{all}");
    assert!(all.contains("service.name"));
}

#[tokio::test]
async fn what_the_caller_does_not_record_is_counted_only() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder(&collector.url).start().expect("a URL");
    let server = server(Some(&telemetry));
    let client = Client::builder().telemetry(&telemetry).connect(&server).await.expect("connected");
    let seen = client.call_tool("see", ()).meta(&caller("00")).await.expect("answered").text();
    assert!(seen.starts_with(&format!("00-{TRACE}-")) && seen.contains("-00 a=b"), "{seen}");
    let bad = json!({"traceparent": "nonsense", "tracestate": "a=b"});
    let bad = bad.as_object().expect("an object");
    let seen = client.call_tool("see", ()).meta(bad).await.expect("answered").text();
    assert!(!seen.contains("nonsense") && seen.ends_with("-01 none none"), "{seen}");
    assert!(telemetry.flush(LONG).await);
    assert_eq!(collector.spans("tools/call see").len(), 2, "of the call whose context was malformed");
    assert_eq!(collector.counted("mcp.server.operation.duration", "tools/call"), 2);
}

#[tokio::test]
async fn spans_do_not_keep_results_from_being_kept() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder(&collector.url).start().expect("a URL");
    let server = server(Some(&telemetry));
    let client = Client::builder().telemetry(&telemetry).connect(&server).await.expect("connected");
    for _ in 0..3 {
        client.list_tools().await.expect("listed");
    }
    assert!(telemetry.flush(LONG).await);
    assert_eq!(collector.counted("mcp.client.operation.duration", "tools/list"), 3);
    assert_eq!(collector.counted("mcp.server.operation.duration", "tools/list"), 1);
}

#[tokio::test]
async fn without_telemetry_the_context_passes_through() {
    let client = Client::builder().connect(&server(None)).await.expect("connected");
    let seen = client.call_tool("see", ()).meta(&caller("01")).await.expect("answered").text();
    assert_eq!(seen, format!("00-{TRACE}-{CALLER}-01 a=b c=d"));
}

/// Calls a tool of a host's server by a client of the same engine; returns the outcome of the operation.
fn call(engine: &Engine) -> (u32, Value) {
    let server = engine.server_new(r#"{"name":"s","version":"1"}"#).expect("a server");
    let tool = r#"{"name":"see","inputSchema":{"type":"object"}}"#;
    engine.server_add(server, "tool", tool, "{}", 7).expect("a tool");
    let client = engine.connect(&json!({"server": server}).to_string(), "{}").expect("a client");
    let options = json!({"meta": {"traceparent": format!("00-{TRACE}-{CALLER}-01")}}).to_string();
    let call = engine.request(client, "call_tool", r#"{"name":"see"}"#, &options).expect("a call");
    let mut completions = Vec::new();
    loop {
        let events = engine.drain(std::mem::take(&mut completions));
        if events.is_empty() {
            assert!(engine.wait(Some(LONG)), "something happens");
        }
        for event in events {
            match event.kind {
                1 => {
                    let context: Value =
                        serde_json::from_str(&engine.context(event.id).expect("known")).expect("JSON");
                    let payload = context["meta"]["traceparent"].as_str().expect("a parent").to_owned();
                    completions.push(Completion { id: event.id, outcome: 1, payload });
                }
                10 | 11 if event.id == call => {
                    return (event.kind, serde_json::from_str(&event.payload).expect("JSON"));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn closing_an_engine_sends_what_is_left() {
    for driver in ["hosted", "threaded"] {
        let collector = Collector::start();
        let options =
            json!({"driver": driver, "telemetry": {"endpoint": collector.url, "serviceName": "host"}});
        let engine = Engine::new(&options.to_string()).expect("an engine");
        let (kind, result) = call(&engine);
        assert_eq!(kind, 10, "{result}");
        engine.close(LONG);
        let (sent, handled) = (collector.span("tools/call see", 3), collector.span("tools/call see", 2));
        assert_eq!(sent["parentSpanId"], CALLER);
        assert_eq!(handled["parentSpanId"], sent["spanId"]);
        let span = handled["spanId"].as_str().expect("an id");
        assert_eq!(result["content"][0]["text"], format!("00-{TRACE}-{span}-01"));
        assert_eq!(collector.counted("mcp.server.operation.duration", "tools/call"), 1);
        let service = &collector.bodies("/v1/traces")[0]["resourceSpans"][0]["resource"];
        assert_eq!(attribute(service, "service.name"), "host");
    }
}

#[test]
fn a_collector_that_is_not_there_changes_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("an address").local_addr().expect("bound");
    let options = json!({"telemetry": {"endpoint": format!("http://{gone}")}});
    let engine = Engine::new(&options.to_string()).expect("an engine");
    let (kind, result) = call(&engine);
    assert_eq!(kind, 10, "{result}");
    engine.close(LONG);
    assert!(!engine.live().contains("\"operations\":1"));
}

#[test]
fn wrong_options_are_named() {
    for (telemetry, named) in [
        (json!({}), "endpoint"),
        (json!({"endpoint": "collector:4318"}), "telemetry.endpoint"),
        (json!({"endpoint": "http://127.0.0.1:4318", "headers": {"a b": "c"}}), "telemetry.headers"),
        (json!({"endpoint": "http://127.0.0.1:4318", "sampling": 1}), "sampling"),
    ] {
        let error = Engine::new(&json!({ "telemetry": telemetry }).to_string()).err().expect("refused");
        assert_eq!(error.kind, "usage");
        assert!(error.message.contains(named), "{}", error.message);
    }
    assert!(Engine::new(r#"{"telemetry": null}"#).is_ok());
}

/// A collector that takes connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

#[tokio::test]
async fn spans_that_wait_are_bounded() {
    let (_listener, url) = silent();
    let telemetry = Telemetry::builder(url).start().expect("started");
    let client = Client::builder().telemetry(&telemetry).connect(&server(None)).await.expect("connected");
    for _ in 0..4000 {
        client.ping().await.expect("answered");
    }
    // 512 are on their way.
    assert!(telemetry.dropped() >= 4000 - 2048 - 512, "{}", telemetry.dropped());
}

#[tokio::test(start_paused = true)]
async fn a_collector_is_waited_for_ten_seconds() {
    let (_listener, url) = silent();
    let telemetry = Telemetry::builder(url).start().expect("started");
    let client = Client::builder().telemetry(&telemetry).connect(&server(None)).await.expect("connected");
    client.ping().await.expect("answered");
    let began = tokio::time::Instant::now();
    assert!(telemetry.flush(LONG).await, "it ends");
    assert_eq!(
        (began.elapsed().as_secs(), telemetry.dropped()),
        (20, 1),
        "once for spans, once for durations"
    );
}

#[tokio::test]
async fn durations_are_counted_by_so_many_names() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder(&*collector.url).start().expect("started");
    let client = Client::builder().telemetry(&telemetry).connect(&server(None)).await.expect("connected");
    for n in 0..1010 {
        client.get_prompt(&format!("p{n}"), ()).await.expect_err("there is none");
    }
    assert!(telemetry.flush(LONG).await);
    let body = collector.bodies("/v1/metrics").pop().expect("durations");
    let points =
        body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"].clone();
    let points = points.as_array().expect("points");
    let over = |point: &&Value| point["attributes"][0]["key"] == "otel.metric.overflow";
    assert_eq!(points.len(), 1001);
    assert_eq!(points.iter().find(over).map(|point| &point["count"]), Some(&json!("10")));
}

#[tokio::test]
async fn names_are_cut() {
    let collector = Collector::start();
    let telemetry = Telemetry::builder(&*collector.url).start().expect("started");
    let client = Client::builder().telemetry(&telemetry).connect(&server(None)).await.expect("connected");
    client.read_resource(&format!("test://{}", "é".repeat(1000))).await.expect_err("there is none");
    client.get_prompt(&"p".repeat(1000), ()).await.expect_err("there is none");
    assert!(telemetry.flush(LONG).await);
    let uri = attribute(&collector.span("resources/read", 3), "mcp.resource.uri");
    assert_eq!(uri, format!("test://{}", "é".repeat(249)));
    let prompt = collector.span(&format!("prompts/get {}", "p".repeat(256)), 3);
    assert_eq!(attribute(&prompt, "gen_ai.prompt.name"), "p".repeat(256));
}
