//! Frames that a peer may send: good, bad and broken ones.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Bytes that a failed test shows as text.
#[derive(Clone)]
pub struct Frame(pub Vec<u8>);

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// One of few ids, so that they collide; `1` and `"1"` are two of them.
pub fn id() -> impl Strategy<Value = Value> {
    prop_oneof![(0..4_u64).prop_map(Value::from), select(vec!["1", "a", ""]).prop_map(Value::from)]
}

/// A request of either era, mostly one that a server knows.
pub fn request() -> impl Strategy<Value = Value> {
    let methods = vec![
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "resources/read",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "no/such",
    ];
    (id(), select(methods), 0..4_u8, any::<bool>(), any::<bool>()).prop_map(
        |(id, method, era, progress, named)| {
            let mut params = json!({"level": "debug", "protocolVersion": "2025-06-18", "capabilities": {}});
            if named {
                params["name"] = json!("n");
                params["uri"] = json!("test://u");
            }
            let mut meta = json!({});
            if era > 0 {
                let revision = ["2026-07-28", "2026-07-28", "1900-01-01"][usize::from(era) - 1];
                meta["io.modelcontextprotocol/protocolVersion"] = json!(revision);
                meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
                meta["io.modelcontextprotocol/logLevel"] = json!("warning");
            }
            if progress {
                meta["progressToken"] = id.clone();
            }
            params["_meta"] = meta;
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        },
    )
}

/// Other messages from the caller of [`request`]: cancellations, answers, unknown methods.
fn aside() -> impl Strategy<Value = Value> {
    let note = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    prop_oneof![
        4 => id().prop_map(move |id| note("notifications/cancelled", json!({"requestId": id, "reason": "r"}))),
        1 => id().prop_map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {}})),
        1 => id().prop_map(|id| json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "m"}})),
        1 => Just(note("notifications/initialized", json!({}))),
        1 => Just(note("no/such", json!({"requestId": {}}))),
    ]
}

/// Any frame: a message, a batch of them, a message with a wrong byte or cut short, noise.
pub fn frame(message: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Frame> {
    let message = prop_oneof![4 => message, 2 => aside()].boxed();
    let text = |message: Value| message.to_string().into_bytes();
    prop_oneof![
        12 => message.clone().prop_map(text),
        1 => prop::collection::vec(message.clone(), 0..3).prop_map(move |batch| text(Value::from(batch))),
        2 => (message.clone(), any::<Index>(), any::<u8>()).prop_map(move |(message, at, byte)| {
            let mut bytes = text(message);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
        1 => (message, any::<Index>()).prop_map(move |(message, end)| {
            let mut bytes = text(message);
            bytes.truncate(end.index(bytes.len()));
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..24),
        1 => "[\\[\\]{}\":,0-9a-z\\\\ ]{0,40}".prop_map(String::into_bytes),
    ]
    .prop_map(Frame)
}
