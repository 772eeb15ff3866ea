//! Who wants to hear of a task: streams that listen, and clients that wait for its result.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::server::Filter;
use trunnion_proto::tasks::{News, Record};

use super::Tasks;
use crate::lock;

/// How often a watched task is looked at, should the news of a change get lost.
pub(super) const LOOK: Duration = Duration::from_secs(15);

/// One task that somebody wants to hear of.
#[derive(Default)]
pub(super) struct Watched {
    by: usize,
    told: Option<News>,
    changed: Arc<Notify>,
}

impl Watched {
    /// It is this now. False: everybody knows.
    pub fn changed(&mut self, record: &Record) -> bool {
        let news = News::of(record);
        let is_news = self.told.as_ref() != Some(&news);
        if is_news {
            self.told = Some(news);
            self.changed.notify_waiters();
        }
        is_news
    }
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
    /// told to the hub from [`Granted::begin`] on.
    pub fn grant(
        self: &Arc<Self>,
        mut filter: Filter,
        principal: Option<&str>,
    ) -> impl Future<Output = Granted> + Send + 'static {
        let ids: Vec<String> = filter.tasks().map(str::to_owned).collect();
        let watch = self.watch(ids.clone());
        let (tasks, principal) = (self.clone(), principal.map(str::to_owned));
        let looked = self.spawn(async move {
            let mut records = Vec::new();
            for id in ids {
                match tasks.load(&id).await {
                    Ok(held) if held.record.is_open_to(principal.as_deref()) => records.push(held.record),
                    _ => {}
                }
            }
            records
        });
        let tasks = self.clone();
        async move {
            let records = looked.await.unwrap_or_default();
            filter.retain_tasks(|id| records.iter().any(|record| record.id == id));
            Granted { filter, records, tasks, watch }
        }
    }
}

/// A filter of a stream that is about tasks.
pub(crate) struct Granted {
    /// What is told on it.
    pub filter: Filter,
    records: Vec<Record>,
    tasks: Arc<Tasks>,
    watch: Watch,
}

impl Granted {
    /// The stream listens: where the tasks are, then what they become. They stay watched while the watch lives.
    pub fn begin(self) -> (Vec<News>, Watch) {
        let Granted { records, tasks, watch, .. } = self;
        let news = records.iter().map(News::of).collect();
        if let Some(runtime) = tasks.runtime.get() {
            runtime.spawn(look(Arc::downgrade(&tasks), watch.ids.clone(), Arc::downgrade(&watch.alive)));
        }
        (news, watch)
    }
}

/// Look at tasks once in a while, for as long as they are watched.
async fn look(tasks: Weak<Tasks>, ids: Vec<String>, alive: Weak<()>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(tasks) = tasks.upgrade() else { return };
        for id in &ids {
            if alive.strong_count() == 0 {
                return;
            }
            tasks.look_again(id).await;
        }
    }
}
