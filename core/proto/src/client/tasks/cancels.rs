//! Pending cancellations of tasks, repeated while the server is unavailable.

use std::collections::BTreeMap;
use std::time::Duration;

use super::errands::{LOOK_LIMIT, SOON, of_task};
use crate::client::conn::{ClientConn, Purpose};
use crate::client::connecting::State;
use crate::error::ErrorKind;
use crate::methods::Role;

/// Maximum number of attempts at a server that does not accept a cancellation.
const MAX_TRIES: u32 = 10;
/// Longest wait between two.
const LONGEST: Duration = Duration::from_secs(30);
/// Tasks at a time.
const MAX_CANCELS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Cancels(BTreeMap<String, Cancel>);

#[derive(Debug)]
struct Cancel {
    /// The request, while it is in flight.
    request: Option<u64>,
    /// The time of the next attempt, or of the end of the current one.
    at: Duration,
    tries: u32,
}

impl Cancels {
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.values().map(|cancel| cancel.at).min()
    }
}

impl ClientConn {
    /// Cancels a task at the server. The answer does not matter.
    pub(super) fn cancel_at_server(&mut self, id: &str) {
        let cancels = &mut self.tasks.cancels.0;
        if cancels.len() < MAX_CANCELS && !cancels.contains_key(id) {
            cancels.insert(id.to_owned(), Cancel { request: None, at: self.now, tries: 0 });
            self.send_cancel(id);
        }
    }

    fn send_cancel(&mut self, id: &str) {
        let ready = self.state == State::Ready;
        let request = ready.then(|| {
            let request = self.fresh_id();
            self.pending.insert(request, Purpose::Cancel(id.to_owned()));
            self.send_about(request, Role::CancelTask, &of_task(id));
            request
        });
        let wait = if ready { LOOK_LIMIT } else { SOON };
        let Some(cancel) = self.tasks.cancels.0.get_mut(id) else { return };
        cancel.request = request;
        cancel.tries += u32::from(ready);
        cancel.at = self.now.saturating_add(wait);
    }

    /// The server has answered, or never will.
    pub(in crate::client) fn on_cancel_answered(&mut self, id: &str, error: Option<ErrorKind>) {
        if error == Some(ErrorKind::InternalError) {
            return self.on_cancel_lost(id);
        }
        self.tasks.cancels.0.remove(id);
    }

    /// The cancellation was lost, or the server could not process it.
    pub(super) fn on_cancel_lost(&mut self, id: &str) {
        let Some(cancel) = self.tasks.cancels.0.get_mut(id) else { return };
        if cancel.tries >= MAX_TRIES {
            self.tasks.cancels.0.remove(id);
            return;
        }
        let wait = Duration::from_secs(1 << (cancel.tries - 1)).min(LONGEST);
        (cancel.request, cancel.at) = (None, self.now.saturating_add(wait));
    }

    pub(super) fn on_cancels_deadline(&mut self) {
        let cancels = self.tasks.cancels.0.iter();
        let due = cancels.filter(|(_, cancel)| cancel.at <= self.now);
        let due: Vec<(String, Option<u64>)> = due.map(|(id, cancel)| (id.clone(), cancel.request)).collect();
        for (id, request) in due {
            match request {
                None => self.send_cancel(&id),
                Some(request) => {
                    self.drop_request(request);
                    self.on_cancel_lost(&id);
                }
            }
        }
    }
}
