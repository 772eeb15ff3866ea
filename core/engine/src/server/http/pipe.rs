//! Channel for events between the task of a call and the connection that sends them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::answer::Events;
use crate::server::call::Call;
use crate::sync::lock;

/// Bytes of unsent events above which the writer has to wait.
const FULL: usize = 64 << 10;

/// The events of one answer. An answer is taken even if it is full.
#[derive(Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    events: VecDeque<Bytes>,
    bytes: usize,
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub fn push(&self, event: Bytes) {
        self.change(|state| {
            state.bytes += event.len();
            state.events.push_back(event);
        });
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.change(|state| state.over = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = lock(&self.0);
            change(&mut state);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Ready when there is room for more. The writer is also woken when the reader leaves.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        state.writer = Some(cx.waker().clone());
        if state.bytes < FULL { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake_writer(&self) {
        let writer = lock(&self.0).writer.take();
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

/// The connection's end. Dropping it tells the handler that the caller has left.
pub(super) struct PipeReader {
    pub pipe: Arc<Pipe>,
    pub call: Call,
}

impl Events for PipeReader {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let event = {
            let mut state = lock(&self.pipe.0);
            let Some(event) = state.events.pop_front() else {
                if state.over {
                    return Poll::Ready(None);
                }
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            state.bytes -= event.len();
            event
        };
        self.pipe.wake_writer();
        Poll::Ready(Some(event))
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.call.cancel(Some("the connection closed".into()));
        self.pipe.wake_writer();
    }
}
