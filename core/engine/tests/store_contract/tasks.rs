//! What every store promises of tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunnion::store::{StoredTask, TaskStore, TaskTimes};

use crate::store_contract::{HOUR, Two, until};

const FOR_EVER: TaskTimes = TaskTimes { due: None, keep: None };

fn task(id: &str, owner: &str) -> StoredTask {
    StoredTask { id: id.into(), version: 1, owner: owner.into(), text: format!("{{\"id\":\"{id}\"}}") }
}

fn next(task: &StoredTask, text: &str) -> StoredTask {
    StoredTask { version: task.version + 1, text: text.into(), ..task.clone() }
}

fn times(due: Option<Duration>, keep: Option<Duration>) -> TaskTimes {
    TaskTimes { due, keep }
}

fn ids(tasks: &[StoredTask]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.as_str()).collect()
}

pub async fn are_kept(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    assert_eq!(store.load("a").await, Ok(None));
    let first = task("a", "ada");
    store.insert(first.clone(), FOR_EVER).await.expect("kept");
    store.insert(task("b", "ada"), FOR_EVER).await.expect("kept");
    assert_eq!(other.load("a").await, Ok(Some(first.clone())), "anybody sees it");
    store.insert(first.clone(), FOR_EVER).await.expect_err("its id is taken");
    assert_eq!(store.load("a").await, Ok(Some(first.clone())));

    let second = next(&first, "two");
    assert_eq!(other.replace(second.clone(), None).await, Ok(true));
    assert_eq!(store.load("a").await, Ok(Some(second.clone())));
    for stale in [next(&first, "late"), next(&next(&second, "x"), "early"), first.clone()] {
        assert_eq!(store.replace(stale, None).await, Ok(false), "it is at another version");
    }
    assert_eq!(store.load("a").await, Ok(Some(second)), "nothing has changed");
    assert_eq!(store.replace(next(&task("none", ""), ""), None).await, Ok(false));
    assert_eq!(store.load("none").await, Ok(None));

    assert_eq!(other.remove("a").await, Ok(true));
    assert_eq!(store.remove("a").await, Ok(false));
    assert_eq!(store.load("a").await, Ok(None));
    assert_eq!(store.replace(next(&first, "gone"), None).await, Ok(false));
    assert_eq!(store.load("b").await, Ok(Some(task("b", "ada"))), "another task");
}

pub async fn are_due_in_their_order(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    assert_eq!(store.due(10).await, Ok(Vec::new()));
    assert_eq!(store.next_due().await, Ok(None));
    store.insert(task("never", ""), FOR_EVER).await.expect("kept");
    assert_eq!(store.next_due().await, Ok(None));
    store.insert(task("later", ""), times(Some(2 * HOUR), None)).await.expect("kept");
    store.insert(task("soon", ""), times(Some(HOUR), None)).await.expect("kept");
    assert_eq!(other.due(10).await, Ok(Vec::new()));
    let first = other.next_due().await.expect("no failure").expect("one will be");
    assert!(first <= HOUR && first > HOUR / 2, "{first:?}");

    // Those that have been due for longest come first: it is the order of these writes, whatever the order of insertion.
    for id in ["x", "y", "z"] {
        store.insert(task(id, ""), times(Some(HOUR), None)).await.expect("kept");
    }
    for id in ["z", "x", "y"] {
        let now = Some(Duration::ZERO);
        assert_eq!(store.replace(next(&task(id, ""), "due"), now).await, Ok(true));
        // Clocks of a millisecond could not tell them apart.
        let due = |tasks: Vec<StoredTask>| tasks.iter().any(|task| task.id == id);
        until(async || due(store.due(10).await.expect("no failure"))).await;
        let seen = Instant::now();
        until(async || seen.elapsed() > Duration::from_millis(2)).await;
    }
    assert_eq!(ids(&store.due(10).await.expect("no failure")), ["z", "x", "y"]);
    assert_eq!(ids(&other.due(2).await.expect("no failure")), ["z", "x"]);
    assert_eq!(store.due(0).await, Ok(Vec::new()));
    assert_eq!(store.next_due().await, Ok(Some(Duration::ZERO)));
    let all = store.due(10).await.expect("no failure");
    assert_eq!((all[0].version, all[0].text.as_str()), (2, "due"), "whole tasks");

    // Who takes one over says when it is to be looked after again, or that it need not be.
    assert_eq!(other.replace(next(&all[0], "taken"), Some(HOUR)).await, Ok(true));
    assert_eq!(other.replace(next(&all[1], "over"), None).await, Ok(true));
    assert_eq!(store.remove("y").await, Ok(true));
    assert_eq!(store.due(10).await, Ok(Vec::new()));
    let first = store.next_due().await.expect("no failure").expect("one will be");
    assert!(first > Duration::ZERO && first <= HOUR, "{first:?}");

    // It comes by itself.
    store.insert(task("now", ""), times(Some(Duration::from_millis(30)), None)).await.expect("kept");
    until(async || ids(&store.due(10).await.expect("no failure")) == ["now"]).await;
    assert_eq!(store.next_due().await, Ok(Some(Duration::ZERO)));
}

pub async fn are_listed(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    assert_eq!(store.list("ada", None, 10).await, Ok(Some(Vec::new())));
    for n in 0..7 {
        store.insert(task(&format!("a{n}"), "ada"), FOR_EVER).await.expect("kept");
        store.insert(task(&format!("b{n}"), "ada:b"), FOR_EVER).await.expect("kept");
    }
    store.insert(task("n", ""), FOR_EVER).await.expect("kept");
    let page = async |owner: &str, after: Option<&str>, limit| {
        let tasks = other.list(owner, after, limit).await.expect("no failure").expect("the anchor is there");
        tasks.into_iter().map(|task| task.id).collect::<Vec<_>>()
    };
    assert_eq!(page("ada", None, 3).await, ["a0", "a1", "a2"]);
    assert_eq!(page("ada", Some("a2"), 3).await, ["a3", "a4", "a5"]);
    assert_eq!(page("ada", Some("a5"), 3).await, ["a6"]);
    assert!(page("ada", Some("a6"), 3).await.is_empty());
    assert_eq!(page("", None, 3).await, ["n"], "nobody's in particular");
    assert_eq!(page("ada", None, 100).await.len(), 7, "nobody else's");

    // A change does not move a task.
    let moved = next(&task("a1", "ada"), "changed");
    assert_eq!(store.replace(moved.clone(), Some(HOUR)).await, Ok(true));
    assert_eq!(store.list("ada", Some("a0"), 1).await, Ok(Some(vec![moved])));
    // An anchor that is gone, that never was, that is another's.
    assert_eq!(store.remove("a3").await, Ok(true));
    for anchor in ["a3", "none", "b1"] {
        assert_eq!(store.list("ada", Some(anchor), 3).await, Ok(None), "{anchor}");
    }
    assert_eq!(page("ada", Some("a2"), 2).await, ["a4", "a5"]);
}

pub async fn end(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let short = times(Some(Duration::ZERO), Some(Duration::from_millis(300)));
    store.insert(task("brief", "ada"), short).await.expect("kept");
    store.insert(task("long", "ada"), times(None, Some(HOUR))).await.expect("kept");
    store.insert(task("ever", "ada"), times(None, Some(Duration::MAX))).await.expect("kept");
    until(async || store.load("brief").await == Ok(None)).await;
    assert_eq!(other.load("brief").await, Ok(None));
    assert_eq!(store.due(10).await, Ok(Vec::new()));
    assert_eq!(store.next_due().await, Ok(None), "nothing is left of it to look after");
    assert_eq!(store.replace(next(&task("brief", "ada"), "x"), None).await, Ok(false));
    assert_eq!(store.remove("brief").await, Ok(false));
    assert_eq!(store.list("ada", Some("brief"), 10).await, Ok(None));
    let left = store.list("ada", None, 10).await.expect("no failure").expect("no anchor");
    assert_eq!(ids(&left), ["long", "ever"]);

    // From the first write on, whatever is written later and however often.
    let mut held = task("held", "ada");
    store.insert(held.clone(), times(Some(HOUR), Some(Duration::from_millis(300)))).await.expect("kept");
    let mut kept = task("kept", "ada");
    store.insert(kept.clone(), times(None, Some(HOUR))).await.expect("kept");
    for due in [None, Some(HOUR), Some(Duration::ZERO), None] {
        (held, kept) = (next(&held, "more"), next(&kept, "more"));
        let _ = store.replace(held.clone(), due).await.expect("no failure");
        assert_eq!(other.replace(kept.clone(), due).await, Ok(true));
    }
    until(async || store.load("held").await == Ok(None)).await;
    assert_eq!(other.replace(next(&held, "late"), Some(HOUR)).await, Ok(false), "it is over");
    assert_eq!(other.load("kept").await, Ok(Some(kept)));
    assert_eq!(store.load("ever").await, Ok(Some(task("ever", "ada"))));
}

pub async fn move_once_at_a_time(two: Two) {
    let stores: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let first = task("contended", "ada");
    stores[0].insert(first.clone(), FOR_EVER).await.expect("kept");
    let mut current = first;
    for round in 0..10 {
        let all: Vec<_> = (0..16)
            .map(|n| {
                let wanted = next(&current, &format!("{round}-{n}"));
                tokio::spawn(stores[n % 2].replace(wanted, Some(HOUR)))
            })
            .collect();
        let mut winners = Vec::new();
        for (n, replaced) in all.into_iter().enumerate() {
            if replaced.await.expect("no panic").expect("no failure") {
                winners.push(n);
            }
        }
        let now = stores[0].load("contended").await.expect("no failure").expect("it is there");
        assert_eq!(winners.len(), 1, "{winners:?} in round {round}");
        assert_eq!((now.version, now.text), (current.version + 1, format!("{round}-{}", winners[0])));
        current = next(&current, &format!("{round}-{}", winners[0]));
    }
    // Everyone counts up until it has succeeded; none is lost.
    let count = async |store: Arc<dyn TaskStore>| {
        for _ in 0..10 {
            loop {
                let now = store.load("contended").await.expect("no failure").expect("it is there");
                if store.replace(next(&now, "counted"), None).await.expect("no failure") {
                    break;
                }
            }
        }
    };
    let all = (0..4).map(|n| count(stores[n % 2].clone()));
    futures_util::future::join_all(all).await;
    let now = stores[1].load("contended").await.expect("no failure").expect("it is there");
    assert_eq!(now.version, current.version + 40);
    // Only one makes a task of one id.
    let all: Vec<_> = (0..8).map(|n| stores[n % 2].insert(task("once", "ada"), FOR_EVER)).collect();
    let made = futures_util::future::join_all(all).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
}

pub async fn may_be_large_and_odd(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let odd = "\u{0}\u{1}\n\"'\\;--%_$1 {}[]*?:\u{7f}\u{80}ß漢字🎏\u{feff}\u{10ffff}";
    let owner = format!("https://issuer/{odd}|{}", "o".repeat(1500));
    let large = StoredTask { text: odd.repeat(1 + 4 * 1024 * 1024 / odd.len()), ..task("large", &owner) };
    assert!(large.text.len() > 4 * 1024 * 1024);
    store.insert(large.clone(), times(Some(Duration::ZERO), Some(HOUR))).await.expect("kept");
    store.insert(task("small", &owner[..owner.len() - 1]), FOR_EVER).await.expect("kept");
    assert!(other.load("large").await == Ok(Some(large.clone())));
    assert!(other.due(10).await == Ok(vec![large.clone()]));
    assert!(other.list(&owner, None, 10).await == Ok(Some(vec![large.clone()])));
    let reversed = next(&large, &large.text.chars().rev().collect::<String>());
    assert_eq!(other.replace(reversed.clone(), None).await, Ok(true));
    assert!(store.load("large").await == Ok(Some(reversed)));
    // Clients choose what is looked up.
    for id in [odd, "", "*", "large\u{0}", &"x".repeat(10_000)] {
        assert_eq!(store.load(id).await, Ok(None));
        assert_eq!(store.remove(id).await, Ok(false));
        assert_eq!(store.list(&owner, Some(id), 1).await, Ok(None));
    }
}

/// Many at once, as a busy server has them: nothing is lost and nothing fails.
pub async fn come_in_crowds(two: Two) {
    let stores: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let made: Vec<_> = (0..300)
        .map(|n| {
            let task = task(&format!("t{n}"), "crowd");
            tokio::spawn(stores[n % 2].insert(task, times(Some(HOUR), Some(HOUR))))
        })
        .collect();
    for made in made {
        made.await.expect("no panic").expect("kept");
    }
    let (mut seen, mut after) = (BTreeSet::new(), None::<String>);
    loop {
        let page =
            stores[0].list("crowd", after.as_deref(), 70).await.expect("no failure").expect("an anchor");
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|task| task.id));
    }
    assert_eq!(seen.len(), 300);
}
