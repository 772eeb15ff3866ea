//! Limits of `docs/limits.md` at an HTTP server, each at its edge, as a client observes them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{Answer, Peer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use trunnion::client::Client;
use trunnion::server::{Context, Limits, Listening, Server, ServerBuilder, State, Tool};

/// Virtual time that nothing takes which ends at all.
const NEVER: Duration = Duration::from_secs(3600);

#[derive(Default, Clone)]
struct Gate {
    go: Arc<Notify>,
    begun: Arc<Notify>,
    dropped: Arc<Notify>,
    ended: Arc<AtomicU32>,
    /// Reports of progress that were taken.
    taken: Arc<AtomicU32>,
}

struct Told(Gate);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        self.0.dropped.notify_one();
    }
}

async fn hello() -> &'static str {
    "hello"
}

/// Waits until the test releases it, and notifies the test when it is dropped.
async fn wait(context: Context, gate: State<Gate>) -> &'static str {
    let _told = Told(Gate::clone(&gate));
    gate.begun.notify_one();
    context.progress(1.0, None, None);
    gate.go.notified().await;
    "done"
}

/// 960 KiB of progress.
async fn chatty(context: Context) -> &'static str {
    let text = "x".repeat(10 << 10);
    for step in 1..=96 {
        context.progress(f64::from(step), None, Some(&text));
    }
    "done"
}

/// Progress and an answer of a mebibyte.
async fn large(context: Context) -> String {
    context.progress(1.0, None, None);
    mebibyte().await
}

/// 10 MiB of progress, once the test lets it go.
async fn flood(context: Context, gate: State<Gate>) -> &'static str {
    context.progress(1.0, None, None);
    gate.go.notified().await;
    let text = "x".repeat(10 << 10);
    for step in 2..=1024 {
        let taken = context.progress(f64::from(step), None, Some(&text));
        gate.taken.fetch_add(u32::from(taken), Ordering::Relaxed);
        // The task that empties the queue gets a chance to run.
        tokio::task::yield_now().await;
    }
    gate.dropped.notify_one();
    std::future::pending().await
}

async fn mebibyte() -> String {
    "x".repeat(1 << 20)
}

fn builder(gate: &Gate) -> ServerBuilder {
    Server::builder("test", "1.0")
        .state(gate.clone())
        .tool(Tool::new("hello", hello))
        .tool(Tool::new("wait", wait))
        .tool(Tool::new("chatty", chatty))
        .tool(Tool::new("flood", flood))
        .tool(Tool::new("large", large))
        .tool(Tool::new("mebibyte", mebibyte))
}

fn server() -> Server {
    builder(&Gate::default()).build().expect("valid")
}

fn address(listening: &Listening) -> SocketAddr {
    listening.address().expect("TCP")
}

/// Sends these bytes and returns the response until the connection is closed. A connection that was closed
/// before it was written to is reset.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(NEVER, stream.read_to_end(&mut answer)).await.expect("the server closes the connection");
    String::from_utf8(answer).expect("UTF-8")
}

const GET: &[u8] = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn progress_of(name: &str) -> Value {
    json!({"name": name, "_meta": {"progressToken": 7}})
}

#[tokio::test]
async fn open_connections() {
    let listening = server().http().max_connections(2).bind("127.0.0.1:0").await.expect("listening");
    let address = address(&listening);
    let first = TcpStream::connect(address).await.expect("connected");
    let second = TcpStream::connect(address).await.expect("connected");
    assert_eq!(exchange(address, GET).await, "", "the third");
    drop(first);
    while exchange(address, GET).await.is_empty() {}
    drop(second);
}

#[tokio::test]
async fn bytes_of_a_body() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let server = builder(&Gate::default()).limits(limits).build().expect("valid");
    let listening = server.http().bind("127.0.0.1:0").await.expect("listening");
    let post = |headers: &str, body: &str| {
        let head =
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close";
        format!("{head}\r\nAccept: application/json, text/event-stream\r\n{headers}\r\n\r\n{body}")
    };
    let text = |bytes: usize| " ".repeat(bytes);
    let fits = exchange(address(&listening), post("Content-Length: 1000", &text(1000)).as_bytes()).await;
    assert!(fits.contains("-32700"), "{fits}");
    let chunked = format!("{:x}\r\n{}\r\n", 1001, text(1001));
    for (headers, body) in [
        ("Content-Length: 1001", ""),
        ("Content-Length: 1001", &*text(1001)),
        ("Transfer-Encoding: chunked", &chunked),
    ] {
        let refused = exchange(address(&listening), post(headers, body).as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("-32600"), "{headers}: {refused}");
    }
}

#[tokio::test]
async fn bytes_of_a_head() {
    let listening = server().http().bind("127.0.0.1:0").await.expect("listening");
    let begin = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ";
    let head = |bytes: usize| format!("{begin}{}", "x".repeat(bytes - begin.len()));
    let fits = exchange(address(&listening), format!("{}\r\n\r\n", head(60 << 10)).as_bytes()).await;
    assert!(fits.starts_with("HTTP/1.1 404 "), "{fits}");
    // Exactly as many bytes as it reads: unread bytes reset the connection.
    let refused = exchange(address(&listening), head(64 << 10).as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn time_of_a_head() {
    let listening = server().http().bind("127.0.0.1:0").await.expect("listening");
    let before = Instant::now();
    exchange(address(&listening), b"GET /nowhere HTTP/1.1\r\nHost: local").await;
    assert!((29..=31).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn handlers_after_the_end() {
    let gate = Gate::default();
    let server = builder(&gate).build().expect("valid");
    let listening = server.http().bind("127.0.0.1:0").await.expect("listening");
    let client = Client::builder().timeout(Duration::MAX).connect(listening.url()).await.expect("connected");
    let call =
        tokio::spawn(async move { client.call_tool("wait", ()).with_progress(|_| {}).await.map(drop) });
    gate.begun.notified().await;
    let before = Instant::now();
    timeout(NEVER, listening.close()).await.expect("it ends without them");
    assert!((4..=6).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    assert!(call.await.expect("no panic").is_err());
}

#[tokio::test]
async fn entries_of_a_page() {
    let tools = (0..1001).map(|n| Tool::new(format!("t{n}"), hello));
    let server = tools.fold(Server::builder("test", "1.0"), ServerBuilder::tool).build().expect("valid");
    let client = Client::builder().connect(&server).await.expect("connected");
    let page = client.list_tools().await.expect("a page");
    assert_eq!(page.items.len(), 1000);
    let rest = client.list_tools().cursor(page.next_cursor.as_deref().expect("more")).await.expect("a page");
    assert_eq!((rest.items.len(), rest.next_cursor), (1, None));
}

#[tokio::test]
async fn idle_sessions_end() {
    let listening =
        server().http().session_idle(Duration::ZERO).bind("127.0.0.1:0").await.expect("listening");
    let mut peer = Peer::of(listening, "2025-11-25");
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let response = peer.request(reqwest::Method::POST).body(hello.to_string()).send().await.expect("sent");
    let id = response.headers().get("mcp-session-id").expect("a session");
    peer.session = Some(id.to_str().expect("ASCII").to_owned());
    let mut asked = 0;
    while peer.call(1, "hello", json!({})).await.status() != 404 {
        asked += 1;
        assert!(asked < 100_000, "the session does not end");
    }
}

#[tokio::test]
async fn requests_of_a_session_that_wait_for_an_answer() {
    let gate = Gate::default();
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let server = builder(&gate).limits(limits).build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let mut streams = Vec::new();
    for id in [1, 2] {
        let mut stream = peer.ask(id, "tools/call", progress_of("wait")).await.stream();
        stream.next().await.expect("the priming event");
        streams.push(stream);
    }
    let refused = peer.ask(3, "tools/call", progress_of("wait")).await.json();
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &json!(3)));
    gate.go.notify_one();
    gate.dropped.notified().await;
    while let Answer::Json(_, refused) = peer.ask(4, "tools/call", progress_of("wait")).await {
        assert_eq!(refused["error"]["code"], -32600);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_away() {
    let gate = Gate::default();
    let peer = Peer::legacy(&builder(&gate).build().expect("valid"), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(1, "tools/call", progress_of("wait")).await.stream();
    stream.next().await.expect("the priming event");
    stream.message().await;
    drop(stream);
    peer.call(2, "hello", json!({})).await;
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(gate.ended.load(Ordering::Relaxed), 0, "it may come back");
    tokio::time::advance(Duration::from_secs(32)).await;
    timeout(Duration::from_secs(1), gate.dropped.notified()).await.expect("the call is cancelled");
}

#[tokio::test]
async fn events_that_were_sent_are_kept() {
    let peer = Peer::legacy(&server(), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(1, "tools/call", progress_of("chatty")).await.stream();
    let first = stream.next().await.and_then(|event| event.id).expect("an id");
    stream.message().await;
    // The rest is in the hands of the kernels, or on its way there.
    drop(stream);
    peer.call(2, "hello", json!({})).await;
    let mut again = peer.get(Some(&first)).await.stream();
    for step in 1..=96 {
        assert_eq!(again.message().await["params"]["progress"], step);
    }
    assert_eq!(again.message().await["id"], 1, "the answer");
    assert!(again.next().await.is_none());
}

/// The call's answer was not read, and the connection is closed.
async fn call_and_leave(peer: &Peer, id: u64, tool: &str) -> Result<String, u16> {
    match peer.ask(id, "tools/call", progress_of(tool)).await {
        Answer::Json(status, _) => Err(status),
        Answer::Stream(mut stream) => {
            let begun = stream.next().await.and_then(|event| event.id).expect("a priming event");
            Ok(begun)
        }
    }
}

#[tokio::test]
async fn answers_are_kept_for_who_comes_back_however_many_there_are() {
    let peer = Peer::legacy(&server(), "2025-11-25", json!({})).await;
    let mut begun = Vec::new();
    for id in 1..=20 {
        begun.push((id, call_and_leave(&peer, id, "chatty").await.expect("a stream")));
    }
    for (id, event) in begun {
        let mut again = peer.get(Some(&event)).await.stream();
        let mut last = again.message().await;
        while let Some(event) = again.next().await {
            last = event.message();
        }
        assert_eq!(last["id"], id);
    }
}

#[tokio::test]
async fn bytes_that_are_kept_for_a_session() {
    // A session has a mebibyte.
    let listening = server().http().max_kept_bytes(16 << 20).bind("127.0.0.1:0").await.expect("listening");
    let mut peer = Peer::of(listening, "2025-11-25");
    peer.initialize(json!({})).await.expect("a session");
    let begun = call_and_leave(&peer, 1, "large").await.expect("a stream");
    let mut id = 2;
    while call_and_leave(&peer, id, "large").await.is_ok() {
        id += 1;
        assert!(id < 10, "what is kept grows without end");
    }
    assert_eq!(call_and_leave(&peer, id, "large").await, Err(503));
    let refused = peer.call(id, "hello", json!({})).await;
    assert_eq!(refused.status(), 503);
    let refused = refused.json();
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(id), &json!(-32603)), "{refused}");
    // Nothing of the first was lost to it.
    let mut again = peer.get(Some(&begun)).await.stream();
    assert_eq!(again.message().await["method"], "notifications/progress");
    assert_eq!(again.message().await["id"], 1);
    // Others have their share.
    peer.session = None;
    peer.initialize(json!({})).await.expect("a session");
    call_and_leave(&peer, 1, "large").await.expect("a stream");
}

#[tokio::test]
async fn bytes_of_bodies_that_wait_for_an_answer() {
    let gate = Gate::default();
    let server = builder(&gate).build().expect("valid");
    let listening = server.http().max_kept_bytes(4 << 10).bind("127.0.0.1:0").await.expect("listening");
    let peer = Arc::new(Peer::of(listening, "2026-07-28"));
    let call = |id: u64| {
        let peer = peer.clone();
        async move { peer.call(id, "wait", json!({"text": "x".repeat(4 << 10)})).await }
    };
    let held = tokio::spawn(call(1));
    gate.begun.notified().await;
    assert_eq!(peer.call(2, "hello", json!({})).await.status(), 503);
    gate.go.notify_one();
    assert_eq!(held.await.expect("no panic").status(), 200);
    gate.go.notify_one();
    assert_eq!(call(3).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_reads() {
    let gate = Gate::default();
    let peer = Peer::legacy(&builder(&gate).build().expect("valid"), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(1, "tools/call", progress_of("flood")).await.stream();
    let priming = stream.next().await.expect("an event");
    stream.message().await;
    drop(stream);
    // The connection is closed by when this is answered.
    peer.call(2, "hello", json!({})).await;
    gate.go.notify_one();
    timeout(Duration::from_secs(1), gate.dropped.notified()).await.expect_err("the handler waits");
    let taken = gate.taken.load(Ordering::Relaxed);
    assert!((50..150).contains(&taken), "{taken} of 10 KiB");
    let mut rest = peer.get(priming.id.as_deref()).await.stream();
    while gate.taken.load(Ordering::Relaxed) < 1023 {
        rest.next().await.expect("an event");
    }
}

#[tokio::test]
async fn messages_of_the_older_transport_that_nobody_reads() {
    let listening = server().http().sse_path("/sse").bind("127.0.0.1:0").await.expect("listening");
    let mut stream = TcpStream::connect(address(&listening)).await.expect("connected");
    stream
        .write_all(b"GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        .await
        .expect("written");
    let mut begin = String::new();
    let endpoint = loop {
        let found = begin.split("data: ").nth(1).and_then(|rest| rest.split_once('\n'));
        if let Some((endpoint, _)) = found {
            break endpoint.to_owned();
        }
        begin.push(char::from(stream.read_u8().await.expect("more")));
    };
    let url = listening.url().replace("/mcp", &endpoint);
    let peer = Peer::of(listening, "2024-11-05");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let post = async |id: u64, method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let post = http.post(&url).header("content-type", "application/json").body(body);
        post.send().await.expect("sent").status().as_u16()
    };
    let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    assert_eq!(post(0, "initialize", hello).await, 202);
    // The buffers of the kernel come on top.
    let taken = async {
        for id in 1..64 {
            if post(id, "tools/call", json!({"name": "mebibyte"})).await == 404 {
                return id;
            }
        }
        64
    };
    let taken = taken.await;
    assert!((8..64).contains(&taken), "{taken}");
    drop((stream, peer));
}
