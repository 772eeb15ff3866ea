//! Who wants to hear of a task: streams that listen, and clients that wait for its result.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::error::RpcError;
use trunnion_proto::server::Filter;
use trunnion_proto::tasks::News;

use super::Tasks;
use super::store::{Failed, failed};
use crate::lock;

/// How often a watched task is looked at, should the news of a change get lost.
pub(super) const LOOK: Duration = Duration::from_secs(15);

/// One task that somebody wants to hear of.
#[derive(Default)]
pub(super) struct Watched {
    by: usize,
    /// A digest of what everybody knows of it: with a result, that itself could be large.
    told: Option<u64>,
    /// What everybody knows is its end: there is nothing more to look for.
    over: bool,
    changed: Arc<Notify>,
}

impl Watched {
    /// It is this now, and `over` if it stays so. False: everybody knows.
    pub fn changed(&mut self, news: &News, over: bool) -> bool {
        let is_news = self.told.as_ref() != Some(&digest(news));
        if is_news {
            self.told = Some(digest(news));
            self.over = over;
            self.changed.notify_waiters();
        }
        is_news
    }

    /// Whether everybody knows its end.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

fn digest(news: &News) -> u64 {
    let mut hasher = DefaultHasher::new();
    news.hash(&mut hasher);
    hasher.finish()
}

/// Keeps tasks watched while it lives.
pub(crate) struct Watch {
    tasks: Weak<Tasks>,
    ids: Vec<String>,
    alive: Arc<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(tasks) = self.tasks.upgrade() else { return };
        let mut state = lock(&tasks.state);
        for id in &self.ids {
            let left = state.watched.get_mut(id).map(|watched| {
                watched.by -= 1;
                watched.by
            });
            if left == Some(0) {
                state.watched.remove(id);
            }
        }
    }
}

impl Tasks {
    /// Watch these from now on.
    pub(super) fn watch(&self, ids: Vec<String>) -> Watch {
        let mut state = lock(&self.state);
        for id in &ids {
            state.watched.entry(id.clone()).or_default().by += 1;
        }
        Watch { tasks: self.me.clone(), ids, alive: Arc::new(()) }
    }

    /// Told when a watched task has changed; register before looking.
    pub(super) fn changes(&self, id: &str) -> Arc<Notify> {
        lock(&self.state).watched.entry(id.to_owned()).or_default().changed.clone()
    }

    /// Leave in a filter only the tasks that its client may see, and watch those: what they are now, and what they become, is
    /// told to the hub from [`Granted::begin`] on. Fails where the store does: whose they are cannot be told then.
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
                match tasks.load(&id).await {
                    Ok(held) if held.record.is_open_to(principal.as_deref()) => {
                        seen.push((News::of(&held.record), held.record.status.is_over()));
                    }
                    Err(Failed::Store(error)) => return Err(failed(&error)),
                    Ok(_) | Err(Failed::Gone | Failed::Refused(_)) => {}
                }
            }
            Ok(seen)
        });
        let tasks = self.clone();
        async move {
            let seen = looked.await??;
            let granted: HashSet<&str> = seen.iter().map(|(news, _)| news.id.as_str()).collect();
            filter.retain_tasks(|id| granted.contains(id));
            let watch = tasks.watch(granted.into_iter().map(str::to_owned).collect());
            Ok(Granted { filter, seen, tasks, watch })
        }
    }
}

/// A filter of a stream that is about tasks.
pub(crate) struct Granted {
    /// What is told on it.
    pub filter: Filter,
    /// Where the tasks are, and whether they stay there.
    seen: Vec<(News, bool)>,
    tasks: Arc<Tasks>,
    watch: Watch,
}

impl Granted {
    /// The stream listens: where the tasks are, then what they become. They stay watched while the watch lives.
    pub fn begin(self) -> (Vec<News>, Watch) {
        let Granted { seen, tasks, watch, .. } = self;
        {
            // What has changed since they were read was told when nobody listened here: the first look tells it again.
            let mut state = lock(&tasks.state);
            for (news, over) in &seen {
                if let Some(watched) = state.watched.get_mut(&news.id) {
                    watched.changed(news, *over);
                }
            }
        }
        if let Some(runtime) = tasks.runtime.get() {
            runtime.spawn(look(Arc::downgrade(&tasks), watch.ids.clone(), Arc::downgrade(&watch.alive)));
        }
        (seen.into_iter().map(|(news, _)| news).collect(), watch)
    }
}

/// Look at tasks now and once in a while, for as long as they are watched and their end is not known.
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
    use crate::server::notices::{Following, Line, Listener};
    use crate::server::tasks::TaskOptions;
    use crate::store::{MemoryStore, StoreFuture, StoredTask, TaskStore, TaskTimes};

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

    /// Counts what is read of it.
    #[derive(Default)]
    struct Counting {
        tasks: MemoryStore,
        loads: AtomicUsize,
    }

    impl TaskStore for Counting {
        fn insert(&self, task: StoredTask, times: TaskTimes) -> StoreFuture<()> {
            TaskStore::insert(&self.tasks, task, times)
        }

        fn load(&self, id: &str) -> StoreFuture<Option<StoredTask>> {
            self.loads.fetch_add(1, Ordering::Relaxed);
            TaskStore::load(&self.tasks, id)
        }

        fn replace(&self, task: StoredTask, due: Option<Duration>) -> StoreFuture<bool> {
            TaskStore::replace(&self.tasks, task, due)
        }

        fn remove(&self, id: &str) -> StoreFuture<bool> {
            TaskStore::remove(&self.tasks, id)
        }

        fn due(&self, limit: usize) -> StoreFuture<Vec<StoredTask>> {
            self.tasks.due(limit)
        }

        fn next_due(&self) -> StoreFuture<Option<Duration>> {
            self.tasks.next_due()
        }

        fn list(
            &self,
            owner: &str,
            after: Option<&str>,
            limit: usize,
        ) -> StoreFuture<Option<Vec<StoredTask>>> {
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
        let (news, _watch) = granted.begin();
        assert_eq!(news.len(), 1);
        assert_eq!(lock(&tasks.state).watched.keys().collect::<Vec<_>>(), ["id"]);
        let before = store.loads.load(Ordering::Relaxed);
        tokio::time::sleep(LOOK * 3).await;
        assert!(store.loads.load(Ordering::Relaxed) > before, "it may end unheard");
        let end = End::Result(RawValue::from_string("{}".into()).expect("JSON"));
        tasks.change("id", None, Event::Finished { run: 1, end }).await.expect("changed");
        let before = store.loads.load(Ordering::Relaxed);
        tokio::time::sleep(LOOK * 10).await;
        Following::changed(&*tasks, "id", None, false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.loads.load(Ordering::Relaxed), before, "its end is known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_of_a_session_is_read_only_where_the_session_is_served() {
        let (store, line, tasks) = counted();
        let mut task = record();
        task.origin.session = Some("s".into());
        tasks.insert(&task).await.expect("kept");
        Following::changed(&*tasks, "id", Some("s"), false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.loads.load(Ordering::Relaxed), 0);
        let served = line.hub().serves_session("s");
        Following::changed(&*tasks, "id", Some("s"), false);
        tokio::time::sleep(LOOK).await;
        assert_eq!(store.loads.load(Ordering::Relaxed), 1);
        drop(served);
        assert!(!line.hub().has_session("s"));
    }

    /// Where a stream reads requests and listens on one thread, a task may end between the two.
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
        let _membership = line.hub().join(listener);
        let (news, _watch) = granted.begin();
        assert_eq!(news, [News::of(&record())]);
        // Nobody says anything more, and looks once in a while find it as it was told.
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
