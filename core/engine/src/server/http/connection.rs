//! One connection of a listener. hyper reads and writes it; a watcher beside it detects a peer that leaves or
//! does not read, also while a request is answered.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use tokio::sync::watch;

use super::{Endpoint, Phase, ResponseBody, answer};
use crate::driver::{Conn, ConnWatch, Driver, Noticed, Sleep};
use crate::server::Kind;

/// Time limit for the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Maximum size of a request's head in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// The time for which a client of HTTP/1.0 that has closed its side is assumed to wait for the answer; it
/// cannot be probed.
const SILENT_LIMIT: Duration = Duration::from_secs(5);

/// An answer that every client skips that waits for one (RFC 9110, 15.2). The network resets the connection
/// if nobody waits.
const STILL_THERE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The state of the answer to a request.
#[derive(Default)]
struct Answering {
    state: AtomicU8,
    /// The event stream is to say something, to find out whether somebody reads it.
    comment: AtomicBool,
}

const IDLE: u8 = 0;
/// Nothing of the answer has been sent.
const WAITING: u8 = 1;
/// The same; the client cannot take interim answers.
const WAITING_OF_OLD: u8 = 2;
/// An event stream has begun.
const STREAMING: u8 = 3;

/// Serves a connection until its peer leaves it, or the phase ends it. `stall`: how long the peer may take
/// nothing of what is sent to it.
pub(super) async fn serve(
    endpoint: Arc<Endpoint>,
    timer: Driver,
    conn: Conn,
    peer: Option<IpAddr>,
    mut phase: watch::Receiver<Phase>,
    stall: Duration,
) {
    let _counted = endpoint.server.counters.count(Kind::Connection);
    let answering = Arc::new(Answering::default());
    let mut watched = Watched {
        conn: conn.watch(&timer, stall),
        answering: answering.clone(),
        timer: timer.clone(),
        ended: None,
    };
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (endpoint, answering) = (endpoint.clone(), answering.clone());
        async move {
            let (head, body) = request.into_parts();
            let waiting = if head.version < Version::HTTP_11 { WAITING_OF_OLD } else { WAITING };
            answering.state.store(waiting, Ordering::Relaxed);
            let response = endpoint.handle(&head, body, peer).await;
            let state = if response.body().is_stream() { STREAMING } else { IDLE };
            answering.state.store(state, Ordering::Relaxed);
            Ok::<_, Infallible>(response.map(|body| Answer { body, answering }))
        }
    });
    let mut serving = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(timer)
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES.max(8192))
            // A client that has said all it has to say may still wait for the answer.
            .half_close(true)
            // Not `pipeline_flush`: it buffers without limit what a client does not read, and keeps back
            // answers to what cannot be read, and to whoever sends the next request early.
            .writev(false)
            .serve_connection(conn, service)
    );
    {
        let draining = pin!(phase.wait_for(|phase| *phase > Phase::Serving));
        // An error is the client's: there is nobody left to tell.
        if let Either::Left(_) = select(pin!(watched.watch(serving.as_mut())), draining).await {
            return;
        }
    }
    serving.as_mut().graceful_shutdown();
    let stopped = pin!(phase.wait_for(|phase| *phase == Phase::Stopped));
    let _ = select(pin!(watched.watch(serving)), stopped).await;
}

/// The watch on a connection, and what is known of its answer.
struct Watched {
    conn: ConnWatch,
    answering: Arc<Answering>,
    timer: Driver,
    /// The peer has closed its side.
    ended: Option<Ended>,
}

enum Ended {
    /// It is not known if it reads.
    Unknown,
    /// It was sent something: if it does not read, the connection is reset.
    Asked,
    /// It cannot be sent anything before the answer.
    Silent(Sleep),
}

impl Watched {
    /// Drive hyper until it is done, or until the peer is gone.
    async fn watch(&mut self, mut serving: Pin<&mut impl Future>) {
        poll_fn(|cx| {
            loop {
                if serving.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match self.conn.poll(cx) {
                    Poll::Ready(Noticed::Bytes) => continue,
                    Poll::Ready(Noticed::End) => {
                        self.ended = Some(Ended::Unknown);
                        continue;
                    }
                    Poll::Ready(Noticed::Gone) => return Poll::Ready(()),
                    Poll::Ready(Noticed::Stalled) => {
                        tracing::debug!(
                            "a client does not read what is sent to it; its connection is closed"
                        );
                        self.conn.abort();
                        return Poll::Ready(());
                    }
                    Poll::Pending => {}
                }
                match self.poll_ended(cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Find out whether a peer that has closed its side waits for the answer. False: it does not; true: hyper
    /// has something to do.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let state = self.answering.state.load(Ordering::Relaxed);
        match (&mut self.ended, state) {
            (Some(Ended::Unknown), WAITING) => {
                self.ended = Some(Ended::Asked);
                if self.conn.send(STILL_THERE) { Poll::Pending } else { Poll::Ready(false) }
            }
            (Some(Ended::Unknown), WAITING_OF_OLD) => {
                let mut silent = self.timer.sleep(SILENT_LIMIT);
                let passed = Pin::new(&mut silent).poll(cx);
                self.ended = Some(Ended::Silent(silent));
                passed.map(|()| false)
            }
            (Some(Ended::Unknown | Ended::Silent(_)), STREAMING) => {
                self.ended = Some(Ended::Asked);
                self.answering.comment.store(true, Ordering::Relaxed);
                Poll::Ready(true)
            }
            (Some(Ended::Silent(silent)), WAITING_OF_OLD) => Pin::new(silent).poll(cx).map(|()| false),
            _ => Poll::Pending,
        }
    }
}

/// The body of an answer; an event stream also says what the watch wants it to.
struct Answer {
    body: ResponseBody,
    answering: Arc<Answering>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() && self.answering.comment.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Some(Ok(Frame::data(answer::comment()))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // The next request may be answered by now.
        let _ = self.answering.state.compare_exchange(STREAMING, IDLE, Ordering::Relaxed, Ordering::Relaxed);
    }
}
