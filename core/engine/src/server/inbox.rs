//! The queue of messages from the calls of one connection, and of the changes that the connection reports.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::task::{Poll, Waker};

use trunnion_proto::server::Notice;

use super::call::Say;
use super::notices::Listener;
use crate::sync::lock;

/// Changes that are known only roughly.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// True if any resource may have changed.
    pub resources: bool,
    /// The ids of changed tasks.
    pub tasks: BTreeSet<String>,
    /// The ids of elicitations that are complete.
    pub elicitations: BTreeSet<String>,
}

/// Most changed tasks and complete elicitations that are remembered. Clients poll a task that they wait for;
/// a notification lets them poll sooner.
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
            // These take no room, so they were never dropped.
            Notice::Tools | Notice::Resources | Notice::Prompts => {}
        }
    }
}

/// Bytes of progress and log messages that wait to be sent, above which more are dropped: a caller that does
/// not read must not make the server store the messages of a busy handler.
const MAX_WAITING: usize = 1 << 20;

impl Say {
    /// Returns about how many bytes it holds, if it may be dropped; an answer may not.
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

/// The inbox to which the calls of one connection send.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<InboxState>);

#[derive(Default)]
struct InboxState {
    queue: VecDeque<(u64, Say)>,
    /// The sum of the sizes of the queued messages.
    waiting: usize,
    /// The changes that there was no room for: reported after the queue.
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

    /// Queues a change, once for as long as it has not been read.
    pub(crate) fn push_notice(&self, notice: &Notice) {
        {
            let mut state = lock(&self.0);
            for (_, said) in &mut state.queue {
                match (said, notice) {
                    (Say::Notice(known), notice) if known == notice => return,
                    // Only the newest state of a task is reported.
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

    /// Returns the next message; if there is none, registers the waker.
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

    /// Returns true if nothing waits to be read.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.0);
        state.queue.is_empty() && state.missed.is_empty()
    }

    /// Closes the inbox: the connection is closed and nothing reads it any longer.
    pub(crate) fn close(&self) {
        let unheard = {
            let mut state = lock(&self.0);
            state.closed = true;
            state.waiting = 0;
            state.missed = Missed::default();
            state.waker = None;
            std::mem::take(&mut state.queue)
        };
        // Dropping the questions among it cancels them, which must not happen under the lock.
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
