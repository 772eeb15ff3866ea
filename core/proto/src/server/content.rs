//! Converts content that a revision does not have to text. A block that the schema of the revision refuses
//! would cost the client the whole result.

use serde_json::{Value, json};

use crate::revision::Revision;

/// Returns true if a revision lacks kinds of content that handlers may return.
pub(crate) fn is_limited(revision: Revision) -> bool {
    revision < Revision::V2025_06_18
}

/// The blocks of a tool's `content` as a revision has them. `None`: as they are.
pub(crate) fn blocks(content: &str, revision: Revision) -> Option<String> {
    rewritten(content, revision, |value| value.as_array_mut().into_iter().flatten().collect())
}

/// The same of messages, of a prompt or for a model.
pub(crate) fn messages(messages: &str, revision: Revision) -> Option<String> {
    rewritten(messages, revision, |value| {
        let messages = value.as_array_mut().into_iter().flatten();
        messages.filter_map(|message| message.get_mut("content")).collect()
    })
}

fn rewritten(
    text: &str,
    revision: Revision,
    blocks: impl FnOnce(&mut Value) -> Vec<&mut Value>,
) -> Option<String> {
    if !is_limited(revision) {
        return None;
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    let mut changed = false;
    for block in blocks(&mut value) {
        if let Some(text) = instead(block, revision) {
            let annotations = block.get("annotations").cloned();
            *block = json!({"type": "text", "text": text});
            if let Some(annotations) = annotations {
                block["annotations"] = annotations;
            }
            changed = true;
        }
    }
    changed.then(|| value.to_string())
}

/// The text form of a block that the revision does not have.
fn instead(block: &Value, revision: Revision) -> Option<String> {
    let text = |member: &str| block.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    match text("type")? {
        "audio" if revision < Revision::V2025_03_26 => {
            Some(format!("[audio of type {}]", text("mimeType").unwrap_or("unknown")))
        }
        "resource_link" if revision < Revision::V2025_06_18 => {
            let parts = [text("title").or(text("name")), text("description"), text("uri")];
            Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    }
}
