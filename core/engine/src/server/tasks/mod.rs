//! Tasks: calls that outlive their request, their connection and their process (ADR 14).
//!
//! What a task is, and what may happen to it, is decided by `trunnion_proto::tasks`; here it is read, written and worked on.
//! All of it runs on the background runtime, so that no busy handler keeps a lease from being renewed.

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
use crate::lock;
use crate::store::{MemoryStore, TaskQuota, TaskStore};

/// How the tasks of a server are kept and worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskOptions {
    /// For how long a task is kept, from its creation on; `None`: for ever.
    pub ttl: Option<Duration>,
    /// How often clients should look.
    pub poll: Duration,
    /// Most bytes of a result.
    pub result_bytes: usize,
    /// For how long a worker has a task before others may take it.
    pub lease: Duration,
    /// Most tasks of one owner that one process works on.
    pub per_owner: usize,
    /// Most tasks that one process works on.
    pub most: usize,
    /// How much of the tasks of one owner is kept.
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

/// The tasks of one server, as far as this process has to do with them.
pub(crate) struct Tasks {
    me: Weak<Tasks>,
    store: Arc<dyn TaskStore>,
    options: TaskOptions,
    line: Arc<Line>,
    runtime: OnceLock<tokio::runtime::Handle>,
    state: Mutex<State>,
    /// There may be something to take over.
    due: Arc<Notify>,
    /// Closed when the server is gone: nobody can go on then.
    alive: tokio_watch::Sender<()>,
    /// Counts the tasks that are worked on.
    working: tokio_watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    running: HashMap<String, Arc<Signals>>,
    owners: HashMap<String, usize>,
    /// How many places are taken.
    places: usize,
    /// The turns of each tool's tasks, where they are limited.
    turns: HashMap<String, Arc<Semaphore>>,
    watched: HashMap<String, watch::Watched>,
    /// How many endpoints serve that can say when they end.
    serving: usize,
    /// What is worked on is handed over; nothing new is taken.
    leaving: bool,
    /// Somebody looks after what is due.
    looking: bool,
}

impl Tasks {
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

    /// Where to run. The first to say so decides.
    pub fn run_on(&self, runtime: tokio::runtime::Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// The server is about to serve, or has got its first tool that has tasks: look after what is due.
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

    /// Run something on the background runtime, and wait for it anywhere. Dropping the future does not stop it.
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

    /// A task has changed so that its client can see it, or is `due`: tell whoever wants to know, here and elsewhere.
    fn changed(&self, record: &Record, due: bool) {
        self.tell_here(record);
        if due {
            self.due.notify_one();
        }
        self.line.task(&record.id, record.origin.session.as_deref(), due);
    }

    /// A task was changed by somebody else than its run here, if it has one: that one is to look.
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

    /// Where one is now, for those who listen to it: read with its questions or its result only where those are told.
    async fn news(&self, id: &str) -> Result<News, Failed> {
        let summary = self.summary(id).await?;
        if summary.has_details() {
            Ok(News::of(&self.load(id).await?.record))
        } else {
            Ok(News::of_summary(&summary))
        }
    }

    /// Tell somebody who has missed that they changed where these tasks are now.
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

    /// What another process has changed, or what may have been missed.
    async fn look_again(&self, id: &str) {
        let Ok(summary) = self.summary(id).await else { return };
        let in_session = summary.session.as_ref().is_some_and(|session| self.line.hub().has_session(session));
        {
            let mut state = lock(&self.state);
            let watched = state.watched.get_mut(id);
            let is_heard = watched.as_ref().is_some_and(|watched| watched.is_heard());
            let is_news = match watched {
                // Whoever listens is told of its questions or its result: then it is read as a whole.
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
