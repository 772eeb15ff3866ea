//! Reconciles the credentials of the flow with those of the store: ownership of a record, and lost swaps.

use super::{BROWSER, Config, Credentials, Flow, Grant};
use crate::auth::credentials::Client;

impl Config {
    /// Returns true if the tokens of this record belong to this client and grant. A store has one record per
    /// server, whoever wrote it.
    pub(super) fn owns(&self, record: &Credentials) -> bool {
        let grant = match &record.grant {
            Some(name) => name == self.grant.name(),
            // Not noted. What takes no user is had again for nothing.
            None => matches!(self.grant, Grant::Browser { .. }),
        };
        let Some(client) = &record.client else { return grant };
        let same = match &self.identity.preregistered {
            Some(configured) => {
                // Another issuer is not shown the secret, though its refresh token is here.
                let there = configured.issuer.as_ref().is_none_or(|issuer| *issuer == record.issuer);
                there && configured.id == client.id
            }
            None => record.grant.is_none() || record.redirect_uri.is_some() || self.is_document(client),
        };
        grant && same
    }

    /// Is something secret configured without saying for which authorization server?
    pub(super) fn needs_issuer(&self) -> bool {
        let Some(client) = &self.identity.preregistered else { return false };
        let secret =
            client.secret.is_some() || self.identity.has_key || matches!(self.grant, Grant::JwtBearer { .. });
        secret && client.issuer.is_none() && !client.trust_first_issuer
    }

    fn is_document(&self, client: &Client) -> bool {
        self.identity.metadata_url.as_ref() == Some(&client.id)
    }

    fn is_configured(&self, client: &Client) -> bool {
        self.identity.preregistered.as_ref().is_some_and(|configured| configured.id == client.id)
    }
}

impl Flow {
    /// Adopts the current content of the store. Useful only between attempts. Returns true if the tokens of
    /// another writer were adopted: whatever the version, since versions start again at one after a sign-out.
    /// The count of attempts does not change.
    pub fn adopt(&mut self, stored: &Credentials) -> bool {
        if stored.server != self.config.server || self.base.as_ref() == Some(stored) {
            return false;
        }
        self.base = Some(stored.clone());
        if !self.config.owns(stored) {
            return false;
        }
        // A store may have kept a record and said that it failed.
        let same = self.stored.as_ref().is_some_and(|own| own.tokens == stored.tokens);
        self.stored = Some(stored.clone());
        !same
    }

    /// The record as of now. The store has another one, or none, if it did not take it.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.stored.as_ref()
    }

    /// Returns true if the store was seen to contain a record. If it is empty later, the user has signed out.
    /// A store that never saved a record proves nothing.
    pub fn has_kept(&self) -> bool {
        self.base.is_some()
    }

    /// Returns true if the store is known to contain this record, possibly written by another client.
    pub fn is_kept(&self, record: &Credentials) -> bool {
        self.base.as_ref() == Some(record)
    }

    /// The store has taken this record.
    pub fn kept(&mut self, record: Credentials) {
        self.base = Some(record);
    }

    /// Returns true if the store contains a record from a user's consent that the new tokens, obtained
    /// without a user, must not overwrite: keep these in memory.
    pub fn yields(&self) -> bool {
        let of_user = |base: &&Credentials| {
            !self.config.owns(base) && base.grant.as_deref().is_none_or(|grant| grant == BROWSER)
        };
        !matches!(self.config.grant, Grant::Browser { .. }) && self.base.as_ref().filter(of_user).is_some()
    }

    /// The store refused the record because it contains `theirs`. Returns a record: it follows that one; swap
    /// it instead. `None`: another client was faster, and [`Flow::credentials`] now has its tokens; or none,
    /// if the user has signed out.
    ///
    /// `asked`: the user has consented since the store was last read, so a missing record does not mean a sign-out.
    pub fn outrun(&mut self, theirs: Option<Credentials>, asked: bool) -> Option<Credentials> {
        let theirs = theirs.filter(|theirs| theirs.server == self.config.server);
        let taken = match &theirs {
            None => self.base.is_some() && !asked,
            Some(theirs) => {
                self.base.as_ref() != Some(theirs) && theirs.tokens.is_some() && self.config.owns(theirs)
            }
        };
        self.base = theirs;
        if taken {
            self.stored = self.base.clone();
            return None;
        }
        let version = self.next_version();
        let own = self.stored.as_mut()?;
        own.version = version;
        Some(own.clone())
    }

    pub(super) fn next_version(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.version).saturating_add(1)
    }

    /// Removes the values of a client that are not stored: a configured secret has its own place and may
    /// change.
    pub(super) fn kept_client(&self, client: Client) -> Client {
        let secret = if self.config.is_configured(&client) { None } else { client.secret };
        Client { secret, ..client }
    }

    /// Did this client register itself?
    pub(super) fn is_registered(&self, client: &Client) -> bool {
        !self.config.is_configured(client) && !self.config.is_document(client)
    }
}
