//! Store servers that stop, restart, or do not answer.

use bytes::Bytes;
use trunnion::store::{Append, EventStore, StoredEvent, StoredTask, StreamKey, TaskStore, TaskTimes};

use crate::store_contract::servers::{Kind, Server, is_discreet};
use crate::store_contract::{HOUR, bus, open, until};

const FOR_EVER: TaskTimes = TaskTimes { due: None, keep: None };

fn task(n: usize) -> StoredTask {
    StoredTask {
        id: format!("t{n}"),
        version: 1,
        owner: "ada".into(),
        text: "{}".into(),
        ..StoredTask::default()
    }
}

async fn loses_nothing(kind: Kind) {
    let Some(mut server) = kind.start() else { return };
    let url = format!("{}&timeout_ms=2000", server.url());
    let [store, other] = [open(kind, &url).await, open(kind, &url).await];
    let key = StreamKey { session: "s".into(), stream: 1 };
    let events = vec![StoredEvent { number: 1, message: Bytes::from_static(b"{}") }];
    let append = Append { events, over: false, oldest: 0, keep: HOUR };
    EventStore::append(&*store, &key, append).await.expect("kept");
    let mut kept = Vec::new();
    let mut made = 0;
    for round in 0..2 {
        // It stops while it is being written to.
        let writing = async {
            let mut kept = Vec::new();
            loop {
                made += 1;
                match TaskStore::insert(&*store, task(made), FOR_EVER).await {
                    Ok(()) => kept.push(made),
                    Err(error) => {
                        assert!(is_discreet(&error.to_string()), "{error}");
                        return kept;
                    }
                }
            }
        };
        let stopping = async {
            // Two more per round than are needed below: the answer to one of them may have been lost.
            until(async || {
                TaskStore::list(&*other, "ada", None, 1000)
                    .await
                    .is_ok_and(|tasks| tasks.is_some_and(|tasks| tasks.len() > 22 * (round + 1)))
            })
            .await;
            tokio::task::block_in_place(|| server.stop());
        };
        let (new, ()) = futures_util::future::join(writing, stopping).await;
        kept.extend(new);
        TaskStore::load(&*other, "t1").await.expect_err("it is not there");
        tokio::task::block_in_place(|| server.start());
        until(async || TaskStore::load(&*other, "t1").await.is_ok()).await;
        until(async || TaskStore::load(&*store, "t1").await.is_ok()).await;
        for n in &kept {
            assert_eq!(
                TaskStore::load(&*store, &format!("t{n}")).await,
                Ok(Some(task(*n))),
                "of {}",
                kept.len()
            );
        }
    }
    assert!(kept.len() > 40);
    assert!(EventStore::read(&*other, &key, 0).await.expect("no failure").is_some());
    let mut next = task(kept[0]);
    next.version += 1;
    assert_eq!(TaskStore::replace(&*store, next, None).await, Ok(true));
}

async fn is_heard_again(kind: Kind) {
    let Some(mut server) = kind.start() else { return };
    let url = format!("{}&timeout_ms=2000", server.url());
    let two = [open(kind, &url).await, open(kind, &url).await];
    bus::is_heard_again(two, async || {
        tokio::task::block_in_place(|| {
            server.stop();
            server.start();
        });
    })
    .await;
}

async fn is_not_waited_for(kind: Kind) {
    let Some(server) = kind.start() else { return };
    // Long enough to open a store on a busy machine.
    let url = format!("{}&timeout_ms=2000", server.url());
    let store = open(kind, &url).await;
    TaskStore::insert(&*store, task(1), FOR_EVER).await.expect("kept");
    server.pause(true);
    // More than there are connections, and a new one.
    let asked = (0..20).map(|_| TaskStore::load(&*store, "t1"));
    for answer in futures_util::future::join_all(asked).await {
        let error = answer.expect_err("nobody answers").to_string();
        assert!(is_discreet(&error), "{error}");
    }
    let error = connect_error(kind, &url).await;
    assert!(error.contains("2s") && is_discreet(&error), "{error}");
    server.pause(false);
    until(async || TaskStore::load(&*store, "t1").await == Ok(Some(task(1)))).await;
}

async fn connect_error(kind: Kind, url: &str) -> String {
    let opened = match kind {
        Kind::Postgres => trunnion::store::PostgresStore::connect(url).await.map(drop),
        Kind::Redis => trunnion::store::RedisStore::connect(url).await.map(drop),
    };
    opened.expect_err("it cannot be opened").to_string()
}

/// Passwords, hosts, options: all wrong, and no error discloses a secret.
async fn is_refused_discreetly(kind: Kind) {
    let Some(server) = kind.shared() else { return };
    let url = server.url();
    let wrong = [
        url.replace("s3cr3t", "s3cr3tly"),
        format!("{url}&timeout_ms=0"),
        format!("{url}&timeout_ms=soon"),
        format!("{url}&sslmode=perhaps&sslrootcert=/none&protocol=none"),
        url.replace("part_", "pärt_"),
        url.replace("127.0.0.1:", "127.0.0.1:s3cr3t"),
        url.replace("127.0.0.1:", "s3cr3t@127.0.0.1:x"),
    ];
    for url in wrong {
        let error = connect_error(kind, &url).await;
        assert!(!error.is_empty() && is_discreet(&error), "{error}");
        let opened = trunnion::store::open(&url).await.expect_err("it cannot be opened");
        assert!(is_discreet(&format!("{opened} {opened:?}")), "{opened}");
    }
    let store = open(kind, &url).await;
    drop(store);
    let stores = trunnion::store::open(&url).await.expect("opened");
    assert!(is_discreet(&format!("{stores:?}")));
}

/// TLS with a server whose certificate is of an authority of the tests'.
async fn is_verified(
    kind: Kind,
    encrypted: impl Fn(&str, &Server) -> String,
    unverified: impl Fn(&str, &Server) -> String,
) {
    let Some(server) = kind.start() else { return };
    let url = server.url();
    let store = open(kind, &encrypted(&url, &server)).await;
    TaskStore::insert(&*store, task(1), FOR_EVER).await.expect("kept");
    let error = connect_error(kind, &unverified(&url, &server)).await;
    assert!(is_discreet(&error), "{error}");
}

mod postgres {
    use super::*;

    const KIND: Kind = Kind::Postgres;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_comes_back_has_lost_nothing() {
        loses_nothing(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bus_survives_its_server() {
        is_heard_again(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_hangs_is_not_waited_for() {
        is_not_waited_for(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusal_tells_no_secrets() {
        is_refused_discreetly(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tls_is_verified_when_it_is_asked_for() {
        let trusted = |url: &str, server: &Server| {
            format!("{url}&sslmode=verify-full&sslrootcert={}", server.file("ca.pem").display())
        };
        is_verified(KIND, trusted, |url, _| format!("{url}&sslmode=verify-full")).await;
        let any = |url: &str, _: &Server| format!("{url}&sslmode=require");
        let another = |url: &str, server: &Server| {
            let url = url.replace("127.0.0.1", "127.0.0.2");
            format!("{url}&sslmode=verify-full&sslrootcert={}", server.file("ca.pem").display())
        };
        is_verified(KIND, any, another).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_start_at_once_make_the_tables_once() {
        let Some(server) = KIND.shared() else { return };
        let url = server.url();
        let all = (0..8).map(|_| trunnion::store::PostgresStore::connect(&url));
        let stores = futures_util::future::join_all(all).await;
        let keys: std::collections::BTreeSet<String> =
            stores.iter().map(|store| store.as_ref().expect("opened").state_key().to_owned()).collect();
        assert_eq!(keys.len(), 1);
        let without_schema = url.replace(&url[url.find("&schema").expect("one")..], "&prefix=beside_");
        let other = trunnion::store::PostgresStore::connect(&without_schema).await.expect("opened");
        assert!(!keys.contains(other.state_key()), "other tables");
    }
}

mod redis {
    use super::*;

    const KIND: Kind = Kind::Redis;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_comes_back_has_lost_nothing() {
        loses_nothing(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bus_survives_its_server() {
        is_heard_again(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_hangs_is_not_waited_for() {
        is_not_waited_for(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refusal_tells_no_secrets() {
        is_refused_discreetly(KIND).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tls_is_verified_when_it_is_asked_for() {
        let secure = |url: &str, server: &Server| {
            let plain = format!(":{}/", server.port());
            url.replace("redis://", "rediss://").replace(&plain, &format!(":{}/", server.secure_port()))
        };
        let trusted = |url: &str, server: &Server| {
            format!("{}&sslrootcert={}", secure(url, server), server.file("ca.pem").display())
        };
        is_verified(KIND, trusted, secure).await;
    }
}

/// A follower of a stream reads after each append: events that it has are not sent to it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_follower_is_sent_only_what_is_new() {
    const EVENTS: u64 = 50;
    const BYTES: u64 = 20_000;
    // A server that no other test uses, because the bytes that it sends are measured.
    let Some(server) = tokio::task::block_in_place(|| Kind::Redis.start()) else { return };
    let url = server.url();
    let store = open(Kind::Redis, &url).await;
    let (plain, _) = url.split_once('?').expect("the options of the tests");
    let client = ::redis::Client::open(plain).expect("a client");
    let mut connection = client.get_connection_manager().await.expect("connected");
    let mut sent = async || {
        let info: ::redis::InfoDict =
            ::redis::cmd("INFO").arg("stats").query_async(&mut connection).await.expect("answered");
        info.get::<u64>("total_net_output_bytes").expect("a number")
    };
    let key = StreamKey { session: "s".into(), stream: 1 };
    let before = sent().await;
    for number in 1..=EVENTS {
        let message = Bytes::from(vec![b'x'; usize::try_from(BYTES).expect("small")]);
        let events = vec![StoredEvent { number, message }];
        let append = Append { events, over: false, oldest: 0, keep: HOUR };
        EventStore::append(&*store, &key, append).await.expect("kept");
        let replay =
            EventStore::read(&*store, &key, number - 1).await.expect("no failure").expect("a stream");
        assert_eq!(replay.events.iter().map(|event| event.number).collect::<Vec<_>>(), [number]);
    }
    let replay = EventStore::read(&*store, &key, EVENTS).await.expect("no failure").expect("a stream");
    assert_eq!(replay.events, [], "nothing is new");
    let all = EVENTS * BYTES;
    let sent = sent().await - before;
    assert!(sent > all && sent < 2 * all, "each event once: {sent} bytes of {all}");
}
