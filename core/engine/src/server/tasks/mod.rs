//! Tasks: calls that outlive their request, their connection and their process (ADR 14).
//!
//! `trunnion_proto::tasks` defines the states of a task and their transitions; this module reads, writes and
//! works on tasks. All of it runs on the background runtime, so that no busy handler keeps a lease from being
//! renewed.

mod hand_over;
mod recovery;
mod requests;
mod run;
mod store;
pub(crate) mod watch;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch as tokio_watch};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::server::Notice;
use trunnion_proto::tasks::{News, Record};

pub(crate) use hand_over::Serving;
pub(crate) use requests::{Answering, Creation, Whose};
pub(crate) use run::Hold;
use run::Signals;
use store::Failed;
pub(crate) use watch::{Granted, Watch};

use super::ServerCore;
use super::notices::{Following, Line, Listener};
use crate::driver::Driver;
use crate::store::{MemoryStore, TaskQuota, TaskStore};
use crate::sync::lock;

/// The options for the storage and the execution of the tasks of a server.
#[derive(Debug, Clone, Copy)]
pub struct TaskOptions {
    /// The time for which a task is stored, from its creation; `None`: without limit.
    pub ttl: Option<Duration>,
    /// The interval at which clients should poll.
    pub poll: Duration,
    /// Most bytes of a result.
    pub result_bytes: usize,
    /// The time for which a worker holds a task before others may take it over.
    pub lease: Duration,
    /// Most tasks of one owner that one process works on.
    pub per_owner: usize,
    /// Most tasks that one process works on.
    pub most: usize,
    /// The quota of stored tasks of one owner.
    pub kept: TaskQuota,
}

impl Default for TaskOptions {
    fn default() -> Self {
        TaskOptions {
            ttl: Some(Duration::from_secs(24 * 3600)),
            poll: Duration::from_secs(1),
            result_bytes: 4 << 20,
            lease: Duration::from_secs(30),
            per_owner: 100,
            most: 10_000,
            kept: TaskQuota { tasks: 10_000, bytes: 1 << 30 },
        }
    }
}

/// The tasks of one server in this process.
pub struct Tasks {
    me: Weak<Tasks>,
    store: Arc<dyn TaskStore>,
    options: TaskOptions,
    line: Arc<Line>,
    runtime: OnceLock<tokio::runtime::Handle>,
    state: Mutex<State>,
    /// Notified when there may be a task to take over.
    due: Arc<Notify>,
    /// Closed when the server is dropped: no run can continue then.
    alive: tokio_watch::Sender<()>,
    /// The number of tasks that are worked on.
    working: tokio_watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    running: HashMap<String, Arc<Signals>>,
    owners: HashMap<String, usize>,
    /// The number of occupied places.
    places: usize,
    /// The permits for each tool's tasks, where they are limited.
    turns: HashMap<String, Arc<Semaphore>>,
    watched: HashMap<String, watch::Watched>,
    /// The number of serving endpoints that can report their end.
    serving: usize,
    /// True if running tasks are handed over, and no new ones are accepted.
    leaving: bool,
    /// True if a loop looks after due tasks.
    looking: bool,
}

impl Tasks {
    /// Returns the tasks of a server. `store`: `None` for one in memory.
    pub fn new(store: Option<Arc<dyn TaskStore>>, options: TaskOptions, line: Arc<Line>) -> Arc<Tasks> {
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::default()));
        let tasks = Arc::new_cyclic(|me| Tasks {
            me: me.clone(),
            store,
            options,
            line,
            runtime: OnceLock::new(),
            state: Mutex::default(),
            due: Arc::default(),
            alive: tokio_watch::Sender::new(()),
            working: tokio_watch::Sender::new(0),
        });
        let following: Weak<dyn Following> = Arc::<Tasks>::downgrade(&tasks);
        tasks.line.hub().follow(following);
        tasks
    }

    /// Sets the runtime. The first call decides.
    pub fn run_on(&self, runtime: tokio::runtime::Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Starts to look after due tasks: the server is about to serve, or has got its first tool that has
    /// tasks.
    pub fn look(&self, core: &Arc<ServerCore>, driver: Option<&Driver>) {
        if let Some(Driver::Tokio(handle)) = driver {
            self.run_on(handle.clone());
        }
        if !core.catalog.has_tasks() {
            return;
        }
        let Some(runtime) = self.runtime.get() else { return };
        {
            let mut state = lock(&self.state);
            if state.leaving || state.looking {
                return;
            }
            state.looking = true;
        }
        runtime.spawn(recovery::look_after(Arc::downgrade(core), self.due.clone()));
    }

    /// Runs a future on the background runtime; the caller may wait for it on any runtime. Dropping the
    /// returned future does not stop it.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, RpcError>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let lost = || RpcError::new(ErrorKind::InternalError, "the server is shutting down");
        let started = match self.runtime.get() {
            Some(runtime) => {
                runtime.spawn(async move { drop(sender.send(work.await)) });
                true
            }
            None => false,
        };
        async move { if started { receiver.await.map_err(|_| lost()) } else { Err(lost()) } }
    }

    /// Notifies every listener, in this process and in others, that a task has changed so that its client can
    /// see it, or is `due`.
    fn changed(&self, record: &Record, due: bool) {
        self.tell_here(record);
        if due {
            self.due.notify_one();
        }
        self.line.task(&record.id, record.origin.session.as_deref(), due);
    }

    /// Signals the run of a task in this process, if there is one, to read it again: it was changed from
    /// outside of the run.
    fn signal(&self, id: &str) {
        if let Some(signals) = lock(&self.state).running.get(id) {
            signals.changed();
        }
    }

    fn tell_here(&self, record: &Record) {
        let session = record.origin.session.as_deref();
        let in_session = session.is_some_and(|session| self.line.hub().has_session(session));
        if !in_session && !lock(&self.state).watched.contains_key(&record.id) {
            return;
        }
        let summary = record.summary();
        let is_news = {
            let mut state = lock(&self.state);
            let watched = state.watched.get_mut(&record.id);
            watched.map_or(in_session, |watched| watched.changed(&summary))
        };
        if is_news {
            self.line.hub().task(News::of(record));
        }
    }

    /// Returns the present state of a task for its subscribers: read with its questions or its result only if
    /// a stream receives those.
    async fn news(&self, id: &str) -> Result<News, Failed> {
        let summary = self.summary(id).await?;
        if summary.has_details() {
            Ok(News::of(&self.load(id).await?.record))
        } else {
            Ok(News::of_summary(&summary))
        }
    }

    /// Sends the present states of these tasks to a listener that has missed their changes.
    pub fn tell_again(&self, ids: BTreeSet<String>, listener: Weak<dyn Listener>) {
        let (false, Some(runtime)) = (ids.is_empty(), self.runtime.get()) else { return };
        let tasks = self.me.clone();
        runtime.spawn(async move {
            for id in ids {
                let Some(tasks) = tasks.upgrade() else { return };
                if listener.strong_count() == 0 {
                    return;
                }
                let Ok(news) = tasks.news(&id).await else { continue };
                let Some(listener) = listener.upgrade() else { return };
                listener.notice(&Notice::Task(news));
            }
        });
    }

    /// Reads a task again that another process has changed, or whose changes may have been missed.
    async fn look_again(&self, id: &str) {
        let Ok(summary) = self.summary(id).await else { return };
        let in_session = summary.session.as_ref().is_some_and(|session| self.line.hub().has_session(session));
        {
            let mut state = lock(&self.state);
            let watched = state.watched.get_mut(id);
            let is_heard = watched.as_ref().is_some_and(|watched| watched.is_heard());
            let is_news = match watched {
                // A stream receives its questions or its result: then it is read as a whole.
                Some(watched) if is_heard && summary.has_details() => watched.is_news(&summary),
                Some(watched) => watched.changed(&summary),
                None => in_session,
            };
            if !is_news {
                return;
            }
            if !is_heard || !summary.has_details() {
                drop(state);
                self.line.hub().task(News::of_summary(&summary));
                return;
            }
        }
        if let Ok(held) = self.load(id).await {
            self.tell_here(&held.record);
        }
    }
}

impl Following for Tasks {
    fn changed(&self, id: &str, session: Option<&str>, due: bool) {
        if due {
            self.due.notify_one();
        }
        let in_session = session.is_some_and(|session| self.line.hub().has_session(session));
        let wanted = {
            let state = lock(&self.state);
            if let Some(signals) = state.running.get(id) {
                signals.changed();
            }
            in_session || state.watched.get(id).is_some_and(|watched| !watched.is_over())
        };
        if let (true, Some(runtime)) = (wanted, self.runtime.get()) {
            let (tasks, id) = (self.me.clone(), id.to_owned());
            runtime.spawn(async move {
                if let Some(tasks) = tasks.upgrade() {
                    tasks.look_again(&id).await;
                }
            });
        }
    }
}
