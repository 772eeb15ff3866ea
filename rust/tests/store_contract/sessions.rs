//! The contract of a store for sessions.

use std::sync::Arc;
use std::time::Duration;

use trunnion::store::SessionStore;

use crate::store_contract::{HOUR, Two, until};

pub async fn are_kept(two: Two) {
    let [store, other]: [Arc<dyn SessionStore>; 2] = two.map(|store| store as _);
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
    assert!(other.load("d").await.expect("no failure").is_some(), "anybody sees it");
}

pub async fn end(two: Two) {
    let [store, other]: [Arc<dyn SessionStore>; 2] = two.map(|store| store as _);
    store.insert("brief", "text", Duration::from_millis(100)).await.expect("no failure");
    store.insert("touched", "text", Duration::from_millis(200)).await.expect("no failure");
    assert_eq!(other.touch("touched", HOUR).await, Ok(true));
    store.insert("probe", "text", Duration::from_millis(300)).await.expect("no failure");
    until(async || store.load("probe").await == Ok(None)).await;
    assert_eq!(other.load("brief").await, Ok(None));
    assert_eq!(other.touch("brief", HOUR).await, Ok(false));
    assert!(store.load("touched").await.expect("no failure").is_some(), "beyond its first time");
    // A change does not count as a visit.
    store.insert("changed", "text", Duration::from_millis(100)).await.expect("no failure");
    assert_eq!(store.replace("changed", 1, "other").await, Ok(true));
    until(async || store.load("changed").await == Ok(None)).await;
}

pub async fn change_once_at_a_time(two: Two) {
    let stores: [Arc<dyn SessionStore>; 2] = two.map(|store| store as _);
    stores[0].insert("contended", "0", HOUR).await.expect("no failure");
    let count = async |store: Arc<dyn SessionStore>| {
        for _ in 0..10 {
            loop {
                let now = store.load("contended").await.expect("no failure").expect("it is there");
                let next = (now.text.parse::<u64>().expect("a number") + 1).to_string();
                if store.replace("contended", now.version, &next).await.expect("no failure") {
                    break;
                }
            }
        }
    };
    futures_util::future::join_all((0..4).map(|n| count(stores[n % 2].clone()))).await;
    assert_eq!(stores[1].load("contended").await.expect("no failure").expect("it is there").text, "40");
}

pub async fn may_be_odd(two: Two) {
    let [store, other]: [Arc<dyn SessionStore>; 2] = two.map(|store| store as _);
    let odd = "\u{0}\u{1}\n\"'\\;--%_$1@ {}[]*?:\u{7f}ß漢字🎏\u{10ffff}";
    store.insert("id", &odd.repeat(1000), HOUR).await.expect("no failure");
    assert!(other.load("id").await.expect("no failure").expect("it is there").text == odd.repeat(1000));
    // Clients choose the key of the lookup.
    for id in [odd, "", "*", "id\u{0}", &"x".repeat(10_000)] {
        assert_eq!(store.load(id).await, Ok(None));
        assert_eq!(store.touch(id, HOUR).await, Ok(false));
        assert_eq!(store.remove(id).await, Ok(false));
    }
}
