//! Notifications of changes to the clients of sessions.

use trunnion_proto::server::Notice;

use super::Session;
use crate::server::notices::{Listener, News};
use crate::sync::lock;

impl Listener for Session {
    fn notice(&self, notice: &Notice) {
        if let Notice::ElicitationComplete(id) = notice {
            let (told, is_home) = {
                let mut state = lock(&self.state);
                (state.elicitations.complete(id), state.is_home)
            };
            match String::from_utf8(notice.message(None).unwrap_or_default()) {
                Ok(message) if told && !is_home => self.tell(|| News::HandedOver { messages: vec![message] }),
                Ok(message) if told => self.standing.append_once(message.as_bytes()),
                _ => {}
            }
            return;
        }
        let access = {
            let state = lock(&self.state);
            (state.is_home && state.facts.wants(notice, &self.id)).then(|| state.access.clone())
        };
        if access.is_some_and(|access| self.server.catalog.tells(notice, &access))
            && let Some(message) = notice.message(None)
        {
            self.standing.append_once(&message);
        }
    }
}
