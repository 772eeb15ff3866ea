//! Connections and requests in the forms that browsers, proxies and careless peers send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::sync::Notify;
use trunnion::server::{Server, ServerBuilder, Tool};
use trunnion::store::{Append, EventStore, MemoryStore, Replay, StoreFuture, StreamKey};

use crate::auth_server::world::World;
use crate::common::{Gate, Peer, hello, later, with_progress};

fn builder() -> ServerBuilder {
    Server::builder("test", "1.0").tool(Tool::new("hello", hello))
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// The origin of a debugging tool that runs as a page.
const PAGE: &str = "http://localhost:6274";
const FOREIGN: &str = "https://evil.example";

async fn preflight(url: &str, origin: &str) -> Response {
    let request = http()
        .request(Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,mcp-protocol-version,mcp-param-region");
    request.send().await.expect("sent")
}

fn has_cors(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

fn lets_in(headers: &HeaderMap, origin: &str) {
    assert_eq!(headers["access-control-allow-origin"], origin);
    let vary: Vec<_> = headers.get_all("vary").iter().collect();
    assert!(vary.iter().any(|value| *value == "Origin"), "{vary:?}");
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let exposed = headers["access-control-expose-headers"].to_str().expect("ASCII");
    assert!(exposed.contains("Mcp-Session-Id") && exposed.contains("WWW-Authenticate"), "{exposed}");
}

async fn is_a_preflight_answer(url: &str) {
    let answer = preflight(url, PAGE).await;
    assert_eq!(answer.status(), 204);
    lets_in(answer.headers(), PAGE);
    let methods = answer.headers()["access-control-allow-methods"].to_str().expect("ASCII");
    assert!(methods.contains("POST"), "{methods}");
    let headers = &answer.headers()["access-control-allow-headers"];
    assert_eq!(headers, "content-type,mcp-protocol-version,mcp-param-region");
    let refused = preflight(url, FOREIGN).await;
    assert_eq!(refused.status(), 403);
    assert!(!has_cors(refused.headers()), "{:?}", refused.headers());
}

#[tokio::test]
async fn pages_of_allowed_origins_can_use_a_server() {
    let server = builder().build().expect("valid");
    let listening = server.http().allow_origin("https://app.example").sse_path("/sse");
    let peer = Peer::of(listening.bind("127.0.0.1:0").await.expect("listening"), "2025-11-25");
    let url = peer.listening.url();
    is_a_preflight_answer(url).await;
    is_a_preflight_answer(&url.replace("/mcp", "/sse")).await;
    assert_eq!(preflight(url, "https://app.example").await.status(), 204);
    let post = |origin: &str| peer.request(Method::POST).header("origin", origin).body("{}").send();
    lets_in(post("https://app.example").await.expect("sent").headers(), "https://app.example");
    let refused = post(FOREIGN).await.expect("sent");
    assert!(refused.status() == 403 && !has_cors(refused.headers()), "{:?}", refused.headers());
    // Errors too: the page is to see them.
    let missing =
        http().get(url.replace("/mcp", "/nowhere")).header("origin", PAGE).send().await.expect("sent");
    assert_eq!(missing.status(), 404);
    lets_in(missing.headers(), PAGE);
    let plain = peer.request(Method::POST).body("{}").send().await.expect("sent");
    assert!(!has_cors(plain.headers()), "no page has asked");
    let no_preflight =
        http().request(Method::OPTIONS, url).header("origin", PAGE).send().await.expect("sent");
    assert_eq!(no_preflight.status(), 405);
}

#[tokio::test]
async fn a_preflight_needs_no_token_and_a_refusal_can_be_read() {
    let world = World::new().await;
    is_a_preflight_answer(world.url()).await;
    let refused = world.calling("hello", &[("origin", PAGE)]).send().await.expect("sent");
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    lets_in(refused.headers(), PAGE);
}

#[tokio::test]
async fn pages_can_use_a_server_that_somebody_else_carries() {
    let service = builder().build().expect("valid").http().tower_service().expect("a service");
    let router = Router::new().route_service("/mcp", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    is_a_preflight_answer(&url).await;
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_path_is_no_other_path() {
    for (own, asked) in [("/mcp", "/mcp/"), ("/mcp/", "/mcp"), ("/", ""), ("/mcp", "/mcp")] {
        let server = builder().build().expect("valid");
        let listening = server.http().path(own).bind("127.0.0.1:0").await.expect("listening");
        let base = format!("http://{}", listening.address().expect("TCP"));
        let client = trunnion::Client::connect(format!("{base}{asked}")).await.expect("connected");
        assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello", "{asked}");
        let other = http().post(format!("{base}{asked}/x/")).send().await.expect("sent");
        assert_eq!(other.status(), 404);
    }
}

#[tokio::test]
async fn the_older_transport_names_its_endpoint_as_a_proxy_serves_it() {
    for (public, expected) in [
        (Some("https://mcp.example.com/tools/mcp"), "/tools/sse?session="),
        (Some("https://mcp.example.com/mcp"), "/sse?session="),
        (None, "/sse?session="),
    ] {
        let server = builder().build().expect("valid");
        let mut options = server.http().sse_path("/sse");
        if let Some(public) = public {
            options = options.public_url(public);
        }
        let listening = options.bind("127.0.0.1:0").await.expect("listening");
        let request = http().get(listening.url().replace("/mcp", "/sse/"));
        let mut stream = Peer::answer(request).await.stream();
        let endpoint = stream.next().await.expect("an event").data;
        assert!(endpoint.starts_with(expected), "{public:?}: {endpoint}");
    }
}

/// A store that blocks the beginning of a stream.
#[derive(Default)]
struct Hanging {
    store: MemoryStore,
    begun: Notify,
    removed: Notify,
}

impl EventStore for Hanging {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        if append.oldest == 1 {
            self.begun.notify_one();
            return Box::pin(std::future::pending());
        }
        EventStore::append(&self.store, key, append)
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        EventStore::read(&self.store, key, after)
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        if stream.is_some() {
            self.removed.notify_one();
        }
        EventStore::remove(&self.store, session, stream)
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_while_it_begins_is_removed() {
    let events = Arc::new(Hanging::default());
    let server = builder().state(Gate::default()).tool(Tool::new("later", later)).build().expect("valid");
    let options = server.http().session_store(Arc::new(MemoryStore::default())).event_store(events.clone());
    let mut peer = Peer::of(options.bind("127.0.0.1:0").await.expect("listening"), "2025-11-25");
    peer.initialize(json!({})).await.expect("a session");
    let call = peer.ask(1, "tools/call", with_progress("later"));
    tokio::select! {
        _ = call => panic!("it is answered"),
        () = events.begun.notified() => {}
    }
    events.removed.notified().await;
}

const FEW_DESCRIPTORS: &str = "TRUNNION_TEST_FEW_DESCRIPTORS";

#[test]
fn idle_connections_leave_descriptors_to_the_program() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        return with_few_descriptors();
    }
    let name = "connections::idle_connections_leave_descriptors_to_the_program";
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -n 64; exec \"$0\" --exact {name} --nocapture")])
        .arg(std::env::current_exe().expect("a program"))
        .env(FEW_DESCRIPTORS, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = |what: &str| {
        let line = lines.by_ref().map(|line| line.expect("a line")).find(|line| line.contains(what));
        line.and_then(|line| line.split_once(what).map(|(_, rest)| rest.to_owned())).expect("it says so")
    };
    let address: SocketAddr = said("address ").parse().expect("an address");
    let mut peers: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(address).expect("connected")).collect();
    // The last one is closed when all have been accepted; without the limit it is never accepted.
    let last = peers.last_mut().expect("a hundred");
    last.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    let _ = last.read(&mut [0]);
    child.stdin.take().expect("piped").write_all(b"go\n").expect("written");
    assert_eq!(said("opened "), "8");
    assert!(child.wait().expect("ended").success());
}

/// Serves; opens files on request and reports their number.
fn with_few_descriptors() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = builder().build().expect("valid");
    let listening = runtime.block_on(server.http().bind("127.0.0.1:0")).expect("listening");
    println!("address {}", listening.address().expect("TCP"));
    std::io::stdin().read_line(&mut String::new()).expect("told");
    let files: Vec<_> =
        (0..8).map_while(|_| std::fs::File::open(std::env::current_exe().ok()?).ok()).collect();
    println!("opened {}", files.len());
}

#[tokio::test]
async fn a_carried_service_answers_so_many_requests_at_a_time() {
    let gate = Gate::default();
    let server = builder().state(gate.clone()).tool(Tool::new("later", later)).build().expect("valid");
    let service = server.http().max_connections(1).sessions(false).tower_service().expect("a service");
    let router = Router::new().route_service("/mcp", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let http = http();
    let call = |name: &str| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}});
        let request = http.post(&url).header("content-type", "application/json");
        request.header("mcp-protocol-version", "2025-11-25").body(body.to_string()).send()
    };
    let first = tokio::spawn(call("later"));
    while call("hello").await.expect("sent").status() != 503 {}
    gate.go.notify_one();
    assert_eq!(first.await.expect("no panic").expect("sent").status(), 200);
    while call("hello").await.expect("sent").status() != 200 {}
}
