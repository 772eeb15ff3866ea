//! Sessions of legacy HTTP clients, as the clients observe them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Gate, Peer, Told, hello, later, text, with_progress};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower_service::Service;
use trunnion::Era;
use trunnion::server::{Context, Resource, Server, State, Tool};

async fn steps(context: Context, gate: State<Gate>) -> &'static str {
    let _told = Told(Gate::clone(&gate));
    context.progress(1.0, None, None);
    gate.go.notified().await;
    context.progress(2.0, None, None);
    "done"
}

fn server(gate: &Gate) -> Server {
    Server::builder("test", "1.0")
        .state(gate.clone())
        .tool(Tool::new("hello", hello))
        .tool(Tool::new("steps", steps))
        .tool(Tool::new("later", later))
        .resource(Resource::new("test://a", hello))
        .resource(Resource::new("test://b", hello))
        .build()
        .expect("valid")
}

#[tokio::test]
async fn a_session_is_given_required_and_ended() {
    let mut peer = Peer::legacy(&server(&Gate::default()), "2025-11-25", json!({})).await;
    assert_eq!(text(&peer.call(1, "hello", json!({})).await.json()), "hello");

    let session = peer.session.take();
    let refused = peer.call(2, "hello", json!({})).await;
    assert_eq!(refused.status(), 400, "without its id");
    assert_eq!(refused.json()["id"], 2);
    peer.session = Some("another".into());
    assert_eq!(peer.call(3, "hello", json!({})).await.status(), 404);

    peer.session = session;
    let ended = Peer::answer(peer.request(reqwest::Method::DELETE)).await;
    assert_eq!(ended.status(), 204);
    assert_eq!(peer.call(4, "hello", json!({})).await.status(), 404);
    assert_eq!(peer.get(None).await.status(), 404);
    assert_eq!(Peer::answer(peer.request(reqwest::Method::DELETE)).await.status(), 404);
}

#[tokio::test]
async fn sessions_can_be_left_out_and_are_limited() {
    let server = server(&Gate::default());
    let listening = server.http().sessions(false).bind("127.0.0.1:0").await.expect("an address");
    let peer = Peer::of(listening, "2025-11-25");
    assert_eq!(text(&peer.call(1, "hello", json!({})).await.json()), "hello");
    assert_eq!(peer.get(None).await.status(), 405);

    let listening = server.http().max_sessions(1).bind("127.0.0.1:0").await.expect("an address");
    let mut peer = Peer::of(listening, "2025-11-25");
    assert_eq!(peer.initialize(json!({})).await, Ok(()));
    assert_eq!(peer.call(1, "hello", json!({})).await.status(), 200);
    let first = peer.session.take();
    assert_eq!(peer.initialize(json!({})).await, Err(503));
    peer.session = first;
    assert_eq!(peer.call(1, "hello", json!({})).await.status(), 200);
}

#[tokio::test]
async fn sessions_that_were_never_used_make_room_for_new_ones() {
    let server = server(&Gate::default());
    let listening = server.http().max_sessions(3).bind("127.0.0.1:0").await.expect("an address");
    let mut peer = Peer::of(listening, "2025-11-25");
    let mut open = Vec::new();
    for _ in 0..3 {
        peer.session = None;
        peer.initialize(json!({})).await.expect("a session");
        open.push(peer.session.clone());
    }
    peer.session = open[0].clone();
    assert_eq!(peer.call(1, "hello", json!({})).await.status(), 200);
    for _ in 0..100 {
        peer.session = None;
        peer.initialize(json!({})).await.expect("whoever is new is let in");
        open.push(peer.session.clone());
    }
    let mut alive = Vec::new();
    for (index, session) in open.into_iter().enumerate() {
        peer.session = session;
        if peer.call(1, "hello", json!({})).await.status() == 200 {
            alive.push(index);
        }
    }
    assert_eq!(alive, [0, 101, 102], "the one that was used, and the newest");
}

#[tokio::test]
async fn one_address_fills_its_share_of_the_sessions_only() {
    let server = server(&Gate::default());
    let http = server.http().max_sessions(10).max_sessions_per_owner(2);
    let service = http.trusted_proxy([192, 0, 2, 9].into()).tower_service().expect("a service");
    let post = async |last: u8, session: Option<&str>, body: Value| {
        let request = http::Request::post("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .extension(SocketAddr::from(([192, 0, 2, last], 1)));
        let request = session.into_iter().fold(request, |request, id| request.header("mcp-session-id", id));
        let request = request.body(http_body_util::Full::from(body.to_string())).expect("a request");
        let response = service.clone().call(request).await.expect("an answer");
        let id = response.headers().get("mcp-session-id").map(|id| id.to_str().expect("ASCII").to_owned());
        (response.status().as_u16(), id)
    };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    // One that uses its sessions is refused a third; its unused ones go first.
    let (_, first) = post(1, None, hello.clone()).await;
    for _ in 0..5 {
        assert_eq!(post(1, None, hello.clone()).await.0, 200);
    }
    assert_eq!(post(1, first.as_deref(), ping.clone()).await.0, 404);
    for _ in 0..2 {
        let (_, id) = post(1, None, hello.clone()).await;
        assert_eq!(post(1, id.as_deref(), ping.clone()).await.0, 200);
    }
    assert_eq!(post(1, None, hello.clone()).await.0, 503);
    // Other clients, and proxies with the clients behind them, do not count towards it.
    assert_eq!(post(2, None, hello.clone()).await.0, 200);
    for _ in 0..4 {
        let (_, id) = post(9, None, hello.clone()).await;
        assert_eq!(post(9, id.as_deref(), ping.clone()).await.0, 200);
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_is_refused_in_every_request() {
    let mut peer = Peer::legacy(&server(&Gate::default()), "2025-03-26", json!({})).await;
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for version in ["1999-01-01", "2025-11-25 x", ""] {
        peer.revision = version;
        for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
            assert_eq!(Peer::answer(peer.request(method)).await.status(), 400, "{version:?}");
        }
        assert_eq!(peer.notify("notifications/initialized", json!({})).await, 400, "{version:?}");
        assert_eq!(peer.respond(&json!({"id": 1}), json!({})).await, 400, "{version:?}");
        assert_eq!(peer.post(&json!([notification])).await.status(), 400, "{version:?}");
        let refused = peer.post(&notification).await.json();
        assert_eq!(refused["error"]["data"]["requested"], version.trim(), "{refused}");
    }
    // The session has come to no harm.
    peer.revision = "2025-03-26";
    assert_eq!(text(&peer.call(1, "hello", json!({})).await.json()), "hello");
    assert_eq!(peer.notify("notifications/initialized", json!({})).await, 202);
    assert_eq!(Peer::answer(peer.request(reqwest::Method::DELETE)).await.status(), 204);
}

#[tokio::test]
async fn a_server_without_the_legacy_era_names_its_versions() {
    let server = Server::builder("test", "1.0").eras([Era::Modern]).build().expect("valid");
    let listening = server.http().bind("127.0.0.1:0").await.expect("an address");
    let peer = Peer::of(listening, "2025-11-25");
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    let answer = peer.post(&hello).await;
    assert_eq!(answer.status(), 400);
    let error = answer.json()["error"].clone();
    assert_eq!((&error["code"], &error["data"]["supported"]), (&json!(-32602), &json!(["2026-07-28"])));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("2026-07-28")), "{error}");
}

#[tokio::test]
async fn an_id_can_be_in_flight_once_and_given_up() {
    let gate = Gate::default();
    let peer = Peer::legacy(&server(&gate), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(5, "tools/call", with_progress("steps")).await.stream();
    assert_eq!(stream.next().await.expect("the priming event").data, "");
    assert_eq!(stream.message().await["params"]["progress"], 1);
    let error = peer.call(5, "steps", json!({})).await.json();
    assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains("in use")), "{error}");

    assert_eq!(peer.notify("notifications/cancelled", json!({"requestId": 5})).await, 202);
    gate.dropped.notified().await;
    assert_eq!(stream.next().await, None, "no answer");
}

#[tokio::test]
async fn a_broken_stream_is_resumed() {
    let gate = Gate::default();
    let peer = Peer::legacy(&server(&gate), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(1, "tools/call", with_progress("steps")).await.stream();
    let priming = stream.next().await.expect("an event");
    assert!(priming.retry.is_some() && priming.data.is_empty(), "{priming:?}");
    let first = stream.next().await.expect("an event");
    assert_eq!(first.message()["params"]["progress"], 1);
    // The connection breaks; the call continues.
    drop(stream);
    gate.go.notify_one();
    gate.dropped.notified().await;
    let mut rest = peer.get(first.id.as_deref()).await.stream();
    assert_eq!(rest.message().await["params"]["progress"], 2);
    assert_eq!(text(&rest.message().await), "done");
    assert_eq!(rest.next().await, None);
    // From the priming event on, everything comes again.
    let mut again = peer.get(priming.id.as_deref()).await.stream();
    assert_eq!(again.message().await["params"]["progress"], 1);

    assert_eq!(peer.get(Some("99-1")).await.status(), 400);
    assert_eq!(peer.get(Some("nonsense")).await.status(), 400);
}

#[tokio::test]
async fn a_tool_can_let_its_stream_go() {
    for (revision, closes) in [("2025-11-25", true), ("2025-06-18", false)] {
        let gate = Gate::default();
        let peer = Peer::legacy(&server(&gate), revision, json!({})).await;
        let answer = if closes {
            let mut stream = peer.call(1, "later", json!({})).await.stream();
            let priming = stream.next().await.expect("an event");
            assert_eq!(stream.next().await, None, "closed before the answer");
            gate.go.notify_one();
            peer.get(priming.id.as_deref()).await.stream().message().await
        } else {
            gate.go.notify_one();
            peer.call(1, "later", json!({})).await.json()
        };
        assert_eq!(text(&answer), format!("closed: {closes}"), "{revision}");
    }
}

#[tokio::test]
async fn the_standing_stream_tells_of_changes() {
    let server = server(&Gate::default());
    let peer = Peer::legacy(&server, "2025-06-18", json!({})).await;
    let mut stream = peer.get(None).await.stream();
    server.add(Tool::new("new", hello)).expect("valid");
    let first = stream.next().await.expect("an event");
    assert_eq!(first.message()["method"], "notifications/tools/list_changed");

    server.resource_updated("test://a");
    assert_eq!(
        peer.ask(1, "resources/subscribe", json!({"uri": "test://a"})).await.json()["result"],
        json!({})
    );
    server.resource_updated("test://b");
    server.resource_updated("test://a");
    let updated = stream.message().await;
    assert_eq!(
        (&updated["method"], &updated["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("test://a"))
    );
    let unknown = peer.ask(2, "resources/subscribe", json!({"uri": "test://none"})).await.json();
    assert_eq!(unknown["error"]["code"], -32002);

    // Changes during a time without a stream are sent once to the client that reconnects.
    drop(stream);
    assert_eq!(
        peer.ask(3, "resources/unsubscribe", json!({"uri": "test://a"})).await.json()["result"],
        json!({})
    );
    server.resource_updated("test://a");
    server.remove_tool("new");
    let mut stream = peer.get(None).await.stream();
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    // A second reader takes the place of the first.
    let mut second = peer.get(None).await.stream();
    assert_eq!(stream.next().await, None);
    server.remove_resource("test://b");
    assert_eq!(second.message().await["method"], "notifications/resources/list_changed");
    peer.listening.close().await;
    assert_eq!(second.next().await, None);
}

#[tokio::test]
async fn batches_belong_to_one_revision() {
    let gate = Gate::default();
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hello"}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "later"}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}},
        {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        7
    ]);
    let peer = Peer::legacy(&server(&gate), "2025-03-26", json!({})).await;
    let mut stream = peer.post(&batch).await.stream();
    gate.go.notify_one();
    let mut answers = Vec::new();
    while let Some(event) = stream.next().await {
        answers.push(event.message());
    }
    let of = |id: u64| {
        answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{id}: {answers:?}"))
    };
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert_eq!(text(of(1)), "hello");
    assert_eq!(text(of(2)), "closed: false");
    assert_eq!(of(3)["error"]["code"], -32601);
    assert_eq!(of(4)["error"]["code"], -32600);
    let only_notifications = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(peer.post(&only_notifications).await.status(), 202);
    assert_eq!(peer.post(&json!([])).await.status(), 400);

    let peer = Peer::legacy(&server(&gate), "2025-06-18", json!({})).await;
    assert_eq!(peer.post(&batch).await.status(), 400);
}

#[tokio::test]
async fn batches_without_sessions_have_one_answer() {
    let gate = Gate::default();
    let listening = server(&gate).http().sessions(false).bind("127.0.0.1:0").await.expect("an address");
    let mut peer = Peer::of(listening, "2025-03-26");
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "later"}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "hello"}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
        {"jsonrpc": "2.0", "id": 4, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        7
    ]);
    gate.go.notify_one();
    let answers = peer.post(&batch).await.json();
    let answers = answers.as_array().expect("a batch");
    assert_eq!(answers.len(), 5, "{answers:?}");
    let of = |id: u64| answers.iter().find(|answer| answer["id"] == id).expect("an answer");
    assert_eq!((text(of(1)), text(of(2))), ("closed: false", "hello"));
    assert_eq!((&of(3)["error"]["code"], &of(4)["error"]["code"]), (&json!(-32601), &json!(-32600)));
    assert_eq!(peer.post(&json!([batch[2]])).await.status(), 202);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.post(peer.listening.url()).header("content-type", "application/json");
    let answers = Peer::answer(request.body(json!([batch[1]]).to_string())).await.json();
    assert_eq!(text(&answers[0]), "hello", "without the header it is of that revision");
    peer.revision = "2025-06-18";
    assert_eq!(peer.post(&batch).await.status(), 400);
}

#[tokio::test]
async fn a_client_that_leaves_for_good_cancels_what_it_asked_for() {
    let gate = Gate::default();
    let peer = Peer::legacy(&server(&gate), "2025-11-25", json!({})).await;
    let mut stream = peer.ask(1, "tools/call", with_progress("steps")).await.stream();
    stream.next().await.expect("the priming event");
    stream.message().await;
    assert_eq!(Peer::answer(peer.request(reqwest::Method::DELETE)).await.status(), 204);
    gate.dropped.notified().await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn the_server_hears_of_changed_roots() {
    let (told, count) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (tell, counted) = (told.clone(), count.clone());
    let server = Server::builder("test", "1.0")
        .on_roots_changed(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            tell.notify_one();
        })
        .build()
        .expect("valid");
    let peer = Peer::legacy(&server, "2025-06-18", json!({"roots": {"listChanged": true}})).await;
    assert_eq!(peer.notify("notifications/roots/list_changed", json!({})).await, 202);
    told.notified().await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_transport_of_2024_is_served_too() {
    use trunnion::HttpTransport;
    use trunnion::client::Client;

    let gate = Gate::default();
    let server = server(&gate);
    let listening = server.http().sse_path("/sse").bind("127.0.0.1:0").await.expect("an address");
    let url = listening.url().replace("/mcp", "/sse");
    for transport in [HttpTransport::Sse, HttpTransport::Auto] {
        let client = Client::builder().transport(transport).connect(url.as_str()).await.expect("connected");
        assert_eq!(client.call_tool("hello", ()).await.expect("a result").text(), "hello");
        gate.go.notify_one();
        let steps = client.call_tool("steps", ()).with_progress(|_| {}).await.expect("a result");
        assert_eq!(steps.text(), "done");
        client.close().await;
    }
    let peer = Peer::of(listening, "2024-11-05");
    let post =
        reqwest::Client::builder().no_proxy().build().expect("a client").post(format!("{url}?session=none"));
    let refused = Peer::answer(post.header("content-type", "application/json").body("{}")).await;
    assert_eq!(refused.status(), 404);
    drop(peer);
    assert!(server.http().sse_path("/mcp").bind("127.0.0.1:0").await.is_err());
}
