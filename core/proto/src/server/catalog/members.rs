//! The members that definitions may have. An unknown member is an error, because it would otherwise be lost
//! silently.

use serde_json::{Map, Value};

use super::{Invalid, Item};

const ICON: &[&str] = &["src", "mimeType", "sizes", "theme"];
const HINTS: &[&str] = &["title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
const ANNOTATIONS: &[&str] = &["audience", "priority", "lastModified"];
const ARGUMENT: &[&str] = &["name", "title", "description", "required"];
const REFERENCE: &[&str] = &["type", "name", "title", "uri"];

/// The members of a definition (2026-07-28, `Tool`, `Resource`, `ResourceTemplate`, `Prompt`), and those of the objects in it.
fn known(item: Item) -> (&'static [&'static str], &'static [(&'static str, &'static [&'static str])]) {
    match item {
        Item::Tool => (
            &[
                "name",
                "title",
                "description",
                "icons",
                "inputSchema",
                "outputSchema",
                "annotations",
                // What it says comes from how the tool is registered.
                "execution",
            ],
            &[("icons", ICON), ("annotations", HINTS)],
        ),
        Item::Resource => (
            &["uri", "name", "title", "description", "icons", "mimeType", "size", "annotations"],
            &[("icons", ICON), ("annotations", ANNOTATIONS)],
        ),
        Item::ResourceTemplate => (
            &["uriTemplate", "name", "title", "description", "icons", "mimeType", "annotations"],
            &[("icons", ICON), ("annotations", ANNOTATIONS)],
        ),
        Item::Prompt => (
            &["name", "title", "description", "icons", "arguments"],
            &[("icons", ICON), ("arguments", ARGUMENT)],
        ),
        Item::Completion => (&["ref"], &[("ref", REFERENCE)]),
    }
}

/// Refuse members that are neither known nor extensions (`_meta`, `x-…`).
pub(super) fn check_members(item: Item, members: &Map<String, Value>) -> Result<(), Invalid> {
    let (known, objects) = known(item);
    check("", members, known)?;
    for (member, known) in objects {
        match members.get(*member) {
            Some(Value::Object(object)) => check(&format!("{member}."), object, known)?,
            Some(Value::Array(list)) => {
                for (index, object) in list.iter().enumerate() {
                    if let Value::Object(object) = object {
                        check(&format!("{member}[{index}]."), object, known)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check(path: &str, members: &Map<String, Value>, known: &[&str]) -> Result<(), Invalid> {
    let is_known = |name: &str| known.contains(&name) || name == "_meta" || name.starts_with("x-");
    match members.keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(Invalid(format!(
            "the definition has an unknown member {:?}; known are {}, and extensions as _meta and x-…",
            format!("{path}{name}"),
            known.join(", ")
        ))),
    }
}
