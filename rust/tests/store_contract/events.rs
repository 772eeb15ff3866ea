//! The contract of a store for streams and their events.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunnion::store::{Append, EventStore, Replay, StoredEvent, StreamKey};

use crate::store_contract::{HOUR, Two, until};

/// The numbers of no events.
const NOTHING: RangeInclusive<u64> = RangeInclusive::new(1, 0);

fn event(number: u64) -> StoredEvent {
    StoredEvent { number, message: Bytes::from(format!("{{\"n\":{number}}}")) }
}

fn append(numbers: RangeInclusive<u64>) -> Append {
    Append { events: numbers.map(event).collect(), over: false, oldest: 0, keep: HOUR }
}

pub async fn are_kept(two: Two) {
    let [store, other]: [Arc<dyn EventStore>; 2] = two.map(|store| store as _);
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
    assert_eq!(other.read(&short, 0).await, replay(1..=1, false), "anybody sees it");
}

pub async fn end(two: Two) {
    let [store, other]: [Arc<dyn EventStore>; 2] = two.map(|store| store as _);
    let key = |stream| StreamKey { session: "s".into(), stream };
    let short = Append { keep: Duration::from_millis(150), ..append(1..=3) };
    store.append(&key(1), short.clone()).await.expect("no failure");
    store.append(&key(2), short).await.expect("no failure");
    store.append(&key(2), append(4..=4)).await.expect("no failure");
    until(async || store.read(&key(1), 0).await == Ok(None)).await;
    assert!(other.read(&key(2), 3).await.expect("no failure").is_some(), "beyond its first time");
    // An event after the end starts the stream anew.
    other.append(&key(1), append(1..=1)).await.expect("no failure");
    let replay = store.read(&key(1), 0).await.expect("no failure").expect("it is there");
    assert_eq!(replay, Replay { events: vec![event(1)], over: false });
    store.remove("s", None).await.expect("no failure");
    for stream in [1, 2] {
        assert_eq!(other.read(&key(stream), 0).await, Ok(None));
    }
}

pub async fn may_be_large_and_odd(two: Two) {
    let [store, other]: [Arc<dyn EventStore>; 2] = two.map(|store| store as _);
    // Numbers of streams begin at random.
    let key = StreamKey { session: "s:\u{0}*é".into(), stream: (1 << 53) + 1 };
    let beside = StreamKey { stream: 1 << 53, ..key.clone() };
    let message = Bytes::from((0..=255).cycle().take(4 * 1024 * 1024 + 1).collect::<Vec<u8>>());
    let events = vec![
        StoredEvent { number: 1, message: message.clone() },
        StoredEvent { number: 2, message: Bytes::new() },
        StoredEvent { number: 3, message: Bytes::from_static(b" 4 \0\n") },
    ];
    store.append(&key, Append { events: events.clone(), ..append(NOTHING) }).await.expect("no failure");
    assert!(other.read(&key, 0).await == Ok(Some(Replay { events, over: false })));
    assert_eq!(other.read(&beside, 0).await, Ok(None));
    store.append(&beside, append(1..=2)).await.expect("no failure");
    store.remove(&key.session, Some(key.stream)).await.expect("no failure");
    assert_eq!(other.read(&key, 0).await, Ok(None));
    assert!(other.read(&beside, 0).await.expect("no failure").is_some());
}
