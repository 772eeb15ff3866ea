//! The server on one byte stream: stdio, or a pair in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use trunnion_proto::auth::resource::Access;
use trunnion_proto::error::RpcError;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::revision::Era;
use trunnion_proto::server::catalog::{Entry, Input};
use trunnion_proto::server::{Notice, Output, Request, ServerConn};

use super::asking::{self, Asked, Asks, recall, suspend};
use super::call::{Call, Handler, Inbox, Missed, Say, Start};
use super::notices::{Listener, Membership};
use super::tasks::{Granted, Watch};
use super::{Dispatch, ServerCore, forbidden, guarded};
use crate::driver::in_process::MemoryEnd;
use crate::driver::{ByteReader, ByteWriter, Driver, Sleep};
use crate::random::random_id;
use crate::sync::lock;
use crate::telemetry::{Failure, Span};

/// The time in which requests in flight may still be answered after the peer closed its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// The time that a peer may take, after that, to read the remaining output.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Unsent bytes above which nothing more is read, and messages of handlers wait.
const OUT_HIGH_WATER: usize = 8 << 20;

/// The transport of frames.
pub enum Carrier {
    /// Lines over descriptors.
    Lines {
        /// The frames of the peer.
        reader: ByteReader,
        /// The frames to the peer.
        writer: ByteWriter,
    },
    /// Frames in memory.
    Memory(MemoryEnd),
}

/// Serves until the peer closes its end, or `stop` completes.
pub async fn serve(
    server: Arc<ServerCore>,
    driver: Driver,
    carrier: Carrier,
    transport: &'static str,
    stop: impl Future<Output = ()> + Send,
) {
    serve_as(server, driver, carrier, transport, Arc::default(), stop).await;
}

/// Serves as [`serve`] does, for the callers of the given access, which can change from message to message.
pub(crate) async fn serve_as(
    server: Arc<ServerCore>,
    driver: Driver,
    carrier: Carrier,
    transport: &'static str,
    access: Arc<Mutex<Access>>,
    stop: impl Future<Output = ()> + Send,
) {
    // In memory the server outlives its connections, and so do its tasks. This comes before it serves: a
    // server that had closed does not look after them.
    let serving = (transport == "stdio").then(|| server.tasks.serving());
    server.serves(&driver);
    let _connection = server.counters.count(super::Kind::Connection);
    let settings = server.catalog.settings().clone();
    let limit = settings.limits.message_bytes;
    let (source, sink) = match carrier {
        Carrier::Lines { reader, writer } => {
            (Source::Lines(Lines::new(reader, limit)), Sink::Lines { writer: Some(writer), busy: None })
        }
        Carrier::Memory(end) => (Source::Memory(end.incoming), Sink::Memory(end.outgoing)),
    };
    let session = random_id();
    let _served = server.line.hub().serves_session(&session);
    let mut link = Link {
        conn: ServerConn::new(settings).named(session.clone()),
        session,
        granting: FuturesUnordered::new(),
        watches: HashMap::new(),
        inbox: Arc::new(Inbox::default()),
        calls: HashMap::new(),
        asks: Asks::default(),
        asked: BTreeMap::new(),
        membership: None,
        running: FuturesUnordered::new(),
        source,
        unread: VecDeque::new(),
        sink,
        out: Vec::new(),
        origin: Instant::now(),
        timer: None,
        closing: false,
        cancelled: false,
        given_up: false,
        relief: None,
        server,
        driver,
        transport,
        access,
    };
    let timer = link.driver.clone();
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    poll_fn(|cx| {
        if !stopped && stop.as_mut().poll(cx).is_ready() {
            stopped = true;
            link.begin_to_close();
        }
        link.poll(cx)
    })
    .await;
    if let Some(serving) = serving {
        serving.leave(DRAIN_LIMIT);
        let left = std::pin::pin!(serving.left());
        let limit = std::pin::pin!(timer.sleep(DRAIN_LIMIT + FLUSH_LIMIT));
        futures_util::future::select(left, limit).await;
    }
}

struct Link {
    server: Arc<ServerCore>,
    driver: Driver,
    transport: &'static str,
    access: Arc<Mutex<Access>>,
    conn: ServerConn,
    inbox: Arc<Inbox>,
    calls: HashMap<u64, Call>,
    /// The unanswered input requests to the client of a legacy session.
    asks: Asks,
    /// The questions of modern calls, until their runs are ended.
    asked: BTreeMap<u64, Vec<Asked>>,
    /// The subscription to changes, once the client could want to receive them.
    membership: Option<Membership>,
    running: FuturesUnordered<BoxFuture<'static, (u64, Outcome)>>,
    /// The identity of its legacy session.
    session: String,
    /// Requests to subscribe to tasks that are being read from the store.
    granting: FuturesUnordered<BoxFuture<'static, (u64, Result<Granted, RpcError>)>>,
    /// The tasks that are subscribed to.
    watches: HashMap<u64, Watch>,
    source: Source,
    /// Frames that were read and not yet handled.
    unread: VecDeque<Frame>,
    sink: Sink,
    out: Vec<u8>,
    origin: Instant,
    timer: Option<(Instant, Sleep)>,
    /// True if nothing more is read.
    closing: bool,
    /// True if closing has cancelled the requests that were not answered in time.
    cancelled: bool,
    /// True if the peer does not read the remaining output.
    given_up: bool,
    /// Completes when the host that answers the calls is no longer behind.
    relief: Option<BoxFuture<'static, ()>>,
}

impl Link {
    /// Returns ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut progressed = self.hear(cx);
            progressed |= self.read(cx);
            progressed |= self.run_timer(cx);
            progressed |= self.obey();
            match self.sink.poll_flush(&mut self.out, cx) {
                Ok(sent) => progressed |= sent,
                Err(_) => {
                    self.conn.peer_closed();
                    self.obey();
                    return Poll::Ready(());
                }
            }
            let done = self.conn.in_flight() == 0 && self.out.is_empty() && self.sink.is_idle();
            if self.closing && (done || self.given_up) {
                return Poll::Ready(());
            }
            if !progressed {
                return Poll::Pending;
            }
        }
    }

    /// Handles the messages of handlers.
    fn hear(&mut self, cx: &mut Context<'_>) -> bool {
        let mut heard = false;
        while self.out.len() <= OUT_HIGH_WATER {
            let Poll::Ready((key, say)) = self.inbox.poll_next(cx) else { break };
            heard = true;
            match say {
                Say::Done(outcome) => self.answer(key, outcome),
                Say::Progress(step) => {
                    self.conn.progress(key, &step);
                }
                Say::Log(entry) => {
                    self.conn.log(key, &entry);
                }
                Say::Ask(asked) => self.ask(key, asked),
                // One channel carries everything: there is no stream to close.
                Say::CloseStream | Say::Store(_) => {}
                Say::Notice(notice) => {
                    if self.server.catalog.tells(&notice, &lock(&self.access)) {
                        self.conn.notice(&notice);
                    }
                }
                Say::Missed(missed) => self.tell_again(missed),
            }
            self.obey();
        }
        // Questions that were sent at the same time form one request.
        for (key, asked) in std::mem::take(&mut self.asked) {
            if let Some(call) = self.calls.get(&key).cloned() {
                let outcome = suspend(&call, &self.server.sealer, &asked);
                self.answer(key, outcome);
                self.obey();
            }
        }
        while let Poll::Ready(Some((key, outcome))) = Pin::new(&mut self.running).poll_next(cx) {
            heard = true;
            if let Some(call) = self.calls.get(&key).cloned() {
                call.complete(outcome);
            }
        }
        while let Poll::Ready(Some((key, granted))) = Pin::new(&mut self.granting).poll_next(cx) {
            heard = true;
            match granted {
                Ok(granted) => self.listen(key, granted),
                Err(error) => {
                    self.answer(key, Outcome::Error(error));
                    self.obey();
                }
            }
        }
        heard
    }

    /// Reports every watched subject as changed after some changes were dropped.
    fn tell_again(&mut self, missed: Missed) {
        for id in missed.elicitations {
            self.conn.notice(&Notice::ElicitationComplete(id));
        }
        if missed.resources {
            for uri in self.conn.watched_resources() {
                let notice = Notice::Resource(uri);
                if self.server.catalog.tells(&notice, &lock(&self.access)) {
                    self.conn.notice(&notice);
                }
            }
        }
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&self.inbox);
        self.server.tasks.tell_again(missed.tasks, listener);
    }

    /// Begins a subscription to tasks: their present states come first.
    fn listen(&mut self, key: u64, mut granted: Granted) {
        if self.conn.exchange_mut(key).is_none() {
            return;
        }
        self.conn.listen(key, std::mem::take(&mut granted.filter));
        self.hear_of_changes();
        let listener: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&self.inbox);
        let (news, watch) = granted.begin(listener);
        self.watches.insert(key, watch);
        for news in news {
            self.conn.notice(&Notice::Task(news));
        }
        self.obey();
    }

    fn answer(&mut self, key: u64, outcome: Outcome) {
        self.calls.remove(&key);
        self.conn.complete(key, outcome, self.server.catalog.stamp());
    }

    fn ask(&mut self, key: u64, asked: Asked) {
        let Some(call) = self.calls.get(&key) else { return };
        if call.revision().era() == Era::Modern {
            self.asked.entry(key).or_default().push(asked);
            return;
        }
        let conn = &mut self.conn;
        self.asks.begin(asked, call.revision(), |question, id| conn.ask(key, question, id));
    }

    /// Subscribes to changes: from here on the client may want to receive them.
    fn hear_of_changes(&mut self) {
        if self.membership.is_none() && self.conn.is_listening() {
            let inbox: Weak<dyn Listener> = Arc::<Inbox>::downgrade(&self.inbox);
            self.membership = Some(self.server.line.hub().join(inbox));
        }
    }

    /// Handles one frame at a time, so that the answers to frames that were read together cannot pile up
    /// above the mark.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progressed = false;
        while !self.closing && self.out.len() <= OUT_HIGH_WATER && !self.is_host_behind(cx) {
            match self.unread.pop_front() {
                Some(Frame::Message(frame)) => self.conn.recv(frame),
                Some(Frame::Oversized(beginning)) => self.conn.oversized(&beginning),
                // The next read waits until the others have run.
                None if progressed => return true,
                None => match self.source.poll_frames(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Some(frames)) => {
                        self.unread.extend(frames);
                        continue;
                    }
                    Poll::Ready(None) => self.begin_to_close(),
                },
            }
            progressed = true;
            self.obey();
        }
        progressed
    }

    /// Returns true if the host that answers the calls has not taken its waiting events; wakes the task when
    /// it has.
    fn is_host_behind(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(behind) = self.server.behind.as_ref().filter(|behind| *behind.borrow()) else {
            self.relief = None;
            return false;
        };
        let mut behind = behind.clone();
        let relief = self
            .relief
            .get_or_insert_with(|| Box::pin(async move { drop(behind.wait_for(|behind| !behind).await) }));
        let waits = relief.as_mut().poll(cx).is_pending();
        if !waits {
            self.relief = None;
        }
        waits
    }

    fn begin_to_close(&mut self) {
        if !self.closing {
            self.closing = true;
            self.conn.end_listening(self.server.catalog.stamp());
            self.allow(DRAIN_LIMIT);
        }
    }

    fn allow(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.timer = Some((at, self.driver.sleep_until(at)));
    }

    fn run_timer(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.closing {
            // A time past the range of the clock means never.
            let wanted = self.conn.next_deadline().and_then(|deadline| self.origin.checked_add(deadline));
            match (&mut self.timer, wanted) {
                (None, None) => return false,
                (timer, None) => *timer = None,
                (Some((at, _)), Some(wanted)) if *at == wanted => {}
                (timer, Some(wanted)) => *timer = Some((wanted, self.driver.sleep_until(wanted))),
            }
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        if Pin::new(sleep).poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        if self.cancelled {
            self.given_up = true;
        } else if self.closing {
            self.cancelled = true;
            self.conn.peer_closed();
            self.allow(FLUSH_LIMIT);
        } else {
            self.conn.on_deadline(self.origin.elapsed(), self.server.catalog.stamp());
        }
        true
    }

    /// Carries out the outputs of the state machine.
    fn obey(&mut self) -> bool {
        let mut obeyed = false;
        while let Some(output) = self.conn.poll() {
            obeyed = true;
            match output {
                Output::Send(message) => self.sink.queue(&mut self.out, message),
                Output::Cancelled(key, reason) => {
                    self.watches.remove(&key);
                    if let Some(call) = self.calls.remove(&key) {
                        call.cancel(reason);
                    }
                }
                Output::Answered(ask, result) => {
                    self.asks.answered(ask, result);
                }
                Output::Withdrawn(ask) => self.asks.forget([ask]),
                Output::RootsChanged => self.server.roots_changed(),
                Output::Request(key, mut request) => {
                    request.access = lock(&self.access).clone();
                    let session = (request.revision.era() == Era::Legacy).then_some(self.session.as_str());
                    let (dispatch, span) =
                        self.server.dispatch(&mut request, None, self.transport, None, session);
                    match dispatch {
                        Dispatch::Answer(outcome) => {
                            self.answer(key, outcome);
                            self.hear_of_changes();
                        }
                        Dispatch::Listen(filter) if filter.tasks().next().is_some() => {
                            let principal = request.access.principal().map(|principal| &**principal);
                            let granting = self.server.tasks.grant(filter, principal);
                            self.granting.push(Box::pin(async move { (key, granting.await) }));
                        }
                        Dispatch::Listen(granted) => {
                            self.conn.listen(key, granted);
                            self.hear_of_changes();
                        }
                        Dispatch::Forbid(scopes) => self.answer(key, forbidden(&scopes)),
                        Dispatch::Run { entry, input } => self.run(key, *request, &entry, input, span),
                    }
                }
            }
        }
        obeyed
    }

    fn run(
        &mut self,
        key: u64,
        request: Request,
        entry: &Entry<Arc<dyn Handler>>,
        input: Input,
        span: Option<Span>,
    ) {
        let memory = match recall(&self.server.sealer, &request) {
            Ok(memory) => memory,
            Err(error) => {
                if let Some(span) = span {
                    span.end(Some(Failure::code(error.code)));
                }
                return self.answer(key, Outcome::Error(error));
            }
        };
        if let Some(exchange) = self.conn.exchange_mut(key) {
            exchange.answered_by(entry, &request);
        }
        if let Some(timeout) = entry.timeout {
            self.conn.set_deadline(key, self.origin.elapsed().saturating_add(timeout));
        }
        let call = Call::new(self.inbox.clone(), key, self.transport, request, memory, span);
        self.calls.insert(key, call.clone());
        match asking::start(entry, &call, input) {
            Start::Done(outcome) => {
                call.complete(outcome);
            }
            Start::Later => {}
            Start::Future(future) => {
                let future = guarded(future, call);
                self.running.push(Box::pin(async move { (key, future.await) }));
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.inbox.close();
        for (_, call) in self.calls.drain() {
            call.cancel(Some("the connection closed".into()));
        }
    }
}

enum Frame {
    Message(Bytes),
    /// The beginning of a line that exceeds the limit.
    Oversized(Bytes),
}

enum Source {
    Lines(Lines),
    Memory(tokio::sync::mpsc::UnboundedReceiver<Bytes>),
}

impl Source {
    /// Returns the next frames. `None`: the peer closed its end.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<Frame>>> {
        match self {
            Source::Lines(lines) => lines.poll_frames(cx),
            Source::Memory(incoming) => {
                incoming.poll_recv(cx).map(|frame| frame.map(|f| vec![Frame::Message(f)]))
            }
        }
    }
}

/// Lines that are cut out of a byte stream.
struct Lines {
    reader: ByteReader,
    buffer: Vec<u8>,
    /// The length of the prefix of the buffer that is known to hold no newline.
    scanned: usize,
    limit: usize,
    /// True in the middle of a line that exceeded the limit.
    skipping: bool,
}

impl Lines {
    fn new(reader: ByteReader, limit: usize) -> Lines {
        Lines { reader, buffer: Vec::new(), scanned: 0, limit, skipping: false }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<Frame>>> {
        loop {
            let read = {
                let mut read = std::pin::pin!(self.reader.read(&mut self.buffer));
                match read.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(read) => read.unwrap_or(0),
                }
            };
            if read == 0 {
                // A last line without its newline is a message all the same.
                let rest = std::mem::take(&mut self.buffer);
                self.scanned = 0;
                let mut frames = Vec::new();
                if !self.skipping {
                    push_line(&mut frames, Bytes::from(rest), self.limit);
                }
                return Poll::Ready((!frames.is_empty()).then_some(frames));
            }
            let frames = self.cut();
            if !frames.is_empty() {
                return Poll::Ready(Some(frames));
            }
        }
    }

    fn cut(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        match self.buffer[self.scanned..].iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                let end = self.scanned + last + 1;
                let rest = self.buffer.split_off(end);
                let whole = Bytes::from(std::mem::replace(&mut self.buffer, rest));
                let mut start = 0;
                while let Some(length) = whole[start..].iter().position(|byte| *byte == b'\n') {
                    let line = whole.slice(start..start + length);
                    start += length + 1;
                    if std::mem::take(&mut self.skipping) {
                        continue;
                    }
                    push_line(&mut frames, line, self.limit);
                }
                self.scanned = self.buffer.len();
            }
            None => self.scanned = self.buffer.len(),
        }
        if self.buffer.len() > self.limit && !std::mem::replace(&mut self.skipping, true) {
            frames.push(Frame::Oversized(Bytes::copy_from_slice(&self.buffer)));
        }
        if self.skipping {
            self.buffer.clear();
            self.scanned = 0;
        }
        frames
    }
}

fn push_line(frames: &mut Vec<Frame>, line: Bytes, limit: usize) {
    if line.len() > limit {
        frames.push(Frame::Oversized(line));
    } else if !line.trim_ascii().is_empty() {
        frames.push(Frame::Message(line));
    }
}

enum Sink {
    Lines { writer: Option<ByteWriter>, busy: Option<BoxFuture<'static, std::io::Result<ByteWriter>>> },
    Memory(tokio::sync::mpsc::UnboundedSender<Bytes>),
}

impl Sink {
    fn queue(&mut self, out: &mut Vec<u8>, message: Vec<u8>) {
        match self {
            Sink::Lines { .. } => {
                out.extend_from_slice(&message);
                out.push(b'\n');
            }
            // A closed peer is noticed when reading.
            Sink::Memory(outgoing) => drop(outgoing.send(Bytes::from(message))),
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self, Sink::Memory(_) | Sink::Lines { busy: None, .. })
    }

    /// Writes the queued output. True: some was accepted.
    fn poll_flush(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) -> std::io::Result<bool> {
        let Sink::Lines { writer, busy } = self else { return Ok(false) };
        let mut sent = false;
        loop {
            if let Some(write) = busy {
                match write.as_mut().poll(cx) {
                    Poll::Pending => return Ok(sent),
                    Poll::Ready(result) => {
                        *writer = Some(result?);
                        *busy = None;
                    }
                }
            }
            if out.is_empty() {
                return Ok(sent);
            }
            let mut taken = writer.take().expect("not busy");
            let bytes = std::mem::take(out);
            sent = true;
            *busy = Some(Box::pin(async move { taken.write_all(&bytes).await.map(|()| taken) }));
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use trunnion_proto::server::catalog::{Behaviour, Catalog, Item, Offer};
    use trunnion_proto::server::{Settings, Stamp};

    use super::super::seal::{DEFAULT_TTL, Sealer};
    use super::*;

    /// A tool whose result is larger than a socket holds.
    struct Much;

    impl Handler for Much {
        fn start(&self, _: Call, _: Input) -> Start {
            Start::Done(Outcome::Text("x".repeat(4 << 20)))
        }
    }

    /// A tool that never answers.
    struct Silent;

    impl Handler for Silent {
        fn start(&self, _: Call, _: Input) -> Start {
            Start::Future(Box::pin(std::future::pending()))
        }
    }

    /// Serves a peer that calls a tool and then closes its end, but does not read; returns the time that it
    /// took.
    async fn served(tool: Arc<dyn Handler>) -> Duration {
        let offer = Offer { stamp: Stamp::new("{}", 0, "private"), instructions: None, page_size: 10 };
        let catalog: Catalog<Arc<dyn Handler>> = Catalog::new(Settings::default(), offer);
        catalog.add(Item::Tool, r#"{"name":"t"}"#, Behaviour::default(), tool).expect("valid");
        let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        let server =
            Arc::new(ServerCore::new(catalog, Arc::default(), sealer, None, None, None, Default::default()));
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let driver = Driver::Tokio(tokio::runtime::Handle::current());
        let reader = driver.reader(ours.try_clone().expect("a duplicate").into()).expect("a reader");
        let writer = driver.writer(ours.into()).expect("a writer");
        let call = concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":"#,
            r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
            "\n"
        );
        theirs.write_all(call.as_bytes()).expect("written");
        theirs.shutdown(std::net::Shutdown::Write).expect("shut");
        let carrier = Carrier::Lines { reader, writer };
        let began = tokio::time::Instant::now();
        serve(server.clone(), driver, carrier, "stdio", std::future::pending()).await;
        assert!(server.counters.is_idle());
        began.elapsed()
    }

    /// A tool that counts its calls, and never answers.
    struct Counting(Arc<std::sync::atomic::AtomicUsize>);

    impl Handler for Counting {
        fn start(&self, _: Call, _: Input) -> Start {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Start::Later
        }
    }

    #[tokio::test]
    async fn nothing_is_read_while_the_host_is_behind() {
        let offer = Offer { stamp: Stamp::new("{}", 0, "private"), instructions: None, page_size: 10 };
        let catalog: Catalog<Arc<dyn Handler>> = Catalog::new(Settings::default(), offer);
        let calls = Arc::default();
        let tool = Arc::new(Counting(Arc::clone(&calls)));
        catalog.add(Item::Tool, r#"{"name":"t"}"#, Behaviour::default(), tool).expect("valid");
        let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        let mut core = ServerCore::new(catalog, Arc::default(), sealer, None, None, None, Default::default());
        let behind = tokio::sync::watch::Sender::new(true);
        core.behind = Some(behind.subscribe());
        let (ours, theirs) = crate::driver::in_process::memory_pair();
        let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
        theirs.outgoing.send(bytes::Bytes::from_static(call)).expect("sent");
        let driver = Driver::Tokio(tokio::runtime::Handle::current());
        let serving = serve(Arc::new(core), driver, Carrier::Memory(ours), "memory", std::future::pending());
        let mut serving = std::pin::pin!(serving);
        let called = || calls.load(std::sync::atomic::Ordering::Relaxed);
        for _ in 0..10 {
            assert!(futures_util::poll!(serving.as_mut()).is_pending());
        }
        assert_eq!(called(), 0);
        behind.send_replace(false);
        assert!(futures_util::poll!(serving.as_mut()).is_pending());
        assert_eq!(called(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_cannot_keep_the_connection_open() {
        assert_eq!(served(Arc::new(Much)).await.as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_has_a_second_after_the_peer_has_closed() {
        assert_eq!(served(Arc::new(Silent)).await.as_secs(), 1);
    }
}
