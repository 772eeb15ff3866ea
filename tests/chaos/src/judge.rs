//! Checks the promises of the server against the observations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Counts of events, and notes of violations.
#[derive(Default)]
pub struct Judge {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    broken: Mutex<Vec<String>>,
}

impl Judge {
    /// Something happened.
    pub fn count(&self, what: &'static str, times: u64) {
        *lock(&self.counts).entry(what).or_default() += times;
    }

    /// It has to have happened: nothing is held where nothing was tried.
    pub fn demand(&self, what: &'static str) {
        let times = lock(&self.counts).get(what).copied().unwrap_or_default();
        if times == 0 {
            self.broken(format!("nothing was seen of this: {what}"));
        }
    }

    /// A promise was broken.
    pub fn broken(&self, what: String) {
        lock(&self.broken).push(what);
    }

    /// Reads the ledger of the handlers: `effect KEY STEP` when a side effect happens, `stored KEY STEP` when
    /// the engine has reported that it is stored.
    pub fn ledger(&self, text: &str) {
        let (mut happened, mut stored) = (BTreeSet::new(), BTreeSet::new());
        // The last line may be a dead process's half.
        for line in text.lines() {
            let Some((word, effect)) = line.split_once(' ') else { continue };
            match word {
                "effect" if stored.contains(effect) => {
                    self.broken(format!("a stored side effect happened again: {effect}"));
                }
                "effect" if !happened.insert(effect) => {
                    self.count("side effects repeated: death came before they were stored", 1);
                }
                "effect" => self.count("side effects", 1),
                "stored" if stored.insert(effect) => self.count("side effects stored", 1),
                _ => {}
            }
        }
    }

    /// Prints all of it. False: a promise was broken.
    pub fn print(&self) -> bool {
        for (what, times) in &*lock(&self.counts) {
            println!("  {times:>7}  {what}");
        }
        let broken = lock(&self.broken);
        for what in broken.iter().take(20) {
            println!("  BROKEN   {what}");
        }
        println!("  {:>7}  promises broken", broken.len());
        broken.is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
