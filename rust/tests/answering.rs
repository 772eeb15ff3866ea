//! Requests and notifications of hand-written servers, received through the Rust client and the host surface.

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use trunnion::client::{Change, Client, ClientBuilder, Listen, MemoryEnd, memory_pair};
use trunnion::model::{ElicitAnswer, ElicitRequest, Root, SampleAnswer};
use trunnion::server::LogLevel;
use trunnion::{Era, Error};
use trunnion_facade::{Completion, Engine, Event};

fn discovered() -> Value {
    json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}})
}

fn elicit() -> Value {
    json!({"message": "Who?", "requestedSchema": {"type": "object", "properties": {
        "name": {"type": "string", "minLength": 2}, "age": {"type": "integer", "default": 30}}}})
}

/// The far end of a connection in memory: a server in the hands of a test.
struct Peer(MemoryEnd);

impl Peer {
    async fn next(&mut self) -> Value {
        serde_json::from_slice(&self.0.incoming.recv().await.expect("open")).expect("JSON")
    }

    fn send(&self, message: Value) {
        self.0.outgoing.send(Bytes::from(message.to_string())).expect("open");
    }

    /// The next message is this request; its id and parameters.
    async fn asked(&mut self, method: &str) -> (Value, Value) {
        let message = self.next().await;
        assert_eq!(message["method"], method);
        (message["id"].clone(), message["params"].clone())
    }

    fn answer(&self, id: &Value, result: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }
}

async fn modern(builder: ClientBuilder) -> (Client, Peer) {
    let (near, far) = memory_pair();
    let mut peer = Peer(far);
    let serve = async {
        let (id, _) = peer.asked("server/discover").await;
        peer.answer(&id, discovered());
    };
    let (client, ()) = tokio::join!(builder.connect(near), serve);
    (client.expect("connected"), peer)
}

async fn legacy(builder: ClientBuilder) -> (Client, Peer, Value) {
    let (near, far) = memory_pair();
    let mut peer = Peer(far);
    let serve = async {
        let (id, params) = peer.asked("initialize").await;
        let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
        peer.answer(
            &id,
            json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": {"name": "s", "version": "1"}}),
        );
        peer.asked("notifications/initialized").await;
        params
    };
    let (client, params) = tokio::join!(builder.era(Era::Legacy).connect(near), serve);
    (client.expect("connected"), peer, params)
}

fn answering() -> ClientBuilder {
    Client::builder()
        .on_elicit(async |asked: ElicitRequest| match asked {
            ElicitRequest::Form(form) if form.message == "Who?" => {
                ElicitAnswer::accept(json!({"name": "Ann"}))
            }
            ElicitRequest::Form(_) => panic!("a handler that fails"),
            ElicitRequest::Url(_) | ElicitRequest::Other(_) => ElicitAnswer::decline(),
        })
        .on_sample(async |asked| match asked.messages.len() {
            0 => Err(Error::custom(-1, "nothing to say")),
            _ => Ok(SampleAnswer::new("Paris", "model")),
        })
        .roots(&[Root::new("file:///a")])
}

#[tokio::test]
async fn handlers_answer_in_both_eras() {
    let (client, mut peer) = modern(answering()).await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call_tool("t", ()).await }
    });
    let (id, params) = peer.asked("tools/call").await;
    assert_eq!(
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"],
        json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}}})
    );
    let message = json!({"role": "user", "content": {"type": "text", "text": "capital of France?"}});
    let requests = json!({
        "who": {"method": "elicitation/create", "params": elicit()},
        "what": {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 9}},
        "where": {"method": "roots/list"},
    });
    peer.answer(&id, json!({"resultType": "input_required", "inputRequests": requests, "requestState": "s"}));
    let (id, params) = peer.asked("tools/call").await;
    assert_eq!(params["requestState"], "s");
    assert_eq!(
        params["inputResponses"],
        json!({
            "who": {"action": "accept", "content": {"name": "Ann", "age": 30}},
            "what": {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "model"},
            "where": {"roots": [{"uri": "file:///a"}]},
        })
    );
    peer.answer(&id, json!({"content": []}));
    call.await.expect("no panic").expect("a result");

    let (client, mut peer, params) = legacy(answering()).await;
    assert_eq!(params["capabilities"]["roots"], json!({"listChanged": true}));
    for (method, params, expected) in [
        ("elicitation/create", elicit(), json!({"action": "accept", "content": {"name": "Ann", "age": 30}})),
        (
            "elicitation/create",
            json!({"mode": "url", "message": "x", "url": "https://a"}),
            json!({"action": "decline"}),
        ),
        ("roots/list", json!({}), json!({"roots": [{"uri": "file:///a"}]})),
    ] {
        peer.send(json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params}));
        assert_eq!(peer.next().await["result"], expected);
    }
    for (method, params, code) in [
        ("sampling/createMessage", json!({"messages": [], "maxTokens": 9}), -1),
        (
            "elicitation/create",
            json!({"message": "panic", "requestedSchema": {"type": "object", "properties": {}}}),
            -32603,
        ),
    ] {
        peer.send(json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params}));
        assert_eq!(peer.next().await["error"]["code"], code);
    }
    client.set_roots(&[]).expect("it has roots");
    peer.asked("notifications/roots/list_changed").await;
    let (plain, _peer) = modern(Client::builder()).await;
    assert_eq!(plain.set_roots(&[]).expect_err("it has none").kind, "usage");
}

#[tokio::test]
async fn a_withdrawn_question_drops_its_handler() {
    let (began, begun) = tokio::sync::oneshot::channel::<()>();
    let began = std::sync::Mutex::new(Some(began));
    let (dropped, was_dropped) = tokio::sync::oneshot::channel::<()>();
    let dropped = std::sync::Mutex::new(Some(dropped));
    let builder = Client::builder().on_elicit(move |_| {
        let (began, dropped) =
            (began.lock().expect("unpoisoned").take(), dropped.lock().expect("unpoisoned").take());
        async move {
            let _dropped = dropped;
            if let Some(began) = began {
                let _ = began.send(());
            }
            std::future::pending().await
        }
    });
    let (client, mut peer) = modern(builder).await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call_tool("t", ()).await }
    });
    let (id, _) = peer.asked("tools/call").await;
    let requests = json!({"who": {"method": "elicitation/create", "params": elicit()}});
    peer.answer(&id, json!({"resultType": "input_required", "inputRequests": requests}));
    begun.await.expect("the handler runs");
    call.abort();
    assert!(was_dropped.await.is_err(), "its sender went with the handler");
}

#[tokio::test]
async fn changes_are_a_stream() {
    let (client, mut peer) = modern(Client::builder()).await;
    let notify = |peer: &Peer, method: &str, id: &Value, mut params: Value| {
        params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
        peer.send(json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params}));
    };
    let serve = async {
        let (id, params) = peer.asked("subscriptions/listen").await;
        assert_eq!(
            params["notifications"],
            json!({"toolsListChanged": true, "resourceSubscriptions": ["test://a"]})
        );
        notify(
            &peer,
            "subscriptions/acknowledged",
            &id,
            json!({"notifications": {"resourceSubscriptions": ["test://a"]}}),
        );
        id
    };
    let (changes, id) = tokio::join!(client.listen(Listen::new().tools().resource("test://a")), serve);
    let mut changes = changes.expect("listening");
    assert_eq!(changes.granted(), Listen::new().resource("test://a"));
    for _ in 0..2 {
        notify(&peer, "resources/updated", &id, json!({"uri": "test://a"}));
    }
    peer.answer(&id, json!({"resultType": "complete"}));
    assert_eq!(changes.next().await.expect("one").expect("a change"), Change::Resource("test://a".into()));
    while let Some(change) = changes.next().await {
        assert_eq!(change.expect("a change"), Change::Resource("test://a".into()));
    }

    let (client, mut peer, _) = legacy(Client::builder()).await;
    let serve = async {
        let (id, params) = peer.asked("resources/subscribe").await;
        assert_eq!(params, json!({"uri": "test://a"}));
        peer.answer(&id, json!({}));
    };
    let (changes, ()) = tokio::join!(client.listen(Listen::new().tools().resource("test://a")), serve);
    let mut changes = changes.expect("listening");
    peer.send(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    assert_eq!(changes.next().await.expect("one").expect("a change"), Change::Tools);
    drop(changes);
    peer.asked("resources/unsubscribe").await;
    let refused = async {
        let (id, _) = peer.asked("logging/setLevel").await;
        peer.answer(&id, json!({}));
    };
    let (set, ()) = tokio::join!(client.set_log_level(LogLevel::Error).into_future(), refused);
    set.expect("set");
}

#[tokio::test]
async fn changes_that_nobody_reads_are_bounded() {
    let (client, mut peer, _) = legacy(Client::builder()).await;
    let serve = async {
        let (id, _) = peer.asked("resources/subscribe").await;
        peer.answer(&id, json!({}));
    };
    let (changes, ()) = tokio::join!(client.listen(Listen::new().resource("test://a")), serve);
    let mut changes = changes.expect("listening");
    for n in 0..1025 {
        let params = json!({"uri": format!("test://a/{n}")});
        peer.send(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}));
    }
    let serve = async {
        let (id, _) = peer.asked("tools/list").await;
        peer.answer(&id, json!({"tools": []}));
    };
    // They have been received by the time this is answered.
    let (listed, ()) = tokio::join!(client.list_tools().into_future(), serve);
    listed.expect("a page");
    for n in 0..1024 {
        let change = changes.next().await.expect("one").expect("a change");
        assert_eq!(change, Change::Resource(format!("test://a/{n}")));
    }
    let error = changes.next().await.expect("the end").expect_err("one too many");
    assert_eq!(error.kind, "limit");
    assert!(changes.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_waited_for_a_minute() {
    let (client, _peer) = modern(Client::builder()).await;
    let begun = tokio::time::Instant::now();
    let error = client.call_tool("t", ()).await.expect_err("no answer");
    assert_eq!((error.kind, begun.elapsed().as_secs()), ("timeout", 60));
}

#[tokio::test(start_paused = true)]
async fn results_are_kept_and_the_total_time_is_limited() {
    let (client, mut peer) = modern(Client::builder().total_timeout(Duration::from_secs(3))).await;
    for ask in [true, false, true] {
        let serve = async {
            if ask {
                let (id, _) = peer.asked("prompts/list").await;
                peer.answer(&id, json!({"prompts": [], "ttlMs": 1000}));
            }
        };
        let (page, ()) = tokio::join!(client.list_prompts().into_future(), serve);
        assert!(page.expect("a page").items.is_empty());
        if !ask {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
    let serve = async {
        let (id, _) = peer.asked("prompts/list").await;
        peer.answer(&id, json!({"prompts": [{"name": "p"}], "ttlMs": 0}));
    };
    let (page, ()) = tokio::join!(client.list_prompts().cache(false).into_future(), serve);
    assert_eq!(page.expect("a page").items.len(), 1, "asked again");
    let begun = tokio::time::Instant::now();
    let error = client.call_tool("t", ()).await.expect_err("no answer");
    assert_eq!((error.kind, begun.elapsed().as_secs()), ("timeout", 3));
}

/// Serves HTTP on a thread, one request per connection; reports the received messages.
fn serve(reply: impl Fn(&Value) -> Option<Value> + Send + 'static) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut text = Vec::new();
            let body = loop {
                let mut chunk = [0; 4096];
                let count = stream.read(&mut chunk).unwrap_or_default();
                text.extend_from_slice(&chunk[..count]);
                let head = text.windows(4).position(|window| window == b"\r\n\r\n");
                let body = head.and_then(|end| serde_json::from_slice::<Value>(&text[end + 4..]).ok());
                if body.is_some() || count == 0 {
                    break body.unwrap_or_default();
                }
            };
            let (status, answer) = match reply(&body) {
                Some(result) => {
                    (200, json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string())
                }
                None => (if body["id"].is_null() { 202 } else { 400 }, String::new()),
            };
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all((head + &answer).as_bytes());
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[tokio::test]
async fn what_a_server_speaks_is_remembered() {
    let (url, told) = serve(|request| match request["method"].as_str()? {
        "initialize" => Some(
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}),
        ),
        _ => None,
    });
    for expected in ["server/discover", "initialize"] {
        let client = Client::connect(url.clone()).await.expect("connected");
        assert_eq!(client.server().revision.as_str(), "2025-06-18");
        client.close().await;
        // A message that only reports the end of the handshake may arrive later.
        let first = told.try_iter().find(|said| !said["id"].is_null()).expect("a request");
        assert_eq!(first["method"], expected);
    }
}

/// An engine, and the events that no test has waited for yet.
struct Host {
    engine: Engine,
    waiting: Vec<Event>,
}

impl Host {
    fn next(&mut self, kind: u32) -> Event {
        loop {
            if let Some(at) = self.waiting.iter().position(|event| event.kind == kind) {
                return self.waiting.remove(at);
            }
            let events = self.engine.drain(Vec::new());
            if events.is_empty() {
                assert!(self.engine.wait(Some(Duration::from_secs(20))), "no event of kind {kind}");
            }
            self.waiting.extend(events);
        }
    }
}

#[test]
fn hosts_answer_by_completing() {
    let (elicit_kind, sample_kind, result_kind, error_kind) = (6, 7, 10, 11);
    let (url, told) = serve(|request| {
        let params = &request["params"];
        Some(match request["method"].as_str()? {
            "server/discover" => discovered(),
            "tools/call" if params["inputResponses"].is_null() => {
                let sample =
                    json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
                let form = json!({"method": "elicitation/create", "params": elicit()});
                json!({"resultType": "input_required", "inputRequests": {"who": form, "what": sample}})
            }
            "tools/call" => json!({"content": [], "structuredContent": params["inputResponses"]}),
            _ => return None,
        })
    });
    let engine = Engine::new("{}").expect("an engine");
    let mut host = Host { engine: engine.clone(), waiting: Vec::new() };
    let options = r#"{"capabilities":{"elicitation":{},"sampling":{}},"roots":[{"uri":"file:///a"}],"totalMs":60000,
        "logLevel":"warning","cache":false,"revision":"2026-07-28"}"#;
    let client = engine.connect(&json!({"url": url}).to_string(), options).expect("a client");
    assert_eq!(host.next(result_kind).id, client);
    let call =
        |options: &str| engine.request(client, "call_tool", r#"{"name":"t"}"#, options).expect("a call");
    let op = call(r#"{"totalMs":30000,"cache":false}"#);
    let form = host.next(elicit_kind);
    assert_eq!(form.target, client);
    assert_eq!(serde_json::from_str::<Value>(&form.payload).expect("JSON")["mode"], "form");
    let answer = r#"{"action":"accept","content":{"name":"Ann"}}"#;
    assert!(engine.complete(form.id, 0, answer));
    assert!(!engine.complete(form.id, 0, answer), "once");
    let sample = host.next(sample_kind);
    let said = r#"{"role":"assistant","model":"m","content":{"type":"text","text":"x"}}"#;
    assert!(engine.complete(sample.id, 0, said));
    let result = host.next(result_kind);
    assert_eq!(result.id, op);
    let content: Value = serde_json::from_str(&result.payload).expect("JSON");
    assert_eq!(content["structuredContent"]["who"]["content"], json!({"name": "Ann", "age": 30}));
    assert_eq!(content["structuredContent"]["what"]["model"], "m");
    let sent: Vec<Value> = told.try_iter().collect();
    assert_eq!(sent[1]["params"]["_meta"]["io.modelcontextprotocol/logLevel"], "warning");

    let op = call("{}");
    let (form, sample) = (host.next(elicit_kind), host.next(sample_kind));
    assert!(engine.cancel(op, "enough"));
    assert_eq!(host.next(error_kind).id, op);
    assert_eq!([host.next(5).id, host.next(5).id], [form.id, sample.id], "in the order of the questions");
    assert!(!engine.complete(form.id, 0, answer), "withdrawn");
    let refused = call("{}");
    let form = host.next(elicit_kind);
    let refusal = Completion { id: form.id, outcome: 3, payload: r#"{"code":-7,"message":"no"}"#.into() };
    host.waiting.extend(engine.drain(vec![refusal]));
    let error = host.next(error_kind);
    assert_eq!(error.id, refused);
    assert!(error.payload.contains(r#""code":-7"#), "{}", error.payload);

    assert_eq!(engine.notify(client, "roots_changed", r#"{"roots":[]}"#).ok(), Some(true));
    assert!(engine.notify(client, "tools_changed", "{}").is_err());
    assert!(engine.notify(client, "roots_changed", r#"{"roots":[{}]}"#).is_err());
    for (key, value) in [("logLevel", "\"loud\""), ("revision", "\"2020-01-01\""), ("roots", "[1]")] {
        let wrong = format!("{{\"{key}\":{value}}}");
        assert!(engine.connect(&json!({"url": url}).to_string(), &wrong).is_err(), "{key}");
    }
    engine.client_close(client);
    assert_eq!(host.next(15).id, client);
    let live: Value = serde_json::from_str(&engine.live()).expect("JSON");
    assert_eq!((&live["exchanges"], &live["operations"]), (&json!(0), &json!(0)));
    engine.close(Duration::from_secs(2));
}
