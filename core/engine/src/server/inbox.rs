//! What the calls of one connection have to say to it, and the changes that it is told of.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::task::{Poll, Waker};

use trunnion_proto::server::Notice;

use super::call::Say;
use super::notices::Listener;
use crate::lock;

/// Changes that are known only roughly.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Any resource may have changed.
    pub resources: bool,
    /// These tasks have.
    pub tasks: BTreeSet<String>,
    /// These elicitations are complete.
    pub elicitations: BTreeSet<String>,
}

/// Most tasks of which it is remembered that they have changed, and elicitations that they are complete. Clients ask for a
/// task that they wait for; they are told so that they can ask sooner.
const MAX_MISSED: usize = 1024;

impl Missed {
    fn is_empty(&self) -> bool {
        !self.resources && self.tasks.is_empty() && self.elicitations.is_empty()
    }

    fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Resource(_) => self.resources = true,
            Notice::Task(news) if self.tasks.len() < MAX_MISSED => drop(self.tasks.insert(news.id.clone())),
            Notice::Task(news) => tracing::warn!(task = news.id, "a change of a task is not told"),
            Notice::ElicitationComplete(id) if self.elicitations.len() < MAX_MISSED => {
                self.elicitations.insert(id.clone());
            }
            Notice::ElicitationComplete(_) => tracing::warn!("the end of an elicitation is not told"),
            // These take no room, so they were kept.
            Notice::Tools | Notice::Resources | Notice::Prompts => {}
        }
    }
}

/// Bytes of progress and log messages that wait to be sent, above which more are dropped: a caller who does not
/// read must not make the server keep what a busy handler has to say.
const MAX_WAITING: usize = 1 << 20;

impl Say {
    /// About how many bytes it holds, if it may be dropped; an answer may not.
    fn size(&self) -> usize {
        match self {
            Say::Progress(step) => size_of::<Say>() + step.message.as_ref().map_or(0, String::len),
            Say::Log(entry) => {
                size_of::<Say>() + entry.data.get().len() + entry.logger.as_ref().map_or(0, String::len)
            }
            Say::Notice(Notice::Resource(text) | Notice::ElicitationComplete(text)) => {
                size_of::<Say>() + text.len()
            }
            Say::Notice(Notice::Task(news)) => size_of::<Say>() + news.size(),
            Say::Ask(_)
            | Say::CloseStream
            | Say::Store(_)
            | Say::Done(_)
            | Say::Notice(_)
            | Say::Missed(_) => 0,
        }
    }
}

/// Where the calls of one connection speak to it.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<InboxState>);

#[derive(Default)]
struct InboxState {
    queue: VecDeque<(u64, Say)>,
    /// The sizes of what is queued.
    waiting: usize,
    /// What there was no room for: said when the rest is.
    missed: Missed,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    pub(super) fn push(&self, key: u64, say: Say) -> bool {
        let waker = {
            let mut state = lock(&self.0);
            if state.closed {
                return false;
            }
            let size = say.size();
            if size > 0 && state.waiting > 0 && state.waiting + size > MAX_WAITING {
                if let Say::Notice(notice) = &say {
                    state.missed.note(notice);
                }
                return false;
            }
            state.waiting += size;
            state.queue.push_back((key, say));
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Say that something has changed, once for as long as it has not been heard.
    pub(crate) fn push_notice(&self, notice: &Notice) {
        {
            let mut state = lock(&self.0);
            for (_, said) in &mut state.queue {
                match (said, notice) {
                    (Say::Notice(known), notice) if known == notice => return,
                    // Only where a task is now is news.
                    (Say::Notice(Notice::Task(known)), Notice::Task(news)) if known.id == news.id => {
                        let (old, new) = (known.size(), news.size());
                        *known = news.clone();
                        state.waiting = state.waiting.saturating_sub(old) + new;
                        return;
                    }
                    _ => {}
                }
            }
        }
        self.push(0, Say::Notice(notice.clone()));
    }

    /// The next thing said; pending registers the waker.
    pub(crate) fn poll_next(&self, cx: &std::task::Context<'_>) -> Poll<(u64, Say)> {
        let mut state = lock(&self.0);
        match state.queue.pop_front() {
            Some(said) => {
                state.waiting -= said.1.size();
                Poll::Ready(said)
            }
            None if !state.missed.is_empty() => {
                Poll::Ready((0, Say::Missed(std::mem::take(&mut state.missed))))
            }
            None => {
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Nothing waits to be heard.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.0);
        state.queue.is_empty() && state.missed.is_empty()
    }

    /// The connection is gone: nobody listens any more.
    pub(crate) fn close(&self) {
        let unheard = {
            let mut state = lock(&self.0);
            state.closed = true;
            state.waiting = 0;
            state.missed = Missed::default();
            state.waker = None;
            std::mem::take(&mut state.queue)
        };
        // Questions among it are told that they are cancelled: not under the lock.
        drop(unheard);
    }
}

impl Listener for Inbox {
    fn notice(&self, notice: &Notice) {
        self.push_notice(notice);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use trunnion_proto::tasks::News;

    use super::*;

    #[test]
    fn tasks_and_elicitations_that_are_remembered() {
        let (mut missed, record) = (Missed::default(), crate::server::tasks::watch::tests::record());
        for n in 0..=MAX_MISSED {
            missed.note(&Notice::ElicitationComplete(n.to_string()));
            let mut news = News::of(&record);
            news.id = n.to_string();
            missed.note(&Notice::Task(news));
        }
        assert_eq!((missed.tasks.len(), missed.elicitations.len()), (MAX_MISSED, MAX_MISSED));
    }

    #[test]
    fn a_change_that_there_was_no_room_for_is_said_roughly() {
        let inbox = Inbox::default();
        let uri = |n: usize| Notice::Resource(format!("test://{n:01000}"));
        for n in 0..2000 {
            inbox.push_notice(&uri(n));
            inbox.push_notice(&Notice::Tools);
        }
        let cx = Context::from_waker(Waker::noop());
        let mut said = Vec::new();
        while let Poll::Ready((_, say)) = inbox.poll_next(&cx) {
            said.push(say);
        }
        assert!((500..2000).contains(&said.len()), "{}", said.len());
        let expected = Missed { resources: true, ..Missed::default() };
        assert!(matches!(said.pop(), Some(Say::Missed(missed)) if missed == expected), "it is the last");
        assert!(said.iter().all(|say| !matches!(say, Say::Missed(_))), "once");
        assert!(said.iter().any(|say| matches!(say, Say::Notice(Notice::Tools))));
        inbox.push_notice(&uri(0));
        assert!(matches!(inbox.poll_next(&cx), Poll::Ready((_, Say::Notice(notice))) if notice == uri(0)));
        assert!(inbox.is_empty());
    }
}
