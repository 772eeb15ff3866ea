//! The Rust client against the engine's own server, over HTTP, in both eras.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use trunnion::client::Client;
use trunnion_facade::{Completion, Engine, Event};
use trunnion_proto::revision::Era;

/// A server and the thread that is its host, until dropped.
struct Served {
    engine: Engine,
    url: String,
    cancelled: mpsc::Receiver<()>,
    host: Option<std::thread::JoinHandle<()>>,
}

const RESULT: u32 = 0;
const TEXT: u32 = 1;
const TOOL_ERROR: u32 = 4;

fn serve() -> Served {
    let engine = Engine::new(r#"{"driver":"threaded"}"#).expect("an engine");
    let server = engine.server_new(r#"{"name":"real","version":"1.0"}"#).expect("a server");
    let schema = json!({"type": "object"});
    for (target, name) in ["echo", "fail", "slow", "sum"].into_iter().enumerate() {
        let tool = json!({"name": name, "inputSchema": schema}).to_string();
        engine.server_add(server, "tool", &tool, "{}", target as u64).expect("a tool");
    }
    engine.server_add(server, "resource", r#"{"name":"r","uri":"test://r"}"#, "{}", 9).expect("a resource");
    let serving = engine.serve_http(server, "{}").expect("serving");
    let (listening, url) = mpsc::channel();
    let (tell, cancelled) = mpsc::channel();
    let host = std::thread::spawn({
        let engine = engine.clone();
        move || {
            let mut completions = Vec::new();
            loop {
                let events = engine.drain(std::mem::take(&mut completions));
                if events.is_empty() {
                    engine.wait(Some(Duration::from_secs(20)));
                }
                for event in events {
                    match event.kind {
                        1 | 2 => completions.extend(answer(&engine, &event)),
                        5 => tell.send(()).expect("the test waits"),
                        10 | 11 if event.id == serving => return,
                        13 => {
                            let payload: Value = serde_json::from_str(&event.payload).expect("JSON");
                            listening
                                .send(payload["url"].as_str().expect("a URL").to_owned())
                                .expect("waits");
                        }
                        _ => {}
                    }
                }
            }
        }
    });
    let url = url.recv().expect("listening");
    Served { engine, url, cancelled, host: Some(host) }
}

fn answer(engine: &Engine, event: &Event) -> Option<Completion> {
    let arguments: Value = serde_json::from_str(&event.payload).expect("JSON");
    let (outcome, payload) = match event.target {
        0 => (TEXT, arguments["text"].as_str().unwrap_or_default().to_owned()),
        1 => (TOOL_ERROR, "boom".to_owned()),
        2 => {
            for step in 1..=3 {
                let progress = json!({"progress": step, "total": 3}).to_string();
                engine.progress(event.id, &progress).expect("progress");
            }
            return None;
        }
        3 => (RESULT, json!({"content": [], "structuredContent": {"sum": 5}}).to_string()),
        _ => (TEXT, "contents".to_owned()),
    };
    Some(Completion { id: event.id, outcome, payload })
}

impl Drop for Served {
    fn drop(&mut self) {
        self.engine.close(Duration::from_secs(2));
        if let Some(host) = self.host.take() {
            assert!(host.join().is_ok() || std::thread::panicking());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_in_both_eras() {
    let served = serve();
    for era in [Era::Modern, Era::Legacy] {
        let client = Client::builder().era(era).connect(served.url.as_str()).await.expect("connected");
        assert_eq!(client.server().revision.era(), era);
        assert_eq!(client.server().info.as_ref().map(|info| info.name.as_str()), Some("real"));
        let names: Vec<String> =
            client.list_all_tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["echo", "fail", "slow", "sum"]);
        let text = "héllo ✓ 😀\n\"q\"";
        let echoed = client.call_tool("echo", json!({"text": text})).await.expect("a result");
        assert_eq!((echoed.text().as_str(), echoed.is_error), (text, false));
        let failed = client.call_tool("fail", ()).await.expect("a result");
        assert_eq!((failed.text().as_str(), failed.is_error), ("boom", true));
        let sum: Value = client.call_tool("sum", ()).await.expect("a result").structured().expect("fits");
        assert_eq!(sum, json!({"sum": 5}));
        let unknown = client.call_tool("nope", ()).await.expect_err("unknown");
        assert_eq!(unknown.kind, "invalid_params");
        let read = client.read_resource("test://r").await.expect("a resource");
        assert_eq!(read.contents[0].text.as_deref(), Some("contents"));
        client.ping().await.expect("alive");

        let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let slow = client.call_tool("slow", ()).with_progress(move |progress| {
            let _ = report.send(progress.progress);
        });
        let task = tokio::spawn(async move { slow.await.map(|_| ()) });
        for step in [1.0, 2.0, 3.0] {
            assert_eq!(reports.recv().await, Some(step));
        }
        task.abort();
        let served = &served;
        tokio::task::block_in_place(|| served.cancelled.recv().expect("the handler was told"));
        let after = client.call_tool("echo", json!({"text": "still here"})).await.expect("a result");
        assert_eq!(after.text(), "still here");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_server_fails_what_is_pending() {
    let served = serve();
    let client = Client::connect(served.url.as_str()).await.expect("connected");
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let slow = client.call_tool("slow", ()).with_progress(move |progress| {
        let _ = report.send(progress.progress);
    });
    let task = tokio::spawn(async move { slow.await.map(|_| ()) });
    reports.recv().await.expect("it runs");
    tokio::task::block_in_place(|| drop(served));
    let error = task.await.expect("no panic").expect_err("the server is gone");
    assert!(["transport", "closed", "internal_error"].contains(&error.kind), "{error:?}");
}
