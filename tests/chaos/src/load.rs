//! Load of many concurrent tasks: each is created, watched, answered or cancelled, and polled once more at
//! the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::judge::Judge;
use crate::random::Random;
use crate::watch;
use crate::wire::{Trouble, Wire};

/// Longest duration of a task, including killed processes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The intended end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Asks,
    Fails,
    Cancelled,
}

/// The load; it continues until it is asked to finish.
pub struct Load {
    workers: JoinSet<Vec<Ended>>,
    finish: Arc<AtomicBool>,
    wire: Arc<Wire>,
    judge: Arc<Judge>,
}

/// A task that was reported as ended.
struct Ended {
    id: String,
    state: Value,
}

impl Load {
    /// At least `tasks` of them, `at_once` at a time.
    pub fn start(
        wire: Arc<Wire>,
        judge: Arc<Judge>,
        tasks: usize,
        at_once: usize,
        mut random: Random,
    ) -> Load {
        let (finish, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
        for _ in 0..at_once {
            let one = One { wire: wire.clone(), judge: judge.clone() };
            let (finish, next, mut random) = (finish.clone(), next.clone(), random.fork());
            workers.spawn(async move {
                let mut ended = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // While servers die there is always something to lose.
                    if number >= tasks && finish.load(Ordering::Relaxed) {
                        return ended;
                    }
                    ended.extend(one.live(number, random.between(3, 12)).await);
                }
            });
        }
        Load { workers, finish, wire, judge }
    }

    /// No new tasks; wait for the end of all, and see that it was the end.
    pub async fn finish(mut self) {
        self.finish.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            for Ended { id, state } in ended.expect("a worker does not panic") {
                match get(&self.wire, &id, Instant::now() + PATIENCE).await {
                    Ok(now) if now == state => {
                        self.judge.count("tasks looked at once more after their end", 1)
                    }
                    Ok(now) => self.judge.broken(format!("{id} changed after its end: {state} is {now}")),
                    Err(why) => self.judge.broken(format!("{id} after its end: {why}")),
                }
            }
        }
    }
}

/// The life of one task.
struct One {
    wire: Arc<Wire>,
    judge: Arc<Judge>,
}

impl One {
    async fn live(&self, number: usize, steps: u64) -> Option<Ended> {
        let kind = match number % 10 {
            7 => Kind::Fails,
            8 => Kind::Cancelled,
            3 | 6 => Kind::Asks,
            _ => Kind::Plain,
        };
        let deadline = Instant::now() + PATIENCE;
        let Some((id, key)) = self.create(number, kind, steps, deadline).await else {
            self.judge.broken(format!("task {number} could not be made within {PATIENCE:?}"));
            return None;
        };
        self.judge.count("tasks made", 1);
        let listening = number.is_multiple_of(2).then(|| {
            tokio::spawn(watch::hear_the_end(self.wire.clone(), self.judge.clone(), id.clone(), deadline))
        });
        if kind == Kind::Cancelled {
            self.acknowledged("tasks/cancel", json!({ "taskId": id }), deadline).await;
        }
        let ended = match self.follow(&id, deadline).await {
            Ok(state) => {
                self.check(kind, &key, steps, &state);
                Some(Ended { id, state })
            }
            Err(why) => {
                self.judge.broken(format!("{id} ({kind:?}): {why}"));
                None
            }
        };
        if let Some(listening) = listening {
            listening.await.expect("a listener does not panic");
        }
        ended
    }

    /// Returns the id of a new task, and the key of its side effects: each attempt has its own, because one
    /// without an answer may have made a task all the same.
    async fn create(
        &self,
        number: usize,
        kind: Kind,
        steps: u64,
        deadline: Instant,
    ) -> Option<(String, String)> {
        for attempt in 0.. {
            let key = format!("{number}-{attempt}");
            let arguments = json!({
                "key": key, "steps": steps, "ask": kind == Kind::Asks, "fail": kind == Kind::Fails,
            });
            match self.wire.ask("tools/call", json!({ "name": "work", "arguments": arguments })).await {
                Ok(result) if result["resultType"] == "task" => {
                    return result["taskId"].as_str().map(|id| (id.to_owned(), key));
                }
                Ok(other) => self.judge.broken(format!("not a task: {other}")),
                Err(Trouble::Refused { code, message }) => {
                    self.judge.broken(format!("a task was refused: {code} {message}"));
                }
                Err(Trouble::Silence(_)) => self.judge.count("attempts to make a task without an answer", 1),
            }
            if !pause(deadline).await {
                break;
            }
        }
        None
    }

    /// Watches a task to its end, and answers its questions.
    async fn follow(&self, id: &str, deadline: Instant) -> Result<Value, String> {
        let mut answered = Vec::<String>::new();
        loop {
            let state = get(&self.wire, id, deadline).await?;
            match state["status"].as_str() {
                Some("working") => {}
                Some("input_required") => {
                    let asked = state["inputRequests"].as_object().cloned().unwrap_or_default();
                    for key in asked.keys() {
                        if answered.contains(key) {
                            return Err(format!("the acknowledged answer to {key} is asked for again"));
                        }
                        let answer = json!({ "action": "accept", "content": { "word": key } });
                        let params = json!({ "taskId": id, "inputResponses": { key: answer } });
                        if !self.acknowledged("tasks/update", params, deadline).await {
                            return Err(format!("the answer to {key} was not taken"));
                        }
                        self.judge.count("answers acknowledged", 1);
                        answered.push(key.clone());
                    }
                }
                Some("completed" | "failed" | "cancelled") => return Ok(state),
                _ => return Err(format!("not a state: {state}")),
            }
            if !pause(deadline).await {
                return Err(format!("no end within {PATIENCE:?}: {state}"));
            }
        }
    }

    async fn acknowledged(&self, method: &str, params: Value, deadline: Instant) -> bool {
        loop {
            match self.wire.ask(method, params.clone()).await {
                Ok(_) => return true,
                Err(Trouble::Refused { code, message }) => {
                    self.judge.broken(format!("{method} {params}: {code} {message}"));
                    return false;
                }
                Err(Trouble::Silence(_)) => {}
            }
            if !pause(deadline).await {
                return false;
            }
        }
    }

    fn check(&self, kind: Kind, key: &str, steps: u64, state: &Value) {
        let text = state["result"]["content"][0]["text"].as_str().unwrap_or_default();
        let right = match (kind, state["status"].as_str().unwrap_or_default()) {
            (Kind::Fails, "failed") => state["error"]["message"] == "it was to fail",
            (Kind::Cancelled, "cancelled") => true,
            // Cancelling came too late.
            (Kind::Plain | Kind::Cancelled, "completed") => text == format!("{key} {steps}"),
            (Kind::Asks, "completed") => text == format!("{key} {steps} first second"),
            _ => false,
        };
        if right {
            let status = state["status"].as_str().unwrap_or_default();
            self.judge.count(
                match status {
                    "completed" => "tasks completed",
                    "failed" => "tasks failed as they were to",
                    _ => "tasks cancelled",
                },
                1,
            );
        } else {
            self.judge.broken(format!("{key} ({kind:?}) has a wrong end: {state}"));
        }
    }
}

/// The state of a task, from any server.
pub async fn get(wire: &Wire, id: &str, deadline: Instant) -> Result<Value, String> {
    loop {
        match wire.ask("tasks/get", json!({ "taskId": id })).await {
            Ok(state) => return Ok(state),
            Err(Trouble::Refused { code, message }) => return Err(format!("it is lost: {code} {message}")),
            Err(Trouble::Silence(why)) if Instant::now() > deadline => {
                return Err(format!("no answer: {why}"));
            }
            Err(Trouble::Silence(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A while. False: there is no time left.
async fn pause(deadline: Instant) -> bool {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Instant::now() < deadline
}
