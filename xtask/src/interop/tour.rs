//! The expected report of a client after the tour of an everything server.

use serde_json::{Value, json};

use crate::process::read;
use crate::session::root;

/// The cell that a report is from.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub client: &'a str,
    pub server: &'a str,
    pub transport: &'a str,
    pub revision: &'a str,
}

/// A reviewed difference of a foreign SDK: in that field that value is as good as ours.
#[derive(Default)]
pub struct Tolerance {
    /// The SDK is meant in this role.
    client: Option<String>,
    server: Option<String>,
    /// Only in the tables of these.
    transport: Option<String>,
    revision: Option<String>,
    field: String,
    accept: Value,
}

impl Tolerance {
    fn holds(&self, place: Place<'_>, field: &str, got: &Value) -> bool {
        let meant = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        meant(&self.client, place.client)
            && meant(&self.server, place.server)
            && meant(&self.transport, place.transport)
            && meant(&self.revision, place.revision)
            && self.field == field
            && same(&self.accept, got)
    }
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
        let (transport, revision) = (text(entry, "transport").ok(), text(entry, "revision").ok());
        let field = text(entry, "field")?;
        tolerances.push(Tolerance { client, server, transport, revision, field, accept });
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

/// Compares the one line of JSON that the client printed. The error names every field that differs.
pub fn check(line: &str, place: Place<'_>, tolerances: &[Tolerance]) -> Result<(), String> {
    let report: Value = serde_json::from_str(line)
        .map_err(|e| format!("client {} printed no line of JSON ({e}): {line}", place.client))?;
    let mut wrong = Vec::new();
    for (field, want) in std::iter::once(("revision", Want::Equal(json!(place.revision)))).chain(expected()) {
        let got = &report[field];
        let tolerated = || tolerances.iter().any(|tolerance| tolerance.holds(place, field, got));
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

    const HERE: Place<'_> = Place { client: "c", server: "s", transport: "t", revision: "r" };

    #[test]
    fn a_good_report_passes_and_each_wrong_field_is_named() {
        assert_eq!(check(GOOD, HERE, &[]), Ok(()));
        assert!(
            check(GOOD, Place { revision: "newer", ..HERE }, &[]).is_err_and(|why| why.contains("revision"))
        );
        let bad = GOOD.replace("-32602", "\"isError\"").replace("boom", "bang");
        let message = check(&bad, HERE, &[]).expect_err("two fields differ");
        assert!(
            message.contains("unknown is \"isError\"") && message.contains("fail is \"bang\""),
            "{message}"
        );
        assert!(check("no json", HERE, &[]).is_err());
        assert!(check("{}", HERE, &[]).is_err());
    }

    #[test]
    fn a_tolerance_holds_for_what_it_names_only() {
        let tolerance = |transport: Option<&str>| {
            [Tolerance {
                server: Some("s".into()),
                transport: transport.map(str::to_owned),
                field: "unknown".into(),
                accept: json!("isError"),
                ..Tolerance::default()
            }]
        };
        let report = GOOD.replace("-32602", "\"isError\"");
        assert_eq!(check(&report, HERE, &tolerance(None)), Ok(()));
        assert_eq!(check(&report, HERE, &tolerance(Some("t"))), Ok(()));
        assert!(check(&report, HERE, &tolerance(Some("other"))).is_err());
        assert!(check(&report, Place { server: "other", ..HERE }, &tolerance(None)).is_err());
    }

    #[test]
    fn the_table_in_the_repository_is_valid() {
        let foreign = |name: &Option<String>| name.as_ref().is_some_and(|name| name.ends_with("-official"));
        assert!(tolerances().expect("valid").iter().all(|t| foreign(&t.client) || foreign(&t.server)));
    }
}
