//! Lists: invalid entries are dropped, and the pages of a whole list are joined.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Output;
use super::conn::{ClientConn, Stage};
use super::connecting::State;
use super::error::{ClientError, kind};
use crate::json::{self, Json};
use crate::methods::{Method, Role};
use crate::model::{Prompt, Resource, ResourceTemplate, Tool};

/// Most pages of a whole list.
const MAX_PAGES: usize = 1000;
/// Most bytes of the entries of a whole list, in messages of the largest size.
const MAX_MESSAGES: usize = 16;

/// The pages of a whole list so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The entries, with commas between them.
    entries: String,
    cursors: BTreeSet<String>,
    pages: usize,
}

impl Gathered {
    /// The collector for an operation that requests a whole list; `None` if the method has none.
    pub(super) fn of(method: &'static Method, params: &str) -> Option<Box<Gathered>> {
        method.list?;
        let mut gathered = Gathered::default();
        let members = json::members(params).unwrap_or_default();
        let cursor = members.iter().find(|(key, _)| key == "cursor").map(|(_, value)| value.get());
        gathered.cursors.extend(cursor.and_then(|cursor| serde_json::from_str::<String>(cursor).ok()));
        Some(Box::new(gathered))
    }

    /// The collected entries, as a result without a cursor.
    pub(super) fn whole(&self, list: &str) -> String {
        format!("{{{}:[{}]}}", json::string(list), self.entries)
    }

    /// Take a page in. The cursor of the next one, if there is one.
    fn take(&mut self, page: &Json, list: &str, limit: usize) -> Result<Option<String>, ClientError> {
        let protocol = |message: String| ClientError::local(kind::PROTOCOL, message);
        let (mut entries, mut cursor) = (None, None);
        for (key, value) in json::members(page.as_str()).unwrap_or_default() {
            if key == list {
                entries = value.get().strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            } else if key == "nextCursor" {
                cursor = serde_json::from_str::<Option<String>>(value.get())
                    .map_err(|_| protocol("nextCursor of the server's list is no string".into()))?;
            }
        }
        let entries = entries.ok_or_else(|| protocol(format!("the server's list has no array {list}")))?;
        let entries = entries.trim();
        self.pages += 1;
        if self.entries.len() + entries.len() > limit {
            let message =
                format!("the server's list exceeds {limit} bytes ({MAX_MESSAGES} times maxMessageBytes)");
            return Err(ClientError::local(kind::LIMIT, message));
        }
        if !self.entries.is_empty() && !entries.is_empty() {
            self.entries.push(',');
        }
        self.entries.push_str(entries);
        // An empty one is what servers write that mean none.
        let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
        if self.pages >= MAX_PAGES {
            let message = format!("the server's list has more than {MAX_PAGES} pages");
            return Err(ClientError::local(kind::LIMIT, message));
        }
        if !self.cursors.insert(cursor.clone()) {
            let shown: String = cursor.chars().take(100).collect();
            return Err(protocol(format!(
                "the server's list has no end: it gave the cursor {shown:?} twice"
            )));
        }
        Ok(Some(cursor))
    }
}

impl ClientConn {
    /// A page of a whole list is there: go on with the next one, or end.
    pub(super) fn on_page(&mut self, op: u64, mut page: Json) {
        let limit = self.config.limits.message_bytes.saturating_mul(MAX_MESSAGES);
        loop {
            let Some(entry) = self.ops.get_mut(&op) else { return };
            let (Some(list), Some(gathered)) = (entry.method.list, &mut entry.gathered) else { return };
            let cursor = match gathered.take(&page, list, limit) {
                Ok(Some(cursor)) => cursor,
                Ok(None) => {
                    let whole = Json::from(gathered.whole(list));
                    return self.end(op, Ok(whole));
                }
                Err(error) => return self.end(op, Err(error)),
            };
            entry.params = with_cursor(&entry.params, &cursor);
            entry.stage = Stage::Waiting;
            let (method, params, options) = (entry.method, entry.params.clone(), entry.options.clone());
            self.begin_anew(op);
            match self.kept(self.now, method, &params, &options) {
                Some(kept) => page = kept,
                None => break,
            }
        }
        match self.state {
            State::Ready => self.send_op(op),
            _ => self.wait_to_send(op),
        }
    }

    /// The page of a list without the entries that lack a required member: one invalid entry does not hide
    /// the valid ones.
    pub(super) fn without_odd_entries(&mut self, method: &'static Method, page: Json) -> Json {
        let Some(list) = method.list else { return page };
        let check: fn(&str) -> Result<(), serde_json::Error> = match method.role {
            Role::ListTools => is::<Tool>,
            Role::ListResources => is::<Resource>,
            Role::ListResourceTemplates => is::<ResourceTemplate>,
            Role::ListPrompts => is::<Prompt>,
            _ => return page,
        };
        let Some(members) = json::members(page.as_str()) else { return page };
        let Some((_, entries)) = members.iter().find(|(key, _)| key == list) else { return page };
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(entries.get()) else { return page };
        let mut kept = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match check(entry.get()) {
                Ok(()) => kept.push(entry.get()),
                Err(error) => self.outputs.push_back(Output::EntryDropped {
                    list,
                    entry: name_of(entry.get()).unwrap_or_else(|| format!("#{index}")),
                    reason: json::complaint(&error),
                }),
            }
        }
        if kept.len() == entries.len() {
            return page;
        }
        let mut out = String::with_capacity(page.as_bytes().len());
        for (key, value) in &members {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&json::string(key));
            out.push(':');
            if key == list {
                out.push('[');
                out.push_str(&kept.join(","));
                out.push(']');
            } else {
                out.push_str(value.get());
            }
        }
        out.push('}');
        Json::from(out)
    }
}

fn is<T: serde::de::DeserializeOwned>(entry: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<T>(entry).map(drop)
}

/// For the log.
fn name_of(entry: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let named: Named = serde_json::from_str(entry).ok()?;
    Some(named.name.chars().filter(|c| !c.is_control()).take(128).collect())
}

fn with_cursor(params: &str, cursor: &str) -> String {
    let mut out = format!("{{\"cursor\":{}", json::string(cursor));
    for (key, value) in json::members(params).unwrap_or_default() {
        if key != "cursor" {
            out.push_str(&format!(",{}:{}", json::string(&key), value.get()));
        }
    }
    out.push('}');
    out
}
