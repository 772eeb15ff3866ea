//! Cache of results that a server allows to be cached (2026-07-28, "Caching"). One cache belongs to one
//! client with one token, and therefore to one authorization context: it may hold results of both scopes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::json::Json;
use crate::methods::{Method, Role};
use crate::trace;

const MAX_ENTRIES: usize = 256;
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
    /// Counts uses; the entry with the least was not used for the longest time.
    clock: u64,
    /// Counts invalidations, so that a result that was in flight during one is not cached.
    epoch: u64,
}

#[derive(Debug)]
struct Entry {
    result: Json,
    fresh_until: Duration,
    used: u64,
    role: Role,
    /// Of a resource that was read.
    uri: Option<String>,
}

/// Key of a result: the method and all parameters of the request except its trace context.
pub(super) fn key(method: &Method, params: &str, meta: &Json) -> String {
    format!("{}\n{params}\n{}", method.name, trace::without_context(meta))
}

impl Cache {
    /// The value to pass to [`Cache::keep`], read when the request is sent.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A fresh result.
    pub fn find(&mut self, now: Duration, key: &str) -> Option<Json> {
        let entry = self.entries.get_mut(key)?;
        if now >= entry.fresh_until {
            self.remove(key);
            return None;
        }
        self.clock += 1;
        entry.used = self.clock;
        Some(entry.result.clone())
    }

    pub fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.size(key);
        }
    }

    /// Caches a result if it permits this.
    pub fn keep(&mut self, now: Duration, epoch: u64, role: Role, params: &str, key: String, result: &Json) {
        self.remove(&key);
        let Some(ttl) = time_to_live(result.as_str()).filter(|_| epoch == self.epoch) else { return };
        self.clock += 1;
        let entry = Entry {
            // A copy: the result shares the buffer of its message, which may be much larger.
            result: Json::from(result.as_str().to_owned()),
            fresh_until: now.saturating_add(ttl),
            used: self.clock,
            role,
            uri: if role == Role::ReadResource { uri_in(params) } else { None },
        };
        if entry.size(&key) > MAX_BYTES {
            return;
        }
        self.bytes += entry.size(&key);
        self.entries.insert(key, entry);
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            self.remove(&oldest.expect("there is at least the one just added"));
        }
    }

    /// Everything is for someone else.
    pub fn clear(&mut self) {
        *self = Cache { epoch: self.epoch + 1, ..Cache::default() };
    }

    /// A notification makes the results that it is about stale.
    pub fn invalidate(&mut self, notification: Role, uri: Option<&str>) {
        let stale = |entry: &Entry| match notification {
            Role::ToolsChanged => entry.role == Role::ListTools,
            Role::PromptsChanged => entry.role == Role::ListPrompts,
            Role::ResourcesChanged => matches!(entry.role, Role::ListResources | Role::ListResourceTemplates),
            Role::ResourceUpdated => {
                entry.role == Role::ReadResource
                    && match (&entry.uri, uri) {
                        (Some(kept), Some(updated)) => covers(kept, updated),
                        _ => true,
                    }
            }
            _ => false,
        };
        self.epoch += 1;
        let keys: Vec<String> =
            self.entries.iter().filter(|(_, entry)| stale(entry)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
    }
}

impl Entry {
    fn size(&self, key: &str) -> usize {
        self.result.as_bytes().len() + key.len()
    }
}

/// Returns true if an update of `updated` concerns `uri`: the same resource, or a part of it (2025-11-25,
/// resources, "Subscriptions").
pub(super) fn covers(uri: &str, updated: &str) -> bool {
    updated
        .strip_prefix(uri)
        .is_some_and(|rest| rest.is_empty() || uri.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

pub(super) fn uri_in(params: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        uri: String,
    }
    serde_json::from_str::<Params>(params).ok().map(|params| params.uri)
}

fn time_to_live(result: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Hint {
        #[serde(rename = "ttlMs")]
        ttl_ms: u64,
    }
    // Most servers allow nothing, which is seen without reading the whole result again.
    const KEY: &str = "\"ttlMs\":";
    let rest = result[result.find(KEY)? + KEY.len()..].trim_start();
    if rest.starts_with("0,") || rest.starts_with("0}") {
        return None;
    }
    let hint: Hint = serde_json::from_str(result).ok()?;
    Some(Duration::from_millis(hint.ttl_ms)).filter(|ttl| !ttl.is_zero())
}
