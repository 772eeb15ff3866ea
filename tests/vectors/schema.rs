// Checks of the engine's output against the official JSON schemas, for every test that is written in Rust.
//
// `MCP_SPEC_DIR` names the folder that holds `<revision>/schema.json`; without it nothing is checked, and a
// message reports that. `MCP_MESSAGE_LOG` names a file to which every checked message is appended, one JSON
// object on a line, for the checks through the official SDKs' own types
// (`tests/interop/foreign/*/check_messages.*`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

const NEWEST_LEGACY: &str = "2025-11-25";
const NEWEST: &str = "2026-07-28";
/// The extension of tasks, which has a schema of its own.
const TASKS: &str = "ext-tasks";
const REVISION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// The tested end of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the tests of one crate know one of the ends")]
pub enum End {
    Client,
    Server,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            End::Client => "client",
            End::Server => "server",
        }
    }
}

/// The messages of one connection so far, as far as they determine the form of the next one.
#[derive(Debug)]
pub struct Conversation {
    end: End,
    logged: bool,
    session: Option<String>,
    last: Option<String>,
    /// Method and revision of the requests of both sides, by the text of their ids.
    theirs: BTreeMap<String, (String, String)>,
    ours: BTreeMap<String, (String, String)>,
    /// Revisions by the text of the progress tokens.
    tokens: BTreeMap<String, String>,
}

impl Conversation {
    /// No message so far.
    pub fn new(end: End) -> Conversation {
        Conversation {
            end,
            logged: true,
            session: None,
            last: None,
            theirs: BTreeMap::new(),
            ours: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }

    /// The peer sent this; it may be anything.
    pub fn heard(&mut self, frame: &[u8]) {
        // Some peers begin a frame with a byte order mark.
        let frame = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
        let Ok(message) = serde_json::from_slice::<Value>(frame) else { return };
        if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
            let revision = self.revision_of_request(method, &message);
            self.theirs.insert(id.to_string(), (method.to_owned(), revision));
        } else if let Some((method, _)) = message.get("id").and_then(|id| self.ours.get(&id.to_string())) {
            self.note_session(&method.clone(), &message);
        }
    }

    /// The engine sent this, which must be right.
    pub fn sent(&mut self, message: &Value) -> Result<(), String> {
        let kind = kind_of(message).ok_or_else(|| format!("no message: {message}"))?;
        let id = message.get("id").map(Value::to_string).unwrap_or_default();
        let (method, revision) = match kind {
            "request" => {
                let method = message["method"].as_str().unwrap_or_default().to_owned();
                let revision = self.revision_of_request(&method, message);
                if self.end == End::Server && revision.as_str() >= NEWEST {
                    return Err(format!("a modern server asks nothing: {message}"));
                }
                self.ours.insert(id, (method.clone(), revision.clone()));
                (method, revision)
            }
            "notification" => {
                let token = message["params"].get("progressToken").map(Value::to_string);
                let revision = token.and_then(|token| self.tokens.get(&token)).cloned();
                let revision = revision.unwrap_or_else(|| self.current());
                (message["method"].as_str().unwrap_or_default().to_owned(), revision)
            }
            _ => {
                let asked = self.theirs.get(&id).cloned();
                let (method, revision) = asked.unwrap_or_else(|| (String::new(), self.current()));
                self.note_session(&method, message);
                match (kind, method.as_str()) {
                    ("result", "") => return Err(format!("an answer that nobody asked for: {message}")),
                    ("result", "initialize") => (method, self.current()),
                    // No revision before this one has a shape for an error without an id.
                    ("error", _) if id.is_empty() => (method, revision.max(NEWEST_LEGACY.to_owned())),
                    _ => (method, revision),
                }
            }
        };
        if self.logged {
            record(self.end, kind, &method, &revision, message);
        }
        check(kind, &method, &revision, message)
    }

    fn current(&self) -> String {
        self.last.clone().or_else(|| self.session.clone()).unwrap_or_else(|| NEWEST_LEGACY.to_owned())
    }

    fn revision_of_request(&mut self, method: &str, message: &Value) -> String {
        let params = &message["params"];
        let declared = params["_meta"][REVISION_KEY].as_str();
        let revision = match (declared, method) {
            // A request refused for its revision gets an error in the format of the newest one.
            (Some(declared), _) => {
                if declared > NEWEST_LEGACY && known(declared) { declared } else { NEWEST }.to_owned()
            }
            (None, "initialize") => {
                let asked = params["protocolVersion"].as_str().filter(|asked| known(asked));
                asked.unwrap_or(NEWEST_LEGACY).to_owned()
            }
            (None, _) => self.session.clone().unwrap_or_else(|| NEWEST_LEGACY.to_owned()),
        };
        if let Some(token) = params["_meta"].get("progressToken") {
            self.tokens.insert(token.to_string(), revision.clone());
        }
        self.last = Some(revision.clone());
        revision
    }

    fn note_session(&mut self, method: &str, answer: &Value) {
        let agreed = answer["result"]["protocolVersion"].as_str();
        if let ("initialize", Some(agreed)) = (method, agreed) {
            self.session = Some(agreed.to_owned());
            self.last = self.session.clone();
        }
    }
}

fn kind_of(message: &Value) -> Option<&'static str> {
    let has = |member: &str| message.get(member).is_some();
    match (has("method"), has("id"), has("result"), has("error")) {
        (true, true, false, false) => Some("request"),
        (true, false, false, false) => Some("notification"),
        (false, true, true, false) => Some("result"),
        (false, _, false, true) => Some("error"),
        _ => None,
    }
}

fn known(revision: &str) -> bool {
    ["2024-11-05", "2025-03-26", "2025-06-18", NEWEST_LEGACY, NEWEST].contains(&revision)
}

/// One message against the schema of its revision; `Ok` where there are no schemas.
fn check(kind: &str, method: &str, revision: &str, message: &Value) -> Result<(), String> {
    let Some(schemas) = schemas() else { return Ok(()) };
    let of_tasks = method.starts_with("tasks/") || method.starts_with("notifications/tasks");
    let is_task = kind == "result" && message["result"]["resultType"] == "task";
    if revision == NEWEST && (is_task || of_tasks && kind != "error") {
        let Some(schema) = schemas.get(TASKS) else { return Ok(()) };
        return match kind {
            "result" if is_task => schema.fits("CreateTaskResult", &message["result"]),
            "result" => schema.fits(&format!("{}Result", schema.base_of(method)?), &message["result"]),
            _ => schema.fits(&schema.named_by(method)?, message),
        };
    }
    let schema = schemas.get(revision).ok_or_else(|| format!("no schema of revision {revision:?}"))?;
    match kind {
        "request" => {
            schema.fits("JSONRPCRequest", message)?;
            schema.fits(&schema.named_by(method)?, message)
        }
        "notification" => {
            schema.fits("JSONRPCNotification", message)?;
            schema.fits(&schema.named_by(method)?, message)
        }
        "error" => {
            schema.fits(schema.either("JSONRPCErrorResponse", "JSONRPCError"), message)?;
            match schema.of_code(&message["error"]["code"]) {
                Some(name) => schema.fits(&name, message),
                None => Ok(()),
            }
        }
        _ => {
            schema.fits(schema.either("JSONRPCResultResponse", "JSONRPCResponse"), message)?;
            let result = &message["result"];
            if result["resultType"] == "input_required" {
                return schema.fits("InputRequiredResult", result);
            }
            if result["task"].is_object() && schema.has("CreateTaskResult") {
                return schema.fits("CreateTaskResult", result);
            }
            let request = schema.named_by(method)?;
            let name = format!("{}Result", request.strip_suffix("Request").unwrap_or(&request));
            schema.fits(if schema.has(&name) { &name } else { "EmptyResult" }, result)
        }
    }
}

struct Schema {
    /// `$defs`, or `definitions` in older revisions.
    member: &'static str,
    root: Value,
    compiled: Mutex<BTreeMap<String, &'static jsonschema::Validator>>,
}

impl Schema {
    fn definitions(&self) -> &serde_json::Map<String, Value> {
        self.root[self.member].as_object().expect("a schema has definitions")
    }

    fn has(&self, name: &str) -> bool {
        self.definitions().contains_key(name)
    }

    fn either<'a>(&self, newer: &'a str, older: &'a str) -> &'a str {
        if self.has(newer) { newer } else { older }
    }

    /// The definition of a method.
    fn named_by(&self, method: &str) -> Result<String, String> {
        let found = self.definitions().iter().find(|(_, definition)| {
            let own = |definition: &Value| definition["properties"]["method"]["const"] == method;
            own(definition) || definition["allOf"].as_array().is_some_and(|all| all.iter().any(own))
        });
        found.map(|(name, _)| name.clone()).ok_or_else(|| format!("this revision has no {method:?}"))
    }

    /// The prefix of the definitions of a method's request and result.
    fn base_of(&self, method: &str) -> Result<String, String> {
        let request = self.named_by(method)?;
        Ok(request.strip_suffix("Request").unwrap_or(&request).to_owned())
    }

    /// The definition of error responses with that code, if they have one of their own.
    fn of_code(&self, code: &Value) -> Option<String> {
        let of_code = |definition: &Value| {
            let parts = definition["properties"]["error"]["allOf"].as_array();
            parts.is_some_and(|parts| parts.iter().any(|part| part["properties"]["code"]["const"] == *code))
        };
        self.definitions().iter().find(|(_, definition)| of_code(definition)).map(|(name, _)| name.clone())
    }

    fn fits(&self, name: &str, value: &Value) -> Result<(), String> {
        let validator =
            *self.compiled.lock().expect("no check panics").entry(name.to_owned()).or_insert_with(|| {
                let mut root = self.root.clone();
                root["$ref"] = json!(format!("#/{}/{name}", self.member));
                // A handful, for the life of the test.
                Box::leak(Box::new(jsonschema::validator_for(&root).expect("a valid schema")))
            });
        validator.validate(value).map_err(|error| {
            let at = error.instance_path().to_string();
            format!("does not fit {name} at {at:?}: {error}: {value}")
        })
    }
}

fn schemas() -> Option<&'static BTreeMap<String, Schema>> {
    static SCHEMAS: OnceLock<Option<BTreeMap<String, Schema>>> = OnceLock::new();
    let load = || {
        let Some(folder) = std::env::var_os("MCP_SPEC_DIR") else {
            // Written past the test harness, which hides the output of passing tests.
            let _ = writeln!(
                std::io::stderr(),
                "MCP_SPEC_DIR is not set: messages are not checked against the schemas"
            );
            return None;
        };
        let mut schemas = BTreeMap::new();
        for entry in std::fs::read_dir(Path::new(&folder)).expect("MCP_SPEC_DIR is a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if known(&name) || name == TASKS {
                let text = std::fs::read_to_string(entry.path().join("schema.json")).expect("a schema.json");
                let root: Value = serde_json::from_str(&text).expect("a schema is JSON");
                let member = if root.get("$defs").is_some() { "$defs" } else { "definitions" };
                schemas.insert(name, Schema { member, root, compiled: Mutex::default() });
            }
        }
        assert!(schemas.contains_key(NEWEST), "MCP_SPEC_DIR has no {NEWEST}/schema.json");
        Some(schemas)
    };
    SCHEMAS.get_or_init(load).as_ref()
}

/// Adds a line to the log, once for each message that differs from those before.
#[allow(clippy::disallowed_types, reason = "the protocol does no I/O, its tests may")]
fn record(end: End, kind: &str, method: &str, revision: &str, message: &Value) {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(file) = std::env::var_os("MCP_MESSAGE_LOG") else { return };
    let line = json!({"from": end.as_str(), "kind": kind, "method": method, "revision": revision, "message": message});
    let line = format!("{line}\n");
    if line.len() < 1 << 16 && SEEN.lock().expect("no log panics").insert(line.clone()) {
        let file = std::fs::File::options().append(true).create(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("MCP_MESSAGE_LOG is writable");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(frames: &[Value]) -> Conversation {
        let mut conversation = Conversation { logged: false, ..Conversation::new(End::Server) };
        frames.iter().for_each(|frame| conversation.heard(frame.to_string().as_bytes()));
        conversation
    }

    fn modern(id: u64, method: &str) -> Value {
        let meta = json!({REVISION_KEY: NEWEST, "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": "p"});
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"name": "t", "_meta": meta}})
    }

    #[test]
    fn a_wrong_message_is_found() {
        let good = json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "content": []}});
        let cases = [
            (good, true),
            // The result of another method, or none at all.
            (json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "tools": []}}), false),
            (json!({"jsonrpc": "2.0", "id": 1, "result": []}), false),
            (
                json!({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "content": [{"type": "text"}]}}),
                false,
            ),
            (json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}), false),
            (json!({"id": 1, "result": {"resultType": "complete", "content": []}}), false),
            (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "m"}}), true),
            (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32022, "message": "m"}}), false),
            (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1.5, "message": "m"}}), false),
            (json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "m"}}), true),
            (json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "m"}}), false),
            (
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": 1}}),
                true,
            ),
            (
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p"}}),
                false,
            ),
            (json!({"jsonrpc": "2.0", "method": "notifications/none", "params": {}}), false),
            (json!({"jsonrpc": "2.0", "id": 9, "method": "tools/none"}), false),
        ];
        for (message, right) in cases {
            let checked = told(&[modern(1, "tools/call")]).sent(&message);
            assert_eq!(checked.is_ok(), right || schemas().is_none(), "{message}: {checked:?}");
        }
        // These need no schema to be wrong.
        let asks = json!({"jsonrpc": "2.0", "id": 9, "method": "roots/list", "params": {"_meta": {REVISION_KEY: NEWEST}}});
        assert!(told(&[modern(1, "tools/call")]).sent(&asks).is_err());
        assert!(told(&[]).sent(&json!({"jsonrpc": "2.0", "id": 1, "result": {}})).is_err());
        assert!(told(&[]).sent(&json!({"jsonrpc": "2.0", "id": 1})).is_err());
    }

    #[test]
    fn a_session_speaks_what_was_agreed_on() {
        let ask = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"name": "t"}});
        let mut conversation = told(&[ask(1, "initialize")]);
        let result = json!({"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
        assert_eq!(conversation.sent(&json!({"jsonrpc": "2.0", "id": 1, "result": result})), Ok(()));
        conversation.heard(ask(2, "tools/call").to_string().as_bytes());
        assert_eq!(conversation.theirs["2"], ("tools/call".to_owned(), "2025-03-26".to_owned()));
        conversation.heard(modern(3, "tools/list").to_string().as_bytes());
        assert_eq!(conversation.theirs["3"].1, NEWEST);
        let answered = conversation.sent(&json!({"jsonrpc": "2.0", "id": 3, "result": {"tools": []}}));
        assert!(answered.is_err() || schemas().is_none(), "a modern list has its caching hints");
    }
}
