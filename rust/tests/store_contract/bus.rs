//! The contract of a bus: messages between processes, observed through their servers.

use std::sync::Arc;

use bytes::Bytes;
use trunnion::client::{Change, Changes, Listen};
use trunnion::server::{Resource, Tool};
use trunnion::store::{Bus, Subscriber};
use trunnion::{Client, Server};

use crate::store_contract::{Store, Two};

fn tool(name: &str) -> Tool {
    Tool::new(name, async || "done")
}

fn server(bus: Arc<dyn Bus>) -> Server {
    Server::builder("test", "1.0").bus(bus).tool(tool("first")).build().expect("valid")
}

/// A server with these resources, and the notifications that a client of it receives.
async fn listening(bus: Arc<dyn Bus>, uris: &[String]) -> (Server, Client, Changes) {
    let server = server(bus);
    let mut listen = Listen::new();
    for uri in uris {
        server.add(Resource::new(uri, async || "content")).expect("valid");
        listen = listen.resource(uri);
    }
    let client = Client::builder().connect(&server).await.expect("connected");
    let changes = client.listen(listen).await.expect("listening");
    (server, client, changes)
}

async fn next(changes: &mut Changes) -> String {
    match changes.next().await {
        Some(Ok(Change::Resource(uri))) => uri,
        other => panic!("{other:?}"),
    }
}

async fn carry(buses: [Arc<dyn Bus>; 2]) {
    let [a, b] = buses.clone().map(server);
    let client = Client::builder().connect(&a).await.expect("connected");
    // A server without clients has no changes to notify.
    let _other = Client::builder().connect(&b).await.expect("connected");
    let mut changes = client.listen(Listen::new().tools()).await.expect("listening");
    for (n, server) in [&b, &a, &b].into_iter().enumerate() {
        server.add(tool(&format!("t{n}"))).expect("valid");
        assert!(matches!(changes.next().await, Some(Ok(Change::Tools))), "of server {n}");
    }
    buses[1].publish(Bytes::from_static(b"not ours"));
    buses[1].publish(Bytes::new());
    buses[1].publish(Bytes::from_static(b"\0\xff"));
    assert!(b.remove_tool("t0"));
    assert!(matches!(changes.next().await, Some(Ok(Change::Tools))), "it hears on");
}

pub async fn carries_changes([one, other]: Two) {
    let [one, other]: [Arc<dyn Bus>; 2] = [one, other];
    carry([one.clone(), one.clone()]).await;
    carry([one.clone(), other.clone()]).await;
    carry([other, one]).await;
}

/// Small and large ones by turns.
pub async fn keeps_the_order([one, other]: Two) {
    let uris: Vec<String> =
        (0..60).map(|n| format!("test://{n}/{}", "x".repeat(if n % 3 == 0 { 8100 } else { 10 }))).collect();
    let (_server, _client, mut changes) = listening(one, &uris).await;
    let speaker = server(other);
    for uri in &uris {
        speaker.add(Resource::new(uri, async || "content")).expect("valid");
    }
    for uri in &uris {
        speaker.resource_updated(uri);
    }
    for uri in &uris {
        assert_eq!(next(&mut changes).await.len(), uri.len());
    }
}

/// A message from before the subscription is not delivered.
pub async fn tells_of_what_comes([one, other]: Two) {
    let speaker = server(other);
    let uris = ["test://before".to_owned(), "test://after".to_owned()];
    for uri in &uris {
        speaker.add(Resource::new(uri, async || "content")).expect("valid");
    }
    let (_server, _client, mut changes) = listening(one, &uris).await;
    speaker.resource_updated(&uris[1]);
    assert_eq!(next(&mut changes).await, uris[1]);
}

/// Ends when `a`'s client has received a change made at `b`, which repeats it until then.
pub async fn is_heard_again([one, other]: [Arc<dyn Store>; 2], again: impl AsyncFnOnce()) {
    let uris = ["test://a".to_owned()];
    let (_server, _client, mut changes) = listening(one, &uris).await;
    let speaker = server(other);
    speaker.add(Resource::new(&uris[0], async || "content")).expect("valid");
    speaker.resource_updated(&uris[0]);
    assert_eq!(next(&mut changes).await, uris[0]);
    again().await;
    loop {
        speaker.resource_updated(&uris[0]);
        let heard = next(&mut changes);
        let pause = tokio::time::timeout(std::time::Duration::from_millis(50), heard);
        if pause.await.is_ok() {
            return;
        }
    }
}

#[test]
fn whoever_hears_nothing_says_so() {
    // A subscriber outlives its server.
    struct Keep(std::sync::Mutex<Vec<Subscriber>>);
    impl Bus for Keep {
        fn publish(&self, _: Bytes) {}
        fn subscribe(&self, subscriber: Subscriber) {
            self.0.lock().expect("no panic").push(subscriber);
        }
    }
    let bus = Arc::new(Keep(std::sync::Mutex::default()));
    let server = Server::builder("test", "1.0").bus(bus.clone()).build().expect("valid");
    let subscriber = bus.0.lock().expect("no panic").remove(0);
    assert!(subscriber.is_alive() && subscriber.deliver(b"{}"));
    drop(server);
    assert!(!subscriber.is_alive() && !subscriber.deliver(b"{}"));
}

#[tokio::test]
async fn a_server_that_starts_tells_of_no_changes() {
    let store = Arc::new(trunnion::store::MemoryStore::default());
    let server = |store| {
        let resource = Resource::new("test://a", async || "a");
        let server = Server::builder("test", "1.0").bus(store).tool(tool("first")).resource(resource);
        server.build().expect("valid")
    };
    let client = Client::builder().connect(&server(store.clone())).await.expect("connected");
    let mut changes = client.listen(Listen::new().tools().resource("test://a")).await.expect("listening");
    let another = server(store);
    another.add(tool("second")).expect("valid");
    another.resource_updated("test://a");
    let first = changes.next().await;
    assert!(matches!(&first, Some(Ok(Change::Resource(uri))) if uri == "test://a"), "{first:?}");
}
