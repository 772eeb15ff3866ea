//! Who is told when something changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use trunnion_proto::server::Notice;

use crate::lock;

/// Somebody who may want to hear of changes.
pub(crate) trait Listener: Send + Sync {
    /// Something has changed. Must not block.
    fn notice(&self, notice: &Notice);
}

/// Carries notices from where something changed to everybody who listens, in this process or beyond it.
pub(crate) trait Bus: Send + Sync {
    /// Something has changed.
    fn publish(&self, notice: &Notice);

    /// Hear of everything that is published, as long as the listener lives.
    fn subscribe(&self, listener: Weak<dyn Listener>);
}

/// The bus inside one process.
#[derive(Default)]
pub(crate) struct Local(Mutex<Vec<Weak<dyn Listener>>>);

impl Bus for Local {
    fn publish(&self, notice: &Notice) {
        for listener in lock(&self.0).iter().filter_map(Weak::upgrade) {
            listener.notice(notice);
        }
    }

    fn subscribe(&self, listener: Weak<dyn Listener>) {
        lock(&self.0).push(listener);
    }
}

/// The listeners of one server.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Members>);

#[derive(Default)]
struct Members {
    listeners: BTreeMap<u64, Weak<dyn Listener>>,
    next: u64,
}

impl Hub {
    /// Listen until the membership is dropped.
    pub fn join(self: &Arc<Self>, listener: Weak<dyn Listener>) -> Membership {
        let mut members = lock(&self.0);
        members.next += 1;
        let id = members.next;
        members.listeners.insert(id, listener);
        Membership { hub: self.clone(), id }
    }
}

impl Listener for Hub {
    fn notice(&self, notice: &Notice) {
        // Not under the lock: who hears of it may leave.
        let listeners: Vec<_> = lock(&self.0).listeners.values().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            listener.notice(notice);
        }
    }
}

/// Listens while it lives.
pub(crate) struct Membership {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.hub.0).listeners.remove(&self.id);
    }
}
