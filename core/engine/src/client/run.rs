//! The task of one connection: receives commands and transport events, sends sink events.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};
use trunnion_proto::client::{
    ClientConfig, ClientConn, ClientError, EraPolicy, Output, Transport, TransportFailure, kind,
};
use trunnion_proto::json::Json;

use super::child::ChildLink;
use super::exchange::{HttpEvent, HttpLink};
use super::{ClientEvent, Command, ConnectOptions, MemoryEnd, Reply, Sink, Target, closed, verdicts};

/// The longest time that clocks can be relied on to count.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// An event of a link of frames.
pub(super) enum LinkEvent {
    Frame(bytes::Bytes),
    /// Output of the server on its standard error: the parameters of the event `stderr`.
    Stderr(Json),
    /// The peer is disconnected, for this reason.
    Closed(String),
    /// The peer exceeded a limit.
    Broken(ClientError),
}

enum Link {
    Child(Box<ChildLink>),
    Memory(MemoryEnd),
    Http(Box<HttpLink>),
    /// The link could not be made; reports the reason once.
    Failed(Option<ClientError>),
}

enum Event {
    Link(LinkEvent),
    Http(HttpEvent),
}

/// Cleanup for every end of the connection's task: it may panic, or its runtime may be dropped.
struct Ending {
    conn: ClientConn,
    commands: mpsc::UnboundedReceiver<Command>,
    sink: Arc<Sink>,
    /// True if the task ended in order.
    told: bool,
}

impl Ending {
    /// Refuses commands that were sent and will not be executed.
    fn refuse_commands(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Start { op, .. } = command {
                (self.sink)(closed(op));
            }
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let reason = "the client's task has broken off";
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.conn.broken(ClientError::local(kind::CLOSED, reason));
            while let Some(output) = self.conn.poll() {
                match output {
                    Output::Error { op, error } => (self.sink)(ClientEvent::Error { op, error }),
                    Output::ConnectFailed(error) => (self.sink)(ClientEvent::ConnectFailed(error)),
                    _ => {}
                }
            }
            self.refuse_commands();
            (self.sink)(ClientEvent::Closed { reason: reason.to_owned() });
        }));
        if ended.is_err() {
            tracing::error!("who is told of a client's end has panicked");
        }
    }
}

pub(super) async fn run(
    target: Target,
    options: ConnectOptions,
    commands: mpsc::UnboundedReceiver<Command>,
    questions: mpsc::WeakUnboundedSender<Command>,
    sink: Arc<Sink>,
    mut full: Option<watch::Receiver<bool>>,
) {
    // The result of probing a server is cached.
    let key = verdicts::key(&target).filter(|_| options.era == EraPolicy::Auto);
    let known = || key.and_then(verdicts::recall);
    let mut config = ClientConfig {
        transport: match &target {
            Target::Url(_) => Transport::Http,
            Target::Command(_) => Transport::Stream { restartable: true },
            Target::Memory(_) => Transport::Stream { restartable: false },
        },
        era: options.era,
        connect_timeout: options.connect_timeout,
        limits: options.limits,
        http: options.transport,
        seed: RandomState::new().hash_one(()),
        roots: options.roots,
        log_level: options.log_level,
        cache: options.cache,
        tasks: options.tasks,
        since_epoch: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        prior: options.revision.or_else(known),
        ..ClientConfig::default()
    };
    if !options.client_info.is_empty() {
        config.client_info = options.client_info;
    }
    if !options.capabilities.is_empty() {
        config.capabilities = options.capabilities;
    }
    let mut link = match target {
        Target::Url(url) => {
            let bytes = options.limits.message_bytes;
            match HttpLink::new(&url, &options.headers, options.auth, bytes) {
                Ok(http) => Link::Http(Box::new(http)),
                Err(reason) => Link::Failed(Some(ClientError::local(kind::USAGE, reason))),
            }
        }
        _ if options.auth.is_some() => {
            let reason = "auth is for servers over HTTP";
            Link::Failed(Some(ClientError::local(kind::USAGE, reason)))
        }
        Target::Command(command) => match ChildLink::spawn(command, options.limits.message_bytes) {
            Ok(child) => Link::Child(Box::new(child)),
            Err(reason) => Link::Failed(Some(ClientError::local(kind::TRANSPORT, reason))),
        },
        Target::Memory(end) => Link::Memory(end),
    };

    let mut clock = Clock::new();
    let mut ending = Ending { conn: ClientConn::new(config), commands, sink, told: false };
    let Ending { conn, commands, sink, .. } = &mut ending;
    conn.connect(Duration::ZERO);
    if let Link::Failed(error) = &mut link
        && let Some(error) = error.take()
    {
        conn.broken(error);
    }
    let mut sleep = Box::pin(tokio::time::sleep_until(clock.at(FAR)));
    let mut armed = None;
    let mut farewell = None;
    let mut unknown = key;
    let mut token = link.token();
    loop {
        carry_out(conn, &mut link, sink, &questions, &mut farewell);
        if let Some(facts) = conn.facts().filter(|_| conn.is_ready())
            && let Some(key) = unknown.take()
            && !conn.is_guess()
        {
            verdicts::remember(key, facts.revision);
        }
        if conn.is_closed() {
            break;
        }
        if link.token() != token {
            token = link.token();
            conn.token_changed();
        }
        let is_behind = full.as_ref().is_some_and(|full| *full.borrow());
        // Messages that the host does not accept cannot time out either.
        clock.hold(link.is_authorizing() || is_behind);
        let deadline = conn.next_deadline().filter(|_| !clock.stands()).map(|deadline| clock.at(deadline));
        if armed != deadline {
            armed = deadline;
            if let Some(deadline) = deadline {
                Sleep::reset(sleep.as_mut(), deadline);
            }
        }
        tokio::select! {
            command = commands.recv() => {
                apply(conn, &link, sink, command, clock.now());
                // Commands that arrived together are sent together.
                while let Ok(command) = commands.try_recv() {
                    carry_out(conn, &mut link, sink, &questions, &mut farewell);
                    apply(conn, &link, sink, Some(command), clock.now());
                }
            }
            () = relief(&mut full), if is_behind => {}
            event = link.next(), if !is_behind => match event {
                Event::Link(LinkEvent::Stderr(params)) => {
                    sink(ClientEvent::Notification { event: "stderr", params });
                }
                event => take_in(conn, &mut link, event, clock.now()),
            },
            () = &mut sleep, if deadline.is_some() => {
                armed = None;
                conn.on_deadline(clock.now());
            }
        }
    }
    ending.refuse_commands();
    match link {
        Link::Child(child) => child.end().await,
        Link::Http(http) => http.end(ending.conn.session_end()).await,
        Link::Memory(_) | Link::Failed(_) => {}
    }
    // The last step: a receiver of this event may end this task's runtime, and then the process would not be
    // reaped.
    if let Some(event) = farewell {
        ending.told = true;
        (ending.sink)(event);
    }
}

/// Waits until the host has room again.
async fn relief(full: &mut Option<watch::Receiver<bool>>) {
    if let Some(full) = full {
        let _ = full.wait_for(|full| !full).await;
    }
}

/// The time that the machine receives. It is paused while an exchange waits for tokens, which may depend on
/// the user; sign-in attempts have time limits of their own.
struct Clock {
    begun: Instant,
    stood: Duration,
    since: Option<Instant>,
}

impl Clock {
    fn new() -> Clock {
        Clock { begun: Instant::now(), stood: Duration::ZERO, since: None }
    }

    fn now(&self) -> Duration {
        let at = self.since.unwrap_or_else(Instant::now);
        at.saturating_duration_since(self.begun).saturating_sub(self.stood)
    }

    fn hold(&mut self, held: bool) {
        match (held, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(since)) => {
                self.stood += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
    }

    fn stands(&self) -> bool {
        self.since.is_some()
    }

    /// Returns the instant at which the machine's time is this, unless the clock is paused.
    fn at(&self, time: Duration) -> Instant {
        self.begun + self.stood + time.min(FAR)
    }
}

impl Link {
    /// Returns the generation of the client's tokens.
    fn token(&self) -> u64 {
        match self {
            Link::Http(http) => http.token(),
            _ => 0,
        }
    }

    /// Checks that one more call can be sent. Fails with kind `limit`.
    fn has_room(&self) -> Result<(), ClientError> {
        match self {
            Link::Child(child) => child.has_room(),
            _ => Ok(()),
        }
    }

    fn is_authorizing(&self) -> bool {
        matches!(self, Link::Http(http) if http.is_authorizing())
    }

    /// Returns the next event; also continues writing. Cancel-safe.
    async fn next(&mut self) -> Event {
        match self {
            Link::Child(child) => Event::Link(child.next().await),
            Link::Memory(end) => Event::Link(match end.incoming.recv().await {
                Some(frame) => LinkEvent::Frame(frame),
                None => LinkEvent::Closed("the server closed the connection".into()),
            }),
            Link::Http(http) => Event::Http(http.next().await),
            Link::Failed(_) => std::future::pending().await,
        }
    }
}

fn apply(conn: &mut ClientConn, link: &Link, sink: &Sink, command: Option<Command>, now: Duration) {
    match command {
        Some(Command::Start { op, method, params, options }) => match link.has_room() {
            Ok(()) => conn.start(now, op, method, params, options),
            Err(error) => sink(ClientEvent::Error { op, error }),
        },
        Some(Command::Cancel { op, reason }) => {
            conn.cancel(op, &reason);
        }
        Some(Command::Answer { question, answer }) => {
            conn.answer(now, question, answer);
        }
        Some(Command::Roots(roots)) => {
            conn.set_roots(roots);
        }
        Some(Command::CancelConnect { reason }) => {
            conn.cancel_connect(&reason);
        }
        Some(Command::Close) | None => conn.close(),
    }
}

fn take_in(conn: &mut ClientConn, link: &mut Link, event: Event, now: Duration) {
    match event {
        Event::Link(LinkEvent::Frame(frame)) => {
            conn.recv(now, None, frame);
            // Frames that are buffered already do not need a pass of the loop each.
            if let Link::Child(child) = link {
                while let Some(frame) = child.buffered() {
                    conn.recv(now, None, frame);
                }
            }
        }
        // Reported where it was read.
        Event::Link(LinkEvent::Stderr(_)) => {}
        Event::Link(LinkEvent::Closed(reason)) => conn.peer_closed(&reason),
        Event::Link(LinkEvent::Broken(error)) => conn.broken(error),
        Event::Http(HttpEvent::Session { post, session }) => conn.session_assigned(post, &session),
        Event::Http(HttpEvent::Endpoint { post, endpoint }) => {
            let Link::Http(http) = link else { return };
            match http.send_to(&endpoint) {
                Ok(()) => conn.endpoint_found(post),
                Err(reason) => {
                    http.abort(post);
                    conn.failed(now, post, TransportFailure::Connection(reason));
                }
            }
        }
        Event::Http(HttpEvent::Frames { post, frames, mark, ended }) => {
            if let Some(mark) = mark {
                conn.stream_marked(post, mark);
            }
            for frame in frames {
                conn.recv(now, Some(post), frame);
            }
            if ended {
                conn.stream_ended(now, post);
            } else if let (Link::Http(http), false) = (link, conn.expects(post)) {
                http.linger(post);
            }
        }
        Event::Http(HttpEvent::Failed { post, failure }) => conn.failed(now, post, failure),
        Event::Http(HttpEvent::Idle) => {}
    }
}

fn carry_out(
    conn: &mut ClientConn,
    link: &mut Link,
    sink: &Sink,
    questions: &mpsc::WeakUnboundedSender<Command>,
    farewell: &mut Option<ClientEvent>,
) {
    while let Some(output) = conn.poll() {
        let event = match output {
            Output::Send { bytes, post } => {
                match (&mut *link, post) {
                    (Link::Http(http), Some(post)) => http.post(*post, bytes),
                    (Link::Child(child), _) => {
                        if let Err(error) = child.send(bytes) {
                            conn.broken(error);
                        }
                    }
                    // The receiving side detects a closed channel.
                    (Link::Memory(end), _) => drop(end.outgoing.send(bytes.into())),
                    _ => {}
                }
                continue;
            }
            Output::Open { head, endpoint } => {
                if let Link::Http(http) = link {
                    http.open(*head, endpoint);
                }
                continue;
            }
            Output::StreamLost { reason } => {
                tracing::warn!(reason, "the server's notifications are not heard any more");
                continue;
            }
            Output::Abort { post } => {
                if let Link::Http(http) = link {
                    http.abort(post);
                }
                continue;
            }
            Output::Restart => {
                if let Link::Child(child) = link {
                    match child.restart() {
                        Ok(()) => conn.restarted(),
                        Err(reason) => conn.peer_closed(&reason),
                    }
                }
                continue;
            }
            Output::EntryDropped { list, entry, reason } => {
                tracing::warn!(list, entry, reason, "an entry of a list of the server is left out");
                continue;
            }
            Output::ToolDropped { tool, reason } => {
                tracing::warn!(
                    tool,
                    reason,
                    "a tool of the server is left out: its header annotations are invalid"
                );
                continue;
            }
            Output::AnswerRefused { reason, .. } => {
                tracing::warn!(reason, "an answer to the server's question is refused: it does not fit");
                continue;
            }
            Output::Ask { question, kind, params } => {
                let reply = Reply::new(questions.clone(), question);
                ClientEvent::Ask { question, kind, params, reply }
            }
            Output::Withdrawn { question, reason } => ClientEvent::Withdrawn { question, reason },
            Output::Told { op, event, params } => ClientEvent::Told { op, event, params },
            Output::Ready(facts) => ClientEvent::Ready(facts),
            Output::ConnectFailed(error) => ClientEvent::ConnectFailed(error),
            Output::Result { op, result } => ClientEvent::Result { op, result },
            Output::Error { op, error } => ClientEvent::Error { op, error },
            Output::Progress { op, payload } => ClientEvent::Progress { op, payload },
            Output::Notification { event, params } => ClientEvent::Notification { event, params },
            Output::Closed { reason } => {
                *farewell = Some(ClientEvent::Closed { reason });
                continue;
            }
        };
        sink(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_while_tokens_are_waited_for() {
        let second = Duration::from_secs(1);
        let mut clock = Clock::new();
        tokio::time::advance(second).await;
        clock.hold(true);
        tokio::time::advance(300 * second).await;
        clock.hold(true);
        assert!(clock.stands());
        assert_eq!(clock.now(), second);
        clock.hold(false);
        tokio::time::advance(second).await;
        assert_eq!(clock.now(), 2 * second);
        assert_eq!(clock.at(3 * second) - Instant::now(), second);
    }
}
