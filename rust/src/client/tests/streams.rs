//! Streams and sessions of a legacy HTTP server.

use super::peer::{Exchange, Peer};
use super::*;

fn connecting(url: &str) -> tokio::task::JoinHandle<Result<Client, crate::Error>> {
    tokio::spawn(Client::builder().era(Era::Legacy).connect(url.to_owned()))
}

fn call(client: &Client) -> tokio::task::JoinHandle<Result<super::super::CallResult, crate::Error>> {
    tokio::spawn(client.call_tool("t", ()).into_future())
}

async fn connected(peer: &mut Peer) -> (Client, Exchange) {
    let connecting = connecting(&peer.url);
    let get = peer.begin("s-1").await;
    (connecting.await.expect("no panic").expect("connected"), get)
}

#[tokio::test]
async fn what_belongs_to_no_request_is_heard_on_a_stream_of_its_own() {
    let mut peer = Peer::start().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = Client::builder().era(Era::Legacy).on_notification(move |event, _| {
        let _ = told.send(event.to_owned());
    });
    let connecting = tokio::spawn(builder.connect(peer.url.clone()));
    let get = peer.begin("s-1").await;
    let client = connecting.await.expect("no panic").expect("connected");
    let changed =
        |what: &str| json!({"jsonrpc": "2.0", "method": format!("notifications/{what}/list_changed")});
    get.stream();
    get.event("a", &changed("tools"));
    assert_eq!(heard.recv().await.as_deref(), Some("tools_changed"));
    // The client requests a truncated event again.
    get.say(&format!("retry: 10\nid: b\ndata: {}\n", changed("prompts")));
    get.close();
    let get = peer.expect_get().await;
    assert_eq!(get.header("last-event-id"), Some("a"));
    get.stream();
    get.event("b", &changed("prompts"));
    assert_eq!(heard.recv().await.as_deref(), Some("prompts_changed"));
    // Calls continue in parallel.
    let result = call(&client);
    peer.expect("tools/call").await.respond("x");
    assert_eq!(result.await.expect("no panic").expect("a result").text(), "x");
    let closing = tokio::spawn(async move { client.close().await });
    let farewell = peer.next().await;
    assert!(farewell.head.starts_with("delete /mcp "));
    farewell.say(&response(200, "", ""));
    closing.await.expect("no panic");
    get.closed().await;
}

#[tokio::test]
async fn a_server_without_that_stream_is_called_as_ever() {
    for refusal in [response(405, "", ""), response(200, "content-type: text/html\r\n", "<html>")] {
        let mut peer = Peer::start().await;
        let (client, get) = connected(&mut peer).await;
        get.say(&refusal);
        drop(get);
        for _ in 0..3 {
            let result = call(&client);
            peer.expect("tools/call").await.respond("x");
            assert_eq!(result.await.expect("no panic").expect("a result").text(), "x");
        }
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_resumed() {
    for whole in [true, false] {
        let mut peer = Peer::start().await;
        let (client, standalone) = connected(&mut peer).await;
        standalone.stream();
        let result = call(&client);
        let exchange = peer.expect("tools/call").await;
        let answer = exchange.answer("after all");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let event = "id: e-1\nretry: 10\ndata: \n\n";
        exchange.say(&format!("{head}{:x}\r\n{event}\r\n", event.len()));
        if whole {
            exchange.say("0\r\n\r\n");
            drop(exchange);
        } else {
            exchange.close();
        }
        let get = peer.expect_get().await;
        assert_eq!(get.header("last-event-id"), Some("e-1"));
        assert_eq!(get.header("mcp-session-id"), Some("s-1"));
        get.stream();
        // Once more before the answer arrives.
        get.say("id: e-2\ndata:\n\n");
        get.close();
        let get = peer.expect_get().await;
        assert_eq!(get.header("last-event-id"), Some("e-2"));
        get.stream();
        get.event("e-3", &answer);
        assert_eq!(result.await.expect("no panic").expect("a result").text(), "after all");
        get.closed().await;
    }
}

#[tokio::test]
async fn a_call_that_waits_for_its_resumption_can_be_cancelled() {
    let mut peer = Peer::start().await;
    let (client, _standalone) = connected(&mut peer).await;
    let result = call(&client);
    let exchange = peer.expect("tools/call").await;
    exchange.stream();
    exchange.say("id: e-1\nretry: 10\ndata:\n\n");
    exchange.close();
    let get = peer.expect_get().await;
    get.stream();
    result.abort();
    peer.expect("notifications/cancelled").await.say(&response(202, "", ""));
    get.closed().await;
}

#[tokio::test]
async fn calls_survive_the_end_of_their_session() {
    let mut peer = Peer::start().await;
    let (client, standalone) = connected(&mut peer).await;
    standalone.stream();
    let results = [call(&client), call(&client), call(&client)];
    let mut refused = Vec::new();
    for _ in 0..3 {
        refused.push(peer.expect("tools/call").await);
    }
    let late = refused.pop().expect("three");
    for exchange in &refused {
        assert_eq!(exchange.header("mcp-session-id"), Some("s-1"));
        exchange.say(&response(404, "", ""));
    }
    drop(refused);
    let _standalone = peer.begin("s-2").await;
    late.say(&response(404, "", ""));
    drop(late);
    for _ in 0..3 {
        let exchange = peer.expect("tools/call").await;
        assert_eq!(exchange.header("mcp-session-id"), Some("s-2"));
        exchange.respond("again");
    }
    for result in results {
        assert_eq!(result.await.expect("no panic").expect("a result").text(), "again");
    }
    standalone.closed().await;
    // A request that is refused twice is not sent a third time.
    let result = call(&client);
    peer.expect("tools/call").await.say(&response(404, "", ""));
    let _standalone = peer.begin("s-3").await;
    peer.expect("tools/call").await.say(&response(404, "", ""));
    assert_eq!(result.await.expect("no panic").expect_err("refused").kind, "transport");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_when_probed_gets_the_handshake() {
    let mut peer = Peer::start().await;
    let connecting = tokio::spawn(Client::connect(peer.url.clone()));
    let probe = peer.expect("server/discover").await;
    let _get = peer.begin("s-1").await;
    let client = connecting.await.expect("no panic").expect("connected");
    assert_eq!(client.server().revision.as_str(), "2025-11-25");
    probe.closed().await;
}
