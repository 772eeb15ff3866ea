//! Panics in the program's code, and runtimes that end: no call waits indefinitely.

use super::*;

/// Returns a connected client, and the server end for the test.
async fn connected(builder: crate::client::ClientBuilder) -> (Client, MemoryEnd) {
    let (near, mut far) = memory_pair();
    let connecting = tokio::spawn(builder.connect(near));
    let probe = request(&mut far).await;
    respond(&far, &probe, &discovered());
    (connecting.await.expect("no panic").expect("connected"), far)
}

async fn request(far: &mut MemoryEnd) -> Value {
    serde_json::from_slice(&far.incoming.recv().await.expect("a frame")).expect("JSON")
}

fn respond(far: &MemoryEnd, request: &Value, result: &Value) {
    let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string();
    far.outgoing.send(Bytes::from(answer)).expect("open");
}

fn tell(far: &MemoryEnd, method: &str, params: &Value) {
    let message = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
    far.outgoing.send(Bytes::from(message)).expect("open");
}

#[tokio::test]
async fn a_panic_in_a_progress_callback_fails_its_call_only() {
    let (client, mut far) = connected(Client::builder()).await;
    let call = client.call_tool("a", ()).with_progress(|_| panic!("no {}", "good"));
    let call = tokio::spawn(call.into_future());
    let asked = request(&mut far).await;
    let other = tokio::spawn(client.call_tool("b", ()).into_future());
    let others = request(&mut far).await;
    let token = &asked["params"]["_meta"]["progressToken"];
    tell(&far, "notifications/progress", &json!({"progressToken": token, "progress": 1}));
    let error = call.await.expect("no panic").expect_err("the callback panicked");
    assert_eq!(
        (error.kind, error.message.as_str()),
        ("internal_error", "the progress callback panicked: no good")
    );
    let cancelled = request(&mut far).await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    respond(&far, &others, &text_result("fine"));
    assert_eq!(other.await.expect("no panic").expect("a result").text(), "fine");
    client.close().await;
}

#[tokio::test]
async fn a_panic_in_a_notification_callback_ends_nothing() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = Client::builder().on_notification(move |event, _| {
        told.send(event.to_owned()).expect("somebody listens");
        std::panic::panic_any(7);
    });
    let (client, mut far) = connected(builder).await;
    let call = tokio::spawn(client.call_tool("a", ()).into_future());
    let asked = request(&mut far).await;
    for _ in 0..2 {
        tell(&far, "notifications/tools/list_changed", &json!({}));
        assert_eq!(heard.recv().await.as_deref(), Some("tools_changed"));
    }
    respond(&far, &asked, &text_result("fine"));
    assert_eq!(call.await.expect("no panic").expect("a result").text(), "fine");
    client.close().await;
}

#[tokio::test]
async fn the_end_of_its_runtime_ends_everything_that_waits_for_a_client() {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let other = other.expect("a runtime");
    let (client, mut far) = other.spawn(connected(Client::builder())).await.expect("no panic");
    let call = tokio::spawn(client.call_tool("a", ()).into_future());
    request(&mut far).await;
    let listening = tokio::spawn({
        let client = client.clone();
        async move { client.listen(crate::client::Listen::new().tools()).await.map(drop) }
    });
    request(&mut far).await;
    other.shutdown_background();
    for error in [call.await.expect("no panic").map(drop), listening.await.expect("no panic")] {
        assert_eq!(error.expect_err("the client is gone").kind, "closed");
    }
    client.close().await;
    assert_eq!(client.ping().await.expect_err("closed").kind, "closed");
}
