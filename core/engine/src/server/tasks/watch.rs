//! Who wants to hear of a task: streams that listen, and clients that wait for its result.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::error::RpcError;
use trunnion_proto::server::Filter;
use trunnion_proto::tasks::{News, Record};

use super::Tasks;
use super::store::{Failed, failed};
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
    /// told to the hub from [`Granted::begin`] on. Fails where the store does: whose they are cannot be told then.
    pub fn grant(
        self: &Arc<Self>,
        mut filter: Filter,
        principal: Option<&str>,
    ) -> impl Future<Output = Result<Granted, RpcError>> + Send + 'static {
        let ids: Vec<String> = filter.tasks().map(str::to_owned).collect();
        let watch = self.watch(ids.clone());
        let (tasks, principal) = (self.clone(), principal.map(str::to_owned));
        let looked = self.spawn(async move {
            let mut records = Vec::new();
            for id in ids {
                match tasks.load(&id).await {
                    Ok(held) if held.record.is_open_to(principal.as_deref()) => records.push(held.record),
                    Err(Failed::Store(error)) => return Err(failed(&error)),
                    Ok(_) | Err(Failed::Gone | Failed::Refused(_)) => {}
                }
            }
            Ok(records)
        });
        let tasks = self.clone();
        async move {
            let records = looked.await??;
            filter.retain_tasks(|id| records.iter().any(|record| record.id == id));
            Ok(Granted { filter, records, tasks, watch })
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
        let news: Vec<News> = records.iter().map(News::of).collect();
        {
            // What has changed since they were read was told when nobody listened here: the first look tells it again.
            let mut state = lock(&tasks.state);
            for news in &news {
                if let Some(watched) = state.watched.get_mut(&news.id) {
                    watched.told = Some(news.clone());
                }
            }
        }
        if let Some(runtime) = tasks.runtime.get() {
            runtime.spawn(look(Arc::downgrade(&tasks), watch.ids.clone(), Arc::downgrade(&watch.alive)));
        }
        (news, watch)
    }
}

/// Look at tasks now and once in a while, for as long as they are watched.
async fn look(tasks: Weak<Tasks>, ids: Vec<String>, alive: Weak<()>) {
    loop {
        {
            let Some(tasks) = tasks.upgrade() else { return };
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
mod tests {
    use std::task::{Context, Poll, Waker};

    use serde_json::value::RawValue;
    use trunnion_proto::revision::Revision;
    use trunnion_proto::server::Notice;
    use trunnion_proto::tasks::{End, Event, Origin, Status, Terms};

    use super::*;
    use crate::server::call::{Inbox, Say};
    use crate::server::notices::{Line, Listener};
    use crate::server::tasks::TaskOptions;

    fn record() -> Record {
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
