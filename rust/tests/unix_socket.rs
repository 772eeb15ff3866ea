//! HTTP over Unix sockets under both drivers, and the endpoint as a service of tower.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower_service::Service;
use trunnion::client::Client;
use trunnion::server::{Server, Tool};
use trunnion_facade::{Completion, Engine, Event};

const DRIVERS: [&str; 2] = ["hosted", "threaded"];

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("trunnion-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("mcp server.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn engine(driver: &str) -> Engine {
    Engine::new(&json!({"driver": driver}).to_string()).expect("an engine")
}

/// Begins to serve the tool `hello` on a socket; the first event reports the outcome.
fn serve(engine: &Engine, socket: &Path) -> (u64, Event) {
    let server = engine.server_new(r#"{"name":"local","version":"1"}"#).expect("a server");
    let tool = json!({"name": "hello", "inputSchema": {"type": "object"}}).to_string();
    engine.server_add(server, "tool", &tool, "{}", 1).expect("a tool");
    let op = engine.serve_http(server, &json!({"unixSocket": socket}).to_string()).expect("serving");
    (op, until(engine, |event| event.id == op))
}

/// Acts as the host until this event comes.
fn until(engine: &Engine, wanted: impl Fn(&Event) -> bool) -> Event {
    let mut completions = Vec::new();
    loop {
        let events = engine.drain(std::mem::take(&mut completions));
        if events.is_empty() {
            assert!(engine.wait(Some(Duration::from_secs(30))), "nothing came");
        }
        for event in events {
            if wanted(&event) {
                return event;
            }
            if event.kind == 1 {
                completions.push(Completion { id: event.id, outcome: 1, payload: "hello".into() });
            }
        }
    }
}

fn payload(event: &Event) -> Value {
    serde_json::from_str(&event.payload).expect("JSON")
}

#[test]
fn a_call_goes_over_the_socket_and_the_file_goes_with_the_listener() {
    for driver in DRIVERS {
        let folder = Folder::new(&format!("round-{driver}"));
        let socket = folder.socket();
        // The socket file that a killed server leaves behind.
        drop(UnixListener::bind(&socket).expect("a socket"));
        let engine = engine(driver);
        let (op, listening) = serve(&engine, &socket);
        assert_eq!(listening.kind, 13, "{}", listening.payload);
        let told = payload(&listening);
        let url = told["url"].as_str().expect("a URL");
        assert!(url.starts_with("http+unix://%2F") && url.ends_with("mcp%20server.sock/mcp"), "{url}");
        assert_eq!((&told["host"], &told["port"]), (&json!(""), &json!(0)));
        let mode = std::fs::metadata(&socket).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let client = engine.connect(&json!({"url": url}).to_string(), "{}").expect("connecting");
        let connected = until(&engine, |event| event.id == client);
        assert_eq!(connected.kind, 10, "{}", connected.payload);
        let call = engine.request(client, "call_tool", r#"{"name":"hello"}"#, "{}").expect("calling");
        let answer = until(&engine, |event| event.id == call);
        assert_eq!(payload(&answer)["content"][0]["text"], "hello");

        engine.client_close(client);
        engine.cancel(op, "enough");
        until(&engine, |event| event.id == op);
        assert!(!socket.exists());
        engine.close(Duration::from_secs(2));
    }
}

#[test]
fn what_is_not_a_left_over_socket_stays_as_it_is() {
    for driver in DRIVERS {
        let folder = Folder::new(&format!("taken-{driver}"));
        let socket = folder.socket();
        let engine = engine(driver);
        let live = UnixListener::bind(&socket).expect("a socket");
        let refused = serve(&engine, &socket).1;
        assert_eq!(refused.kind, 11);
        assert!(refused.payload.contains("a server listens on this socket"), "{}", refused.payload);
        // Still the same listener.
        std::os::unix::net::UnixStream::connect(&socket).expect("connected");
        drop(live);
        std::fs::remove_file(&socket).expect("removed");

        std::fs::write(&socket, "mine").expect("a file");
        let refused = serve(&engine, &socket).1;
        assert!(refused.payload.contains("not a socket"), "{}", refused.payload);
        assert_eq!(std::fs::read_to_string(&socket).expect("the file"), "mine");
        engine.close(Duration::from_secs(2));
    }
}

#[test]
fn a_socket_is_given_instead_of_an_address() {
    let engine = engine("hosted");
    let server = engine.server_new(r#"{"name":"local","version":"1"}"#).expect("a server");
    for wrong in [
        json!({"unixSocket": "/a", "port": 0}),
        json!({"unixSocket": "/a", "host": "127.0.0.1"}),
        json!({"unixSocket": ""}),
        json!({"unixSocket": "/a", "carried": true}),
    ] {
        let error = engine.serve_http(server, &wrong.to_string()).expect_err("refused");
        assert_eq!(error.kind, "usage");
        assert!(error.message.contains("unixSocket"), "{}", error.message);
    }
    let error = engine.connect(r#"{"url":"http+unix:///run/a.sock"}"#, "{}").expect_err("refused");
    assert!(error.message.contains("%2Frun%2Fserver.sock"), "{}", error.message);
    engine.close(Duration::from_secs(2));
}

fn hello() -> Server {
    Server::builder("small", "1").tool(Tool::new("hello", async || "hello")).build().expect("a server")
}

#[tokio::test]
async fn a_rust_server_listens_on_a_socket() {
    let folder = Folder::new("rust");
    let listening = hello().http().bind_unix(folder.socket()).await.expect("listening");
    assert_eq!(listening.address(), None);
    let client = Client::connect(listening.url()).await.expect("connected");
    assert_eq!(client.call_tool("hello", ()).await.expect("a result").text(), "hello");
    client.close().await;
    listening.close().await;
    assert!(!folder.socket().exists());
}

#[tokio::test]
async fn a_service_of_tower_answers_and_its_dropped_body_is_the_caller_leaving() {
    let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
    let (left, mut leaving) = tokio::sync::mpsc::unbounded_channel::<()>();
    let slow = Tool::new("slow", move |context: trunnion::server::Context| {
        let (started, left) = (started.clone(), left.clone());
        async move {
            // Its end closes the channel, cancelled or not.
            let _left = left;
            context.progress(1.0, None, None);
            let _ = started.send(());
            std::future::pending::<&'static str>().await
        }
    });
    let server = hello();
    server.add(slow).expect("a tool");
    let mut service = server.http().tower_service().expect("a service");
    let request = |tool: &str, host: &str| {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 1,
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {}, "_meta": meta}});
        http::Request::post("/mcp")
            .header("host", host)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .body(Full::new(bytes::Bytes::from(body.to_string())))
            .expect("a request")
    };
    let response = service.call(request("hello", "localhost")).await.expect("a response");
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["result"]["content"][0]["text"], "hello");
    assert_eq!(service.call(request("hello", "evil.example")).await.expect("a response").status(), 403);

    let response = service.call(request("slow", "localhost")).await.expect("a response");
    starts.recv().await.expect("started");
    drop(response);
    server.remove_tool("slow");
    assert_eq!(leaving.recv().await, None);
}

#[tokio::test]
async fn a_server_of_hyper_carries_the_service() {
    let service = hello().http().tower_service().expect("a service");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let carrying = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    let client = Client::connect(&url).await.expect("a client");
    let answer = client.call_tool("hello", json!({})).await.expect("an answer");
    assert_eq!(answer.text(), "hello");
    client.close().await;
    carrying.abort();
}
