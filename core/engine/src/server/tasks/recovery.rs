//! Tasks whose worker is gone: any process takes them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use trunnion_proto::tasks::{Event, Status};

use super::Tasks;
use super::run::begin;
use super::store::{Failed, held, limited, report};
use crate::lock;
use crate::server::ServerCore;
use crate::store::StoredTask;

/// How many due tasks are looked at together.
const PAGE: usize = 16;
/// At most, where none of those that came first can be taken here.
const MAX_PAGE: usize = 4096;

/// Take what is due, for as long as the server lives.
pub(super) async fn look_after(core: Weak<ServerCore>, due: Arc<Notify>) {
    let mut page = PAGE;
    loop {
        let pause = {
            let Some(core) = core.upgrade() else { return };
            let tasks = &core.tasks;
            {
                let mut state = lock(&tasks.state);
                if state.leaving {
                    // Together: whoever serves after that looks again.
                    state.looking = false;
                    return;
                }
            }
            // Not later: a task may have become due that nobody has told of.
            let longest = (tasks.options.lease / 2).max(Duration::from_millis(10));
            match tasks.take_due(&core, page).await {
                Ok(Taken { taken: 0, seen }) => {
                    // What cannot be taken here stays due; look past it.
                    page = if seen == page { (page * 2).min(MAX_PAGE) } else { PAGE };
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
    async fn take_due(&self, core: &Arc<ServerCore>, page: usize) -> Result<Taken, crate::store::StoreError> {
        let due = limited(self.store.due(page)).await?;
        let seen = due.len();
        let mut taken = 0;
        for stored in due {
            if self.take(core, stored).await {
                taken += 1;
            }
        }
        Ok(Taken { taken, seen })
    }

    /// Take one over. False: it is not for this process.
    async fn take(&self, core: &Arc<ServerCore>, stored: StoredTask) -> bool {
        let Ok(held) = held(stored) else { return false };
        let id = held.record.id.clone();
        let Some(entry) = core.catalog.tool(&held.record.origin.tool) else { return false };
        // Of this process itself: its worker is slower than its lease, or cannot reach the store.
        if lock(&self.state).running.contains_key(&id) {
            return false;
        }
        let Some(place) = self.place(&held.record.owner, true) else { return false };
        match self.change_once(held, Event::Claimed).await {
            Ok(Some(held)) => {
                if held.record.status == Status::Working {
                    begin(core, entry, held, place);
                }
                true
            }
            // Somebody else was faster.
            Ok(None) | Err(Failed::Gone | Failed::Refused(_)) => true,
            Err(Failed::Store(error)) => {
                report(&error);
                false
            }
        }
    }
}
