//! Tests of the drivers against hand-written peers: raw HTTP responses, shell scripts, frames in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use std::future::IntoFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use tokio::sync::{mpsc, oneshot};
use trunnion_engine::client::Sink;
use trunnion_proto::revision::Era;

use super::{
    Client, ClientEvent, ClientHandle, ConnectOptions, MemoryEnd, RequestOptions, Target, memory_pair,
};

mod callbacks;
#[cfg(unix)]
mod children;
mod packed;
mod peer;
mod sse;
mod streams;
mod tasks;

/// A received request: the head in lower case, and the body.
#[derive(Debug, Clone)]
struct Raw {
    head: String,
    body: Value,
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Raw> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse().expect("a length"));
            if buffer.len() >= end + 4 + length {
                let body = serde_json::from_slice(&buffer[end + 4..end + 4 + length]).unwrap_or_default();
                buffer.drain(..end + 4 + length);
                return Some(Raw { head, body });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn response(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn ok(id: &Value, result: Value) -> String {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    response(200, "content-type: application/json\r\n", &body)
}

fn discovered() -> Value {
    json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "raw", "version": "1"}}})
}

/// The peer's reply: the text to send, and true if the connection is then closed.
type Reply = (String, bool);

/// Serves raw responses; returns its URL, the received requests, and the number of connections.
async fn serve(
    reply: impl Fn(&Raw) -> Reply + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Raw>>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let (seen, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (log, connections, reply) = (Arc::clone(&seen), Arc::clone(&count), Arc::new(reply));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while let Some(request) = read_request(&mut stream, &mut buffer).await {
                    log.lock().expect("unpoisoned").push(request.clone());
                    let (text, close) = reply(&request);
                    let _ = stream.write_all(text.as_bytes()).await;
                    if close {
                        break;
                    }
                }
            });
        }
    });
    (url, seen, count)
}

fn modern(call: impl Fn(&Raw) -> Reply + Send + Sync + 'static) -> impl Fn(&Raw) -> Reply + Send + Sync {
    move |request| match request.body["method"].as_str() {
        Some("server/discover") => (ok(&request.body["id"], discovered()), false),
        _ => call(request),
    }
}

fn text_result(text: &str) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": text}]})
}

#[tokio::test]
async fn calls_over_http_share_one_connection() {
    let (url, seen, connections) =
        serve(modern(|request| (ok(&request.body["id"], text_result("héllo ✓")), false))).await;
    let client = Client::builder().header("X-Key", "k1").connect(url).await.expect("connected");
    assert_eq!(client.server().info.as_ref().map(|info| info.name.as_str()), Some("raw"));
    for _ in 0..3 {
        let result = client.call_tool("echo", json!({"text": "x"})).await.expect("a result");
        assert_eq!((result.text().as_str(), result.is_error), ("héllo ✓", false));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let seen = seen.lock().expect("unpoisoned").clone();
    let head = &seen[1].head;
    for line in [
        "post /mcp http/1.1",
        "accept: application/json, text/event-stream",
        "content-type: application/json",
        "mcp-protocol-version: 2026-07-28",
        "mcp-method: tools/call",
        "mcp-name: echo",
        "x-key: k1",
    ] {
        assert!(head.lines().any(|have| have == line), "{line} in {head}");
    }
    assert!(head.lines().any(|line| line.starts_with("host: 127.0.0.1:")));
    client.close().await;
    assert_eq!(client.ping().await.expect_err("closed").kind, "closed");
}

#[tokio::test]
async fn an_event_stream_brings_progress_and_the_result() {
    let (url, ..) = serve(modern(|request| {
        let token = &request.body["params"]["_meta"]["progressToken"];
        let mut events = String::from(": hello\r\n\r\n");
        for step in 1..=3 {
            let message = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": step, "total": 3}});
            events.push_str(&format!("event: message\r\ndata: {message}\r\n\r\n"));
        }
        let answer = json!({"jsonrpc": "2.0", "id": request.body["id"], "result": text_result("done")});
        events.push_str(&format!("id: 1\ndata: {answer}\n\n"));
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";
        (format!("{head}{events}"), true)
    }))
    .await;
    let client = Client::connect(url).await.expect("connected");
    let steps = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&steps);
    let result = client
        .call_tool("slow", ())
        .with_progress(move |progress| log.lock().expect("unpoisoned").push(progress.progress))
        .await
        .expect("a result");
    assert_eq!(result.text(), "done");
    assert_eq!(*steps.lock().expect("unpoisoned"), [1.0, 2.0, 3.0]);
}

#[tokio::test]
async fn a_legacy_server_gets_handshake_session_and_farewell() {
    let (url, seen, _) = serve(|request| {
        let id = &request.body["id"];
        match request.body["method"].as_str() {
            Some("server/discover") => (response(400, "", ""), false),
            Some("initialize") => {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}});
                let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
                let headers = "content-type: text/event-stream\r\nmcp-session-id: s-42\r\n";
                (response(200, headers, &format!("data: {body}\n\n")), false)
            }
            Some("notifications/initialized") => (response(202, "", ""), false),
            Some("tools/list") => (ok(id, json!({"tools": [{"name": "t", "inputSchema": {}}]})), false),
            _ if request.head.starts_with("get") => (response(405, "", ""), false),
            _ => (response(200, "", ""), false),
        }
    })
    .await;
    let client = Client::connect(url).await.expect("connected");
    assert_eq!(client.server().revision.era(), Era::Legacy);
    assert_eq!(client.list_all_tools().await.expect("tools")[0].name, "t");
    let seen = async |what: &str, line: &str| {
        loop {
            let log = seen.lock().expect("unpoisoned").clone();
            let is = |request: &&Raw| request.body["method"] == what || request.head.starts_with(what);
            if let Some(request) = log.iter().find(is) {
                return request.head.lines().any(|have| have == line);
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(!seen("initialize", "mcp-session-id: s-42").await, "not before it was assigned");
    client.close().await;
    for what in ["notifications/initialized", "tools/list", "get /mcp ", "delete /mcp "] {
        assert!(seen(what, "mcp-session-id: s-42").await, "{what}");
        assert!(seen(what, "mcp-protocol-version: 2025-11-25").await, "{what}");
    }
}

#[tokio::test]
async fn http_failures_are_told_apart() {
    let (url, ..) = serve(modern(|request| {
        let reply = match request.body["params"]["name"].as_str().unwrap_or_default() {
            "status" => response(503, "", "down"),
            "error" => {
                let body = json!({"jsonrpc": "2.0", "id": request.body["id"],
                    "error": {"code": -32602, "message": "no such tool", "data": {"a": 1}}});
                response(400, "content-type: application/json\r\n", &body.to_string())
            }
            "html" => response(200, "content-type: text/html\r\n", "<html>"),
            "empty" => response(202, "", ""),
            "big" => response(200, "", &"x".repeat(5 << 20)),
            "big event" => response(200, "content-type: text/event-stream\r\n", &"data: x\n".repeat(3 << 20)),
            "away" => response(307, "location: http://example.com/mcp\r\n", ""),
            "refused" => {
                let headers = "www-authenticate: Bearer error=\"insufficient_scope\"\r\n\
                    WWW-Authenticate: scope=\"a b\", resource_metadata=\"https://a.example\"\r\n";
                response(403, headers, "")
            }
            _ => return ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into(), true),
        };
        (reply, false)
    }))
    .await;
    let client = Client::connect(url).await.expect("connected");
    for (name, kind, part) in [
        ("status", "transport", "503"),
        ("error", "invalid_params", "no such tool"),
        ("html", "protocol", "no valid message"),
        ("empty", "transport", "without an answer"),
        ("big", "limit", "maxMessageBytes"),
        ("big event", "limit", "maxMessageBytes"),
        ("away", "transport", "307"),
        ("refused", "unauthorized", "403: the server refuses access (insufficient_scope; scope: a b)"),
        ("cut", "transport", ""),
    ] {
        let error = client.call_tool(name, ()).await.expect_err(name);
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert!(error.message.contains(part), "{name}: {error}");
        assert_eq!(error.data.is_some(), ["error", "refused"].contains(&name));
    }
}

#[tokio::test]
async fn a_redirect_within_the_origin_is_followed_and_kept() {
    let (url, seen, _) = serve(|request| {
        if request.head.starts_with("post /mcp ") {
            return (response(307, "location: /mcp/?a=b\r\n", ""), false);
        }
        let result =
            if request.body["method"] == "server/discover" { discovered() } else { text_result("x") };
        (ok(&request.body["id"], result), false)
    })
    .await;
    let client = Client::connect(url).await.expect("connected");
    client.call_tool("t", ()).await.expect("a result");
    let seen = seen.lock().expect("unpoisoned");
    let lines: Vec<&str> = seen.iter().filter_map(|request| request.head.lines().next()).collect();
    assert_eq!(lines, ["post /mcp http/1.1", "post /mcp/?a=b http/1.1", "post /mcp/?a=b http/1.1"]);
}

#[tokio::test]
async fn redirects_have_an_end() {
    for lane in ["http://", "http://me@"] {
        let (url, seen, _) = serve(|_| (response(307, "location: /mcp\r\n", ""), false)).await;
        let error = Client::connect(url.replace("http://", lane)).await.expect_err("round and round");
        assert!(error.kind == "transport" && error.message.contains("307"), "{error}");
        let seen = seen.lock().expect("unpoisoned");
        let probes = seen.iter().filter(|request| request.body["method"] == "server/discover");
        assert_eq!(probes.count(), 6, "the request and five redirects");
    }
}

#[tokio::test]
async fn the_other_lane_does_the_same() {
    let (url, seen, _) = serve(|request| {
        if request.head.starts_with("post /mcp ") {
            return (response(307, "location: /mcp/\r\n", ""), false);
        }
        let id = &request.body["id"];
        let reply = match request.body["params"]["name"].as_str() {
            None => ok(id, discovered()),
            Some("away") => response(308, "location: http://example.com/mcp\r\n", ""),
            Some("big") => response(200, "", &"x".repeat(5 << 20)),
            Some(_) => {
                let answer = json!({"jsonrpc": "2.0", "id": id, "result": text_result("events")});
                response(200, "content-type: text/event-stream\r\n", &format!("data: {answer}\n\n"))
            }
        };
        (reply, false)
    })
    .await;
    // Credentials in the URL select this transport for plain HTTP.
    let client = Client::connect(url.replace("http://", "http://me:secret@")).await.expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "events");
    assert!(client.call_tool("away", ()).await.expect_err("another origin").message.contains("308"));
    assert_eq!(client.call_tool("big", ()).await.expect_err("too big").kind, "limit");
    let seen = seen.lock().expect("unpoisoned");
    let head = &seen.last().expect("a request").head;
    for line in
        ["authorization: basic bwu6c2vjcmv0", "mcp-method: tools/call", "content-type: application/json"]
    {
        assert!(head.lines().any(|have| have == line), "{line} in {head}");
    }
}

#[tokio::test]
async fn response_streams_left_open_do_not_pile_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (ended, mut ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ended = ended.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while let Some(request) = read_request(&mut stream, &mut buffer).await {
                    let id = &request.body["id"];
                    let reply = if request.body["method"] == "server/discover" {
                        ok(id, discovered())
                    } else {
                        let answer = json!({"jsonrpc": "2.0", "id": id, "result": text_result("x")});
                        format!(
                            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {answer}\n\n"
                        )
                    };
                    stream.write_all(reply.as_bytes()).await.expect("written");
                }
                let _ = ended.send(());
            });
        }
    });
    let client = Client::builder().timeout(Duration::MAX).connect(url).await.expect("connected");
    for _ in 0..100 {
        client.call_tool("t", ()).await.expect("a result");
    }
    for _ in 64..100 {
        ends.recv().await.expect("the oldest are closed");
    }
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced() {
    let (url, _, connections) = serve(|request| {
        let result =
            if request.body["method"] == "server/discover" { discovered() } else { text_result("x") };
        (ok(&request.body["id"], result), true)
    })
    .await;
    let client = Client::connect(url).await.expect("connected");
    for _ in 0..20 {
        // A call that was written before the close arrived may have been executed, so it is not retried.
        match client.call_tool("t", ()).await {
            Ok(result) => assert_eq!(result.text(), "x"),
            Err(error) => assert_eq!(error.kind, "transport"),
        }
    }
    assert!(connections.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn many_calls_run_side_by_side() {
    let (url, ..) = serve(modern(|request| {
        let text = request.body["params"]["arguments"]["text"].as_str().expect("text").to_owned();
        (ok(&request.body["id"], text_result(&text)), false)
    }))
    .await;
    let client = Client::connect(url).await.expect("connected");
    let calls = (0..64).map(|index| {
        let client = client.clone();
        async move {
            let text = format!("call {index}");
            let result = client.call_tool("echo", json!({"text": text})).await.expect("a result");
            assert_eq!(result.text(), text);
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_dropped_call_closes_its_response_stream() {
    let (closed, was_closed) = oneshot::channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (began, begun) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut buffer = Vec::new();
        let request = read_request(&mut stream, &mut buffer).await.expect("the probe");
        stream.write_all(ok(&request.body["id"], discovered()).as_bytes()).await.expect("written");
        read_request(&mut stream, &mut buffer).await.expect("the call");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:\n\n")
            .await
            .expect("written");
        let _ = began.send(());
        let _ = closed.send(read_request(&mut stream, &mut buffer).await.is_none());
    });
    let client = Client::connect(url).await.expect("connected");
    let call = client.call_tool("slow", ()).into_future();
    let task = tokio::spawn(call);
    begun.await.expect("the call has begun");
    task.abort();
    assert!(was_closed.await.expect("told"), "no further request, just the end");
}

#[tokio::test]
async fn what_cannot_be_connected_to_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    for (target, kind, part) in [
        (format!("http://{address}/"), "transport", "cannot connect to 127.0.0.1"),
        ("ftp://x".to_owned(), "usage", "http://"),
        ("nonsense".to_owned(), "usage", "invalid URL"),
        (address.to_string(), "usage", "must begin with http://"),
        (format!("localhost:{}/mcp", address.port()), "usage", "must begin with http://"),
        ("http://".to_owned(), "usage", "invalid URL"),
    ] {
        let error = Client::connect(&target).await.expect_err("an error");
        assert_eq!(error.kind, kind, "{target}");
        assert!(error.message.contains(part), "{error}");
    }
    let error =
        Client::builder().header("a b", "c").connect("http://127.0.0.1:1/").await.expect_err("an error");
    assert_eq!(error.kind, "usage");
    assert!(error.message.contains("header name"), "{error}");
    let error = Client::command("/nonexistent/server").connect().await.expect_err("an error");
    assert!(error.message.contains("cannot start"), "{error}");
}

// ------------------------------------------------------------------------------------------- children

/// Returns a server in shell: `$line` contains the request, `$id` its id.
#[cfg(unix)]
fn script(cases: &str) -> super::ServerCommand {
    let discovered = discovered();
    let script = format!(
        r#"while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\),.*/\1/')
  case "$line" in
    {cases}
    *server/discover*) printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" '{discovered}' ;;
    *) printf '{{"jsonrpc":"2.0","id":%s,"result":{{"resultType":"complete","content":[]}}}}\n' "$id" ;;
  esac
done"#
    );
    Client::command("/bin/sh").arg("-c").arg(script)
}

#[cfg(unix)]
#[tokio::test]
async fn a_child_is_called_and_ends_with_its_client() {
    let client = script(r#"*tools/call*) echo "noise on stdout"; printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"%s"}]}}\n' "$id" "$GREETING" ;;"#)
        .env("GREETING", "hi")
        .connect()
        .await
        .expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "hi");
    client.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_child_that_dies_fails_its_calls_with_its_status() {
    let client = script("*tools/call*) exit 3 ;;").connect().await.expect("connected");
    let calls = (0..3).map(|_| client.call_tool("t", ()).into_future());
    for result in futures_util::future::join_all(calls).await {
        let error = result.expect_err("the server died");
        assert_eq!(error.kind, "transport");
        assert!(error.message.contains("exit status: 3"), "{error}");
    }
    client.closed().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_legacy_child_that_dies_at_the_probe_is_started_again() {
    let initialized = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}});
    let client = script(&format!(
        r#"*server/discover*) exit 1 ;;
    *notifications/initialized*) ;;
    *initialize*) printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" '{initialized}' ;;"#
    ))
    .connect()
    .await
    .expect("connected");
    assert_eq!(client.server().revision.as_str(), "2025-06-18");
    client.ping().await.expect("alive");
}

#[cfg(unix)]
#[tokio::test]
async fn the_whole_process_group_ends() {
    let folder = std::env::temp_dir().join(format!("trunnion-group-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("pid");
    // The grandchild does not end with its input, nor with a SIGTERM to the child alone.
    let client = Client::command("/bin/sh")
        .arg("-c")
        .arg(format!(
            r#"sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > {file}
read -r line; printf '{{"jsonrpc":"2.0","id":1,"result":{discovered}}}\n'
read -r line"#,
            file = file.display(),
            discovered = discovered()
        ))
        .connect()
        .await
        .expect("connected");
    let pid: i32 = std::fs::read_to_string(&file).expect("written").trim().parse().expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    assert!(rustix::process::test_kill_process(pid).is_ok());
    client.close().await;
    // Ended and reaped by the process that adopted it, or ended and not yet reaped.
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        rustix::process::test_kill_process(pid).is_err() || stat.is_ok_and(|stat| stat.contains(") Z"))
    };
    while !gone() {
        tokio::task::yield_now().await;
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[cfg(unix)]
#[tokio::test]
async fn an_endless_line_ends_the_connection() {
    let client =
        script("*tools/call*) head -c 6000000 /dev/zero | tr '\\0' x ;;").connect().await.expect("connected");
    let error = client.call_tool("t", ()).await.expect_err("too long");
    assert_eq!(error.kind, "limit");
}

// --------------------------------------------------------------------------------------------- memory

/// Returns a server that answers each request with the result of `reply`.
fn in_memory(
    reply: impl Fn(&Value) -> Option<Value> + Send + 'static,
) -> (MemoryEnd, mpsc::UnboundedReceiver<Value>) {
    let (near, mut far) = memory_pair();
    let (log, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(frame) = far.incoming.recv().await {
            let message: Value = serde_json::from_slice(&frame).expect("JSON");
            let _ = log.send(message.clone());
            let result = match message["method"].as_str() {
                Some("server/discover") => Some(discovered()),
                _ => reply(&message),
            };
            if let Some(result) = result {
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
                let _ = far.outgoing.send(Bytes::from(answer));
            }
        }
    });
    (near, seen)
}

#[tokio::test(start_paused = true)]
async fn time_limits_hold_in_memory() {
    let (end, mut seen) = in_memory(|_| None);
    let client = Client::builder().timeout(Duration::from_secs(5)).connect(end).await.expect("connected");
    let begun = tokio::time::Instant::now();
    let error = client.call_tool("t", ()).await.expect_err("no answer");
    assert_eq!((error.kind, begun.elapsed().as_secs()), ("timeout", 5));
    let error = client.call_tool("t", ()).timeout(Duration::from_secs(2)).await.expect_err("no answer");
    assert_eq!((error.kind, begun.elapsed().as_secs()), ("timeout", 7));
    let mut methods = Vec::new();
    while methods.len() < 5 {
        methods.push(seen.recv().await.expect("a message")["method"].as_str().expect("a method").to_owned());
    }
    assert_eq!(
        methods[1..],
        ["tools/call", "notifications/cancelled", "tools/call", "notifications/cancelled"]
    );
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let (end, mut seen) =
        in_memory(|message| (message["method"] == "prompts/list").then(|| json!({"prompts": []})));
    let client = Client::builder().connect(end).await.expect("connected");
    let task = tokio::spawn(client.call_tool("slow", json!({})).into_future());
    assert_eq!(seen.recv().await.expect("probe")["method"], "server/discover");
    let call = seen.recv().await.expect("call");
    task.abort();
    let cancelled = seen.recv().await.expect("cancelled");
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], call["id"]);
    assert!(client.list_prompts().await.expect("still there").items.is_empty());
}

#[tokio::test]
async fn every_operation_has_its_shape() {
    let (end, mut seen) = in_memory(|message| {
        let params = &message["params"];
        Some(match message["method"].as_str()? {
            "tools/list" if params["cursor"].is_null() => {
                json!({"tools": [{"name": "a", "inputSchema": {"type": "object"}}], "nextCursor": "2"})
            }
            "tools/list" => json!({"tools": [{"name": "b", "inputSchema": {}, "x": 1}]}),
            "tools/call" => json!({"content": [], "structuredContent": {"sum": 5}, "isError": false}),
            "resources/list" => json!({"resources": [{"name": "r", "uri": "test://r"}]}),
            "resources/templates/list" => {
                json!({"resourceTemplates": [{"name": "r", "uriTemplate": "test://{a}"}]})
            }
            "resources/read" => json!({"contents": [{"uri": params["uri"], "text": "t"}]}),
            "prompts/list" => json!({"prompts": [{"name": "p"}]}),
            "prompts/get" => {
                json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}]})
            }
            "completion/complete" => json!({"completion": {"values": ["paris"], "total": 1}}),
            _ => return None,
        })
    });
    let client = Client::builder().connect(end).await.expect("connected");
    let names: Vec<String> =
        client.list_all_tools().await.expect("tools").into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["a", "b"]);
    #[derive(serde::Deserialize)]
    struct Sum {
        sum: i64,
    }
    let sum = client.call_tool("add", json!({"a": 2, "b": 3})).await.expect("a result");
    assert_eq!(sum.structured::<Sum>().expect("fits").sum, 5);
    assert_eq!(sum.structured::<String>().expect_err("does not fit").kind, "protocol");
    assert_eq!(client.call_tool("add", 3).await.expect_err("no object").kind, "usage");
    assert_eq!(client.list_resources().await.expect("resources").items[0].uri, "test://r");
    assert_eq!(
        client.list_resource_templates().await.expect("templates").items[0].uri_template,
        "test://{a}"
    );
    let contents = client.read_resource("test://r").await.expect("contents").contents;
    assert_eq!((contents[0].uri.as_str(), contents[0].text.as_deref()), ("test://r", Some("t")));
    assert_eq!(client.list_prompts().await.expect("prompts").items[0].name, "p");
    let prompt = client.get_prompt("p", json!({"x": "y"})).await.expect("a prompt");
    assert_eq!(prompt.messages[0].content.as_text(), Some("hi"));
    let of = crate::model::CompletionReference::Prompt { name: "p".into() };
    assert_eq!(client.complete(&of, "x", "pa").await.expect("values").values, ["paris"]);
    client.ping().await.expect("alive");
    let mut last = Value::Null;
    while let Ok(message) = seen.try_recv() {
        if message["method"] == "completion/complete" {
            last = message;
        }
    }
    assert_eq!(last["params"]["ref"], json!({"type": "ref/prompt", "name": "p"}));
    assert_eq!(last["params"]["argument"], json!({"name": "x", "value": "pa"}));
}

#[tokio::test]
async fn a_client_that_is_dropped_disconnects() {
    let (near, mut far) = memory_pair();
    let connecting = tokio::spawn(Client::builder().connect(near));
    let probe: Value = serde_json::from_slice(&far.incoming.recv().await.expect("a frame")).expect("JSON");
    let answer = json!({"jsonrpc": "2.0", "id": probe["id"], "result": discovered()}).to_string();
    far.outgoing.send(Bytes::from(answer)).expect("open");
    let client = connecting.await.expect("no panic").expect("connected");
    drop(client);
    assert!(far.incoming.recv().await.is_none());

    let (near, mut far) = memory_pair();
    let connecting = tokio::spawn(Client::builder().connect(near));
    far.incoming.recv().await.expect("the probe");
    connecting.abort();
    assert!(far.incoming.recv().await.is_none(), "an attempt that nobody waits for ends too");
}

#[tokio::test]
async fn nothing_is_read_while_who_is_told_is_behind() {
    let (near, mut far) = memory_pair();
    let (tell, mut told) = mpsc::unbounded_channel();
    let sink: Sink = Box::new(move |event| drop(tell.send(event)));
    let (behind, full) = tokio::sync::watch::channel(false);
    let runtime = tokio::runtime::Handle::current();
    let options = ConnectOptions { timeout: Duration::from_secs(60), ..ConnectOptions::default() };
    let client = ClientHandle::connect(&runtime, Target::Memory(near), options, sink, Some(full));
    let request = async |far: &mut MemoryEnd| -> Value {
        serde_json::from_slice(&far.incoming.recv().await.expect("a frame")).expect("JSON")
    };
    let probe = request(&mut far).await;
    let answer = json!({"jsonrpc": "2.0", "id": probe["id"], "result": discovered()}).to_string();
    far.outgoing.send(Bytes::from(answer)).expect("open");
    assert!(matches!(told.recv().await, Some(ClientEvent::Ready(_))));

    behind.send(true).expect("somebody looks");
    let ping = trunnion_proto::methods::by_op("list_prompts").expect("an operation");
    client.start(1, ping, String::new(), RequestOptions::default());
    request(&mut far).await;
    let news = json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}).to_string();
    for _ in 0..100 {
        far.outgoing.send(Bytes::from(news.clone())).expect("open");
    }
    client.cancel(1, "enough");
    assert!(matches!(told.recv().await, Some(ClientEvent::Error { op: 1, .. })), "commands are carried out");

    behind.send(false).expect("somebody looks");
    for _ in 0..100 {
        assert!(matches!(told.recv().await, Some(ClientEvent::Notification { .. })));
    }
}
