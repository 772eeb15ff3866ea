//! Eviction of a session to make room for a new one at the limit.

use std::sync::Arc;

use super::super::budget::Owner;
use super::super::shared;
use super::{NoSession, Session, Sessions};
use crate::server::notices::News;
use crate::sync::lock;

impl Sessions {
    /// Where there are as many as there can be, of one owner or in all, the one that has not been used for
    /// longest ends, of those whose client has done nothing since it said hello. `everywhere`: it ends for
    /// other processes too, for it is a new session that needs its place.
    pub(super) fn make_room(self: &Arc<Self>, owner: &Owner, everywhere: bool) -> Result<(), NoSession> {
        let (victim, owners) = {
            let mut table = lock(&self.table);
            let mine = |session: &&Arc<Session>| session.owner == *owner;
            let owners = owner.is_some() && table.values().filter(mine).count() >= self.per_owner;
            if !owners && table.len() < self.most {
                return Ok(());
            }
            let candidates = table.values().filter(|session| !owners || session.owner == *owner);
            let unused = candidates.filter_map(|session| Some((session.unused_since()?, session)));
            let longest = unused.min_by_key(|(since, _)| *since).map(|(_, session)| session.id.clone());
            (longest.and_then(|id| table.remove(&id)), owners)
        };
        let Some(victim) = victim else {
            return Err(if owners { NoSession::TooManyOfOwner } else { NoSession::TooMany });
        };
        victim.close(everywhere);
        if let Some(shared) = self.shared.clone().filter(|_| everywhere) {
            self.driver.spawn(async move {
                if let Err(error) = shared.sessions.remove(&victim.id).await {
                    shared::report("sessions", &error);
                }
                shared.forget_events(&victim.id, None);
                shared.line.tell(&victim.id, News::Ended);
            });
        }
        Ok(())
    }
}
