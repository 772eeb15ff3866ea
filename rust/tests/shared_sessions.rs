//! Sessions of legacy HTTP clients that several servers share, as the clients observe them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Gate, Peer, Stream, Told, hello, later, text, with_progress};
use crate::store_contract::servers::Kind;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use trunnion::Server;
use trunnion::server::{Context, Elicited, LogLevel, Resource, State, Tool};
use trunnion::store::SqliteStore;
use trunnion::store::{
    Append, Bus, EventStore, MemoryStore, Replay, SessionRecord, SessionStore, StoreError, StoreFuture,
    StoredEvent, StreamKey, Subscriber,
};

async fn steps(context: Context, gate: State<Gate>) -> &'static str {
    let _told = Told(Gate::clone(&gate));
    context.progress(1.0, None, None);
    gate.go.notified().await;
    context.progress(2.0, None, None);
    gate.go.notified().await;
    "done"
}

async fn logs(context: Context) -> Result<&'static str, trunnion::Error> {
    context.log(LogLevel::Info, "little")?;
    context.log(LogLevel::Error, "much")?;
    Ok("logged")
}

async fn visit(context: Context) -> Result<&'static str, trunnion::Error> {
    context.elicit_url_as("e1", "Sign in", "https://example.com/sign-in").await?;
    Ok("visited")
}

/// A tool that lets its stream go each time the gate opens, twice, and then answers.
async fn let_go_twice(context: Context, gate: State<Gate>) -> &'static str {
    context.progress(1.0, None, None);
    for _ in 0..2 {
        gate.go.notified().await;
        context.close_stream();
    }
    gate.go.notified().await;
    "done"
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Name {
    name: String,
}

async fn name(context: Context) -> Result<String, trunnion::Error> {
    Ok(match context.elicit::<Name>("Who are you?").await? {
        Elicited::Accepted(Name { name }) => name,
        other => format!("{other:?}"),
    })
}

/// Two servers that share, and a client of each.
struct Two {
    gate: Gate,
    servers: [Server; 2],
    a: Peer,
    b: Peer,
}

impl Two {
    /// A session that was opened at the first.
    async fn with<S: SessionStore + EventStore + Bus>(stores: [&Arc<S>; 2], capabilities: Value) -> Two {
        let gate = Gate::default();
        let servers = stores.map(|store| {
            Server::builder("test", "1.0")
                .bus(store.clone())
                .state(gate.clone())
                .tool(Tool::new("hello", hello))
                .tool(Tool::new("steps", steps))
                .tool(Tool::new("later", later))
                .tool(Tool::new("name", name))
                .tool(Tool::new("logs", logs))
                .tool(Tool::new("visit", visit))
                .tool(Tool::new("let_go_twice", let_go_twice))
                .resource(Resource::new("test://a", hello))
                .build()
                .expect("valid")
        });
        let mut peers = Vec::new();
        for (server, store) in servers.iter().zip(stores) {
            let http = server.http().session_store(store.clone()).event_store(store.clone());
            peers.push(Peer::of(http.bind("127.0.0.1:0").await.expect("an address"), "2025-11-25"));
        }
        let (mut b, mut a) = (peers.pop().expect("two"), peers.pop().expect("two"));
        a.initialize(capabilities).await.expect("a session");
        b.session = a.session.clone();
        Two { gate, servers, a, b }
    }

    async fn new() -> Two {
        let store = Arc::new(MemoryStore::default());
        Two::with([&store; 2], json!({})).await
    }
}

/// Runs a test with every way to share.
async fn each(capabilities: Value, test: impl AsyncFn(Two)) {
    let store = Arc::new(MemoryStore::default());
    test(Two::with([&store; 2], capabilities.clone()).await).await;
    {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let name = format!("trunnion-{}-{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        let stores = [0; 2].map(|_| Arc::new(SqliteStore::open(folder.join("db")).expect("a store")));
        test(Two::with([&stores[0], &stores[1]], capabilities.clone()).await).await;
        std::fs::remove_dir_all(folder).expect("removed");
    }
    if let Some(server) = tokio::task::block_in_place(|| Kind::Postgres.shared()) {
        let url = server.url();
        let connect =
            async || Arc::new(trunnion::store::PostgresStore::connect(&url).await.expect("a store"));
        let stores = [connect().await, connect().await];
        test(Two::with([&stores[0], &stores[1]], capabilities.clone()).await).await;
    }
    if let Some(server) = tokio::task::block_in_place(|| Kind::Redis.shared()) {
        let url = server.url();
        let connect = async || Arc::new(trunnion::store::RedisStore::connect(&url).await.expect("a store"));
        let stores = [connect().await, connect().await];
        test(Two::with([&stores[0], &stores[1]], capabilities).await).await;
    }
}

async fn delete(peer: &Peer) -> u16 {
    Peer::answer(peer.request(reqwest::Method::DELETE)).await.status()
}

async fn progress(stream: &mut Stream) -> u64 {
    let message = stream.message().await;
    message["params"]["progress"].as_u64().unwrap_or_else(|| panic!("no progress: {message}"))
}

/// Returns the next change notification of a stream.
async fn change(stream: &mut Stream) -> String {
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if !event.data.is_empty() {
            return event.message()["method"].as_str().expect("a method").to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn any_server_answers_and_ends_a_session() {
    each(json!({}), async |two: Two| {
        assert_eq!(text(&two.b.call(1, "hello", json!({})).await.json()), "hello");
        assert_eq!(delete(&two.b).await, 204);
        // The change may take a moment to arrive.
        while two.a.call(2, "hello", json!({})).await.status() != 404 {}
        assert_eq!(two.b.call(3, "hello", json!({})).await.status(), 404);
        assert_eq!(delete(&two.a).await, 404);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_outlives_the_server_that_opened_it() {
    each(json!({}), async |two: Two| {
        two.a.listening.close().await;
        assert_eq!(text(&two.b.call(1, "hello", json!({})).await.json()), "hello");
    })
    .await;
}

#[tokio::test]
async fn what_one_server_is_told_to_watch_the_other_tells_of() {
    let Two { servers, a, b, .. } = Two::new().await;
    let mut stream = a.get(None).await.stream();
    stream.next().await.expect("the priming event");
    assert!(b.ask(1, "resources/subscribe", json!({"uri": "test://a"})).await.json()["result"].is_object());
    for server in &servers {
        server.resource_updated("test://a");
        assert_eq!(stream.message().await["params"]["uri"], "test://a");
    }
    assert!(b.ask(2, "resources/unsubscribe", json!({"uri": "test://a"})).await.json()["result"].is_object());
    servers[1].resource_updated("test://a");
    servers[1].remove_tool("hello");
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_standing_stream_moves_with_its_client() {
    each(json!({}), async |Two { servers, a, b, .. }: Two| {
        let mut stream = a.get(None).await.stream();
        stream.next().await.expect("the priming event");
        servers[0].remove_tool("hello");
        let first = stream.next().await.expect("an event");
        drop(stream);
        servers[1].remove_resource("test://a");
        // The second server sends the change that was missed at the first, then new ones, from whichever
        // server they come.
        let mut moved = b.get(first.id.as_deref()).await.stream();
        assert_eq!(change(&mut moved).await, "notifications/resources/list_changed");
        for server in &servers {
            server.add(Tool::new("new", hello)).expect("valid");
            assert_eq!(change(&mut moved).await, "notifications/tools/list_changed");
        }
        // The first no longer sends on a stream of its own, but takes over again when the client comes.
        let mut back = a.get(None).await.stream();
        while moved.next().await.is_some() {}
        servers[1].remove_tool("new");
        assert_eq!(change(&mut back).await, "notifications/tools/list_changed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_is_read_where_its_client_comes_back() {
    each(json!({}), async |Two { gate, a, b, .. }: Two| {
        let mut stream = a.ask(1, "tools/call", with_progress("steps")).await.stream();
        let priming = stream.next().await.expect("the priming event");
        let first = stream.next().await.expect("an event");
        assert_eq!(first.message()["params"]["progress"], 1);
        drop(stream);
        // The call continues at the first server while the second reads.
        let mut rest = b.get(first.id.as_deref()).await.stream();
        gate.go.notify_one();
        assert_eq!(progress(&mut rest).await, 2);
        gate.go.notify_one();
        assert_eq!(text(&rest.message().await), "done");
        assert_eq!(rest.next().await, None);
        // From the beginning on, at either, when all is over.
        for peer in [&a, &b] {
            let mut again = peer.get(priming.id.as_deref()).await.stream();
            assert_eq!(progress(&mut again).await, 1);
            assert_eq!(progress(&mut again).await, 2);
            assert_eq!(text(&again.message().await), "done");
            assert_eq!(again.next().await, None);
        }
        assert_eq!(b.get(Some("99-1")).await.status(), 400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_its_tool_lets_go_ends_wherever_it_is_read() {
    each(json!({}), async |Two { gate, a, b, .. }: Two| {
        let mut stream = a.call(1, "later", json!({})).await.stream();
        let priming = stream.next().await.expect("the priming event");
        assert_eq!(stream.next().await, None, "closed before the answer");
        let mut rest = b.get(priming.id.as_deref()).await.stream();
        gate.go.notify_one();
        assert_eq!(text(&rest.message().await), "closed: true");
    })
    .await;
}

#[tokio::test]
async fn only_the_last_to_come_reads_a_stream() {
    let Two { gate, a, b, .. } = Two::new().await;
    let mut stream = a.ask(1, "tools/call", with_progress("steps")).await.stream();
    stream.next().await.expect("the priming event");
    let first = stream.next().await.expect("an event");
    let mut second = b.get(first.id.as_deref()).await.stream();
    assert_eq!(stream.next().await, None, "at another server");
    let mut third = b.get(first.id.as_deref()).await.stream();
    assert_eq!(second.next().await, None, "at the same");
    let mut fourth = a.get(first.id.as_deref()).await.stream();
    assert_eq!(third.next().await, None, "back at the first");
    gate.go.notify_one();
    assert_eq!(progress(&mut fourth).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_finds_who_has_asked() {
    each(json!({"elicitation": {}}), async |Two { a, b, .. }: Two| {
        for answer in [json!({"action": "accept", "content": {"name": "Ada"}}), json!({"action": "decline"})]
        {
            let mut stream = a.call(1, "name", json!({})).await.stream();
            stream.next().await.expect("the priming event");
            let asked = stream.message().await;
            assert_eq!(asked["method"], "elicitation/create");
            assert_eq!(b.respond(&asked, answer.clone()).await, 202);
            let done = stream.message().await;
            assert_eq!(text(&done).contains("Ada"), answer["action"] == "accept", "{done}");
        }
        // An error as well.
        let mut stream = a.call(2, "name", json!({})).await.stream();
        stream.next().await.expect("the priming event");
        let asked = stream.message().await;
        let error =
            json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": "not now"}});
        assert_eq!(b.post(&error).await.status(), 202);
        assert!(stream.message().await.to_string().contains("not now"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cancellation_finds_the_call() {
    each(json!({}), async |Two { gate, a, b, .. }: Two| {
        let mut stream = a.ask(1, "tools/call", with_progress("steps")).await.stream();
        stream.next().await.expect("the priming event");
        assert_eq!(progress(&mut stream).await, 1);
        assert_eq!(b.notify("notifications/cancelled", json!({"requestId": 1})).await, 202);
        gate.dropped.notified().await;
        assert_eq!(stream.next().await, None);
    })
    .await;
}

#[tokio::test]
async fn both_servers_change_one_session_at_a_time() {
    let Two { servers, a, b, .. } = Two::new().await;
    for server in &servers {
        for n in 0..20 {
            server.add(Resource::new(format!("test://{n}"), hello)).expect("valid");
        }
    }
    let subscribe = |peer: &Peer, n: u64| {
        let asked = peer.request(reqwest::Method::POST).body(
            json!({"jsonrpc": "2.0", "id": n, "method": "resources/subscribe",
                "params": {"uri": format!("test://{n}")}})
            .to_string(),
        );
        tokio::spawn(async move { Peer::answer(asked).await.json() })
    };
    let all: Vec<_> = (0..20).map(|n| subscribe(if n % 2 == 0 { &a } else { &b }, n)).collect();
    for asked in all {
        let answer = asked.await.expect("no panic");
        assert!(answer["result"].is_object(), "{answer}");
    }
    let mut stream = a.get(None).await.stream();
    let next = async |stream: &mut Stream| loop {
        let event = stream.next().await.expect("an event");
        if event.data.contains("resources/updated") {
            return event.message()["params"]["uri"].as_str().expect("a URI").to_owned();
        }
    };
    for n in 0..20 {
        servers[n % 2].resource_updated(format!("test://{n}"));
        assert_eq!(next(&mut stream).await, format!("test://{n}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_listener_of_the_modern_era_hears_of_changes_at_any_server() {
    each(json!({}), async |Two { servers, a: mut modern, .. }: Two| {
        (modern.revision, modern.session) = ("2026-07-28", None);
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let mut stream = modern.ask(1, "subscriptions/listen", filter).await.stream();
        assert!(stream.message().await["method"].as_str().expect("a method").ends_with("acknowledged"));
        servers[1].remove_tool("hello");
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    })
    .await;
}

/// A store that can be made to fail.
#[derive(Default)]
struct Fragile {
    inner: MemoryStore,
    sessions_fail: AtomicBool,
    events_fail: AtomicBool,
    /// A concurrent write always wins.
    contended: AtomicBool,
    touched: Notify,
    /// The session whose touches never end, and a notification when one begins.
    hanging: Mutex<Option<String>>,
    hangs: Notify,
    /// Writes of stream events hang, and notify `begins`; removals notify `removed`.
    events_hang: AtomicBool,
    begins: Notify,
    removed: Notify,
    /// Messages that streams are closing are held back here, and notify `holds`.
    holds_closing: AtomicBool,
    holds: Notify,
    held: Mutex<Vec<Bytes>>,
}

impl Fragile {
    fn session<T: Send + 'static>(&self, done: StoreFuture<T>) -> StoreFuture<T> {
        if self.sessions_fail.load(Ordering::Relaxed) { fail() } else { done }
    }

    fn event<T: Send + 'static>(&self, done: impl FnOnce() -> StoreFuture<T>) -> StoreFuture<T> {
        if self.events_fail.load(Ordering::Relaxed) { fail() } else { done() }
    }
}

fn fail<T: Send + 'static>() -> StoreFuture<T> {
    Box::pin(std::future::ready(Err(StoreError::new("db.internal refused user admin"))))
}

impl SessionStore for Fragile {
    fn insert(&self, id: &str, text: &str, keep: Duration) -> StoreFuture<()> {
        self.session(self.inner.insert(id, text, keep))
    }

    fn load(&self, id: &str) -> StoreFuture<Option<SessionRecord>> {
        self.session(self.inner.load(id))
    }

    fn replace(&self, id: &str, version: u64, text: &str) -> StoreFuture<bool> {
        if self.contended.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Ok(false)));
        }
        self.session(self.inner.replace(id, version, text))
    }

    fn touch(&self, id: &str, keep: Duration) -> StoreFuture<bool> {
        if self.hanging.lock().expect("not poisoned").as_deref() == Some(id) {
            self.hangs.notify_one();
            return Box::pin(std::future::pending());
        }
        self.touched.notify_one();
        self.session(self.inner.touch(id, keep))
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        if self.sessions_fail.load(Ordering::Relaxed) {
            fail()
        } else {
            SessionStore::remove(&self.inner, id)
        }
    }
}

impl EventStore for Fragile {
    fn append(&self, key: &StreamKey, append: Append) -> StoreFuture<()> {
        if self.events_hang.load(Ordering::Relaxed) {
            self.begins.notify_one();
            return Box::pin(std::future::pending());
        }
        self.event(|| self.inner.append(key, append))
    }

    fn read(&self, key: &StreamKey, after: u64) -> StoreFuture<Option<Replay>> {
        self.event(|| self.inner.read(key, after))
    }

    fn remove(&self, session: &str, stream: Option<u64>) -> StoreFuture<()> {
        self.removed.notify_one();
        self.event(|| EventStore::remove(&self.inner, session, stream))
    }
}

impl Bus for Fragile {
    fn publish(&self, message: Bytes) {
        let is_closing = message.windows(9).any(|part| part == b"\"closing\"");
        if is_closing && self.holds_closing.load(Ordering::Relaxed) {
            self.held.lock().expect("not poisoned").push(message);
            self.holds.notify_one();
        } else {
            self.inner.publish(message);
        }
    }

    fn subscribe(&self, subscriber: Subscriber) {
        self.inner.subscribe(subscriber);
    }
}

#[tokio::test]
async fn without_its_session_store_a_server_serves_what_it_knows() {
    let store = Arc::new(Fragile::default());
    let Two { mut a, b, .. } = Two::with([&store; 2], json!({})).await;
    store.sessions_fail.store(true, Ordering::Relaxed);
    assert_eq!(text(&a.call(1, "hello", json!({})).await.json()), "hello");
    let refused = b.call(1, "hello", json!({})).await;
    assert_eq!(refused.status(), 503, "it was opened elsewhere");
    let refused = refused.json();
    assert_eq!(refused["error"]["code"], -32603);
    assert!(!refused.to_string().contains("admin"), "{refused}");
    let unchanged = a.ask(2, "resources/subscribe", json!({"uri": "test://a"})).await.json();
    assert_eq!(unchanged["error"]["code"], -32603, "{unchanged}");
    assert_eq!(delete(&a).await, 503);
    let session = a.session.take();
    assert_eq!(a.initialize(json!({})).await, Err(503));

    store.sessions_fail.store(false, Ordering::Relaxed);
    a.session = session;
    assert_eq!(text(&b.call(3, "hello", json!({})).await.json()), "hello");
    assert_eq!(delete(&a).await, 204);
}

#[tokio::test]
async fn a_session_that_always_changes_is_given_up() {
    let store = Arc::new(Fragile::default());
    let Two { a, .. } = Two::with([&store; 2], json!({})).await;
    store.contended.store(true, Ordering::Relaxed);
    let refused = a.ask(1, "resources/subscribe", json!({"uri": "test://a"})).await.json();
    assert_eq!(refused["error"]["code"], -32603);
    store.contended.store(false, Ordering::Relaxed);
    assert!(a.ask(2, "resources/subscribe", json!({"uri": "test://a"})).await.json()["result"].is_object());
}

#[tokio::test]
async fn a_subscription_that_is_refused_leaves_nothing_behind() {
    let store = Arc::new(MemoryStore::default());
    let Two { servers, a, .. } = Two::with([&store; 2], json!({})).await;
    let mut stream = a.get(None).await.stream();
    let refused = a.ask(1, "resources/subscribe", json!({"uri": "test://later"})).await.json();
    assert_eq!(refused["error"]["code"], -32002);
    let session = a.session.as_deref().expect("an id");
    let record = store.load(session).await.expect("no failure").expect("a record");
    assert!(!record.text.contains("later"), "{}", record.text);
    servers[0].resource_updated("test://later");
    servers[0].remove_tool("hello");
    assert_eq!(change(&mut stream).await, "notifications/tools/list_changed");
}

#[tokio::test]
async fn without_its_event_store_a_stream_goes_on_where_it_is() {
    let store = Arc::new(Fragile::default());
    let Two { gate, a, b, .. } = Two::with([&store; 2], json!({})).await;
    store.events_fail.store(true, Ordering::Relaxed);
    let mut stream = a.ask(1, "tools/call", with_progress("steps")).await.stream();
    stream.next().await.expect("the priming event");
    let first = stream.next().await.expect("an event");
    assert_eq!(first.message()["params"]["progress"], 1);
    drop(stream);
    assert_eq!(b.get(first.id.as_deref()).await.status(), 503);
    let mut rest = a.get(first.id.as_deref()).await.stream();
    gate.go.notify_one();
    assert_eq!(progress(&mut rest).await, 2);
    // When the store is available again, it gets the events that it missed.
    store.events_fail.store(false, Ordering::Relaxed);
    gate.go.notify_one();
    assert_eq!(text(&rest.message().await), "done");
    let mut again = b.get(first.id.as_deref()).await.stream();
    assert_eq!(progress(&mut again).await, 2);
    assert_eq!(text(&again.message().await), "done");
}

#[tokio::test]
async fn a_session_in_use_is_kept_and_an_idle_one_is_not() {
    let store = Arc::new(Fragile::default());
    let server = Server::builder("test", "1.0").tool(Tool::new("hello", hello)).build().expect("valid");
    let http = server.http().session_store(store.clone()).session_idle(Duration::from_millis(40));
    let mut peer = Peer::of(http.bind("127.0.0.1:0").await.expect("an address"), "2025-11-25");
    peer.initialize(json!({})).await.expect("a session");
    let id = peer.session.clone().expect("an id");
    let stream = peer.get(None).await.stream();
    // As long as a client reads.
    for _ in 0..5 {
        store.touched.notified().await;
    }
    drop(stream);
    while store.load(&id).await.expect("no failure").is_some() {
        tokio::task::yield_now().await;
    }
    while peer.call(1, "hello", json!({})).await.status() != 404 {}
}

#[tokio::test]
async fn events_need_sessions() {
    let server = Server::builder("test", "1.0").build().expect("valid");
    let http = server.http().event_store(Arc::new(MemoryStore::default()));
    assert_eq!(http.bind("127.0.0.1:0").await.expect_err("refused").kind, "usage");
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_writer_has_died_ends() {
    let store = Arc::new(MemoryStore::default());
    let server = Server::builder("test", "1.0").bus(store.clone()).build().expect("valid");
    let http = server.http().session_store(store.clone()).event_store(store.clone());
    let mut service = http.tower_service().expect("a service");
    let mut send = async |method: &str, headers: &[(&str, &str)], body: String| {
        let mut request = http::Request::builder()
            .method(method)
            .uri("/mcp")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2025-11-25");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(http_body_util::Full::new(Bytes::from(body))).expect("a request");
        tower_service::Service::call(&mut service, request).await.expect("an answer")
    };
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    let opened = send("POST", &[], initialize.to_string()).await;
    let session = opened.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned();

    // The remains of a process that died in the middle of a call.
    let key = StreamKey { session: session.clone(), stream: (1 << 24) + 1 };
    let event = StoredEvent { number: 1, message: Bytes::from_static(b"{\"half\":1}") };
    let append = Append { events: vec![event], over: false, oldest: 1, keep: Duration::from_secs(3600) };
    store.append(&key, append).await.expect("no failure");

    let last = format!("{}-0", key.stream);
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", &session), ("last-event-id", &last)];
    let rest = send("GET", &headers, String::new()).await;
    assert_eq!(rest.status(), 200);
    let body = http_body_util::BodyExt::collect(rest.into_body()).await.expect("a body").to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    assert!(
        text.starts_with(&format!("id: {}-1\nevent: message\ndata: {{\"half\":1}}\n\n", key.stream)),
        "{text}"
    );
    assert_eq!(send("GET", &headers, String::new()).await.status(), 400, "it will never be answered");
}

#[tokio::test]
async fn what_was_negotiated_and_set_is_known_everywhere() {
    let store = Arc::new(MemoryStore::default());
    let Two { a, b, .. } = Two::with([&store; 2], json!({"elicitation": {}})).await;
    // Unknown at the second until now, then known and changed there.
    let mut stream = b.call(1, "name", json!({})).await.stream();
    stream.next().await.expect("the priming event");
    let asked = stream.message().await;
    assert_eq!(a.respond(&asked, json!({"action": "cancel"})).await, 202);
    assert_eq!(text(&stream.message().await), "Cancelled");

    assert!(b.ask(2, "logging/setLevel", json!({"level": "error"})).await.json()["result"].is_object());
    for peer in [&a, &b] {
        let mut stream = peer.call(3, "logs", json!({})).await.stream();
        stream.next().await.expect("the priming event");
        assert_eq!(stream.message().await["params"]["level"], "error", "nothing below");
        assert_eq!(text(&stream.message().await), "logged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_end_of_an_elicitation_is_told_wherever_the_client_listens() {
    each(json!({"elicitation": {"url": {}}}), async |Two { servers, a, b, .. }: Two| {
        for (asker, reader) in [(&a, &b), (&b, &a)] {
            let mut standing = reader.get(None).await.stream();
            let mut stream = asker.call(1, "visit", json!({})).await.stream();
            stream.next().await.expect("the priming event");
            let asked = stream.message().await;
            assert_eq!(reader.respond(&asked, json!({"action": "accept"})).await, 202);
            assert_eq!(text(&stream.message().await), "visited");
            // At any process: where it was requested, and where the client has its stream.
            servers[0].elicitation_complete("e1");
            while change(&mut standing).await != "notifications/elicitation/complete" {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_word_that_a_stream_is_let_go_closes_no_later_reader() {
    let store = Arc::new(Fragile::default());
    let Two { gate, a, b, .. } = Two::with([&store; 2], json!({})).await;
    store.holds_closing.store(true, Ordering::Relaxed);
    let mut stream = a.call(1, "later", json!({})).await.stream();
    let priming = stream.next().await.expect("the priming event");
    assert_eq!(stream.next().await, None, "closed before the answer");
    store.holds.notified().await;
    let mut rest = b.get(priming.id.as_deref()).await.stream();
    store.holds_closing.store(false, Ordering::Relaxed);
    let held = std::mem::take(&mut *store.held.lock().expect("not poisoned"));
    held.into_iter().for_each(|message| store.publish(message));
    gate.go.notify_one();
    assert_eq!(text(&rest.message().await), "closed: true");
}

#[tokio::test]
async fn a_reader_at_another_server_is_let_go() {
    let Two { gate, a, b, servers: _servers } = Two::new().await;
    let mut stream = a.ask(1, "tools/call", with_progress("let_go_twice")).await.stream();
    stream.next().await.expect("the priming event");
    let first = stream.next().await.expect("an event");
    let mut there = b.get(first.id.as_deref()).await.stream();
    assert_eq!(stream.next().await, None, "read elsewhere");
    gate.go.notify_one();
    assert_eq!(there.next().await, None, "let go");
    let mut again = b.get(first.id.as_deref()).await.stream();
    gate.go.notify_one();
    assert_eq!(again.next().await, None, "let go again");
    gate.go.notify_one();
    let mut rest = a.get(first.id.as_deref()).await.stream();
    assert_eq!(text(&rest.message().await), "done");
}

#[tokio::test]
async fn idle_sessions_end_while_the_store_hangs_for_another() {
    let store = Arc::new(Fragile::default());
    let server = Server::builder("test", "1.0").tool(Tool::new("hello", hello)).build().expect("valid");
    let http = server.http().session_store(store.clone()).session_idle(Duration::from_millis(40));
    let mut peer =
        Peer::of(http.max_sessions(3).bind("127.0.0.1:0").await.expect("an address"), "2025-11-25");
    // Two whose clients listen, and one that is left after a call: the sweep makes room by it.
    peer.initialize(json!({})).await.expect("a session");
    store.hanging.lock().expect("not poisoned").clone_from(&peer.session);
    let _first = peer.get(None).await.stream();
    peer.initialize(json!({})).await.expect("a session");
    let _second = peer.get(None).await.stream();
    peer.initialize(json!({})).await.expect("a session");
    assert_eq!(peer.call(1, "hello", json!({})).await.status(), 200);
    store.hangs.notified().await;
    peer.session = None;
    while peer.initialize(json!({})).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_while_it_begins_is_forgotten() {
    let store = Arc::new(Fragile::default());
    let Two { a, .. } = Two::with([&store; 2], json!({})).await;
    store.events_hang.store(true, Ordering::Relaxed);
    let call = a.ask(1, "tools/call", with_progress("steps"));
    tokio::select! {
        _ = call => panic!("there is no stream yet"),
        () = store.begins.notified() => {}
    }
    store.removed.notified().await;
}
