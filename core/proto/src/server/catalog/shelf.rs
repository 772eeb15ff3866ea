//! Index of the items of one kind, by key and in the order of registration, so that lists are deterministic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::template::canonical;
use super::{Entry, Item};

/// Every change takes the logarithm of their number.
pub(super) struct Shelf<H> {
    by_key: BTreeMap<Arc<str>, u64>,
    in_order: BTreeMap<u64, (Arc<str>, Arc<Entry<H>>)>,
    /// The resources by their canonical URIs.
    equivalent: BTreeSet<(Box<str>, u64)>,
    next: u64,
    /// Number of entries that some callers do not see.
    pub(super) hidden: usize,
    /// Number of entries that some callers do not see or may not use.
    pub(super) restricted: usize,
}

impl<H> Clone for Shelf<H> {
    fn clone(&self) -> Self {
        Shelf {
            by_key: self.by_key.clone(),
            in_order: self.in_order.clone(),
            equivalent: self.equivalent.clone(),
            ..*self
        }
    }
}

impl<H> Default for Shelf<H> {
    fn default() -> Self {
        Shelf {
            by_key: BTreeMap::new(),
            in_order: BTreeMap::new(),
            equivalent: BTreeSet::new(),
            next: 0,
            hidden: 0,
            restricted: 0,
        }
    }
}

impl<H> Shelf<H> {
    pub(super) fn get(&self, key: &str) -> Option<&Arc<Entry<H>>> {
        Some(&self.in_order[self.by_key.get(key)?].1)
    }

    /// The resources whose URIs have this canonical form, first registered first.
    pub(super) fn equivalent(&self, canonical: &str) -> impl Iterator<Item = &Arc<Entry<H>>> {
        let range = (Box::from(canonical), 0)..=(Box::from(canonical), u64::MAX);
        self.equivalent.range(range).map(|(_, place)| &self.in_order[place].1)
    }

    /// All of them, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry<H>>> {
        self.in_order.values().map(|(_, entry)| entry)
    }

    /// The entries after that key, or all: with their keys, in order. `None`: there is no such key.
    pub(super) fn after(&self, key: Option<&str>) -> Option<impl Iterator<Item = (&str, &Arc<Entry<H>>)>> {
        let start = match key {
            None => 0,
            Some(key) => self.by_key.get(key)? + 1,
        };
        Some(self.in_order.range(start..).map(|(_, (key, entry))| (&**key, entry)))
    }

    /// Inserts an entry if its key is new.
    pub(super) fn insert(&mut self, item: Item, key: String, entry: Entry<H>) {
        self.hidden += usize::from(entry.visible_to.is_some());
        self.restricted += usize::from(entry.is_restricted());
        if item == Item::Resource {
            self.equivalent.insert((canonical(&key).into(), self.next));
        }
        let key: Arc<str> = key.into();
        self.by_key.insert(key.clone(), self.next);
        self.in_order.insert(self.next, (key, Arc::new(entry)));
        self.next += 1;
    }

    /// False: it was not there.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(place) = self.by_key.remove(key) else { return false };
        self.equivalent.remove(&(canonical(key).into(), place));
        if let Some((_, entry)) = self.in_order.remove(&place) {
            self.hidden -= usize::from(entry.visible_to.is_some());
            self.restricted -= usize::from(entry.is_restricted());
        }
        true
    }
}
