//! Tests of connections with peers that leave or do not read, on both drivers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::event::{PollFd, PollFlags};
use tokio::sync::{Notify, watch};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Behaviour, Catalog, Input, Item, Offer};
use trunnion_proto::server::{Progress, Settings, Stamp};

use super::*;
use crate::driver::tests::on_both;
use crate::server::call::{Call, Handler, Start};
use crate::server::seal::{DEFAULT_TTL, Sealer};

/// A time that no test waits for.
const NEVER: Duration = Duration::from_secs(3600);

/// A tool made of a function.
struct Tool<F>(F);

impl<F: Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync + 'static> Handler for Tool<F> {
    fn start(&self, call: Call, _: Input) -> Start {
        Start::Future(self.0(call))
    }
}

/// Signals when the future that holds it is dropped.
struct OnDrop(mpsc::Sender<&'static str>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

fn step(call: &Call, progress: u32, bytes: usize) -> bool {
    call.progress(Progress { progress: progress.into(), total: None, message: Some("x".repeat(bytes)) })
}

fn empty_server() -> ServerCore {
    let offer = Offer { stamp: Stamp::new("{}", 0, "private"), instructions: None, page_size: 10 };
    let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
    let catalog = Catalog::new(Settings::default(), offer);
    ServerCore::new(catalog, Arc::default(), sealer, None, None, None, Default::default())
}

/// Serves a tool `t` and run a client on a thread of its own.
fn serve_to(
    driver: &Driver,
    stall: Duration,
    timeout: Option<Duration>,
    tool: impl Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    client: impl FnOnce(SocketAddr) + Send + 'static,
) {
    let core = empty_server();
    let behaviour = Behaviour { timeout, ..Behaviour::default() };
    core.catalog.add(Item::Tool, r#"{"name":"t"}"#, behaviour, Arc::new(Tool(tool))).expect("valid");
    let (own, (address, addresses)) = (driver.clone(), mpsc::channel());
    driver.spawn(async move {
        let listener = own.listen(([127, 0, 0, 1], 0).into()).await.expect("listening");
        address.send(bound(&listener).expect("TCP")).expect("the client waits");
        let options = HttpOptions { stall, ..HttpOptions::default() };
        // Kept, so that it serves until the driver ends.
        let phase = watch::Sender::new(Phase::Serving);
        let _ = serve(Arc::new(core), own, listener, options, None, phase.subscribe(), NEVER).await;
    });
    std::thread::spawn(move || client(addresses.recv().expect("an address")));
}

fn post(version: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp {version}\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const MODERN: &str = "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: t\r\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

/// A connection on which the tool has been called in the modern era.
fn called(address: SocketAddr, version: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(&post(version, MODERN, CALL)).expect("written");
    stream
}

/// A connection on which the tool has been called in a session of 2025-11-25.
fn called_in_session(address: SocketAddr) -> TcpStream {
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(&post("HTTP/1.1", "Connection: close\r\n", hello)).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let id = answer.split("mcp-session-id: ").nth(1).and_then(|rest| rest.lines().next()).expect("a session");
    let headers = format!("Mcp-Session-Id: {id}\r\nMcp-Protocol-Version: 2025-11-25\r\n");
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":1}}}"#;
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(&post("HTTP/1.1", &headers, call)).expect("written");
    stream
}

/// Waits until the other side has reset the connection, without reading.
fn wait_for_reset(stream: &TcpStream) {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    while rustix::event::poll(&mut fds, None).is_err() {}
    assert!(fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP));
}

/// Reads until the end of a head.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("more");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("UTF-8")
}

#[test]
fn a_peer_that_never_reads_its_answer_is_disconnected() {
    let results = on_both(|driver, sender| {
        let tool = |_| Box::pin(async { Outcome::Text("x".repeat(32 << 20)) }) as BoxFuture<'static, Outcome>;
        serve_to(&driver, Duration::from_millis(50), None, tool, move |address| {
            wait_for_reset(&called(address, "HTTP/1.1"));
            sender.send("reset").expect("awaited");
        });
    });
    assert_eq!(results, ["reset"; 2]);
}

/// A tool that reports 64 MiB of progress and does not answer.
fn flood(dropped: mpsc::Sender<&'static str>) -> impl Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync {
    let dropped = Mutex::new(dropped);
    move |call| {
        let told = OnDrop(crate::sync::lock(&dropped).clone());
        Box::pin(async move {
            let _told = told;
            for n in 1..=1024 {
                step(&call, n, 64 << 10);
                tokio::task::yield_now().await;
            }
            std::future::pending().await
        })
    }
}

#[test]
fn a_peer_that_never_reads_its_stream_is_disconnected() {
    let results = on_both(|driver, sender| {
        serve_to(&driver, Duration::from_millis(50), None, flood(sender), |address| {
            wait_for_reset(&called(address, "HTTP/1.1"));
        });
    });
    assert_eq!(results, ["dropped"; 2]);
}

#[test]
fn a_peer_that_never_reads_the_stream_of_its_session_is_disconnected() {
    let results = on_both(|driver, sender| {
        let (dropped, _) = mpsc::channel();
        serve_to(&driver, Duration::from_millis(50), None, flood(dropped), move |address| {
            wait_for_reset(&called_in_session(address));
            sender.send("reset").expect("awaited");
        });
    });
    assert_eq!(results, ["reset"; 2]);
}

#[test]
fn a_time_limit_passes_although_nobody_reads() {
    for call in [|address| called(address, "HTTP/1.1"), called_in_session] {
        let results = on_both(|driver, sender| {
            let limit = Some(Duration::from_millis(100));
            serve_to(&driver, NEVER, limit, flood(sender), move |address| wait_for_reset(&call(address)));
        });
        assert_eq!(results, ["dropped"; 2]);
    }
}

/// A tool that says so much before it waits, and tells that it has begun.
fn wait(
    steps: u32,
    begun: &mpsc::Sender<()>,
    dropped: mpsc::Sender<&'static str>,
) -> impl Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync + use<> {
    let senders = Mutex::new((begun.clone(), dropped));
    move |call| {
        let (begun, dropped) = crate::sync::lock(&senders).clone();
        let told = OnDrop(dropped);
        Box::pin(async move {
            let _told = told;
            for n in 1..=steps {
                step(&call, n, 10);
            }
            let _ = begun.send(());
            std::future::pending().await
        })
    }
}

#[test]
fn a_peer_that_leaves_is_noticed_although_it_has_sent_more() {
    for (version, steps) in [("HTTP/1.1", 0), ("HTTP/1.1", 1), ("HTTP/1.0", 0), ("HTTP/1.0", 1)] {
        let results = on_both(|driver, sender| {
            let (begun, has_begun) = mpsc::channel();
            serve_to(&driver, NEVER, None, wait(steps, &begun, sender), move |address| {
                let mut stream = called(address, version);
                stream.write_all(b"x").expect("written");
                has_begun.recv().expect("it begins");
            });
        });
        assert_eq!(results, ["dropped"; 2], "{version} after {steps} events");
    }
}

#[test]
fn a_peer_that_has_said_all_it_has_to_say_gets_its_answer() {
    for more in ["", "POST /"] {
        let results = on_both(|driver, sender| {
            let go = Arc::new(Notify::new());
            let gate = go.clone();
            let tool = move |_| {
                let gate = gate.clone();
                Box::pin(async move {
                    gate.notified().await;
                    Outcome::Text("done".into())
                }) as BoxFuture<'static, Outcome>
            };
            serve_to(&driver, NEVER, None, tool, move |address| {
                let mut stream = called(address, "HTTP/1.1");
                stream.write_all(more.as_bytes()).expect("written");
                stream.shutdown(Shutdown::Write).expect("half-closed");
                let interim = read_head(&mut stream);
                go.notify_one();
                let head = read_head(&mut stream);
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("the rest");
                let interim = interim.starts_with("HTTP/1.1 100 ");
                sender
                    .send((interim, head.starts_with("HTTP/1.1 200 "), answer.contains("done")))
                    .expect("awaited");
            });
        });
        assert_eq!(results, [(true, true, true); 2], "{more:?}");
    }
}

#[test]
fn a_half_closed_event_stream_goes_on() {
    let results = on_both(|driver, sender| {
        let go = Arc::new(Notify::new());
        let gate = go.clone();
        let tool = move |call: Call| {
            let gate = gate.clone();
            Box::pin(async move {
                step(&call, 1, 10);
                gate.notified().await;
                Outcome::Text("done".into())
            }) as BoxFuture<'static, Outcome>
        };
        serve_to(&driver, NEVER, None, tool, move |address| {
            let mut stream = called(address, "HTTP/1.1");
            read_head(&mut stream);
            stream.shutdown(Shutdown::Write).expect("half-closed");
            let mut said = Vec::new();
            while !said.ends_with(b":\n\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a comment");
                said.push(byte[0]);
            }
            go.notify_one();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).expect("the rest");
            sender.send(rest.contains("done")).expect("awaited");
        });
    });
    assert_eq!(results, [true; 2]);
}

#[test]
fn errors_of_single_connections_do_not_end_a_listener() {
    use rustix::io::Errno;
    let results = on_both(|driver, sender| {
        let own = driver.clone();
        driver.spawn(async move {
            let listener = own.listen(([127, 0, 0, 1], 0).into()).await.expect("listening");
            let address = bound(&listener).expect("TCP");
            crate::sync::lock(&listener.faults).extend([
                Errno::INVAL,
                Errno::CONNABORTED,
                Errno::IO,
                Errno::MFILE,
            ]);
            std::thread::spawn(move || {
                // One that connects and leaves, too.
                drop(TcpStream::connect(address));
                drop(TcpStream::connect(address).expect("connected"));
            });
            for _ in 0..2 {
                listener.accept().await.expect("it goes on");
            }
            sender.send("accepted").expect("awaited");
        });
    });
    assert_eq!(results, ["accepted"; 2]);
}

#[test]
fn a_listener_that_has_failed_ends_with_an_error() {
    let results = on_both(|driver, sender| {
        let own = driver.clone();
        driver.spawn(async move {
            let listener = own.listen(([127, 0, 0, 1], 0).into()).await.expect("listening");
            listener.break_off();
            let phase = watch::Sender::new(Phase::Serving);
            let (core, options) = (Arc::new(empty_server()), HttpOptions::default());
            let ended = serve(core, own, listener, options, None, phase.subscribe(), NEVER).await;
            sender.send(ended.expect_err("it failed").kind).expect("awaited");
        });
    });
    assert_eq!(results, ["transport"; 2]);
}

#[test]
fn the_host_keeps_some_descriptors() {
    assert_eq!(most_connections(10_000, None), 10_000);
    assert_eq!(most_connections(10_000, Some(1 << 20)), 10_000);
    assert_eq!(most_connections(10_000, Some(1024)), 896);
    assert_eq!(most_connections(10_000, Some(64)), 32);
    assert_eq!(most_connections(10_000, Some(8)), 1);
    assert_eq!(most_connections(10, Some(1024)), 10);
}
