//! Repeated refusals: refreshing, step-up of scopes, concurrent sign-in attempts.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use trunnion::auth::Auth;

use crate::auth_client::stores::Directory;
use crate::auth_client::world::{REDIRECT, World, agree, why};

#[tokio::test]
async fn more_scopes_are_asked_for_when_they_are_wanted() {
    let world = World::new().await;
    let client = world.connect(world.auth()).await.expect("connected");
    assert_eq!(client.call_tool("admin", json!({})).await.expect("an answer").text(), "done");
    // None of the scopes of before is lost.
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
    let state = world.state.lock();
    let scopes: Vec<&str> = state.pages.iter().map(|page| page["scope"].as_str()).collect();
    assert_eq!(scopes, ["basic", "basic admin"]);
}

#[tokio::test]
async fn a_server_that_is_never_content_is_given_up() {
    let world = World::new().await;
    let client = world.connect(world.auth()).await.expect("connected");
    world.state.lock().forbids = true;
    let error = client.call_tool("hello", json!({})).await.expect_err("refused");
    assert_eq!(why(&error).0, "too_many_authorizations");
    assert_eq!(world.state.lock().pages.len(), 1 + 3);
    // The next call makes it no storm.
    client.call_tool("hello", json!({})).await.expect_err("refused");
    assert_eq!(world.state.lock().pages.len(), 1 + 3);
}

#[tokio::test]
async fn tokens_are_refreshed_before_and_after_their_end() {
    let world = World::new().await;
    world.state.lock().lives = [0, 3600].into();
    let client = world.connect(world.auth()).await.expect("connected");
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
    assert_eq!(world.granted("refresh_token"), 1, "before it was refused");
    world.revoke();
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
    assert_eq!(world.granted("refresh_token"), 2, "after it was refused");
    world.revoke();
    client.call_tool("hello", json!({})).await.expect("success counts attempts from zero again");
    assert_eq!((world.granted("refresh_token"), world.state.lock().pages.len()), (3, 1));
}

#[tokio::test]
async fn what_came_with_one_token_is_not_kept_for_the_next() {
    let world = World::new().await;
    let client = world.connect(world.auth()).await.expect("connected");
    let requests = || world.state.lock().shown.len();
    client.list_all_tools().await.expect("a list");
    let before = requests();
    client.list_all_tools().await.expect("a list");
    assert_eq!(requests(), before, "it is kept");
    world.revoke();
    client.call_tool("hello", json!({})).await.expect("an answer");
    let before = requests();
    client.list_all_tools().await.expect("a list");
    assert_eq!(requests(), before + 1);
}

#[tokio::test]
async fn many_refusals_are_one_flight() {
    let world = World::new().await;
    let client = world.connect(world.auth()).await.expect("connected");
    world.revoke();
    // One was for connecting; no token comes before all of the others are in.
    world.state.lock().after_refusals = 1 + 4;
    let calls = (0..4).map(|_| async { client.call_tool("hello", json!({})).await });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.expect("an answer").text(), "hello");
    }
    assert_eq!((world.granted("refresh_token"), world.state.lock().pages.len()), (1, 1));
}

#[tokio::test]
async fn what_was_sent_is_brought_to_its_end() {
    // A refresh token that is used up, and a code.
    for (tool, pages) in [("hello", 1), ("admin", 2)] {
        let world = World::new().await;
        let client = world.connect(world.auth()).await.expect("connected");
        if tool == "hello" {
            world.revoke();
        }
        let gate = world.gate();
        {
            let call = client.call_tool(tool, json!({}));
            tokio::select! {
                answer = call.into_future() => panic!("there are no tokens: {answer:?}"),
                () = gate.reached.notified() => {}
            }
        }
        // The first call is cancelled when the second is refused: the refusals arrive in this order.
        let call = tokio::spawn(client.call_tool(tool, json!({})).into_future());
        world.refusals(3).await;
        gate.open.notify_one();
        call.await.expect("no panic").expect("an answer");
        assert_eq!((world.pages(), world.logged("invalid_grant")), (pages, 0), "{tool}");
    }
}

#[tokio::test]
async fn tokens_that_are_on_their_way_are_kept_by_a_client_that_is_closed() {
    let (world, directory) = (World::new().await, Directory::new("closed"));
    let auth = || world.auth().store(directory.store());
    let client = world.connect(auth()).await.expect("connected");
    world.revoke();
    let gate = world.gate();
    let call = tokio::spawn(client.call_tool("hello", json!({})).into_future());
    gate.reached.notified().await;
    let open = async {
        assert_eq!(call.await.expect("no panic").expect_err("closed").kind, "closed");
        gate.open.notify_one();
    };
    tokio::join!(client.close(), open);
    let client = world.connect(auth()).await.expect("connected");
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
    assert_eq!((world.pages(), world.logged("invalid_grant")), (1, 0));
    assert_eq!(world.granted("refresh_token"), 1);
}

#[tokio::test]
async fn closing_does_not_wait_for_a_token_endpoint_for_ever() {
    let world = World::new().await;
    let client = world.connect(world.auth().timeout(Duration::from_secs(2))).await.expect("connected");
    world.revoke();
    let gate = world.gate();
    let call = tokio::spawn(client.call_tool("hello", json!({})).into_future());
    gate.reached.notified().await;
    client.close().await;
    call.await.expect("no panic").expect_err("closed, or too late");
}

#[tokio::test]
async fn a_program_that_panics_fails_its_call_only() {
    let world = World::new().await;
    let pages = AtomicUsize::new(0);
    let auth = Auth::authorization_code(REDIRECT, move |url| {
        let first = pages.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { agree(url).await } else { panic!("no display") } }
    });
    let client = world.connect(auth).await.expect("connected");
    let error = client.call_tool("admin", json!({})).await.expect_err("there is no way in");
    assert_eq!(why(&error).0, "cancelled");
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
}

#[tokio::test]
async fn who_gives_up_gives_up_the_flight() {
    let world = World::new().await;
    let (asked, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let pages = Arc::new(AtomicUsize::new(0));
    let auth = Auth::authorization_code(REDIRECT, {
        let (asked, dropped) = (asked.clone(), dropped.clone());
        move |url| {
            let first = pages.fetch_add(1, Ordering::Relaxed) == 0;
            let (asked, dropped) = (asked.clone(), dropped.clone());
            async move {
                if first {
                    return agree(url).await;
                }
                struct Told(Arc<Notify>);
                impl Drop for Told {
                    fn drop(&mut self) {
                        self.0.notify_one();
                    }
                }
                let _told = Told(dropped);
                asked.notify_one();
                std::future::pending().await
            }
        }
    });
    let client = world.connect(auth).await.expect("connected");
    {
        let call = client.call_tool("admin", json!({}));
        tokio::select! {
            answer = call.into_future() => panic!("nobody has agreed: {answer:?}"),
            () = asked.notified() => {}
        }
    }
    // The page of a cancelled call is closed; others continue.
    dropped.notified().await;
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
}
