//! Clients of a host, which answers their requests as events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use trunnion_facade::{Engine, Event};

use crate::auth_client::stores::Directory;
use crate::auth_client::world::{REDIRECT, World, agree};

const CANCELLED: u32 = 5;
const AUTHORIZE: u32 = 8;
const RESULT: u32 = 10;
const ERROR: u32 = 11;
const CREDENTIALS: u32 = 18;
const LONG: Option<Duration> = Some(Duration::from_secs(60));

type Records = Arc<Mutex<HashMap<String, Value>>>;

/// A program with an engine, a user who agrees, and a store of its own.
struct Host {
    engine: Engine,
    records: Records,
    runtime: tokio::runtime::Handle,
    seen: Vec<Event>,
}

impl Host {
    fn new(records: &Records) -> Host {
        let engine = Engine::new(r#"{"threads":1}"#).expect("an engine");
        let runtime = tokio::runtime::Handle::current();
        Host { engine, records: records.clone(), runtime, seen: Vec::new() }
    }

    fn connect(&self, world: &World, auth: Value) -> u64 {
        let target = json!({"url": world.state.lock().mcp}).to_string();
        self.engine.connect(&target, &json!({"auth": auth}).to_string()).expect("options")
    }

    fn complete(&self, id: u64, answer: &Value) {
        assert!(self.engine.complete(id, 0, &answer.to_string()), "asked, and not any more");
    }

    /// Returns the next events, and answers those that need an answer.
    fn turn(&mut self, answers: bool) -> Vec<Event> {
        assert!(self.engine.wait(LONG), "nothing happens");
        let events = self.engine.drain(Vec::new());
        for event in events.iter().filter(|_| answers) {
            let asked: Value = serde_json::from_str(&event.payload).expect("JSON");
            match event.kind {
                AUTHORIZE => {
                    assert_eq!(asked["redirectUri"], REDIRECT);
                    let page = asked["url"].as_str().expect("a URL").to_owned();
                    let callback = self.runtime.block_on(agree(page)).expect("a callback");
                    self.complete(event.id, &json!({"url": callback}));
                }
                CREDENTIALS => {
                    let mut records = self.records.lock().expect("nobody panics");
                    let server = asked["server"].as_str().expect("a URL").to_owned();
                    let kept = records.get(&server).cloned().unwrap_or_default();
                    let answer = if asked["op"] == "load" {
                        kept
                    } else {
                        let fresh = kept["version"].as_u64().unwrap_or(0) == asked["expected"];
                        if fresh {
                            records.insert(server, asked["record"].clone());
                        }
                        json!(fresh)
                    };
                    drop(records);
                    self.complete(event.id, &answer);
                }
                _ => {}
            }
        }
        self.seen.extend(events.iter().cloned());
        events
    }

    /// The end of an operation.
    fn end(&mut self, operation: u64) -> (u32, Value) {
        loop {
            let over = |event: &&Event| event.id == operation && matches!(event.kind, RESULT | ERROR);
            if let Some(event) = self.turn(true).iter().find(over) {
                return (event.kind, serde_json::from_str(&event.payload).expect("JSON"));
            }
        }
    }

    fn hello(&mut self, client: u64) -> u64 {
        self.engine.request(client, "call_tool", r#"{"name":"hello"}"#, "{}").expect("begun")
    }
}

/// On a thread that may block, as a host's does.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_of_one_store_take_turns() {
    let world = World::new().await;
    let auth = json!({"redirectUri": REDIRECT, "store": {"id": "turns"}});
    blocking(move || {
        let records = Records::default();
        let mut hosts = [Host::new(&records), Host::new(&records)];
        let clients = [hosts[0].connect(&world, auth.clone()), hosts[1].connect(&world, auth)];
        // The one who waits for its turn needs nothing of its host.
        for (host, client) in hosts.iter_mut().zip(clients) {
            assert_eq!(host.end(client).0, RESULT);
        }
        assert_eq!(world.state.lock().pages.len(), 1, "the second has found what the first has got");
        for round in 1..=10 {
            world.revoke();
            std::thread::scope(|scope| {
                for (host, client) in hosts.iter_mut().zip(clients) {
                    scope.spawn(move || {
                        let call = host.hello(client);
                        let (kind, result) = host.end(call);
                        assert_eq!((kind, &result["content"][0]["text"]), (RESULT, &json!("hello")));
                    });
                }
            });
            assert_eq!(world.granted("refresh_token"), round, "one refresh for both");
        }
        // Payloads with tokens are not shown.
        let credentials = hosts[0].seen.iter().filter(|event| event.kind == CREDENTIALS);
        let swaps: Vec<&Event> = credentials.filter(|event| event.payload.contains("swap")).collect();
        assert!(!swaps.is_empty() && swaps.iter().all(|event| event.payload.contains("acc3ss")));
        assert!(!format!("{:?}", hosts[0].seen).contains("acc3ss"));
        for host in hosts {
            host.engine.close(Duration::from_secs(5));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_is_given_up() {
    let world = World::new().await;
    blocking(move || {
        let mut host = Host::new(&Records::default());
        let auth = json!({"redirectUri": REDIRECT, "store": {"id": "silent"}, "timeoutMs": 20,
            "userTimeoutMs": 20});
        let client = host.connect(&world, auth);
        let (mut asked, mut withdrawn) = (Vec::new(), Vec::new());
        let error = loop {
            let events = host.turn(false);
            for event in &events {
                match event.kind {
                    CREDENTIALS => asked.push(event.id),
                    CANCELLED => withdrawn.push(event.id),
                    _ => {}
                }
            }
            if let Some(event) = events.iter().find(|event| event.id == client) {
                break serde_json::from_str::<Value>(&event.payload).expect("JSON");
            }
        };
        assert_eq!((&error["kind"], &error["data"]["reason"]), (&json!("unauthorized"), &json!("store")));
        assert!(error["message"].as_str().expect("text").contains("within timeoutMs"), "{error}");
        assert!(!asked.is_empty() && asked == withdrawn, "{asked:?} {withdrawn:?}");
        assert!(!host.engine.complete(asked[0], 0, "null"), "too late");
        host.engine.close(Duration::from_secs(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_closed_waits_for_tokens_and_asks_nobody() {
    // A file store still works when the host no longer answers; a store in the host does not.
    for files in [true, false] {
        let (world, directory) = (World::new().await, Directory::new("engine"));
        let store = if files { json!(directory.path()) } else { json!({"id": "engine"}) };
        let auth = json!({"redirectUri": REDIRECT, "store": store});
        blocking(move || {
            let records = Records::default();
            let mut host = Host::new(&records);
            let client = host.connect(&world, auth.clone());
            assert_eq!(host.end(client).0, RESULT);
            world.revoke();
            let gate = world.gate();
            let call = host.hello(client);
            let (told, reached) = std::sync::mpsc::channel();
            host.runtime.spawn({
                let gate = gate.clone();
                async move {
                    gate.reached.notified().await;
                    told.send(()).expect("it is waited for");
                }
            });
            while reached.try_recv().is_err() {
                if host.engine.wait(Some(Duration::from_millis(10))) {
                    host.turn(true);
                }
            }
            let engine = host.engine.clone();
            let closing = std::thread::spawn(move || engine.close(Duration::from_secs(60)));
            let mut events = Vec::new();
            while !events.iter().any(|event: &Event| event.id == call && event.kind == ERROR) {
                events.extend(host.turn(false));
            }
            gate.open.notify_one();
            closing.join().expect("no panic");
            events.extend(host.engine.drain(Vec::new()));
            assert!(events.iter().all(|event| event.kind != CREDENTIALS), "{events:?}");
            let live: Value = serde_json::from_str(&host.engine.live()).expect("JSON");
            assert!(live.as_object().expect("an object").values().all(|count| *count == 0), "{live}");
            drop(host);
            if files {
                let mut host = Host::new(&records);
                let client = host.connect(&world, auth);
                assert_eq!(host.end(client).0, RESULT);
                assert_eq!((world.pages(), world.logged("invalid_grant")), (1, 0));
                assert_eq!(world.granted("refresh_token"), 1);
                host.engine.close(Duration::from_secs(5));
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_closed_asks_nobody() {
    let world = World::new().await;
    blocking(move || {
        let mut host = Host::new(&Records::default());
        let client = host.connect(&world, json!({"redirectUri": REDIRECT}));
        while host.turn(false).iter().all(|event| event.kind != AUTHORIZE) {}
        host.engine.close(Duration::from_secs(5));
        let live: Value = serde_json::from_str(&host.engine.live()).expect("JSON");
        assert!(live.as_object().expect("an object").values().all(|count| *count == 0), "{live}");
        let events = host.engine.drain(Vec::new());
        let error = events.iter().find(|event| event.id == client && event.kind == ERROR).expect("its end");
        assert!(error.payload.contains("closed") || error.payload.contains("cancelled"), "{error:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_refused_by_name() {
    let engine = Engine::new("{}").expect("an engine");
    let wrong = |auth: Value, told: &str| {
        let options = json!({"auth": auth}).to_string();
        let error =
            engine.connect(r#"{"url":"http://127.0.0.1:9/mcp"}"#, &options).expect_err("wrong options");
        assert!(error.kind == "usage" && error.message.contains(told), "{auth}: {error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    };
    let me = |more: Value| {
        let mut all = json!({"grant": "client_credentials", "clientId": "me", "clientSecret": "s3cret"});
        for (name, value) in more.as_object().expect("an object") {
            all[name] = value.clone();
        }
        all
    };
    wrong(json!("s3cret"), "auth must be an object");
    wrong(json!(["s3cret"]), "auth must be an object");
    wrong(json!({"clientsecret": "s3cret"}), "unknown field `clientsecret`");
    wrong(json!({"grant": "password"}), "auth.grant: unknown variant `password`");
    wrong(me(json!({"clientId": ""})), "needs a clientId");
    wrong(me(json!({"clientSecret": null})), "clientSecret or a signingKey");
    wrong(me(json!({"redirectUri": REDIRECT})), "redirectUri is for the grant authorization_code");
    wrong(me(json!({"loopbackPort": 1})), "loopbackPort is for the grant authorization_code");
    wrong(me(json!({"clientMetadataUrl": "https://h/c"})), "clientMetadataUrl is for");
    wrong(me(json!({"clientName": "me"})), "clientName is for");
    wrong(me(json!({"assertion": "s3cret"})), "assertion is for the grant jwt_bearer");
    wrong(me(json!({"enterprise": {"subject": "s3cret"}})), "auth.enterprise: missing field `tokenEndpoint`");
    wrong(me(json!({"enterprise": "s3cret"})), "auth.enterprise: it must be");
    wrong(me(json!({"grant": "jwt_bearer"})), "needs an assertion");
    wrong(me(json!({"grant": "enterprise"})), "needs the object enterprise");
    wrong(me(json!({"signingKeyId": "k1"})), "signingKeyId needs the signingKey");
    wrong(me(json!({"signingKey": "s3cret"})), "auth.signingKey: the key is no PEM");
    wrong(me(json!({"timeoutMs": "s3cret"})), "auth.timeoutMs: it must be u64");
    wrong(me(json!({"addresses": "all"})), "auth.addresses: unknown variant");
    wrong(me(json!({"dpop": "s3cret"})), "auth.dpop: the key is no PEM");
    wrong(me(json!({"dpop": 7})), "auth.dpop");
    wrong(me(json!({"dpop": true, "store": "here"})), "dpop must be a key");
    wrong(me(json!({"store": ""})), "path of a directory");
    wrong(me(json!({"store": {"id": ""}})), "store.id");
    wrong(me(json!({"store": {"id": "x", "path": "y"}})), "auth.store");
    wrong(me(json!({"issuer": "https://a", "trustFirstIssuer": true})), "exclude each other");
    wrong(json!({"clientSecret": "s3cret"}), "clientSecret needs the clientId");
    wrong(json!({"redirectUri": REDIRECT, "loopbackPort": 1}), "exclude each other");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    wrong(json!({"loopbackPort": port}), "loopbackPort");
    assert!(engine.live().contains(r#""clients":0"#));
}
