//! What a client that made the tour of an everything server must report.

use serde_json::{Value, json};

use crate::process::read;
use crate::session::root;

/// A reviewed difference of a foreign SDK: in that field that value is as good as ours.
pub struct Tolerance {
    /// The SDK is meant in this role.
    client: Option<String>,
    server: Option<String>,
    field: String,
    accept: Value,
}

/// The table in `tests/interop/tolerances.toml`. Every entry must give its reason.
pub fn tolerances() -> Result<Vec<Tolerance>, String> {
    const FILE: &str = "tests/interop/tolerances.toml";
    let table: toml::Table =
        toml::from_str(&read(&root().join(FILE))?).map_err(|e| format!("{FILE}: {e}"))?;
    let entries = table.get("tolerance").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text = |entry: &toml::Value, key: &str| {
        entry
            .get(key)
            .and_then(toml::Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("{FILE}: no `{key}`"))
    };
    let mut tolerances = Vec::new();
    for entry in &entries {
        text(entry, "why")?;
        let accept = entry.get("accept").ok_or_else(|| format!("{FILE}: no `accept`"))?;
        let accept = serde_json::to_value(accept).map_err(|e| format!("{FILE}: {e}"))?;
        let (client, server) = (text(entry, "client").ok(), text(entry, "server").ok());
        if client.is_none() && server.is_none() {
            return Err(format!("{FILE}: an entry names neither `client` nor `server`"));
        }
        tolerances.push(Tolerance { client, server, field: text(entry, "field")?, accept });
    }
    Ok(tolerances)
}

enum Want {
    Equal(Value),
    Holds(&'static [&'static str]),
}

fn expected() -> Vec<(&'static str, Want)> {
    use Want::{Equal, Holds};
    vec![
        ("tools", Equal(json!(true))),
        ("sum", Equal(json!(5))),
        ("echo", Equal(json!("héllo ✓ 😀\n\"q\""))),
        ("progress", Equal(json!([1, 2, 3]))),
        ("slow", Equal(json!("done"))),
        ("fail", Equal(json!("boom"))),
        ("unknown", Equal(json!(-32602))),
        ("invalid", Equal(json!("isError"))),
        ("cancel", Equal(json!("cancelled"))),
        ("resource", Holds(&["static text"])),
        ("template", Holds(&["42"])),
        ("prompt", Holds(&["hello", "world"])),
        ("completion", Equal(json!(["paris", "park", "party"]))),
        ("after", Equal(json!("still here"))),
    ]
}

/// Compare the one line of JSON that the client printed. The error names every field that differs.
pub fn check(
    line: &str,
    client: &str,
    server: &str,
    revision: &str,
    tolerances: &[Tolerance],
) -> Result<(), String> {
    let report: Value = serde_json::from_str(line)
        .map_err(|e| format!("client {client} printed no line of JSON ({e}): {line}"))?;
    let mut wrong = Vec::new();
    for (field, want) in std::iter::once(("revision", Want::Equal(json!(revision)))).chain(expected()) {
        let got = &report[field];
        let meant = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        let tolerated = || {
            tolerances.iter().any(|t| {
                meant(&t.client, client)
                    && meant(&t.server, server)
                    && t.field == field
                    && same(&t.accept, got)
            })
        };
        let (right, wish) = match &want {
            Want::Equal(value) => (same(value, got), value.to_string()),
            Want::Holds(parts) => {
                let text = got.as_str().unwrap_or_default().to_lowercase();
                (parts.iter().all(|part| text.contains(part)), format!("a text with {}", parts.join(" and ")))
            }
        };
        if !right && !tolerated() {
            wrong.push(format!("{field} is {got}, not {wish}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Equal as JSON, where 5 and 5.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"revision": "r", "tools": true, "sum": 5.0, "echo": "héllo ✓ 😀\n\"q\"", "progress": [1.0, 2.0, 3.0],
        "slow": "done", "fail": "boom", "unknown": -32602, "invalid": "isError", "cancel": "cancelled",
        "resource": "This is the content of the static text resource.", "template": "id 42",
        "prompt": "hello, world", "completion": ["paris", "park", "party"], "after": "still here"}"#;

    #[test]
    fn a_good_report_passes_and_each_wrong_field_is_named() {
        assert_eq!(check(GOOD, "c", "s", "r", &[]), Ok(()));
        assert!(check(GOOD, "c", "s", "newer", &[]).is_err_and(|why| why.contains("revision")));
        let bad = GOOD.replace("-32602", "\"isError\"").replace("boom", "bang");
        let message = check(&bad, "c", "s", "r", &[]).expect_err("two fields differ");
        assert!(
            message.contains("unknown is \"isError\"") && message.contains("fail is \"bang\""),
            "{message}"
        );
        assert!(check("no json", "c", "s", "r", &[]).is_err());
        assert!(check("{}", "c", "s", "r", &[]).is_err());
    }

    #[test]
    fn a_tolerance_holds_for_its_server_only() {
        let tolerance = [Tolerance {
            client: None,
            server: Some("s".into()),
            field: "unknown".into(),
            accept: json!("isError"),
        }];
        let report = GOOD.replace("-32602", "\"isError\"");
        assert_eq!(check(&report, "c", "s", "r", &tolerance), Ok(()));
        assert!(check(&report, "c", "other", "r", &tolerance).is_err());
    }

    #[test]
    fn the_table_in_the_repository_is_valid() {
        let foreign = |name: &Option<String>| name.as_ref().is_some_and(|name| name.ends_with("-official"));
        assert!(tolerances().expect("valid").iter().all(|t| foreign(&t.client) || foreign(&t.server)));
    }
}
