//! The contract of a store for tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use trunnion::Server;
use trunnion::server::{TaskSupport, Tool};
use trunnion::store::{DuePage, StoreFuture, StoredTask, TaskStore, TaskSummary, TaskTimes};

use crate::common::Peer;

use crate::store_contract::{HOUR, Two, until};

const FOR_EVER: TaskTimes = TaskTimes { due: None, keep: None };

fn task(id: &str, owner: &str) -> StoredTask {
    let text = format!("{{\"id\":\"{id}\"}}");
    StoredTask { id: id.into(), version: 1, owner: owner.into(), text, ..StoredTask::default() }
}

fn next(task: &StoredTask, text: &str) -> StoredTask {
    StoredTask { version: task.version + 1, text: text.into(), ..task.clone() }
}

fn times(due: Option<Duration>, keep: Option<Duration>) -> TaskTimes {
    TaskTimes { due, keep }
}

/// The first page of due tasks.
async fn due(store: &Arc<dyn TaskStore>, limit: usize) -> Vec<TaskSummary> {
    store.due(None, limit).await.expect("no failure").tasks
}

fn ids(tasks: &[TaskSummary]) -> Vec<&str> {
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
    assert_eq!(due(&store, 10).await, []);
    assert_eq!(store.next_due().await, Ok(None));
    store.insert(task("never", ""), FOR_EVER).await.expect("kept");
    assert_eq!(store.next_due().await, Ok(None));
    store.insert(task("later", ""), times(Some(2 * HOUR), None)).await.expect("kept");
    store.insert(task("soon", ""), times(Some(HOUR), None)).await.expect("kept");
    assert_eq!(due(&other, 10).await, []);
    let first = other.next_due().await.expect("no failure").expect("one will be");
    assert!(first <= HOUR && first > HOUR / 2, "{first:?}");

    // Those that have been due for longest come first: in the order of these writes, whatever the order of
    // insertion.
    for id in ["x", "y", "z"] {
        store.insert(task(id, ""), times(Some(HOUR), None)).await.expect("kept");
    }
    for id in ["z", "x", "y"] {
        let now = Some(Duration::ZERO);
        assert_eq!(store.replace(next(&task(id, ""), "due"), now).await, Ok(true));
        // Clocks of a millisecond could not tell them apart.
        let is_due = |tasks: Vec<TaskSummary>| tasks.iter().any(|task| task.id == id);
        until(async || is_due(due(&store, 10).await)).await;
        let seen = Instant::now();
        until(async || seen.elapsed() > Duration::from_millis(2)).await;
    }
    assert_eq!(ids(&due(&store, 10).await), ["z", "x", "y"]);
    assert_eq!(ids(&due(&other, 2).await), ["z", "x"]);
    assert_eq!(due(&store, 0).await, []);
    assert_eq!(store.next_due().await, Ok(Some(Duration::ZERO)));
    let all = due(&store, 10).await;
    assert_eq!((all[0].version, all[0].text.as_str()), (2, "due"), "they have no summary but their text");

    // A process that takes over a task sets the time of the next check, or that none is needed.
    let taken = |id: &str| StoredTask { version: 3, ..task(id, "") };
    assert_eq!(other.replace(taken("z"), Some(HOUR)).await, Ok(true));
    assert_eq!(other.replace(taken("x"), None).await, Ok(true));
    assert_eq!(store.remove("y").await, Ok(true));
    assert_eq!(due(&store, 10).await, []);
    let first = store.next_due().await.expect("no failure").expect("one will be");
    assert!(first > Duration::ZERO && first <= HOUR, "{first:?}");

    // It comes by itself.
    store.insert(task("now", ""), times(Some(Duration::from_millis(30)), None)).await.expect("kept");
    until(async || ids(&due(&store, 10).await) == ["now"]).await;
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
    assert_eq!(store.list("ada", Some("a0"), 1).await, Ok(Some(vec![moved.into()])));
    // An anchor that was removed, that never existed, that belongs to another owner.
    assert_eq!(store.remove("a3").await, Ok(true));
    for anchor in ["a3", "none", "b1"] {
        assert_eq!(store.list("ada", Some(anchor), 3).await, Ok(None), "{anchor}");
    }
    assert_eq!(page("ada", Some("a2"), 2).await, ["a4", "a5"]);
}

pub async fn are_summed_up(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    assert_eq!(store.summary("a").await, Ok(None));
    let first = StoredTask { summary: "{\"short\":1}".into(), ..task("a", "ada") };
    store.insert(first.clone(), times(Some(Duration::ZERO), Some(HOUR))).await.expect("kept");
    let summary =
        TaskSummary { id: "a".into(), version: 1, owner: "ada".into(), text: first.summary.clone() };
    assert_eq!(other.load("a").await, Ok(Some(first.clone())));
    assert_eq!(other.summary("a").await, Ok(Some(summary.clone())));
    assert_eq!(other.list("ada", None, 10).await, Ok(Some(vec![summary.clone()])));
    assert_eq!(due(&other, 10).await, [summary]);

    let second = StoredTask { over: true, summary: "{\"short\":2}".into(), ..next(&first, "with a result") };
    assert_eq!(store.replace(second.clone(), None).await, Ok(true));
    let summary =
        TaskSummary { id: "a".into(), version: 2, owner: "ada".into(), text: second.summary.clone() };
    assert_eq!(other.load("a").await, Ok(Some(second.clone())));
    assert_eq!(other.summary("a").await, Ok(Some(summary.clone())));
    assert_eq!(other.list("ada", None, 10).await, Ok(Some(vec![summary])));
    // A refused write leaves the task unchanged.
    assert_eq!(store.replace(next(&first, "late"), None).await, Ok(false));
    assert_eq!(other.load("a").await, Ok(Some(second)));
    assert_eq!(store.remove("a").await, Ok(true));
    assert_eq!(other.summary("a").await, Ok(None));
}

/// Counts how often whole tasks are read of a store.
struct Counting {
    store: Arc<dyn TaskStore>,
    loads: AtomicUsize,
}

impl TaskStore for Counting {
    fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
        self.store.insert(task, times)
    }

    fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.store.load(id)
    }

    fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
        self.store.summary(id)
    }

    fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
        self.store.replace(task, due)
    }

    fn remove(&self, id: &str) -> StoreFuture<bool> {
        self.store.remove(id)
    }

    fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
        self.store.due(after, limit)
    }

    fn next_due(&self) -> StoreFuture<Option<Duration>> {
        self.store.next_due()
    }

    fn list(&self, owner: &str, after: Option<&str>, limit: usize) -> StoreFuture<Option<Vec<TaskSummary>>> {
        self.store.list(owner, after, limit)
    }
}

/// A list of a server's tasks reads no arguments and no results; only a request for a result does.
pub async fn are_listed_without_their_results(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let counting = Arc::new(Counting { store, loads: AtomicUsize::new(0) });
    let large = Tool::new("large", async || "x".repeat(100_000)).task(TaskSupport::Optional);
    let server = Server::builder("summaries", "1.0.0").task_store(counting.clone()).tool(large);
    let server = server.build().expect("valid");
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let mut made = Vec::new();
    for n in 0..3 {
        let params = json!({"name": "large", "arguments": {}, "task": {"ttl": 3_600_000}});
        let task = peer.ask(10 + n, "tools/call", params).await.json()["result"]["task"].clone();
        let id = task["taskId"].as_str().expect("an id").to_owned();
        let result = peer.ask(20 + n, "tasks/result", json!({"taskId": id})).await.json();
        assert_eq!(result["result"]["content"][0]["text"].as_str().map(str::len), Some(100_000));
        made.push(id);
    }
    let before = counting.loads.load(Ordering::SeqCst);
    assert!(before >= 3, "results are read where they are asked for");
    let listed = peer.ask(30, "tasks/list", json!({})).await.json();
    let tasks = listed["result"]["tasks"].as_array().expect("a list");
    assert_eq!(tasks.iter().map(|task| task["taskId"].as_str().expect("an id")).collect::<Vec<_>>(), made);
    assert!(tasks.iter().all(|task| task["status"] == "completed"), "{listed}");
    let got = peer.ask(31, "tasks/get", json!({"taskId": made[0]})).await.json();
    assert_eq!(got["result"], tasks[0]);
    assert_eq!(counting.loads.load(Ordering::SeqCst), before, "only summaries were read");
    for id in &made {
        let summary = other.summary(id).await.expect("no failure").expect("it is there");
        assert!(summary.text.len() < 1000, "{summary:?}");
    }
}

/// A page of due tasks continues at the end of the one before, even if a task could not be claimed.
pub async fn are_due_page_by_page(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let made: Vec<String> = (0..25).map(|n| format!("d{n:02}")).collect();
    for id in &made {
        store.insert(task(id, ""), times(Some(Duration::ZERO), None)).await.expect("kept");
    }
    store.insert(task("later", ""), times(Some(HOUR), None)).await.expect("kept");
    until(async || due(&store, 100).await.len() == made.len()).await;
    let all = async |limit: usize| {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = other.due(after.as_deref(), limit).await.expect("no failure");
            assert!(page.tasks.len() <= limit);
            seen.extend(page.tasks.into_iter().map(|task| task.id));
            match page.next {
                Some(next) => after = Some(next),
                None => return seen,
            }
        }
    };
    let whole = all(100).await;
    for limit in [1, 4, 25] {
        assert_eq!(all(limit).await, whole, "pages of {limit}");
    }
    let mut sorted = whole.clone();
    sorted.sort();
    assert_eq!(sorted, made, "each once");
    // The last of a page may be taken before the next page is asked for.
    let first = store.due(None, 10).await.expect("no failure");
    let last = &first.tasks[9];
    assert_eq!(store.remove(&last.id).await, Ok(true));
    let second = store.due(first.next.as_deref(), 100).await.expect("no failure");
    assert_eq!(second.next, None);
    let rest = ids(&second.tasks);
    assert!(whole[10..].iter().all(|id| rest.contains(&id.as_str())), "{rest:?}");
    store.due(Some("nowhere"), 10).await.expect_err("no page begins there");
}

pub async fn end(two: Two) {
    let [store, other]: [Arc<dyn TaskStore>; 2] = two.map(|store| store as _);
    let short = times(Some(Duration::ZERO), Some(Duration::from_millis(300)));
    store.insert(task("brief", "ada"), short).await.expect("kept");
    store.insert(task("long", "ada"), times(None, Some(HOUR))).await.expect("kept");
    store.insert(task("ever", "ada"), times(None, Some(Duration::MAX))).await.expect("kept");
    until(async || store.load("brief").await == Ok(None)).await;
    assert_eq!(other.load("brief").await, Ok(None));
    assert_eq!(due(&store, 10).await, []);
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
    let odd_summary = StoredTask { summary: odd.into(), ..task("odd", "odd") };
    assert!(large.text.len() > 4 * 1024 * 1024);
    store.insert(large.clone(), times(Some(Duration::ZERO), Some(HOUR))).await.expect("kept");
    store.insert(task("small", &owner[..owner.len() - 1]), FOR_EVER).await.expect("kept");
    assert!(other.load("large").await == Ok(Some(large.clone())));
    let whole = TaskSummary::from(large.clone());
    assert!(due(&other, 10).await == [whole.clone()], "it has no summary but its text");
    assert!(other.list(&owner, None, 10).await == Ok(Some(vec![whole])));
    store.insert(odd_summary.clone(), FOR_EVER).await.expect("kept");
    assert_eq!(other.load("odd").await, Ok(Some(odd_summary.clone())));
    assert_eq!(other.summary("odd").await, Ok(Some(odd_summary.into())));
    let reversed = next(&large, &large.text.chars().rev().collect::<String>());
    assert_eq!(other.replace(reversed.clone(), None).await, Ok(true));
    assert!(store.load("large").await == Ok(Some(reversed)));
    // Clients choose the key of the lookup.
    for id in [odd, "", "*", "large\u{0}", &"x".repeat(10_000)] {
        assert_eq!(store.load(id).await, Ok(None));
        assert_eq!(store.summary(id).await, Ok(None));
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
