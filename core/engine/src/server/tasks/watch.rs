//! Watches of tasks: by streams that subscribe, and by clients that wait for a result.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::error::RpcError;
use trunnion_proto::server::Filter;
use trunnion_proto::tasks::{News, Summary};

use super::super::notices::Listener;
use super::Tasks;
use super::store::{Failed, failed};
use crate::sync::lock;

/// The interval at which a watched task is polled, in case a change notification is lost.
pub(super) const LOOK: Duration = Duration::from_secs(15);

/// One watched task.
#[derive(Default)]
pub(super) struct Watched {
    by: usize,
    /// The number of watches that are streams, which receive its questions and its result.
    heard_by: usize,
    /// A digest of the state that was last reported to every watch.
    told: Option<u64>,
    /// True if its end was reported: nothing more is polled.
    over: bool,
    changed: Arc<Notify>,
}

impl Watched {
    /// Sets the present state. False: it was reported already.
    pub fn changed(&mut self, summary: &Summary) -> bool {
        let is_news = self.is_news(summary);
        if is_news {
            self.told = Some(digest(summary));
            self.over = summary.status.is_over();
            self.changed.notify_waiters();
        }
        is_news
    }

    /// Returns true if this state was not reported to every watch.
    pub fn is_news(&self, summary: &Summary) -> bool {
        self.told != Some(digest(summary))
    }

    /// Returns true if a stream is subscribed to it.
    pub fn is_heard(&self) -> bool {
        self.heard_by > 0
    }

    /// Returns true if its end was reported.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

fn digest(summary: &Summary) -> u64 {
    let mut hasher = DefaultHasher::new();
    summary.hash(&mut hasher);
    hasher.finish()
}

/// Keeps tasks watched while it lives.
pub struct Watch {
    tasks: Weak<Tasks>,
    ids: Vec<String>,
    is_stream: bool,
    alive: Arc<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(tasks) = self.tasks.upgrade() else { return };
        let mut state = lock(&tasks.state);
        for id in &self.ids {
            let left = state.watched.get_mut(id).map(|watched| {
                watched.by -= 1;
                watched.heard_by -= usize::from(self.is_stream);
                watched.by
            });
            if left == Some(0) {
                state.watched.remove(id);
            }
        }
    }
}

impl Tasks {
    /// Watches these tasks from now on. `is_stream`: the watch receives questions and results.
    pub(super) fn watch(&self, ids: Vec<String>, is_stream: bool) -> Watch {
        let mut state = lock(&self.state);
        for id in &ids {
            let watched = state.watched.entry(id.clone()).or_default();
            watched.by += 1;
            watched.heard_by += usize::from(is_stream);
        }
        Watch { tasks: self.me.clone(), ids, is_stream, alive: Arc::new(()) }
    }

    /// Returns a notification for changes of a watched task; register before reading the task.
    pub(super) fn changes(&self, id: &str) -> Arc<Notify> {
        lock(&self.state).watched.entry(id.to_owned()).or_default().changed.clone()
    }

    /// Restricts a filter to the tasks that its client may see, and watches those: their present states and
    /// changes are sent to the hub from `Granted::begin` on. Fails if the store does: the owners of the
    /// tasks are unknown then.
    pub fn grant(
        self: &Arc<Self>,
        mut filter: Filter,
        principal: Option<&str>,
    ) -> impl Future<Output = Result<Granted, RpcError>> + Send + 'static {
        let ids: Vec<String> = filter.tasks().map(str::to_owned).collect();
        let (tasks, principal) = (self.clone(), principal.map(str::to_owned));
        let looked = self.spawn(async move {
            let mut seen = Vec::new();
            for id in ids {
                match tasks.summary(&id).await {
                    Ok(summary) if summary.is_open_to(principal.as_deref()) => seen.push(summary),
                    Err(Failed::Store(error)) => return Err(failed(&error)),
                    Ok(_) | Err(Failed::Gone | Failed::Refused(_)) => {}
                }
            }
            Ok(seen)
        });
        let tasks = self.clone();
        async move {
            let seen = looked.await??;
            let granted: HashSet<&str> = seen.iter().map(|summary| summary.id.as_str()).collect();
            filter.retain_tasks(|id| granted.contains(id));
            let watch = tasks.watch(granted.into_iter().map(str::to_owned).collect(), true);
            Ok(Granted { filter, seen, tasks, watch })
        }
    }
}

/// The filter of a stream that subscribes to tasks.
pub struct Granted {
    /// The subjects that the stream receives.
    pub filter: Filter,
    /// The states of the tasks when they were read.
    seen: Vec<Summary>,
    tasks: Arc<Tasks>,
    watch: Watch,
}

impl Granted {
    /// Begins the stream: the states of the tasks, then their changes. Tasks with questions or a result are
    /// read one after the other and sent to `listener`, which has limited room; the others are returned at
    /// once. They stay watched while the watch lives.
    pub fn begin(self, listener: Weak<dyn Listener>) -> (Vec<News>, Watch) {
        let Granted { seen, tasks, watch, .. } = self;
        {
            // Changes since they were read were sent when nothing was subscribed here: the first poll sends
            // them again.
            let mut state = lock(&tasks.state);
            for summary in &seen {
                if let Some(watched) = state.watched.get_mut(&summary.id) {
                    watched.changed(summary);
                }
            }
        }
        if let Some(runtime) = tasks.runtime.get() {
            runtime.spawn(look(Arc::downgrade(&tasks), watch.ids.clone(), Arc::downgrade(&watch.alive)));
        }
        let (detailed, others): (Vec<_>, Vec<_>) = seen.into_iter().partition(Summary::has_details);
        tasks.tell_again(detailed.into_iter().map(|summary| summary.id).collect(), listener);
        (others.iter().map(News::of_summary).collect(), watch)
    }
}

/// Polls tasks now and at intervals, for as long as they are watched and their end was not reported.
async fn look(tasks: Weak<Tasks>, mut ids: Vec<String>, alive: Weak<()>) {
    loop {
        {
            let Some(tasks) = tasks.upgrade() else { return };
            {
                let state = lock(&tasks.state);
                ids.retain(|id| state.watched.get(id).is_some_and(|watched| !watched.is_over()));
            }
            if ids.is_empty() {
                return;
            }
            for id in &ids {
                if alive.strong_count() == 0 {
                    return;
                }
                tasks.look_again(id).await;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use serde_json::value::RawValue;
    use trunnion_proto::revision::Revision;
    use trunnion_proto::server::Notice;
    use trunnion_proto::tasks::{End, Event, Origin, Record, Status, Terms};

    use super::*;
    use crate::server::call::{Inbox, Say};
    use crate::server::notices::{Following, Line};
    use crate::server::tasks::TaskOptions;
    use crate::store::{DuePage, MemoryStore, StoreFuture, StoredTask, TaskStore, TaskSummary, TaskTimes};

    pub(crate) fn record() -> Record {
        let raw = |text: &str| RawValue::from_string(text.into()).expect("JSON");
        let origin = Origin {
            tool: "t".into(),
            arguments: raw("{}"),
            revision: Revision::LATEST,
            transport: "stdio".into(),
            request_id: raw("1"),
            session: None,
            client_info: None,
            client_capabilities: None,
            meta: None,
            answers: None,
            principal: None,
            claims: None,
        };
        let terms = Terms { ttl: None, poll: 1000, resumable: false };
        Record::new("id".into(), String::new(), origin, terms, 0)
    }

    /// Counts reads of whole tasks and of summaries.
    #[derive(Default)]
    struct Counting {
        tasks: MemoryStore,
        loads: AtomicUsize,
        summaries: AtomicUsize,
    }

    impl Counting {
        fn reads(&self) -> usize {
            self.loads.load(Ordering::Relaxed) + self.summaries.load(Ordering::Relaxed)
        }
    }

    impl TaskStore for Counting {
        fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
            TaskStore::insert(&self.tasks, task, times)
        }

        fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
            self.loads.fetch_add(1, Ordering::Relaxed);
            TaskStore::load(&self.tasks, id)
        }

        fn summary(&self, id: &str) -> StoreFuture<Option<TaskSummary>> {
            self.summaries.fetch_add(1, Ordering::Relaxed);
            self.tasks.summary(id)
        }

        fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
            TaskStore::replace(&self.tasks, task, due)
        }

        fn remove(&self, id: &str) -> StoreFuture<bool> {
            TaskStore::remove(&self.tasks, id)
        }

        fn due(&self, after: Option<&str>, limit: usize) -> StoreFuture<DuePage> {
            self.tasks.due(after, limit)
        }

        fn next_due(&self) -> StoreFuture<Option<Duration>> {
            self.tasks.next_due()
        }

        fn list(
            &self,
            owner: &str,
            after: Option<&str>,
            limit: usize,
        ) -> StoreFuture<Option<Vec<TaskSummary>>> {
            self.tasks.list(owner, after, limit)
        }
    }

    fn counted() -> (Arc<Counting>, Arc<Line>, Arc<Tasks>) {
        let (store, line) = (Arc::<Counting>::default(), Line::new(None));
        let tasks = Tasks::new(Some(store.clone()), TaskOptions::default(), line.clone());
        tasks.run_on(tokio::runtime::Handle::current());
        (store, line, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_granted_is_watched_and_only_until_its_end() {
        let (store, _line, tasks) = counted();
        tasks.insert(&record()).await.expect("kept");
        let mut foreign = record();
        (foreign.id, foreign.owner) = ("foreign".into(), "principal:ann".into());
        tasks.insert(&foreign).await.expect("kept");
        let filter = serde_json::from_str(r#"{"taskIds":["id","foreign","none"]}"#).expect("a filter");
        let granted = tasks.grant(filter, Some("bob")).await.expect("the store is there");
        let inbox = Arc::new(Inbox::default());
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&inbox);
        let (news, _watch) = granted.begin(listener);
        assert_eq!(news.len(), 1);
        assert_eq!(lock(&tasks.state).watched.keys().collect::<Vec<_>>(), ["id"]);
        let before = store.summaries.load(Ordering::Relaxed);
        tokio::time::sleep(LOOK * 3).await;
        assert!(store.summaries.load(Ordering::Relaxed) > before, "it may end unheard");
        assert_eq!(store.loads.load(Ordering::Relaxed), 0, "nothing but summaries is looked at");
        let end = End::Result(RawValue::from_string("{}".into()).expect("JSON"));
        tasks.change("id", None, Event::Finished { run: 1, end }).await.expect("changed");
        let before = store.reads();
        tokio::time::sleep(LOOK * 10).await;
        Following::changed(&*tasks, "id", None, false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.reads(), before, "its end is known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_of_a_session_is_read_only_where_the_session_is_served() {
        let (store, line, tasks) = counted();
        let mut task = record();
        task.origin.session = Some("s".into());
        tasks.insert(&task).await.expect("kept");
        Following::changed(&*tasks, "id", Some("s"), false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.reads(), 0);
        let served = line.hub().serves_session("s");
        Following::changed(&*tasks, "id", Some("s"), false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.summaries.load(Ordering::Relaxed), 1);
        assert_eq!(store.loads.load(Ordering::Relaxed), 0, "a session is told its status only");
        drop(served);
        assert!(!line.hub().has_session("s"));
    }

    /// A task may end between the moments when a stream reads its request and when it subscribes.
    #[tokio::test(start_paused = true)]
    async fn an_end_before_the_stream_listens_is_told_on_it() {
        let line = Line::new(None);
        let tasks = Tasks::new(None, TaskOptions::default(), line.clone());
        tasks.run_on(tokio::runtime::Handle::current());
        tasks.insert(&record()).await.expect("kept");
        let filter = serde_json::from_str(r#"{"taskIds":["id"]}"#).expect("a filter");
        let granted = tasks.grant(filter, None).await.expect("the store is there");
        let end = End::Result(RawValue::from_string("{}".into()).expect("JSON"));
        let ended = tasks.change("id", None, Event::Finished { run: 1, end }).await.expect("changed");
        assert_eq!(ended.record.status, Status::Completed);

        let inbox = Arc::new(Inbox::default());
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&inbox);
        let _membership = line.hub().join(listener.clone());
        let (news, _watch) = granted.begin(listener);
        assert_eq!(news, [News::of(&record())]);
        // No further change is published, and the polls find the state that was reported.
        tokio::time::sleep(LOOK * 3).await;
        let mut told = Vec::new();
        while let Poll::Ready((_, said)) = inbox.poll_next(&Context::from_waker(Waker::noop())) {
            match said {
                Say::Notice(Notice::Task(news)) => told.push(news),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, [News::of(&ended.record)], "once");
    }
}
