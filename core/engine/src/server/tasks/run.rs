//! One run of a task: a call whose messages go into the record.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use trunnion_proto::auth::resource::{Access, Caller};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::json::Json;
use trunnion_proto::jsonrpc::Id;
use trunnion_proto::methods::{self, Role};
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::catalog::{Entry, Input};
use trunnion_proto::server::memory::Memory;
use trunnion_proto::server::{Exchange, Progress, Request};
use trunnion_proto::tasks::{Answer, End, Event, Origin, Record, Refused};

use super::store::{Failed, Held, RETRY, report};
use super::{TaskOptions, Tasks};
use crate::error::{Error, local};
use crate::server::asking::{Asked, answers_json};
use crate::server::call::{Call, Handler, Inbox, Say, Start, Stored, TaskRun, ToStore};
use crate::server::{ServerCore, guarded};
use crate::sync::lock;

/// The signals from outside to a run.
#[derive(Default)]
pub(super) struct Signals {
    orders: Mutex<Orders>,
    wake: Notify,
    /// True if its tool can run again in another process.
    pub resumable: bool,
}

#[derive(Default)]
struct Orders {
    changed: bool,
    leave: Option<Leave>,
}

/// The ways in which a run ends because its server closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Another process takes over the task.
    Release,
    /// The task fails: no process can take it over.
    Fail,
}

impl Signals {
    /// Signals that the record has changed.
    pub fn changed(&self) {
        lock(&self.orders).changed = true;
        self.wake.notify_one();
    }

    pub fn leave(&self, how: Leave) {
        lock(&self.orders).leave = Some(how);
        self.wake.notify_one();
    }
}

/// A place among the tasks that this process works on.
pub(super) struct Place {
    tasks: Weak<Tasks>,
    owner: String,
    working: Option<Working>,
}

impl Place {
    /// Marks the place as occupied, but not waited for by the closing of the server.
    pub fn idle(mut self) -> Place {
        self.working = None;
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(tasks) = self.tasks.upgrade() else { return };
        let mut state = lock(&tasks.state);
        state.places -= 1;
        if let Some(count) = state.owners.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                state.owners.remove(&self.owner);
            }
        }
    }
}

/// Counts a task that is worked on.
struct Working(Weak<Tasks>);

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.working.send_modify(|working| *working -= 1);
        }
    }
}

/// The resources of a run until its handler has really ended, which may be later than the run: a cancelled
/// thread continues until it notices.
pub struct Hold {
    _place: Place,
    /// Its permit among the tasks of its tool, while it has one.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Tasks {
    /// Returns a place for a task of this owner, if there is one. `known`: the task exists already, and
    /// counts as its owner's where it was made.
    pub(super) fn place(&self, owner: &str, known: bool) -> Option<Place> {
        let mut state = lock(&self.state);
        // Tasks without an owner have no limit of their own.
        let limit = if owner.is_empty() || known { usize::MAX } else { self.options.per_owner };
        let count = state.owners.get(owner).copied().unwrap_or(0);
        if state.leaving || state.places >= self.options.most || count >= limit {
            return None;
        }
        state.owners.insert(owner.to_owned(), count + 1);
        state.places += 1;
        self.working.send_modify(|working| *working += 1);
        let working = Some(Working(self.me.clone()));
        Some(Place { tasks: self.me.clone(), owner: owner.to_owned(), working })
    }

    fn turns(&self, entry: &Entry<Arc<dyn Handler>>, tool: &str) -> Option<Arc<Semaphore>> {
        let limit = entry.task.concurrency?;
        let mut state = lock(&self.state);
        Some(state.turns.entry(tool.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone())
    }
}

/// Begins to work on a task whose lease this process holds.
pub(super) fn begin(
    core: &Arc<ServerCore>,
    entry: Arc<Entry<Arc<dyn Handler>>>,
    held: Held,
    mut place: Place,
) {
    let tasks = &core.tasks;
    let record = &held.record;
    let signals = Arc::new(Signals { resumable: record.terms.resumable, ..Signals::default() });
    lock(&tasks.state).running.insert(record.id.clone(), signals.clone());
    let request = request(&record.origin);
    let mut exchange = Exchange::detached(request.revision);
    exchange.answered_by(&entry, &request);
    let inbox = Arc::new(Inbox::default());
    let working = place.working.take();
    let hold = Arc::new(Hold { _place: place, turn: Mutex::default() });
    let task = TaskRun {
        id: record.id.clone(),
        run: record.run,
        resumable: record.terms.resumable,
        hold: Arc::downgrade(&hold),
    };
    let call = Call::in_task(inbox.clone(), transport(&record.origin), request, memory(record), None, task);
    if let Some(answers) = &record.origin.answers {
        call.set_answers(answers.get().to_owned());
    }
    let worker = Worker {
        turns: tasks.turns(&entry, &record.origin.tool),
        core: Arc::downgrade(core),
        options: tasks.options,
        run: record.run,
        said: None,
        say_at: Instant::now(),
        waiting: Vec::new(),
        unwritten: VecDeque::new(),
        failing: None,
        retry: Instant::now(),
        started: false,
        rests: true,
        queued: None,
        left: entry.timeout,
        limit: None,
        hold,
        _working: working,
        entry,
        held,
        signals,
        inbox,
        call,
        exchange,
    };
    let mut gone = tasks.alive.subscribe();
    let Some(runtime) = tasks.runtime.get() else { return };
    runtime.spawn(async move {
        let (call, inbox) = (worker.call.clone(), worker.inbox.clone());
        let why = {
            let work = std::pin::pin!(worker.work());
            let gone = std::pin::pin!(async { while gone.changed().await.is_ok() {} });
            match futures_util::future::select(work, gone).await {
                futures_util::future::Either::Left((why, _)) => why,
                futures_util::future::Either::Right(_) => Some("the server is gone"),
            }
        };
        if let Some(why) = why {
            call.cancel(Some(why.into()));
        }
        inbox.close();
    });
}

struct Worker {
    core: Weak<ServerCore>,
    options: TaskOptions,
    entry: Arc<Entry<Arc<dyn Handler>>>,
    held: Held,
    run: u64,
    signals: Arc<Signals>,
    inbox: Arc<Inbox>,
    call: Call,
    exchange: Exchange,
    turns: Option<Arc<Semaphore>>,
    /// Progress that is not written yet, and the time at which it may be.
    said: Option<String>,
    say_at: Instant,
    /// Questions without all their answers.
    waiting: Vec<Asked>,
    /// Values that the store could not accept yet, in their order; the time of the first failure, and of the
    /// next retry.
    unwritten: VecDeque<Wanted>,
    failing: Option<Instant>,
    retry: Instant,
    /// True if its handler has begun.
    started: bool,
    /// True while it has no permit, and its time does not count: it has not begun, or waits for its client.
    rests: bool,
    /// The wait for its permit, if it needs one.
    queued: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
    /// The time that its handler may still work, while it rests; the end of that time, while it does not.
    left: Option<Duration>,
    limit: Option<Instant>,
    hold: Arc<Hold>,
    _working: Option<Working>,
}

/// A write that the handler waits for.
enum Wanted {
    Asked(Asked),
    Stored(ToStore),
}

impl Wanted {
    fn fail(self, error: Error) {
        match self {
            Wanted::Asked(asked) => asked.reply(Err(error)),
            Wanted::Stored(to_store) => to_store.reply(Err(error)),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(core) = self.core.upgrade() else { return };
        let mut state = lock(&core.tasks.state);
        // Unless another run of it has begun in this process.
        if state.running.get(&self.held.record.id).is_some_and(|signals| Arc::ptr_eq(signals, &self.signals))
        {
            state.running.remove(&self.held.record.id);
        }
    }
}

/// The events of a run.
enum Happened {
    Turn(Option<OwnedSemaphorePermit>),
    Said(Say),
    Signal,
    Beat,
    MaySay,
    Retry,
    TooLong,
}

/// The end of a run, with the reason to cancel its call, unless the call has ended by itself.
struct Over(Option<&'static str>);

impl Worker {
    /// Works to the end of the run, and returns the reason to cancel its call, if it is to be cancelled.
    async fn work(mut self) -> Option<&'static str> {
        let pause = (self.options.lease / 3).max(Duration::from_millis(1));
        let mut beat = Instant::now() + pause;
        self.queue();
        loop {
            let happened = {
                let queued = self.queued.is_some();
                let turn = async {
                    match &mut self.queued {
                        Some(turn) => turn.await,
                        None => std::future::pending().await,
                    }
                };
                let said = std::future::poll_fn(|cx| self.inbox.poll_next(cx));
                let far = Instant::now() + Duration::from_secs(1 << 30);
                tokio::select! {
                    biased;
                    () = self.signals.wake.notified() => Happened::Signal,
                    permit = turn, if queued => Happened::Turn(permit),
                    (_, say) = said => Happened::Said(say),
                    () = tokio::time::sleep_until(beat) => Happened::Beat,
                    () = tokio::time::sleep_until(self.say_at), if self.said.is_some() => Happened::MaySay,
                    () = tokio::time::sleep_until(self.retry), if !self.unwritten.is_empty() => Happened::Retry,
                    () = tokio::time::sleep_until(self.limit.unwrap_or(far)), if self.limit.is_some() => Happened::TooLong,
                }
            };
            if matches!(happened, Happened::Beat) {
                beat = Instant::now() + pause;
            }
            let done = match happened {
                Happened::Turn(permit) => {
                    self.go_on(permit);
                    Ok(())
                }
                Happened::Signal => self.signalled().await,
                Happened::Said(say) => self.hear(say).await,
                Happened::Beat => self.beat().await,
                Happened::MaySay => self.say().await,
                Happened::Retry => self.write().await,
                Happened::TooLong => {
                    self.call.cancel(Some("time limit".into()));
                    let why = Outcome::ToolError("the tool exceeded its time limit".into());
                    self.finish(why).await;
                    Err(Over(None))
                }
            };
            if let Err(Over(why)) = done {
                return why;
            }
        }
    }

    /// Waits for a permit, with one place in the queue.
    fn queue(&mut self) {
        if self.queued.is_none() {
            let turns = self.turns.clone();
            self.queued = Some(Box::pin(async move {
                match turns {
                    None => None,
                    Some(turns) => turns.acquire_owned().await.ok(),
                }
            }));
        }
    }

    /// Resumes the run with its permit.
    fn go_on(&mut self, turn: Option<OwnedSemaphorePermit>) {
        self.queued = None;
        self.rests = false;
        *lock(&self.hold.turn) = turn;
        // A time past the range of the clock means never.
        self.limit = self.left.take().and_then(|left| Instant::now().checked_add(left));
        if self.started {
            self.settle();
        } else {
            self.started = true;
            self.start();
        }
    }

    /// Releases the permit while the handler waits for the client, which may take any time: other runs use it
    /// meanwhile.
    fn rest(&mut self) {
        if !self.rests {
            self.rests = true;
            self.left = self.limit.take().map(|limit| limit.saturating_duration_since(Instant::now()));
            drop(lock(&self.hold.turn).take());
        }
    }

    fn start(&mut self) {
        let arguments = Json::from(self.held.record.origin.arguments.get().to_owned());
        let (handler, call) = (self.entry.handler.clone(), self.call.clone());
        let failed = || Outcome::Error(RpcError::new(ErrorKind::InternalError, "the handler failed"));
        let start = catch_unwind(AssertUnwindSafe(|| handler.start(call.clone(), Input::Tool(arguments))));
        match start.unwrap_or_else(|_| Start::Done(failed())) {
            Start::Done(outcome) => drop(call.complete(outcome)),
            Start::Later => {}
            Start::Future(future) => {
                let hold = self.hold.clone();
                tokio::spawn(async move {
                    let outcome = guarded(future, call.clone()).await;
                    drop(hold);
                    call.complete(outcome);
                });
            }
        }
    }

    async fn signalled(&mut self) -> Result<(), Over> {
        let Orders { changed, leave } = std::mem::take(&mut *lock(&self.signals.orders));
        if let Some(how) = leave {
            let gone = RpcError::new(
                ErrorKind::InternalError,
                "the server was shut down, and the tool of the task cannot be run again",
            );
            match how {
                // If the write fails, the lease runs out.
                Leave::Release => drop(self.change(Event::Released { run: self.run }).await),
                Leave::Fail => self.end(End::from(gone)).await,
            }
            return Err(Over(Some("the server is shutting down")));
        }
        if changed { self.look().await } else { Ok(()) }
    }

    async fn hear(&mut self, say: Say) -> Result<(), Over> {
        match say {
            Say::Progress(step) => {
                self.said = Some(sentence(&step));
                if Instant::now() >= self.say_at { self.say().await } else { Ok(()) }
            }
            Say::Ask(asked) => {
                self.say().await?;
                self.want(Wanted::Asked(asked)).await
            }
            Say::Store(to_store) => self.want(Wanted::Stored(to_store)).await,
            Say::Done(outcome) => {
                self.finish(outcome).await;
                Err(Over(None))
            }
            // There is no stream to send them on (extension, "Task Status Notifications").
            Say::Log(_) | Say::CloseStream | Say::Notice(_) | Say::Missed(_) => Ok(()),
        }
    }

    /// Renews the lease; a task that waits for its client needs none, and is only read.
    async fn beat(&mut self) -> Result<(), Over> {
        if self.held.record.open().next().is_some() {
            return self.look().await;
        }
        match self.change(Event::Heartbeat { run: self.run }).await {
            // It is retried; if another process takes over the task meanwhile, nothing of this run counts any
            // longer.
            Err(Failed::Store(error)) => report(&error),
            Err(failed) => return Err(over(&failed)),
            Ok(()) => {}
        }
        self.settle();
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Over> {
        let Some(core) = self.core.upgrade() else { return Err(Over(Some("the server is gone"))) };
        match core.tasks.load(&self.held.record.id).await {
            Ok(held) if held.record.status.is_over() => Err(over(&Failed::Refused(Refused::Over))),
            Ok(held) if held.record.run != self.run => Err(over(&Failed::Refused(Refused::Stale))),
            Ok(held) => {
                self.held = held;
                self.settle();
                Ok(())
            }
            Err(Failed::Store(error)) => {
                report(&error);
                Ok(())
            }
            Err(failed) => Err(over(&failed)),
        }
    }

    /// Writes the progress that was reported last.
    async fn say(&mut self) -> Result<(), Over> {
        let Some(message) = self.said.take() else { return Ok(()) };
        self.say_at = Instant::now() + Duration::from_millis(self.held.record.terms.poll);
        match self.change(Event::Progress { run: self.run, message: &message }).await {
            Err(Failed::Store(error)) => report(&error),
            Err(failed) => return Err(over(&failed)),
            Ok(()) => {}
        }
        Ok(())
    }

    async fn want(&mut self, wanted: Wanted) -> Result<(), Over> {
        self.unwritten.push_back(wanted);
        if self.failing.is_some() { Ok(()) } else { self.write().await }
    }

    /// Writes the values that the handler waits for. While the store fails, the handler waits; when it has
    /// failed for as long as a lease, a tool that can run again is left to another run, and any other tool
    /// receives the error.
    async fn write(&mut self) -> Result<(), Over> {
        while let Some(wanted) = self.unwritten.pop_front() {
            let run = self.run;
            let event = match &wanted {
                Wanted::Asked(asked) => Event::Asks { run, questions: &asked.questions },
                Wanted::Stored(ToStore { what: Stored::Value(key), value, .. }) => {
                    Event::Stored { run, key, value: value.as_str() }
                }
                Wanted::Stored(ToStore { what: Stored::Checkpoint, value, .. }) => {
                    Event::Checkpoint { run, value: value.as_str() }
                }
            };
            match self.change(event).await {
                Ok(()) => {
                    self.failing = None;
                    match wanted {
                        Wanted::Asked(asked) => self.waiting.push(asked),
                        Wanted::Stored(to_store) => to_store.reply(Ok(())),
                    }
                }
                Err(Failed::Store(error)) => {
                    report(&error);
                    let since = *self.failing.get_or_insert_with(Instant::now);
                    if since.elapsed() < self.options.lease {
                        self.unwritten.push_front(wanted);
                        self.retry = Instant::now() + (self.options.lease / 20).min(RETRY);
                        return Ok(());
                    }
                    if self.held.record.terms.resumable {
                        return Err(over(&Failed::Store(error)));
                    }
                    wanted.fail(Error::internal("the server's store of tasks has failed"));
                }
                Err(Failed::Refused(Refused::TooMuch(limit))) => {
                    wanted.fail(Error::local(local::LIMIT, format!("a task can store {limit}")));
                }
                Err(failed) => return Err(over(&failed)),
            }
        }
        self.settle();
        Ok(())
    }

    /// Passes the present answers to the handler; the last ones when it has its permit again.
    fn settle(&mut self) {
        let record = &self.held.record;
        let is_answered = |asked| answers(record, asked).is_some();
        if self.rests && !self.waiting.is_empty() && self.waiting.iter().all(is_answered) {
            return self.queue();
        }
        let (done, waiting): (Vec<Asked>, Vec<Asked>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|asked| answers(record, asked).is_some());
        self.waiting = waiting;
        for asked in done {
            if let Some(answers) = answers(record, &asked) {
                asked.reply(answers);
            }
        }
        if !self.waiting.is_empty() {
            self.rest();
        }
    }

    async fn finish(&mut self, outcome: Outcome) {
        let Some(core) = self.core.upgrade() else { return };
        let limit = self.options.result_bytes;
        let result = self.exchange.result(outcome, core.catalog.stamp());
        drop(core);
        let end = match result.and_then(|result| {
            RawValue::from_string(result)
                .map_err(|_| RpcError::new(ErrorKind::InternalError, "the handler's result is not JSON"))
        }) {
            Ok(result) => End::Result(result),
            Err(error) => End::from(error),
        };
        let end = if end.size() > limit {
            let message = format!("the result has more than {limit} bytes (maxTaskResultBytes)");
            End::from(RpcError::new(ErrorKind::InternalError, message))
        } else {
            end
        };
        self.end(end).await;
    }

    /// Writes the end of the task, however long the store may need.
    async fn end(&mut self, end: End) {
        let pause = (self.options.lease / 3).max(Duration::from_millis(1));
        loop {
            match self.change(Event::Finished { run: self.run, end: end.clone() }).await {
                Err(Failed::Store(error)) => report(&error),
                // It was cancelled, taken over, or is no longer stored.
                Ok(()) | Err(_) => return,
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn change(&mut self, event: Event<'_>) -> Result<(), Failed> {
        let Some(core) = self.core.upgrade() else { return Err(Failed::Gone) };
        let id = self.held.record.id.clone();
        self.held = core.tasks.change(&id, Some(self.held.clone()), event).await?;
        Ok(())
    }
}

/// Returns the reason why a run cannot continue.
fn over(failed: &Failed) -> Over {
    Over(Some(match failed {
        Failed::Refused(Refused::Stale) => "another process works on the task",
        Failed::Refused(_) => "the task was cancelled",
        Failed::Gone => "the task is not kept any more",
        Failed::Store(_) => "the store has failed",
    }))
}

/// Returns the answers to questions that were sent together, if all of them are there.
fn answers(record: &Record, asked: &Asked) -> Option<Result<String, Error>> {
    let mut given = Vec::with_capacity(asked.questions.len());
    for question in &asked.questions {
        let known = record.asked.iter().find(|known| known.is(question))?;
        match known.answer.as_ref()? {
            Answer::Given(answer) => given.push((question.key.as_str(), answer.get())),
            Answer::Refused(error) => return Some(Err(refusal(error.get()))),
        }
    }
    Some(Ok(answers_json(given)))
}

fn refusal(error: &str) -> Error {
    #[derive(serde::Deserialize)]
    struct Refusal {
        code: i64,
        message: String,
    }
    match serde_json::from_str::<Refusal>(error) {
        Ok(Refusal { code, message }) => RpcError { code, message, data: None }.into(),
        Err(_) => Error::internal("the client could not answer"),
    }
}

/// Returns the text of progress for a client: with the numbers, if the message does not contain them, because
/// a task has no other member for them.
fn sentence(step: &Progress) -> String {
    let numbers = match step.total {
        Some(total) => format!("{} of {total}", step.progress),
        None => step.progress.to_string(),
    };
    match &step.message {
        None => numbers,
        Some(message) => {
            let progress = step.progress.to_string();
            let said = message.split(|char: char| !char.is_ascii_digit() && char != '.');
            let is_said = said.map(|word| word.trim_matches('.')).any(|word| word == progress);
            if is_said { message.clone() } else { format!("{message} ({numbers})") }
        }
    }
}

/// Returns the request that a task was made from, for another run of it.
fn request(origin: &Origin) -> Request {
    let json = |raw: &Option<Box<RawValue>>| {
        raw.as_ref().map_or_else(Json::default, |raw| Json::from(raw.get().to_owned()))
    };
    Request {
        id: Id::from_json(origin.request_id.get()).unwrap_or_else(|| Id::number(0)),
        method: methods::by_role(Role::CallTool),
        revision: origin.revision,
        progress_token: None,
        log_level: None,
        name: origin.tool.clone(),
        arguments: Json::from(origin.arguments.get().to_owned()),
        cursor: None,
        reference: Json::default(),
        argument: Json::default(),
        context: Json::default(),
        meta: json(&origin.meta),
        client_info: json(&origin.client_info),
        client_capabilities: json(&origin.client_capabilities),
        input_responses: Json::default(),
        request_state: None,
        filter: None,
        task: Json::default(),
        access: access(origin),
    }
}

/// Returns the access with which the task runs.
fn access(origin: &Origin) -> Access {
    let (Some(principal), Some(claims)) = (&origin.principal, &origin.claims) else {
        return Access::default();
    };
    let claims = serde_json::from_str(claims.get()).unwrap_or_default();
    Access::Known(Arc::new(Caller::kept(principal.as_str().into(), claims)))
}

/// Returns the values that earlier runs have stored.
fn memory(record: &Record) -> Memory {
    let mut memory = Memory::default();
    for (key, value) in &record.kept {
        memory.keep(key, value.get());
    }
    if let Some(checkpoint) = &record.checkpoint {
        memory.mark(checkpoint.get());
    }
    memory
}

fn transport(origin: &Origin) -> &'static str {
    match origin.transport.as_str() {
        "stdio" => "stdio",
        "memory" => "memory",
        _ => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_sentence_that_changes_with_its_numbers() {
        let said = |progress, total, message: Option<&str>| {
            sentence(&Progress { progress, total, message: message.map(str::to_owned) })
        };
        assert_eq!(said(3.0, Some(1000.0), None), "3 of 1000");
        assert_eq!(said(0.5, None, None), "0.5");
        assert_eq!(said(3.0, Some(1000.0), Some("indexing")), "indexing (3 of 1000)");
        assert_eq!(said(3.0, None, Some("indexing")), "indexing (3)");
        assert_eq!(said(3.0, Some(9.0), Some("page 3 of 9.")), "page 3 of 9.", "it says so itself");
        assert_eq!(said(3.0, Some(9.0), Some("Page 3.")), "Page 3.");
        assert_eq!(said(3.0, Some(9.0), Some("page 33")), "page 33 (3 of 9)");
        assert_eq!(said(4.0, Some(9.0), Some("file3")), "file3 (4 of 9)");
    }
}
