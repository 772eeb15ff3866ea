//! Resumable event streams of legacy sessions: a client that reconnects with `Last-Event-ID` gets the missed
//! events (2025-11-25, Streamable HTTP, "Resumability and Redelivery").

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::Events;
use super::budget::Purse;
use super::shared::{self, Backing};
use crate::server::notices::News;
use crate::store::{Append, StoredEvent};
use crate::sync::lock;

/// Bytes of events that are kept after they were sent, for clients that come back: about what the kernels on
/// the way may hold of a connection that breaks, for a client has got nothing of that.
pub(super) const KEPT: usize = 4 << 20;
/// The same where there is no more room for events.
const KEPT_AT_LEAST: usize = 64 << 10;
/// The approximate size of a stream without events, in bytes.
const OVERHEAD: usize = 1 << 10;
/// Bytes of unsent events above which the writer has to wait.
const FULL: usize = 1 << 20;
/// The time after which a client reconnects when its stream was closed.
const RETRY: Duration = Duration::from_millis(1000);

/// The events of one stream. One reader at a time: a new one takes the place of the old.
pub(super) struct StreamLog {
    id: u64,
    state: Mutex<State>,
    /// The store that other processes share.
    backing: Option<Backing>,
    /// The budget in which stored bytes count.
    purse: Arc<Purse>,
}

#[derive(Default)]
struct State {
    events: VecDeque<(u64, Bytes)>,
    /// The first event that is an answer: nothing is dropped from there on, however often it was sent.
    answer: Option<u64>,
    /// Bytes of events from there on.
    answers: usize,
    bytes: usize,
    /// The part of `bytes` in events that were not sent.
    unsent: usize,
    /// Of what was sent to the reader, or was had by it when it came, the newest.
    sent: u64,
    next: u64,
    over: bool,
    generation: u64,
    /// Since when nobody reads.
    left: Option<Instant>,
    /// This reader's connection is to be closed.
    closing: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    kept: Kept,
    /// In which turn its reader came, where others could read.
    turn: u64,
}

/// The part of a stream that is in a store.
#[derive(Default)]
struct Kept {
    /// The newest event in the store.
    newest: u64,
    /// The store knows that the stream is over.
    over: bool,
    /// A task brings what is new there.
    writing: bool,
    /// Readers get nothing that is not there: an event must not be sent that nobody can be sent again. Not
    /// while the store fails: then it is better sent than kept back.
    holds: bool,
    /// Nothing more is brought there.
    given_up: bool,
}

/// One event as it is sent.
pub(super) fn event(stream: u64, number: u64, message: &[u8]) -> Bytes {
    let mut out = format!("id: {stream}-{number}\nevent: message\ndata: ").into_bytes();
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// The message of an [`event`].
fn message_of(event: &Bytes) -> Bytes {
    const DATA: &[u8] = b"\ndata: ";
    let start = event.windows(DATA.len()).position(|window| window == DATA).map_or(0, |at| at + DATA.len());
    event.slice(start..event.len() - 2)
}

impl StreamLog {
    pub fn new(id: u64, backing: Option<Backing>, purse: Arc<Purse>) -> Arc<StreamLog> {
        purse.add(OVERHEAD);
        let kept = Kept { holds: backing.is_some(), ..Kept::default() };
        let state = State { next: 1, left: Some(Instant::now()), kept, ..State::default() };
        Arc::new(StreamLog { id, state: Mutex::new(state), backing, purse })
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// The newest event that was sent to a reader; 0: none.
    pub fn sent(&self) -> u64 {
        lock(&self.state).sent
    }

    /// The stream and event of a `Last-Event-ID`.
    pub fn parse_id(text: &str) -> Option<(u64, u64)> {
        let (stream, event) = text.trim().split_once('-')?;
        Some((stream.parse().ok()?, event.parse().ok()?))
    }

    /// Returns true if the shared budget has room for more.
    pub fn has_room(&self) -> bool {
        self.purse.has_room()
    }

    /// Adds a message.
    pub fn append(self: &Arc<Self>, message: &[u8]) {
        self.push(message, false);
    }

    /// Adds the answer to a request, which is kept until [`RESUME_LIMIT`](super::pump::RESUME_LIMIT) after
    /// the stream's end.
    pub fn answer(self: &Arc<Self>, message: &[u8]) {
        self.push(message, true);
    }

    fn push(self: &Arc<Self>, message: &[u8], is_answer: bool) {
        self.change(|state| {
            let number = state.next;
            state.next += 1;
            let event = event(self.id, number, message);
            let len = event.len();
            state.bytes += len;
            state.unsent += len;
            self.purse.add(len);
            state.events.push_back((number, event));
            if is_answer {
                state.answer.get_or_insert(number);
            }
            if state.answer.is_some() {
                state.answers += len;
            }
        });
        self.keep();
    }

    /// Adds a message unless it waits to be sent already, or too much does.
    pub fn append_once(self: &Arc<Self>, message: &[u8]) {
        let waits = {
            let state = lock(&self.state);
            state.is_full()
                || !self.has_room()
                || state.events.iter().rev().take_while(|(event, _)| *event > state.sent).any(|(_, sent)| {
                    // The message stands before the empty line that ends the event.
                    sent.strip_suffix(b"\n\n").is_some_and(|sent| sent.ends_with(message))
                })
        };
        if !waits {
            self.append(message);
        }
    }

    /// Nothing more will come.
    pub fn end(self: &Arc<Self>) {
        self.change(|state| state.over = true);
        self.keep();
    }

    /// Nothing more will come here; what the store has of it is somebody else's now.
    pub fn abandon(&self) {
        lock(&self.state).kept = Kept { given_up: true, ..Kept::default() };
        self.change(|state| state.over = true);
    }

    pub fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    /// Closes the connection of the reader, once it has all events so far; the stream continues.
    pub fn close_reader(&self) {
        self.change(|state| state.closing = Some(state.generation));
        if let Some(backing) = &self.backing {
            // Who begins to read in a later turn is not meant, even where the word comes after it.
            let turn = lock(&self.state).turn;
            backing.tell(|stream| News::Closing { stream, turn });
        }
    }

    /// Somebody begins to read here in this turn.
    pub fn take_turn(&self, turn: u64) {
        let mut state = lock(&self.state);
        state.turn = state.turn.max(turn);
    }

    /// Somebody has begun to read at another process: whoever reads here since an earlier turn has gone,
    /// whether it knows or not. False: it is the word about another that is late.
    pub fn reads_elsewhere(&self, turn: u64) -> bool {
        if lock(&self.state).turn > turn {
            return false;
        }
        self.change(|state| {
            state.turn = turn;
            state.generation += 1;
            state.left = Some(Instant::now());
        });
        self.wake_writer();
        true
    }

    /// The messages that the client has not got, which are somebody else's now. `sent`: the newest that it
    /// has, if that is known better than here.
    pub fn hand_over(&self, sent: Option<u64>) -> Vec<String> {
        let mut state = lock(&self.state);
        let sent = sent.unwrap_or(state.sent);
        let unsent = state.events.iter().filter(|(number, _)| *number > sent);
        let messages =
            unsent.map(|(_, event)| String::from_utf8_lossy(&message_of(event)).into_owned()).collect();
        let newest = state.next - 1;
        state.set_sent(newest);
        state.trim(&self.purse);
        messages
    }

    /// Somebody reads at another process, and was sent the events up to this one.
    pub fn sent_elsewhere(&self, sent: u64) {
        {
            let mut state = lock(&self.state);
            let sent = state.sent.max(sent.min(state.next - 1));
            state.set_sent(sent);
            state.trim(&self.purse);
            if state.left.is_some() {
                state.left = Some(Instant::now());
            }
        }
        self.wake_writer();
    }

    fn wake_writer(&self) {
        let writer = lock(&self.state).writer.take();
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Ready when there is room for more; pending wakes the task then, when a reader leaves, and when the
    /// stream ends.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        state.writer = Some(cx.waker().clone());
        if state.is_full() && !state.over { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Pending as long as somebody reads; wakes the task then. Ready: since when nobody does.
    pub fn poll_left(&self, cx: &Context<'_>) -> Poll<Instant> {
        let mut state = lock(&self.state);
        match state.left {
            Some(left) => Poll::Ready(left),
            None => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Since when nobody has read.
    pub fn left(&self) -> Option<Instant> {
        lock(&self.state).left
    }

    /// Reads from behind an event on; 0: from the beginning. `primed`: begins with an event that only carries
    /// an id. `None`: what is wanted is not kept any more.
    pub fn read(self: &Arc<Self>, after: u64, primed: bool) -> Option<LogReader> {
        let mut state = lock(&self.state);
        let first = state.events.front().map_or(state.next, |(event, _)| *event);
        if after >= state.next || after + 1 < first {
            return None;
        }
        state.generation += 1;
        state.left = None;
        // What was sent on a connection that broke may never have arrived: the reader says what has.
        state.set_sent(after);
        let replaced = state.reader.take();
        let generation = state.generation;
        drop(state);
        if let Some(replaced) = replaced {
            replaced.wake();
        }
        let retry = RETRY.as_millis();
        let priming =
            primed.then(|| Bytes::from(format!("id: {}-{after}\nretry: {retry}\ndata: \n\n", self.id)));
        Some(LogReader { log: self.clone(), generation, after, priming })
    }

    /// The stream is in the store before anybody is told its name: until then nobody could come back to it
    /// elsewhere.
    pub async fn begin(&self) {
        let Some(backing) = &self.backing else { return };
        let nothing = Append { events: Vec::new(), over: false, oldest: 1, keep: backing.shared.keep };
        let stored = backing.append(nothing).await;
        if let Err(error) = &stored {
            shared::report("events", error);
        }
        lock(&self.state).kept.holds = stored.is_ok();
    }

    /// Extends the lifetime of the stored part.
    pub async fn touch(&self) {
        let Some(backing) = self.backing.as_ref().filter(|_| !lock(&self.state).kept.given_up) else {
            return;
        };
        let nothing = Append { events: Vec::new(), over: false, oldest: 0, keep: backing.shared.keep };
        if let Err(error) = backing.append(nothing).await {
            shared::report("events", &error);
        }
    }

    /// Have a task bring to the store what is not there.
    fn keep(self: &Arc<Self>) {
        let Some(backing) = &self.backing else { return };
        {
            let mut state = lock(&self.state);
            if state.kept.writing || state.kept.given_up {
                return;
            }
            state.kept.writing = true;
        }
        let log = self.clone();
        backing.shared.driver.spawn(async move {
            if let Some(backing) = &log.backing {
                backing.write(&log).await;
            }
        });
    }

    /// What is not in the store; `None`, and nobody brings anything any more, when all of it is.
    pub fn take_unstored(&self, keep: Duration) -> Option<Append> {
        let mut state = lock(&self.state);
        let first = state.events.front().map_or(state.next, |(number, _)| *number);
        // Events that the store has not had are gone.
        state.kept.given_up |= first > state.kept.newest + 1;
        let newest = state.kept.newest;
        let unstored = state.events.iter().filter(|(number, _)| *number > newest);
        let stored =
            |(number, event): &(u64, Bytes)| StoredEvent { number: *number, message: message_of(event) };
        let events: Vec<StoredEvent> = unstored.map(stored).collect();
        let over = state.over && !state.kept.over;
        if state.kept.given_up || (events.is_empty() && !over) {
            state.kept.writing = false;
            state.kept.holds &= !state.kept.given_up;
            return None;
        }
        Some(Append { events, over, oldest: first, keep })
    }

    /// What came from [`StreamLog::take_unstored`] is in the store, or it has failed. False: it is tried
    /// again with the next event only.
    pub fn stored(&self, done: bool, newest: Option<u64>, over: bool) -> bool {
        let reader = {
            let mut state = lock(&self.state);
            if done {
                state.kept.newest = newest.unwrap_or(state.kept.newest);
                state.kept.over |= over;
            } else {
                state.kept.writing = false;
            }
            state.kept.holds = done && !state.kept.given_up;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        done
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = lock(&self.state);
            if state.over {
                return;
            }
            change(&mut state);
            let writer = if state.over { state.writer.take() } else { None };
            [state.reader.take(), writer]
        };
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        self.purse.sub(lock(&self.state).bytes + OVERHEAD);
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.unsent > FULL
    }

    /// The reader has the events up to this one, whatever it was thought to have.
    fn set_sent(&mut self, sent: u64) {
        let first = self.events.front().map_or(self.next, |(event, _)| *event);
        let at = |event: u64| usize::try_from((event + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let (low, high) = (at(self.sent.min(sent)), at(self.sent.max(sent)).min(self.events.len()));
        let bytes: usize = self.events.range(low.min(high)..high).map(|(_, event)| event.len()).sum();
        if sent > self.sent {
            self.unsent -= bytes;
        } else {
            self.unsent += bytes;
        }
        self.sent = sent;
    }

    /// Drop what was sent and is more than is kept, but no answer and nothing after it.
    fn trim(&mut self, purse: &Purse) {
        while self.bytes - self.answers > KEPT_AT_LEAST
            && (self.bytes - self.answers > KEPT || !purse.has_room())
            && let Some((event, bytes)) = self.events.front()
            && *event <= self.sent
            && self.answer.is_none_or(|answer| *event < answer)
        {
            self.bytes -= bytes.len();
            purse.sub(bytes.len());
            self.events.pop_front();
        }
    }
}

/// A connection that reads a stream.
pub(super) struct LogReader {
    log: Arc<StreamLog>,
    generation: u64,
    after: u64,
    priming: Option<Bytes>,
}

impl Events for LogReader {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(priming) = self.priming.take() {
            return Poll::Ready(Some(priming));
        }
        let mut state = lock(&self.log.state);
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        let wanted = self.after + 1;
        let first = state.events.front().map_or(state.next, |(event, _)| *event);
        // What it wants is gone: coming back it is told so, and nothing is left out silently.
        if first > wanted {
            return Poll::Ready(None);
        }
        let at = usize::try_from(wanted - first).unwrap_or(usize::MAX);
        let next = state.events.get(at).map(|(event, bytes)| (*event, bytes.clone()));
        let is_held = next.as_ref().is_some_and(|(event, _)| state.kept.holds && *event > state.kept.newest);
        if let Some((event, bytes)) = next.filter(|_| !is_held) {
            self.after = event;
            let sent = state.sent.max(event);
            state.set_sent(sent);
            state.trim(&self.log.purse);
            let writer = state.writer.take();
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Some(bytes));
        }
        if !is_held && (state.over || state.closing == Some(self.generation)) {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The missed events of another stream, followed by this one.
pub(super) struct After {
    pub missed: VecDeque<Bytes>,
    pub reader: LogReader,
}

impl Events for After {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.missed.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.reader.poll_event(cx),
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        let mut state = lock(&self.log.state);
        if state.generation == self.generation {
            state.left = Some(Instant::now());
            let writer = state.writer.take();
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reader: &mut LogReader) -> Option<String> {
        let mut cx = Context::from_waker(Waker::noop());
        match reader.poll_event(&mut cx) {
            Poll::Ready(event) => event.map(|event| String::from_utf8(event.to_vec()).expect("UTF-8")),
            Poll::Pending => Some("pending".into()),
        }
    }

    fn purse() -> Arc<Purse> {
        Purse::new(usize::MAX, None)
    }

    #[test]
    fn who_comes_back_gets_what_it_has_missed() {
        let log = StreamLog::new(7, None, purse());
        let mut first = log.read(0, true).expect("a reader");
        assert_eq!(next(&mut first).as_deref(), Some("id: 7-0\nretry: 1000\ndata: \n\n"));
        log.append(b"{\"a\":1}");
        assert_eq!(next(&mut first).as_deref(), Some("id: 7-1\nevent: message\ndata: {\"a\":1}\n\n"));
        assert_eq!(next(&mut first).as_deref(), Some("pending"));
        log.close_reader();
        assert_eq!(next(&mut first), None);
        drop(first);
        assert!(log.left().is_some());
        log.append(b"{\"b\":2}");
        log.end();
        let mut second = log.read(1, false).expect("a reader");
        assert_eq!(next(&mut second).as_deref(), Some("id: 7-2\nevent: message\ndata: {\"b\":2}\n\n"));
        assert_eq!(next(&mut second), None);
        assert!(log.read(5, false).is_none(), "an event that never was");
        let mut again = log.read(0, false).expect("a reader");
        assert!(next(&mut again).expect("an event").contains("7-1"));
    }

    /// The numbers of the events that a reader gets until it has to wait, or has come to its end.
    fn numbers(reader: &mut LogReader) -> Vec<u64> {
        let events = std::iter::from_fn(|| next(reader).filter(|event| event != "pending"));
        let number = |event: String| {
            let id = event.lines().next().and_then(|line| line.strip_prefix("id: "));
            id.and_then(StreamLog::parse_id).expect("an id").1
        };
        events.map(number).collect()
    }

    #[test]
    fn what_was_sent_and_did_not_arrive_is_kept_for_who_reads() {
        let log = StreamLog::new(3, None, purse());
        for _ in 0..10 {
            log.append(b"{}");
        }
        let mut first = log.read(0, false).expect("a reader");
        assert_eq!(numbers(&mut first), (1..=10).collect::<Vec<_>>());
        drop(first);
        for _ in 0..20 {
            log.append(&vec![b'1'; 10 << 10]);
        }
        let mut back = log.read(5, false).expect("a reader");
        assert_eq!(numbers(&mut back), (6..=30).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_ends_before_what_is_gone() {
        let log = StreamLog::new(3, None, purse());
        for _ in 0..20 {
            log.append(&vec![b'1'; KEPT / 10]);
        }
        let mut reader = log.read(5, false).expect("a reader");
        assert!(next(&mut reader).is_some_and(|event| event.starts_with("id: 3-6\n")));
        // The word of another process about an earlier reader is late.
        log.sent_elsewhere(20);
        assert_eq!(next(&mut reader), None);
        assert!(log.read(6, false).is_none(), "it is told so");
    }

    #[test]
    fn a_new_reader_takes_the_place_of_the_old() {
        let log = StreamLog::new(1, None, purse());
        let mut old = log.read(0, false).expect("a reader");
        let mut new = log.read(0, false).expect("a reader");
        log.append(b"{}");
        assert_eq!(next(&mut old), None);
        drop(old);
        assert!(log.left().is_none(), "somebody reads");
        assert!(next(&mut new).is_some_and(|event| event.contains("1-1")));
    }

    #[test]
    fn what_nobody_reads_does_not_grow_and_is_not_repeated() {
        let log = StreamLog::new(1, None, purse());
        log.append_once(b"{\"x\":1}");
        log.append_once(b"{\"x\":1}");
        log.append_once(b"{\"y\":1}");
        assert_eq!(lock(&log.state).events.len(), 2);
        let large = vec![b'1'; 600 << 10];
        let cx = Context::from_waker(Waker::noop());
        log.append(&large);
        assert!(log.poll_room(&cx).is_ready());
        log.append(&large);
        assert!(log.poll_room(&cx).is_pending());
        log.append_once(b"{\"z\":1}");
        assert_eq!(lock(&log.state).events.len(), 4, "nothing more is taken");
        let mut reader = log.read(0, false).expect("a reader");
        while next(&mut reader).is_some_and(|event| event != "pending") {}
        assert!(log.poll_room(&cx).is_ready());
        assert!(log.read(0, false).is_some(), "it may not have arrived");
        for _ in 0..KEPT / large.len() + 1 {
            log.append(&large);
            while next(&mut reader).is_some_and(|event| event != "pending") {}
        }
        assert!(log.read(0, false).is_some(), "a reader that was replaced takes nothing");
        let mut reader = log.read(4, false).expect("a reader");
        while next(&mut reader).is_some_and(|event| event != "pending") {}
        assert!(lock(&log.state).bytes <= KEPT + large.len());
        assert!(log.read(0, false).is_none(), "its beginning is gone");
    }

    #[test]
    fn an_answer_is_kept_however_much_comes_after_it_and_counts() {
        let purse = Purse::new(64 << 10, None);
        let log = StreamLog::new(1, None, purse.clone());
        let mut reader = log.read(0, false).expect("a reader");
        let large = vec![b'1'; 40 << 10];
        log.append(&large);
        log.append(&large);
        assert_eq!(numbers(&mut reader), [1, 2]);
        drop(reader);
        assert!(log.read(0, false).is_none(), "without room little is kept of what was sent");
        let mut reader = log.read(2, false).expect("a reader");
        log.answer(&large);
        log.answer(&large);
        assert_eq!(numbers(&mut reader), [3, 4]);
        drop(reader);
        assert_eq!(numbers(&mut log.read(2, false).expect("all answers")), [3, 4]);
        assert!(!log.has_room());
        log.append_once(b"{}");
        assert_eq!(lock(&log.state).next, 5, "nothing that can wait is taken");
        drop(log);
        assert!(purse.has_room());
        purse.add((64 << 10) - 1);
        assert!(purse.has_room(), "all of it was given back");
    }
}
