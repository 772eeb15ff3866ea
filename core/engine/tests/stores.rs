//! What every store has to do; the ones in the box are held to it here.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunnion::client::{Change, Listen};
use trunnion::server::{Resource, Tool};
#[cfg(feature = "sqlite")]
use trunnion::store::SqliteStore;
use trunnion::store::{
    Append, Bus, EventStore, MemoryStore, Replay, SessionStore, StoredEvent, StreamKey, Subscriber,
};
use trunnion::{Client, Server};

const HOUR: Duration = Duration::from_secs(3600);
/// The numbers of no events.
const NOTHING: RangeInclusive<u64> = RangeInclusive::new(1, 0);

async fn keeps_sessions(store: &dyn SessionStore) {
    assert_eq!(store.load("a").await, Ok(None));
    store.insert("a", "one", HOUR).await.expect("no failure");
    store.insert("b", "other", HOUR).await.expect("no failure");
    let first = store.load("a").await.expect("no failure").expect("a record");
    assert_eq!(first.text, "one");

    assert_eq!(store.replace("a", first.version, "two").await, Ok(true));
    assert_eq!(store.replace("a", first.version, "three").await, Ok(false), "it is at another version");
    let second = store.load("a").await.expect("no failure").expect("a record");
    assert_eq!((second.text.as_str(), second.version > first.version), ("two", true));
    assert_eq!(store.replace("none", 1, "x").await, Ok(false));

    assert_eq!(store.touch("a", HOUR).await, Ok(true));
    assert_eq!(store.load("a").await.expect("no failure"), Some(second), "touching changes nothing else");
    assert_eq!(store.remove("a").await, Ok(true));
    assert_eq!(store.remove("a").await, Ok(false));
    assert_eq!(store.touch("a", HOUR).await, Ok(false));
    assert_eq!(store.load("a").await, Ok(None));
    assert!(store.load("b").await.expect("no failure").is_some(), "another session");

    store.insert("c", "short", Duration::ZERO).await.expect("no failure");
    assert_eq!(store.load("c").await, Ok(None), "its time is over");
    assert_eq!(store.touch("c", HOUR).await, Ok(false));
    assert_eq!(store.replace("c", 1, "x").await, Ok(false));
    assert_eq!(store.remove("c").await, Ok(false));
    store.insert("d", "long", Duration::MAX).await.expect("no failure");
    assert!(store.load("d").await.expect("no failure").is_some(), "for ever");
}

fn event(number: u64) -> StoredEvent {
    StoredEvent { number, message: Bytes::from(format!("{{\"n\":{number}}}")) }
}

fn append(numbers: RangeInclusive<u64>) -> Append {
    Append { events: numbers.map(event).collect(), over: false, oldest: 0, keep: HOUR }
}

async fn keeps_events(store: &dyn EventStore) {
    let key = |session: &str, stream| StreamKey { session: session.into(), stream };
    let (a, b) = (key("s", 1), key("s", u64::MAX >> 1));
    let replay =
        |numbers: RangeInclusive<u64>, over| Ok(Some(Replay { events: numbers.map(event).collect(), over }));
    assert_eq!(store.read(&a, 0).await, Ok(None), "there is none");
    store.append(&a, append(NOTHING)).await.expect("no failure");
    assert_eq!(store.read(&a, 0).await, replay(NOTHING, false), "it has begun");
    assert_eq!(store.read(&a, 1).await, Ok(None), "an event that never was");

    store.append(&a, append(1..=3)).await.expect("no failure");
    store.append(&a, append(2..=4)).await.expect("no failure");
    assert_eq!(store.read(&a, 0).await, replay(1..=4, false), "each once");
    assert_eq!(store.read(&a, 3).await, replay(4..=4, false));
    assert_eq!(store.read(&a, 4).await, replay(NOTHING, false));

    store.append(&a, Append { oldest: 3, ..append(5..=5) }).await.expect("no failure");
    assert_eq!(store.read(&a, 2).await, replay(3..=5, false));
    assert_eq!(store.read(&a, 1).await, Ok(None), "some are not kept any more");
    store.append(&a, Append { over: true, oldest: 6, ..append(NOTHING) }).await.expect("no failure");
    assert_eq!(store.read(&a, 5).await, replay(NOTHING, true));
    assert_eq!(store.read(&a, 4).await, Ok(None));

    for other in [&b, &key("t", 1)] {
        store.append(other, append(1..=1)).await.expect("no failure");
    }
    store.remove("s", Some(1)).await.expect("no failure");
    assert_eq!(store.read(&a, 5).await, Ok(None));
    assert_eq!(store.read(&b, 0).await, replay(1..=1, false), "another stream");
    store.remove("s", None).await.expect("no failure");
    assert_eq!(store.read(&b, 0).await, Ok(None));
    assert_eq!(store.read(&key("t", 1), 0).await, replay(1..=1, false), "another session");

    let short = key("u", 1);
    store.append(&short, Append { keep: Duration::ZERO, ..append(1..=1) }).await.expect("no failure");
    assert_eq!(store.read(&short, 0).await, Ok(None), "its time is over");
    store.append(&short, append(1..=1)).await.expect("no failure");
    assert_eq!(store.read(&short, 0).await, replay(1..=1, false), "it begins again");
}

async fn carries_changes<B: Bus>(buses: [Arc<B>; 2]) {
    let tool = |name: &str| Tool::new(name, async || "done");
    let [a, b] = buses
        .clone()
        .map(|bus| Server::builder("test", "1.0").bus(bus).tool(tool("first")).build().expect("valid"));
    let client = Client::builder().connect(&a).await.expect("connected");
    let _other = Client::builder().connect(&b).await.expect("connected");
    let mut changes = client.listen(Listen::new().tools()).await.expect("listening");
    for (n, server) in [&b, &a, &b].into_iter().enumerate() {
        server.add(tool(&format!("t{n}"))).expect("valid");
        assert!(matches!(changes.next().await, Some(Ok(Change::Tools))), "of server {n}");
    }
    buses[1].publish(Bytes::from_static(b"not ours"));
    assert!(b.remove_tool("t0"));
    assert!(matches!(changes.next().await, Some(Ok(Change::Tools))), "it hears on");
}

#[tokio::test]
async fn in_memory() {
    let store = Arc::new(MemoryStore::default());
    keeps_sessions(&*store).await;
    keeps_events(&*store).await;
    carries_changes([store.clone(), store]).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn in_a_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = std::env::temp_dir().join(format!("trunnion-store-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("store.db");
    let open = || SqliteStore::open(&path);
    let store = Arc::new(open().expect("a store"));
    keeps_sessions(&*store).await;
    keeps_events(&*store).await;
    carries_changes([store.clone(), store.clone()]).await;
    let other = Arc::new(open().expect("another process could open it"));
    carries_changes([store.clone(), other.clone()]).await;
    assert_eq!(store.state_key(), other.state_key());
    assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);

    store.insert("kept", "text", HOUR).await.expect("no failure");
    drop((store, other));
    let again = open().expect("a store");
    assert_eq!(again.load("kept").await.expect("no failure").expect("a record").text, "text");
    drop(again);

    std::fs::write(folder.join("text"), "no database, but long enough to be read as one by whoever tries")
        .expect("written");
    let refused = SqliteStore::open(folder.join("text")).expect_err("it is no database");
    assert!(refused.to_string().contains("not a database"), "{refused}");
    let refused = SqliteStore::open(folder.join("none/store.db")).expect_err("there is no such folder");
    assert!(refused.to_string().contains("none/store.db"), "{refused}");
    std::fs::remove_dir_all(&folder).expect("removed");
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
    let store = Arc::new(MemoryStore::default());
    let tool = |name: &str| Tool::new(name, async || "done");
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
