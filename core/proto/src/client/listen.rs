//! Subscriptions of a client: one stream per operation in the modern era (2026-07-28, "Subscriptions");
//! subscriptions per URI, and notifications of the session, in the legacy era (2025-11-25, resources,
//! "Subscriptions").

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Output;
use super::cache::{covers, uri_in};
use super::conn::{ClientConn, Purpose, Stage};
use super::error::{ClientError, kind};
use crate::json::{self, Json};
use crate::methods::{Method, Role};
use crate::revision::Era;

/// The subscriptions of a listen operation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Filter {
    tools: bool,
    prompts: bool,
    resources: bool,
    resource_uris: Vec<String>,
}

/// An operation that listens.
#[derive(Debug, Default)]
pub(super) struct Listening {
    wanted: Filter,
    /// The subscriptions that the server has granted, once it has answered.
    granted: Option<Filter>,
    /// Legacy: the URIs with an unanswered subscription.
    waiting: BTreeSet<String>,
}

/// A resource that a legacy server was asked to watch.
#[derive(Debug)]
pub(super) struct Subscription {
    users: BTreeSet<u64>,
    state: Subscribed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscribed {
    Asking,
    Yes,
    Ending,
}

pub(super) type Subscriptions = BTreeMap<String, Subscription>;

impl Filter {
    pub fn parse(params: &str) -> Result<Filter, ClientError> {
        let usage = |why: String| ClientError::local(kind::USAGE, format!("params: {why}"));
        if !params.starts_with('{') {
            return Err(usage("a JSON object is expected".into()));
        }
        serde_json::from_str(params).map_err(|error| usage(json::complaint(&error)))
    }

    /// As the parameters of the modern request.
    pub fn to_params(&self) -> String {
        let mut filter = serde_json::Map::new();
        for (key, wanted) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if wanted {
                filter.insert(key.into(), true.into());
            }
        }
        if !self.resource_uris.is_empty() {
            filter.insert("resourceSubscriptions".into(), json!(self.resource_uris));
        }
        json!({ "notifications": filter }).to_string()
    }

    /// The part of this filter that a server acknowledges.
    fn acknowledged(&self, params: &Json) -> Filter {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Granted {
            tools_list_changed: bool,
            prompts_list_changed: bool,
            resources_list_changed: bool,
            resource_subscriptions: Vec<String>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Acknowledged {
            notifications: Granted,
        }
        let said: Acknowledged = serde_json::from_str(params.as_str()).unwrap_or_default();
        let said = said.notifications;
        Filter {
            tools: self.tools && said.tools_list_changed,
            prompts: self.prompts && said.prompts_list_changed,
            resources: self.resources && said.resources_list_changed,
            resource_uris: self
                .resource_uris
                .iter()
                .filter(|uri| said.resource_subscriptions.contains(uri))
                .cloned()
                .collect(),
        }
    }

    fn covers(&self, event: Role, params: &Json) -> bool {
        match event {
            Role::ToolsChanged => self.tools,
            Role::PromptsChanged => self.prompts,
            Role::ResourcesChanged => self.resources,
            Role::ResourceUpdated => {
                let updated = uri_in(params.as_str()).unwrap_or_default();
                self.resource_uris.iter().any(|uri| covers(uri, &updated))
            }
            _ => false,
        }
    }

    fn to_json(&self) -> Json {
        let mut out = serde_json::Map::new();
        for (key, granted) in
            [("tools", self.tools), ("prompts", self.prompts), ("resources", self.resources)]
        {
            if granted {
                out.insert(key.into(), true.into());
            }
        }
        if !self.resource_uris.is_empty() {
            out.insert("resourceUris".into(), json!(self.resource_uris));
        }
        Json::from(Value::Object(out).to_string())
    }
}

impl Listening {
    pub fn new(wanted: Filter) -> Box<Listening> {
        Box::new(Listening { wanted, ..Listening::default() })
    }
}

impl ClientConn {
    /// Begins to listen to a legacy server.
    pub(super) fn listen_legacy(&mut self, op: u64) {
        let declared: Value = self
            .facts
            .as_ref()
            .and_then(|facts| serde_json::from_str(facts.capabilities.as_str()).ok())
            .unwrap_or_default();
        let says = |capability: &str, what: &str| declared[capability][what] == Value::Bool(true);
        let Some(entry) = self.ops.get_mut(&op) else { return };
        entry.stage = Stage::Listening;
        let Some(listening) = &mut entry.listening else { return };
        let wanted = &mut listening.wanted;
        wanted.tools &= says("tools", "listChanged");
        wanted.prompts &= says("prompts", "listChanged");
        wanted.resources &= says("resources", "listChanged");
        if !says("resources", "subscribe") {
            wanted.resource_uris.clear();
        }
        let uris: BTreeSet<String> = wanted.resource_uris.iter().cloned().collect();
        listening.waiting = uris.clone();
        for uri in uris {
            let known = self.subscriptions.get_mut(&uri).map(|subscription| {
                subscription.users.insert(op);
                subscription.state
            });
            match known {
                None => {
                    let users = BTreeSet::from([op]);
                    self.subscriptions.insert(uri.clone(), Subscription { users, state: Subscribed::Asking });
                    self.ask_to_watch(&uri, true);
                }
                Some(Subscribed::Yes) => self.watched(op, &uri, true),
                Some(Subscribed::Asking | Subscribed::Ending) => {}
            }
        }
        self.listening(op);
    }

    /// A legacy server answered that it watches a resource, or does not.
    pub(super) fn on_subscribed(&mut self, uri: &str, accepted: bool) {
        let Some(subscription) = self.subscriptions.get_mut(uri) else { return };
        if !accepted {
            let users = std::mem::take(&mut subscription.users);
            self.subscriptions.remove(uri);
            for op in users {
                self.watched(op, uri, false);
                self.listening(op);
            }
            return;
        }
        if subscription.users.is_empty() {
            subscription.state = Subscribed::Ending;
            return self.ask_to_watch(uri, false);
        }
        subscription.state = Subscribed::Yes;
        for op in subscription.users.clone() {
            self.watched(op, uri, true);
            self.listening(op);
        }
    }

    /// A legacy server answered an unsubscription; the answer itself does not matter.
    pub(super) fn on_unsubscribed(&mut self, uri: &str) {
        let Some(subscription) = self.subscriptions.get_mut(uri) else { return };
        if subscription.users.is_empty() {
            self.subscriptions.remove(uri);
        } else {
            subscription.state = Subscribed::Asking;
            self.ask_to_watch(uri, true);
        }
    }

    /// A new session knows nothing of the subscriptions of the one before.
    pub(super) fn subscribe_anew(&mut self) {
        let mut uris = Vec::new();
        self.subscriptions.retain(|uri, subscription| {
            subscription.state = Subscribed::Asking;
            let used = !subscription.users.is_empty();
            if used {
                uris.push(uri.clone());
            }
            used
        });
        for uri in uris {
            self.ask_to_watch(&uri, true);
        }
    }

    /// An operation that listened has ended.
    pub(super) fn stop_listening(&mut self, op: u64, listening: &Listening) {
        for uri in &listening.wanted.resource_uris {
            let Some(subscription) = self.subscriptions.get_mut(uri) else { continue };
            subscription.users.remove(&op);
            if subscription.users.is_empty() && subscription.state == Subscribed::Yes {
                subscription.state = Subscribed::Ending;
                self.ask_to_watch(uri, false);
            }
        }
    }

    /// Passes a change to its listeners. `request`: the request of its stream. Returns false if there is no
    /// listener.
    pub(super) fn on_change(&mut self, row: &'static Method, request: Option<u64>, params: &Json) -> bool {
        if self.revision.era() == Era::Modern {
            let op = request.and_then(|request| self.op_of(request));
            return op.is_some_and(|op| self.on_streamed_change(op, row, params));
        }
        let listeners: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, entry)| {
                let granted = entry.listening.as_ref().and_then(|listening| listening.granted.as_ref());
                granted.is_some_and(|granted| granted.covers(row.role, params))
            })
            .map(|(op, _)| *op)
            .collect();
        for op in &listeners {
            self.output(Output::Told { op: *op, event: row.op, params: params.clone() });
        }
        !listeners.is_empty()
    }

    fn on_streamed_change(&mut self, op: u64, row: &'static Method, params: &Json) -> bool {
        let Some(listening) = self.ops.get_mut(&op).and_then(|entry| entry.listening.as_mut()) else {
            return false;
        };
        // An acknowledgement must come first. A change without one says that it was agreed to.
        if listening.granted.is_none() {
            let granted = match row.role {
                Role::ListenAcknowledged => listening.wanted.acknowledged(params),
                _ => listening.wanted.clone(),
            };
            self.granted(op, granted);
        } else if row.role == Role::ListenAcknowledged {
            return true;
        }
        let wanted = self.ops.get(&op).and_then(|entry| entry.listening.as_ref());
        if wanted.is_some_and(|listening| listening.wanted.covers(row.role, params)) {
            self.output(Output::Told { op, event: row.op, params: params.clone() });
        }
        true
    }

    /// One subscription of an operation was answered.
    fn watched(&mut self, op: u64, uri: &str, accepted: bool) {
        let Some(listening) = self.ops.get_mut(&op).and_then(|entry| entry.listening.as_mut()) else {
            return;
        };
        listening.waiting.remove(uri);
        if !accepted {
            listening.wanted.resource_uris.retain(|own| own != uri);
        }
    }

    /// Reports the granted subscriptions once all answers have arrived.
    fn listening(&mut self, op: u64) {
        let Some(listening) = self.ops.get(&op).and_then(|entry| entry.listening.as_ref()) else { return };
        if listening.waiting.is_empty() && listening.granted.is_none() {
            let granted = listening.wanted.clone();
            self.granted(op, granted);
        }
    }

    fn granted(&mut self, op: u64, granted: Filter) {
        let Some(entry) = self.ops.get_mut(&op) else { return };
        // From here on silence is no failure.
        entry.options.timeout = None;
        entry.due = None;
        let params = granted.to_json();
        if let Some(listening) = &mut entry.listening {
            listening.granted = Some(granted);
        }
        self.output(Output::Told { op, event: "listening", params });
    }

    fn ask_to_watch(&mut self, uri: &str, watch: bool) {
        let (role, purpose) = match watch {
            true => (Role::Subscribe, Purpose::Subscribe(uri.to_owned())),
            false => (Role::Unsubscribe, Purpose::Unsubscribe(uri.to_owned())),
        };
        self.send_own(role, &format!(r#"{{"uri":{}}}"#, json::string(uri)), purpose);
    }
}

/// Returns true if a legacy server declares the logging capability.
pub(super) fn declares_logging(capabilities: &Json) -> bool {
    json::members(capabilities.as_str()).is_some_and(|all| all.iter().any(|(key, _)| key == "logging"))
}

/// The level in the parameters of a request that sets it.
pub(super) fn level_in(params: &str) -> Result<crate::server::LogLevel, ClientError> {
    #[derive(Deserialize)]
    struct Params {
        level: crate::server::LogLevel,
    }
    serde_json::from_str::<Params>(params).map(|params| params.level).map_err(|error| {
        let why = json::complaint(&error);
        ClientError::local(kind::USAGE, format!("params.level is not a log level: {why}"))
    })
}
