//! Inheritance of child processes (environment, standard error), and their last output.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::*;
use crate::client::Stderr;
use trunnion_proto::Limits;

/// Returns a child that answers calls with the shell's expansion of this text.
fn telling(text: &str) -> crate::client::ServerCommand {
    script(&format!(
        r#"*tools/call*) printf '{{"jsonrpc":"2.0","id":%s,"result":{{"content":[{{"type":"text","text":"%s"}}]}}}}\n' "$id" "{text}" ;;"#
    ))
}

#[tokio::test]
async fn a_child_gets_a_short_environment_unless_all_is_asked_for() {
    // Cargo sets this variable for tests; it stands for a secret.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let command = || telling("${CARGO_MANIFEST_DIR:+secret} ${PATH:+path} $GREETING").env("GREETING", "hi");
    let client = command().connect().await.expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), " path hi");
    client.close().await;
    let client = command().inherit_env(true).connect().await.expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "secret path hi");
    client.close().await;
}

#[tokio::test]
async fn the_standard_error_of_a_child_is_open_though_ours_closes_on_exec() {
    let stderr = std::io::stderr();
    let flags = fcntl_getfd(&stderr).expect("flags");
    fcntl_setfd(&stderr, FdFlags::CLOEXEC).expect("set");
    let connected = telling("$( (: >&2) 2>/dev/null && echo open || echo closed)").connect().await;
    fcntl_setfd(&stderr, flags).expect("set back");
    let client = connected.expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "open");
    client.close().await;
}

#[tokio::test]
async fn what_a_child_says_on_its_standard_error_comes_line_by_line() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let noise = "head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo ready >&2";
    let command = Client::command("/bin/sh").arg("-c").arg(format!(
        r#"{noise}
read -r line; printf '{{"jsonrpc":"2.0","id":1,"result":{discovered}}}\n'
read -r line; printf 'bye' >&2; exit 3"#,
        discovered = discovered()
    ));
    let client = Client::builder()
        .on_notification(move |event, params| {
            told.send((event.to_owned(), params)).expect("somebody listens")
        })
        .connect(command.stderr(Stderr::Lines))
        .await
        .expect("connected");
    let mut line = async || {
        let (event, params) = heard.recv().await.expect("a line");
        assert_eq!(event, "stderr");
        params["line"].as_str().expect("text").to_owned()
    };
    let long = line().await;
    assert_eq!((long.len(), long.trim_matches('x')), (8 << 10, ""));
    assert_eq!(line().await, "ready");
    let error = client.call_tool("t", ()).await.expect_err("it has ended");
    assert!(error.message.contains("exit status: 3"), "{error}");
    assert_eq!(line().await, "bye", "before the connection is over");
}

#[tokio::test]
async fn the_last_line_needs_no_end() {
    let client = script(
        r#"*tools/call*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"last"}]}}' "$id"; exit 0 ;;"#,
    )
    .connect()
    .await
    .expect("connected");
    assert_eq!(client.call_tool("t", ()).await.expect("a result").text(), "last");
    client.closed().await;
}

/// Returns a child that answers as a server, runs this command, and reads nothing more.
fn deaf(then: &str) -> crate::client::ServerCommand {
    let discovered = discovered();
    Client::command("/bin/sh")
        .arg("-c")
        .arg(format!(r#"read -r line; printf '{{"jsonrpc":"2.0","id":1,"result":{discovered}}}\n'; {then}"#))
}

#[tokio::test]
async fn calls_to_a_child_that_does_not_read_are_refused_when_too_much_waits() {
    let limits = Limits { message_bytes: 64 << 10, ..Limits::default() };
    let client = Client::builder().limits(limits).connect(deaf("exec sleep 1000")).await.expect("connected");
    let text = "x".repeat(60 << 10);
    let call = || Box::pin(client.call_tool("t", json!({ "text": text })).into_future());
    let calls: Vec<_> = (0..20).map(|_| call()).collect();
    let (refused, _, waiting) = futures_util::future::select_all(calls).await;
    let error = refused.expect_err("too much waits");
    assert_eq!(error.kind, "limit");
    assert!(error.message.contains("does not read") && error.message.contains("maxMessageBytes"), "{error}");
    drop(waiting);
    client.close().await;
}

#[tokio::test]
async fn a_child_that_asks_and_does_not_read_the_answers_is_given_up() {
    let limits = Limits { message_bytes: 4 << 10, ..Limits::default() };
    let hello =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25", "capabilities": {}}});
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let flood = format!("read -r line; echo '{hello}'; exec yes '{ping}'");
    let command = Client::command("/bin/sh").args(["-c", &flood]);
    let client = Client::builder().era(Era::Legacy).limits(limits).connect(command).await.expect("connected");
    let error = client.call_tool("t", ()).await.expect_err("given up");
    assert_eq!(error.kind, "limit", "{error}");
    client.closed().await;
}
