//! Compressed responses, and streams that become silent.

use std::io::Write;

use super::*;
use crate::client::Listen;

/// Serves compressed responses, regardless of the accepted encodings.
async fn compressing(
    body: impl Fn(&Raw) -> (String, &'static str) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Raw>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    let (seen, body) = (Arc::new(Mutex::new(Vec::new())), Arc::new(body));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (log, body) = (Arc::clone(&log), Arc::clone(&body));
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while let Some(request) = read_request(&mut stream, &mut buffer).await {
                    log.lock().expect("unpoisoned").push(request.clone());
                    let (text, media_type) = body(&request);
                    let mut packed =
                        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                    packed.write_all(text.as_bytes()).expect("memory");
                    let packed = packed.finish().expect("memory");
                    let head = format!(
                        "HTTP/1.1 200 X\r\ncontent-length: {}\r\ncontent-type: {media_type}\r\ncontent-encoding: gzip\r\n\r\n",
                        packed.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&packed).await;
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn compressed_responses_are_read_on_both_lanes() {
    let (url, seen) = compressing(|request| {
        let id = &request.body["id"];
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        match request.body["params"]["name"].as_str() {
            None => (answer(discovered()), "application/json"),
            Some("stream") => (
                format!("data: {{\"type\":\"heartbeat\"}}\n\ndata: {}\n\n", answer(text_result("event"))),
                "text/event-stream",
            ),
            Some("bomb") => (format!("{}{}", " ".repeat(8 << 20), answer(json!({}))), "application/json"),
            Some(_) => (answer(text_result("whole")), "application/json"),
        }
    })
    .await;
    // A URL with a user selects the transport for TLS and proxies.
    for url in [url.clone(), url.replace("http://", "http://user@")] {
        let client = Client::connect(url).await.expect("connected");
        assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "whole");
        assert_eq!(client.call_tool("stream", ()).await.expect("a result").text(), "event");
        let error = client.call_tool("bomb", ()).await.expect_err("too large");
        assert_eq!(error.kind, "limit", "{error}");
        client.close().await;
    }
    for request in seen.lock().expect("unpoisoned").iter() {
        assert!(request.head.contains("accept-encoding: gzip, deflate, br, zstd"), "{}", request.head);
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let mut peer = peer::Peer::start().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = Client::builder()
        .era(Era::Legacy)
        .on_notification(move |event, _| told.send(event.to_owned()).expect("somebody listens"));
    let connecting = tokio::spawn(builder.connect(peer.url.clone()));
    let get = peer.begin("s-1").await;
    let client = connecting.await.expect("no panic").expect("connected");
    get.stream();
    get.say(": here\n\n");
    get.say(": here\n\n");
    get.event("1", &json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    assert_eq!(heard.recv().await.as_deref(), Some("tools_changed"));
    // Nothing more happens until the limit has passed; then time advances by itself.
    tokio::time::pause();
    let again = peer.expect_get().await;
    assert_eq!(again.header("last-event-id"), Some("1"));
    tokio::time::resume();
    drop(client);
}

#[tokio::test]
async fn a_stream_of_changes_that_falls_silent_ends() {
    let mut peer = peer::Peer::start().await;
    let connecting = tokio::spawn(Client::builder().era(Era::Modern).connect(peer.url.clone()));
    let discover = peer.expect("server/discover").await;
    discover.say(&ok(&discover.body["id"], discovered()));
    drop(discover);
    let client = connecting.await.expect("no panic").expect("connected");
    let listener = client.clone();
    let listening = tokio::spawn(async move { listener.listen(Listen::new().tools()).await });
    let listen = peer.expect("subscriptions/listen").await;
    listen.stream();
    let meta = json!({"io.modelcontextprotocol/subscriptionId": listen.body["id"]});
    let told = |method: &str, params: Value| {
        let mut params = params;
        params["_meta"] = meta.clone();
        format!("data: {}\n\n", json!({"jsonrpc": "2.0", "method": method, "params": params}))
    };
    let granted = json!({"notifications": {"toolsListChanged": true}});
    listen.say(&told("notifications/subscriptions/acknowledged", granted));
    listen.say(": here\n\n");
    listen.say(": here\n\n");
    let mut changes = listening.await.expect("no panic").expect("granted");
    listen.say(&told("notifications/tools/list_changed", json!({})));
    assert!(matches!(changes.next().await, Some(Ok(_))));
    // Nothing more happens until the limit has passed; then time advances by itself.
    tokio::time::pause();
    let Some(Err(error)) = changes.next().await else { panic!("it goes on") };
    assert!(error.message.contains("silent"), "{error}");
    tokio::time::resume();
    drop((client, listen));
}
