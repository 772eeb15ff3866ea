//! The HTTP+SSE transport: one event stream, and the endpoint that it names.

use trunnion_proto::client::HttpTransport;

use super::peer::{Exchange, Peer};
use super::*;

fn result(of: &Exchange, result: Value) -> String {
    let message = json!({"jsonrpc": "2.0", "id": of.body["id"], "result": result});
    format!("event: message\ndata: {message}\n\n")
}

fn accept(exchange: &Exchange) {
    exchange.say(&response(202, "content-type: text/plain\r\n", "Accepted"));
}

/// Names the endpoint and performs the handshake with the client.
async fn begin(peer: &mut Peer, endpoint: &str) -> Exchange {
    let get = peer.expect_get().await;
    get.stream();
    get.say(&format!("event: endpoint\ndata: {endpoint}\n\n"));
    let asked = peer.expect("initialize").await;
    assert!(asked.head.starts_with("post /messages?session=1 "), "{}", asked.head);
    accept(&asked);
    get.say(&result(&asked, json!({"protocolVersion": "2024-11-05", "capabilities": {}})));
    drop(asked);
    let confirmation = peer.expect("notifications/initialized").await;
    accept(&confirmation);
    get
}

async fn works(client: &Client, peer: &mut Peer, get: &Exchange) {
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(client.call_tool("t", ()).into_future())).collect();
    for _ in 0..3 {
        let exchange = peer.expect("tools/call").await;
        assert!(exchange.head.starts_with("post /messages?session=1 "));
        accept(&exchange);
        get.say(&result(&exchange, text_result("over the stream")));
    }
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("a result").text(), "over the stream");
    }
}

#[tokio::test]
async fn the_older_transport_is_spoken_when_asked_for() {
    // Credentials in the URL select the other transport for plain HTTP.
    for credentials in ["", "me:secret@"] {
        let mut peer = Peer::start().await;
        let origin = peer.url.strip_suffix("/mcp").expect("its path").to_owned();
        for endpoint in ["/messages?session=1".to_owned(), format!("{origin}/messages?session=1")] {
            let url = peer.url.replace("http://", &format!("http://{credentials}"));
            let connecting = tokio::spawn(Client::builder().transport(HttpTransport::Sse).connect(url));
            let get = begin(&mut peer, &endpoint).await;
            let client = connecting.await.expect("no panic").expect("connected");
            assert_eq!(client.server().revision.as_str(), "2024-11-05");
            works(&client, &mut peer, &get).await;
            // The end of the stream ends the connection.
            let pending = tokio::spawn(client.call_tool("t", ()).into_future());
            let exchange = peer.expect("tools/call").await;
            assert_eq!(exchange.header("authorization").is_some(), !credentials.is_empty());
            accept(&exchange);
            get.close();
            assert_eq!(pending.await.expect("no panic").expect_err("closed").kind, "transport");
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_both_handshakes_is_asked_for_its_stream() {
    for status in [400, 404, 405] {
        let mut peer = Peer::start().await;
        let connecting = tokio::spawn(Client::connect(peer.url.clone()));
        peer.expect("server/discover").await.say(&response(status, "", ""));
        peer.expect("initialize").await.say(&response(status, "", ""));
        let get = begin(&mut peer, "messages?session=1").await;
        let client = connecting.await.expect("no panic").expect("connected");
        works(&client, &mut peer, &get).await;
        client.close().await;
        get.closed().await;
    }
}

#[tokio::test]
async fn what_is_no_such_stream_is_refused() {
    for (stream, part) in [
        ("event: endpoint\ndata: http://example.com/messages\n\n", "another origin (http://example.com)"),
        ("event: endpoint\ndata: http://[\n\n", "invalid endpoint"),
        ("data: {}\n\n", "no such event stream"),
        ("", "closed the event stream"),
    ] {
        let mut peer = Peer::start().await;
        let builder = Client::builder().transport(HttpTransport::Sse);
        let connecting = tokio::spawn(builder.connect(peer.url.clone()));
        let get = peer.expect_get().await;
        get.stream();
        get.say(stream);
        get.close();
        let error = connecting.await.expect("no panic").expect_err("refused");
        assert_eq!(error.kind, "transport");
        assert!(error.message.contains(part), "{error}");
    }
}
