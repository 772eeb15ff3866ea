//! Recovery of tasks whose worker has stopped: any process takes them over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::tasks::{Event, Status, Summary};

use super::Tasks;
use super::run::begin;
use super::store::{Failed, limited, report, summary};
use crate::server::ServerCore;
use crate::store::{DuePage, TaskSummary};
use crate::sync::lock;

/// The number of due tasks that are read together.
const PAGE: usize = 64;

/// Takes over due tasks, for as long as the server lives.
pub(super) async fn look_after(core: Weak<ServerCore>, due: Arc<Notify>) {
    loop {
        let pause = {
            let Some(core) = core.upgrade() else { return };
            let tasks = &core.tasks;
            {
                let mut state = lock(&tasks.state);
                if state.leaving {
                    // Under one lock: a server that serves after that starts the loop again.
                    state.looking = false;
                    return;
                }
            }
            // Not later: a task may have become due without a notification.
            let longest = (tasks.options.lease / 2).max(Duration::from_millis(10));
            match tasks.take_due(&core).await {
                Ok(Taken { taken: 0, seen }) => {
                    // Tasks that this process cannot take over stay due.
                    let again = if seen == 0 { Duration::ZERO } else { longest };
                    match limited(tasks.store.next_due()).await {
                        Ok(Some(next)) => next.max(again).min(longest),
                        Ok(None) => longest,
                        Err(error) => {
                            report(&error);
                            longest
                        }
                    }
                }
                Ok(_) => continue,
                Err(error) => {
                    report(&error);
                    longest
                }
            }
        };
        let told = std::pin::pin!(due.notified());
        let _ = tokio::time::timeout(pause, told).await;
    }
}

struct Taken {
    taken: usize,
    seen: usize,
}

impl Tasks {
    /// Takes over all due tasks, a page at a time: a task that this process cannot take over hides none that
    /// comes after it.
    async fn take_due(&self, core: &Arc<ServerCore>) -> Result<Taken, crate::store::StoreError> {
        let (mut taken, mut seen, mut after) = (0, 0, None::<String>);
        loop {
            let DuePage { tasks, next } = limited(self.store.due(after.as_deref(), PAGE)).await?;
            seen += tasks.len();
            for stored in tasks {
                if self.take(core, stored).await {
                    taken += 1;
                }
            }
            if next.is_none() || lock(&self.state).leaving {
                return Ok(Taken { taken, seen });
            }
            after = next;
        }
    }

    /// Takes over one task. False: it is not for this process.
    async fn take(&self, core: &Arc<ServerCore>, stored: TaskSummary) -> bool {
        let version = stored.version;
        let Ok(Summary { id, owner, tool, .. }) = summary(stored) else { return false };
        let Some(entry) = core.catalog.tool(&tool) else { return false };
        // This process itself works on it: its worker is slower than its lease, or cannot reach the store.
        if lock(&self.state).running.contains_key(&id) {
            return false;
        }
        let Some(place) = self.place(&owner, true) else { return false };
        let held = match self.load(&id).await {
            Ok(held) if held.version == version => held,
            // Another process has taken it first.
            Ok(_) | Err(Failed::Gone) => return true,
            Err(Failed::Refused(_)) => return false,
            Err(Failed::Store(error)) => {
                report(&error);
                return false;
            }
        };
        match self.change_once(held, Event::Claimed).await {
            Ok(Some(held)) => {
                if held.record.status == Status::Working {
                    begin(core, entry, held, place);
                }
                true
            }
            Ok(None) | Err(Failed::Gone | Failed::Refused(_)) => true,
            Err(Failed::Store(error)) => {
                report(&error);
                false
            }
        }
    }
}
