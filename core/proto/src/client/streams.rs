//! Response streams and sessions of legacy HTTP servers: the stream that belongs to no request, streams that
//! break and are resumed, sessions that end (2025-11-25, Streamable HTTP, "Listening for Messages from the
//! Server", "Resumability and Redelivery", "Session Management").

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::Channel;
use super::conn::ClientConn;
use super::connecting::State;
use super::error::{ClientError, kind};
use super::{Output, PostHead, TransportFailure};
use crate::revision::Era;

/// Reconnection time of a server that names none.
const RETRY: Duration = Duration::from_millis(1000);
/// A server that asks for less would keep us busy with nothing else.
const SHORTEST_RETRY: Duration = Duration::from_millis(10);
/// Upper limit of the back-off, unless the server asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Number of fruitless attempts in a row after which a stream is abandoned.
const BARREN_ROUNDS: u32 = 8;
/// A stream that was open for this long was worth opening, even if nothing came.
const WORTHWHILE: Duration = Duration::from_secs(5);
/// Maximum length of an event id; it must fit in a request's head.
const MAX_EVENT_ID: usize = 4096;

/// The resumption state of an event stream: its last event id and reconnection time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamMark {
    /// Id of the last complete event. `None`: the stream has set none; empty: it reset the id.
    pub last_event_id: Option<String>,
    /// Reconnection time.
    pub retry: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Streams {
    /// The stream of the older transport, which then is all there is.
    pub(super) channel: Option<Channel>,
    now: Duration,
    random: u64,
    /// The stream for messages that belong to no request.
    standalone: Option<Stream>,
    /// Resumption state of the response streams, by request.
    marks: BTreeMap<u64, StreamMark>,
    /// The error for a response that is not a message, by request: reported if no answer follows.
    odd: BTreeMap<u64, ClientError>,
    /// The streams that go on for such a stream, by request.
    resumed: BTreeMap<u64, Stream>,
    /// The session that is being replaced.
    lost: Option<String>,
    /// Messages sent before this belong to an earlier session.
    session_since: u64,
}

#[derive(Debug)]
struct Stream {
    mark: StreamMark,
    round: Round,
    /// Number of fruitless rounds in a row.
    barren: u32,
    /// The server has opened it in this session.
    accepted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Waiting { until: Duration },
    Open { get: u64, since: Duration, fruitful: bool },
}

impl StreamMark {
    fn update(&mut self, newer: StreamMark) {
        if let Some(id) = newer.last_event_id {
            self.last_event_id = Some(id);
        }
        self.retry = newer.retry.or(self.retry);
    }

    /// The event id to resume from, if the server has sent one that can be sent back.
    fn resumption(&self) -> Option<&str> {
        let sendable =
            |id: &&str| !id.is_empty() && id.len() <= MAX_EVENT_ID && !id.chars().any(char::is_control);
        self.last_event_id.as_deref().filter(sendable)
    }

    fn retry(&self) -> Duration {
        self.retry.unwrap_or(RETRY).max(SHORTEST_RETRY)
    }
}

impl TransportFailure {
    /// Returns true if the same GET may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            TransportFailure::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            TransportFailure::Connection(_) => true,
            TransportFailure::Limit(_)
            | TransportFailure::NoStream
            | TransportFailure::Unauthorized { .. } => false,
        }
    }
}

impl Streams {
    pub(super) fn new(seed: u64) -> Streams {
        Streams {
            channel: None,
            now: Duration::ZERO,
            random: seed,
            standalone: None,
            marks: BTreeMap::new(),
            odd: BTreeMap::new(),
            resumed: BTreeMap::new(),
            lost: None,
            session_since: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let resumption = self.resumed.values().filter_map(Stream::due).min();
        // What a request waits for goes first.
        resumption.or_else(|| self.standalone.as_ref().and_then(Stream::due))
    }

    pub(super) fn note_odd(&mut self, request: u64, error: ClientError) {
        self.odd.insert(request, error);
    }

    /// The error for a response to this request that was not a message.
    pub(super) fn odd(&mut self, request: u64) -> Option<ClientError> {
        self.odd.remove(&request)
    }

    /// Returns true while an ended session is being replaced.
    pub(super) fn renewing(&self) -> bool {
        self.lost.is_some()
    }

    /// There is a session again. True: it replaces one.
    pub(super) fn renewed(&mut self) -> bool {
        self.lost.take().is_some()
    }

    fn is_standalone(&self, get: u64) -> bool {
        self.standalone.as_ref().is_some_and(|stream| stream.is_open_as(get))
    }

    fn request_of(&self, get: u64) -> Option<u64> {
        self.resumed.iter().find(|(_, stream)| stream.is_open_as(get)).map(|(request, _)| *request)
    }

    fn opened_as(&mut self, get: u64) -> Option<&mut Stream> {
        self.standalone.iter_mut().chain(self.resumed.values_mut()).find(|stream| stream.is_open_as(get))
    }

    /// Up to a quarter more of `delay`, so that not all clients of a server come back at the same time.
    pub(super) fn spread(&mut self, delay: Duration) -> Duration {
        // splitmix64
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        delay.saturating_add(delay / 1024 * (mixed % 256) as u32)
    }

    /// The stream's next round, after its last one has ended, or was `lost`. `None`: there have been enough.
    fn next_round(&mut self, mut stream: Stream, lost: bool) -> Option<Stream> {
        if let Round::Open { since, fruitful, .. } = stream.round {
            let worthwhile = fruitful || self.now.saturating_sub(since) >= WORTHWHILE;
            stream.barren = if worthwhile { 0 } else { stream.barren + 1 };
        }
        if stream.barren >= BARREN_ROUNDS {
            return None;
        }
        let retry = stream.mark.retry();
        let delay = match stream.barren {
            // All clients of a server that was restarted come back now; what a server asks for while it polls is kept to.
            0 if lost => self.spread(retry),
            0 => retry,
            barren => {
                let longer = retry.saturating_mul(1 << (barren - 1));
                self.spread(longer.min(retry.max(LONGEST_BACKOFF)))
            }
        };
        stream.round = Round::Waiting { until: self.now.saturating_add(delay) };
        Some(stream)
    }
}

impl Stream {
    fn new(mark: StreamMark, round: Round) -> Stream {
        Stream { mark, round, barren: 0, accepted: false }
    }

    fn due(&self) -> Option<Duration> {
        match self.round {
            Round::Waiting { until } => Some(until),
            Round::Open { .. } => None,
        }
    }

    fn is_open_as(&self, key: u64) -> bool {
        matches!(self.round, Round::Open { get, .. } if get == key)
    }

    /// The stream has delivered an event.
    fn bears(&mut self) {
        self.accepted = true;
        if let Round::Open { fruitful, .. } = &mut self.round {
            *fruitful = true;
        }
    }
}

impl ClientConn {
    /// A response has begun as an event stream, or its events contain a resumption state.
    pub fn stream_marked(&mut self, post: u64, mark: StreamMark) {
        if let Some(stream) = self.streams.opened_as(post) {
            if mark != StreamMark::default() {
                stream.bears();
            }
            stream.accepted = true;
            stream.mark.update(mark);
        } else if self.is_legacy_http() && self.is_pending(post) {
            self.streams.marks.entry(post).or_default().update(mark);
        }
    }

    /// Opens the stream for messages that belong to no request, if there is a session.
    pub(super) fn open_standalone(&mut self) {
        if self.is_legacy_http() && self.session.is_some() {
            let round = self.open(None);
            self.streams.standalone = Some(Stream::new(StreamMark::default(), round));
        }
    }

    /// Returns the request of a frame without an id of its own: the inner `None` stands for no request.
    /// `None`: the frame has no meaning.
    pub(super) fn on_stream_frame(&mut self, post: Option<u64>) -> Option<Option<u64>> {
        let Some(post) = post else { return Some(None) };
        if self.has_channel() {
            return self.is_channel(post).then_some(None);
        }
        if let Some(stream) = self.streams.opened_as(post) {
            stream.bears();
            return Some(self.streams.request_of(post));
        }
        Some(Some(post))
    }

    pub(super) fn streams_expect(&self, post: u64) -> bool {
        self.is_channel(post) || self.streams.is_standalone(post) || self.streams.request_of(post).is_some()
    }

    /// Handles the end of an exchange. Returns true if it was one of these streams, or if another one
    /// continues it.
    pub(super) fn on_stream_end(
        &mut self,
        now: Duration,
        post: u64,
        failure: Option<&TransportFailure>,
    ) -> bool {
        self.streams.now = now;
        if !self.is_http() || self.state == State::Closed {
            return false;
        }
        if self.has_channel() {
            return self.on_channel_end(post, failure);
        }
        let mark = self.streams.marks.remove(&post);
        if self.streams.is_standalone(post) {
            self.on_standalone_end(failure);
            return true;
        }
        if let Some(request) = self.streams.request_of(post) {
            self.on_resumed_end(request, failure);
            return true;
        }
        match failure {
            Some(TransportFailure::Status { status: 404, .. }) => self.on_session_refused(post),
            None | Some(TransportFailure::Connection(_)) => {
                mark.is_some_and(|mark| self.resume(post, mark, failure.is_some()))
            }
            Some(_) => false,
        }
    }

    pub(super) fn on_stream_deadline(&mut self, now: Duration) {
        self.streams.now = now;
        let is_due = |stream: &Stream| stream.due().is_some_and(|due| due <= now);
        let due: Vec<u64> =
            self.streams.resumed.iter().filter(|(_, stream)| is_due(stream)).map(|(id, _)| *id).collect();
        for request in due {
            // Its operation may have ended at the same time.
            if !self.is_pending(request) {
                continue;
            }
            let from = self.streams.resumed.get(&request).and_then(|stream| stream.resumption());
            let round = self.open(from);
            if let Some(stream) = self.streams.resumed.get_mut(&request) {
                stream.round = round;
            }
        }
        let waits = self.streams.resumed.values().any(|stream| stream.due().is_some());
        if !waits && self.streams.standalone.as_ref().is_some_and(is_due) {
            let from = self.streams.standalone.as_ref().and_then(|stream| stream.resumption());
            let round = self.open(from);
            if let Some(stream) = &mut self.streams.standalone {
                stream.round = round;
            }
        }
    }

    /// Give up the streams of requests that have ended; the next of them.
    pub(super) fn tidy_streams(&mut self) -> Option<Output> {
        if !self.streams.marks.is_empty() {
            let mut marks = std::mem::take(&mut self.streams.marks);
            marks.retain(|request, _| self.is_pending(*request));
            self.streams.marks = marks;
        }
        if !self.streams.odd.is_empty() {
            let mut odd = std::mem::take(&mut self.streams.odd);
            odd.retain(|request, _| self.is_pending(*request));
            self.streams.odd = odd;
        }
        while let Some(request) = self.streams.resumed.keys().copied().find(|id| !self.is_pending(*id)) {
            let stream = self.streams.resumed.remove(&request);
            if let Some(Round::Open { get: post, .. }) = stream.map(|stream| stream.round) {
                return Some(Output::Abort { post });
            }
        }
        None
    }

    /// Connecting, or replacing a session, failed.
    pub(super) fn connect_failed(&mut self, error: ClientError) {
        let Some(lost) = self.streams.lost.take() else { return self.shut(error) };
        if let State::Initializing { id: post, .. } = self.state {
            self.output(Output::Abort { post });
        }
        // The next request is refused like the last one, and begins anew.
        self.session = Some(lost);
        self.state = State::Ready;
        self.connect_deadline = None;
        let reason = format!("the session is over and could not be replaced: {error}");
        self.output(Output::StreamLost { reason });
        self.fail_waiting(&error);
    }

    fn is_legacy_http(&self) -> bool {
        self.is_http() && self.revision.era() == Era::Legacy && !self.has_channel()
    }

    fn open(&mut self, from: Option<String>) -> Round {
        let get = self.fresh_id();
        let mut headers = self.legacy_headers();
        if let Some(id) = from {
            headers.push(("Last-Event-ID".into(), id));
        }
        let head = Box::new(PostHead { post: get, request: true, listens: true, headers });
        self.output(Output::Open { head, endpoint: false });
        Round::Open { get, since: self.streams.now, fruitful: false }
    }

    fn on_standalone_end(&mut self, failure: Option<&TransportFailure>) {
        let Some(stream) = self.streams.standalone.take() else { return };
        let passing = failure.is_none_or(TransportFailure::is_passing);
        if passing {
            self.streams.standalone = self.streams.next_round(stream, failure.is_some());
            if self.streams.standalone.is_none() {
                let reason = "the server does not keep its event stream open".to_owned();
                self.output(Output::StreamLost { reason });
            }
        } else if stream.accepted {
            match failure {
                Some(TransportFailure::Status { status: 404, .. }) if self.state == State::Ready => {
                    self.renew()
                }
                failure => {
                    let reason = failure.map_or_else(String::new, |failure| failure.error().message);
                    self.output(Output::StreamLost { reason });
                }
            }
        }
        // Otherwise the server offers no such stream.
    }

    /// The response to a request broke off, or was ended by the server for now. False: it cannot be resumed.
    fn resume(&mut self, request: u64, mark: StreamMark, lost: bool) -> bool {
        if mark.resumption().is_none() || !self.is_pending(request) || self.was_lost(request) {
            return false;
        }
        let delay = if lost { self.streams.spread(mark.retry()) } else { mark.retry() };
        let until = self.streams.now.saturating_add(delay);
        self.streams.resumed.insert(request, Stream::new(mark, Round::Waiting { until }));
        true
    }

    fn on_resumed_end(&mut self, request: u64, failure: Option<&TransportFailure>) {
        let Some(stream) = self.streams.resumed.remove(&request) else { return };
        if failure.is_none_or(TransportFailure::is_passing)
            && stream.mark.resumption().is_some()
            && let Some(stream) = self.streams.next_round(stream, failure.is_some())
        {
            self.streams.resumed.insert(request, stream);
            return;
        }
        let mut error = failure.map_or_else(
            || ClientError::local(kind::TRANSPORT, "the response ended without an answer"),
            TransportFailure::error,
        );
        error.message.insert_str(0, "the response broke off and cannot be resumed: ");
        self.fail_exchange(request, error);
    }

    fn was_lost(&self, request: u64) -> bool {
        self.streams.renewing() || request < self.streams.session_since
    }

    /// A request was answered with 404. False: that is no matter of its session.
    fn on_session_refused(&mut self, post: u64) -> bool {
        let in_session = self.session.is_some() || self.streams.renewing();
        if !in_session || !self.is_legacy_http() || !self.hold_back(post) {
            return false;
        }
        if self.state == State::Ready {
            // Whoever was refused first has had the session replaced since.
            if post < self.streams.session_since { self.send_waiting() } else { self.renew() }
        }
        true
    }

    /// Begin a new session in place of the one that the server has ended.
    fn renew(&mut self) {
        self.streams.lost = self.session.take();
        self.forget_own_tasks();
        if let Some(Round::Open { get: post, .. }) = self.streams.standalone.take().map(|stream| stream.round)
        {
            self.output(Output::Abort { post });
        }
        for (request, stream) in std::mem::take(&mut self.streams.resumed) {
            if let Round::Open { get: post, .. } = stream.round {
                self.output(Output::Abort { post });
            }
            let message = "the server ended the session while it was answering";
            self.fail_exchange(request, ClientError::local(kind::TRANSPORT, message));
        }
        let limit = Some(self.config.connect_timeout).filter(|limit| !limit.is_zero());
        self.connect_deadline = limit.map(|limit| self.streams.now.saturating_add(limit));
        self.initialize(self.revision, false);
        if let State::Initializing { id, .. } = self.state {
            self.streams.session_since = id;
        }
    }
}

impl Stream {
    fn resumption(&self) -> Option<String> {
        self.mark.resumption().map(str::to_owned)
    }
}
