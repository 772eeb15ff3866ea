//! The contract of a store for credentials.

use std::sync::Arc;

use serde_json::json;
use trunnion::auth::{CredentialStore, Credentials};

use crate::store_contract::Two;

const SERVER: &str = "https://h/mcp";

fn record(server: &str, version: u64) -> Credentials {
    serde_json::from_value(
        json!({"server": server, "issuer": "https://as", "token_endpoint": "https://as/token",
        "tokens": {"access": "t0ken", "dpop": false, "refresh": "r3fresh"}, "version": version}),
    )
    .expect("a record")
}

pub async fn are_swapped(two: Two) {
    let [store, other]: [Arc<dyn CredentialStore>; 2] = two.map(|store| store as _);
    assert_eq!(store.load(SERVER).await, Ok(None));
    assert_eq!(store.swap(record(SERVER, 2)).await, Ok(false), "there is none to follow");
    assert_eq!(store.swap(record(SERVER, 1)).await, Ok(true));
    assert_eq!(other.swap(record(SERVER, 1)).await, Ok(false));
    assert_eq!(other.swap(record(SERVER, 2)).await, Ok(true));
    assert_eq!(store.swap(record(SERVER, 2)).await, Ok(false));
    assert_eq!(store.load(SERVER).await, Ok(Some(record(SERVER, 2))));
    let odd = "https://h/\u{0}%00?q='\"*漢";
    assert_eq!(store.load(odd).await, Ok(None));
    assert_eq!(store.swap(record(odd, 1)).await, Ok(true));
    assert_eq!(other.load(odd).await, Ok(Some(record(odd, 1))));
    assert_eq!(other.load(SERVER).await, Ok(Some(record(SERVER, 2))), "another server's");
    let made =
        futures_util::future::join_all((0..8).map(|n| [&store, &other][n % 2].swap(record("https://x", 1))));
    assert_eq!(made.await.into_iter().filter(|made| *made == Ok(true)).count(), 1);
}

pub async fn are_renewed_in_turn(two: Two) {
    let [store, other]: [Arc<dyn CredentialStore>; 2] = two.map(|store| store as _);
    let turn = store.turn(SERVER).await.expect("a turn");
    let mut next = other.turn(SERVER);
    assert!(futures_util::poll!(&mut next).is_pending(), "two have the turn");
    drop(store.turn("https://h/other").await.expect("another server has its own"));
    // A caller that has stopped waiting does not get the lock.
    let mut given_up = store.turn(SERVER);
    assert!(futures_util::poll!(&mut given_up).is_pending());
    drop(given_up);
    assert!(futures_util::poll!(&mut next).is_pending());
    drop(turn);
    drop(next.await.expect("the next one's turn"));
    // Every caller gets the lock once, and none while another one holds it.
    let held = std::sync::atomic::AtomicU32::new(0);
    let all = (0..6).map(async |n| {
        let turn = [&store, &other][n % 2].turn(SERVER).await.expect("a turn");
        assert_eq!(held.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
        tokio::task::yield_now().await;
        held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        drop(turn);
    });
    futures_util::future::join_all(all).await;
}
