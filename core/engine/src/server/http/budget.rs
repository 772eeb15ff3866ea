//! One budget, in bytes, for what an endpoint keeps for its clients: events of streams that may have to be
//! sent again, and bodies of requests from their first byte to their answer (ADR 16).
//!
//! Purses form a tree: a session's is part of its owner's, an owner's part of the endpoint's. Each has room
//! while less than its limit is used in it and in all that it is part of, so a purse exceeds its limit by one
//! message at most for each that is admitted together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use trunnion_proto::auth::resource::Access;

use crate::sync::lock;

/// The share of one owner in the endpoint's budget: one in so many.
const OWNERS: usize = 8;
/// The share of one session: one in so many.
const SESSIONS: usize = 16;
/// Owners at which those that own nothing any more are looked for.
const SWEEP_AT: usize = 64;

/// The owner for which requests count together: a principal, or the address of a peer without authorization.
/// `None`: unknown, as behind a proxy or on a Unix socket.
pub(super) type Owner = Option<Arc<str>>;

/// The owner of a request. Addresses of this machine and of proxies stand for any number of clients, so they
/// own nothing; an IPv6 client has a network of 64 bits (RFC 6177).
pub(super) fn owner(access: &Access, peer: Option<IpAddr>, proxies: &[IpAddr]) -> Owner {
    if let Some(principal) = access.principal() {
        return Some(format!("principal:{principal}").into());
    }
    let peer = peer?;
    let address = peer.to_canonical();
    if address.is_loopback() || proxies.iter().any(|proxy| *proxy == peer || *proxy == address) {
        return None;
    }
    Some(match address {
        IpAddr::V4(address) => format!("address:{address}").into(),
        IpAddr::V6(address) => format!("network:{:x}", u128::from(address) >> 64).into(),
    })
}

/// The budget of one endpoint, and of each of its owners.
pub(super) struct Budget {
    all: Arc<Purse>,
    owners: Mutex<Owners>,
}

struct Owners {
    purses: HashMap<Arc<str>, Weak<Purse>>,
    sweep_at: usize,
}

impl Budget {
    pub fn new(limit: usize) -> Budget {
        let owners = Mutex::new(Owners { purses: HashMap::new(), sweep_at: SWEEP_AT });
        Budget { all: Purse::new(limit, None), owners }
    }

    /// Returns the budget of an owner.
    pub fn of(&self, owner: &Owner) -> Arc<Purse> {
        let Some(owner) = owner else { return self.all.clone() };
        let mut owners = lock(&self.owners);
        if let Some(purse) = owners.purses.get(owner).and_then(Weak::upgrade) {
            return purse;
        }
        if owners.purses.len() >= owners.sweep_at {
            owners.purses.retain(|_, purse| purse.strong_count() > 0);
            owners.sweep_at = SWEEP_AT.max(2 * owners.purses.len());
        }
        let purse = Purse::new(self.all.limit / OWNERS, Some(self.all.clone()));
        owners.purses.insert(owner.clone(), Arc::downgrade(&purse));
        purse
    }

    /// Returns the budget of a new session of an owner.
    pub fn session(&self, owner: &Owner) -> Arc<Purse> {
        Purse::new(self.all.limit / SESSIONS, Some(self.of(owner)))
    }
}

/// Bytes that may be kept, and those that are.
pub(super) struct Purse {
    limit: usize,
    used: AtomicUsize,
    whole: Option<Arc<Purse>>,
}

impl Purse {
    pub fn new(limit: usize, whole: Option<Arc<Purse>>) -> Arc<Purse> {
        Arc::new(Purse { limit, used: AtomicUsize::new(0), whole })
    }

    /// Returns true if the budget has room for more.
    pub fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit
            && self.whole.as_ref().is_none_or(|whole| whole.has_room())
    }

    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(bytes);
        }
    }

    pub fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.sub(bytes);
        }
    }
}

/// Bytes that count while this lives.
pub(super) struct Charge {
    purse: Arc<Purse>,
    bytes: usize,
}

impl Charge {
    /// Nothing yet.
    pub fn of(purse: Arc<Purse>) -> Charge {
        Charge { purse, bytes: 0 }
    }

    /// Count more. False: there was no room, and nothing was counted.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let has_room = self.purse.has_room();
        if has_room {
            self.bytes += bytes;
            self.purse.add(bytes);
        }
        has_room
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.purse.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_and_session_has_its_share() {
        let budget = Budget::new(1600);
        let owner: Owner = Some("ann".into());
        let session = budget.session(&owner);
        let mut kept = Charge::of(session.clone());
        assert!(kept.grow(99) && kept.grow(1));
        assert!(!kept.grow(1), "a session has a sixteenth");
        let other = budget.session(&owner);
        assert!(other.has_room());
        other.add(100);
        assert!(!budget.of(&owner).has_room(), "an owner has an eighth");
        assert!(!budget.session(&owner).has_room());
        assert!(budget.session(&Some("bob".into())).has_room());
        let all = budget.of(&None);
        all.add(1400);
        assert!(!budget.session(&Some("bob".into())).has_room(), "the endpoint's is used up");
        all.sub(1400);
        drop(kept);
        other.sub(100);
        assert!(session.has_room() && budget.of(&owner).has_room());
        assert_eq!(all.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn owners_that_own_nothing_are_forgotten() {
        let budget = Budget::new(1000);
        let kept = budget.session(&Some("kept".into()));
        for n in 0..10 * SWEEP_AT {
            budget.of(&Some(n.to_string().into()));
        }
        let owners = lock(&budget.owners);
        assert!(owners.purses.len() <= SWEEP_AT, "{}", owners.purses.len());
        assert!(owners.purses["kept"].strong_count() > 0);
        drop(kept);
    }

    #[test]
    fn an_address_owns_what_comes_from_it_unless_it_stands_for_many() {
        let of = |peer: &str, proxies: &[&str]| {
            let proxies: Vec<IpAddr> = proxies.iter().map(|proxy| proxy.parse().expect("valid")).collect();
            owner(&Access::Anybody, Some(peer.parse().expect("valid")), &proxies)
        };
        assert_eq!(of("192.0.2.1", &[]), of("::ffff:192.0.2.1", &[]));
        assert_ne!(of("192.0.2.1", &[]), of("192.0.2.2", &[]));
        assert_eq!(of("2001:db8::1", &[]), of("2001:db8::2:3", &[]), "one network");
        assert_ne!(of("2001:db8::1", &[]), of("2001:db8:0:1::1", &[]));
        assert_eq!(of("192.0.2.1", &["192.0.2.1"]), None);
        assert_eq!(of("127.0.0.1", &[]), None);
        assert_eq!(of("::1", &[]), None);
        assert_eq!(owner(&Access::Anybody, None, &[]), None);
    }
}
