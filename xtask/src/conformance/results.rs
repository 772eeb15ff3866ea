//! Results of the suite, and the demands of the gate.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::read;

/// `tests/conformance/expected.toml`.
pub struct Expected {
    /// Version of the suite.
    pub suite: String,
    /// Server scenarios by revision.
    pub server: Vec<(String, Vec<String>)>,
    /// Client scenarios by revision.
    pub client: Vec<(String, Vec<String>)>,
    skipped: Vec<Skip>,
}

/// A check that may be skipped, and with which words.
#[derive(Debug)]
struct Skip {
    scenario: String,
    check: String,
    /// A part of the suite's message; where it is missing, any message.
    says: String,
}

impl Skip {
    fn lets_pass(&self, scenario: &str, id: &str, message: &str) -> bool {
        self.scenario == scenario && (self.check == "*" || self.check == id) && message.contains(&self.says)
    }
}

/// One scenario's checks, counted.
#[derive(Debug, Default)]
pub struct Scenario {
    /// Name in the suite.
    pub name: String,
    /// Checks with status SUCCESS.
    pub successes: usize,
    /// Ids of the others, other than INFO, with their status and message.
    pub others: Vec<(String, String, String)>,
}

/// The verdict of the gate on one scenario at one revision.
pub struct Verdict {
    /// Name in the suite.
    pub scenario: String,
    /// Revision, or `extension`.
    pub revision: String,
    /// True if it must be clean.
    pub expected: bool,
    /// Why it is not clean.
    pub problems: Vec<String>,
    /// Checks with status SUCCESS.
    pub successes: usize,
}

impl Verdict {
    /// For the report.
    pub fn to_json(&self) -> Value {
        json!({
            "scenario": self.scenario, "revision": self.revision, "expected": self.expected,
            "clean": self.problems.is_empty(), "successes": self.successes, "problems": self.problems,
        })
    }
}

impl Expected {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        let role = |name: &str| -> Result<Vec<(String, Vec<String>)>, String> {
            let by_revision =
                table.get(name).and_then(toml::Value::as_table).ok_or(format!("no [{name}]"))?;
            let names = |list: &toml::Value| {
                let list = list.as_array().into_iter().flatten();
                list.filter_map(|scenario| scenario.as_str().map(str::to_owned)).collect::<Vec<_>>()
            };
            Ok(by_revision.iter().map(|(revision, list)| (revision.clone(), names(list))).collect())
        };
        let mut skipped = Vec::new();
        for entry in table.get("skipped").and_then(toml::Value::as_array).into_iter().flatten() {
            let text = |key: &str| {
                entry
                    .get(key)
                    .and_then(toml::Value::as_str)
                    .map(str::to_owned)
                    .ok_or(format!("[[skipped]]: no {key}"))
            };
            text("why")?;
            let says = entry.get("says").map(|_| text("says")).transpose()?.unwrap_or_default();
            skipped.push(Skip { scenario: text("scenario")?, check: text("check")?, says });
        }
        let suite = table.get("suite").and_then(toml::Value::as_str).ok_or("no suite")?.to_owned();
        Ok(Self { suite, server: role("server")?, client: role("client")?, skipped })
    }

    /// Returns true if the scenario must be clean at that revision.
    pub fn demands(&self, role: &str, revision: &str, scenario: &str) -> bool {
        let by_revision = if role == "server" { &self.server } else { &self.client };
        by_revision
            .iter()
            .any(|(known, names)| known == revision && names.iter().any(|name| name == scenario))
    }

    /// Why the scenario is not clean; nothing when it is.
    pub fn problems(&self, scenario: &Scenario) -> Vec<String> {
        let mut problems = Vec::new();
        for (id, status, message) in &scenario.others {
            let reviewed = |skip: &Skip| skip.lets_pass(&scenario.name, id, message);
            if status != "SKIPPED" || !self.skipped.iter().any(reviewed) {
                problems.push(format!("{status} {id} {message}").trim_end().to_owned());
            }
        }
        if scenario.successes == 0 {
            problems.push("no check succeeded".into());
        }
        problems
    }
}

/// All scenarios whose results lie below the folder.
pub fn read_folder(folder: &Path) -> Result<Vec<Scenario>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(&next).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("checks.json") {
                let relative = next.strip_prefix(folder).unwrap_or(&next).to_string_lossy().into_owned();
                found.push(scenario(&scenario_name(&relative), &read(&path)?)?);
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn scenario(name: &str, text: &str) -> Result<Scenario, String> {
    let checks: Vec<Value> = serde_json::from_str(text).map_err(|e| format!("checks of {name}: {e}"))?;
    let mut scenario = Scenario { name: name.to_owned(), ..Scenario::default() };
    for check in &checks {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let (id, status) = (text("id"), text("status"));
        // A fault of the harness itself is no success, whatever its status.
        if id == "wire-schema-harness-error" {
            scenario.others.push((id, "FAILURE".into(), text("errorMessage")));
        } else if status == "SUCCESS" {
            scenario.successes += 1;
        } else if status != "INFO" {
            scenario.others.push((id, status, text("errorMessage")));
        }
    }
    Ok(scenario)
}

/// `server-tools-list-2026-11-22T11-48-05-778Z` to `tools-list`.
fn scenario_name(folder: &str) -> String {
    const STAMP: usize = "-2026-11-22T11-48-05-778Z".len();
    let name =
        if folder.ends_with('Z') && folder.len() > STAMP { &folder[..folder.len() - STAMP] } else { folder };
    // A server scenario's folder has one more prefix, also where its own name starts with the same word.
    name.strip_prefix("server-").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = r#"
        suite = "1"
        server.A = ["x"]
        client.A = ["y"]
        [[skipped]]
        scenario = "x"
        check = "b"
        why = "w"
        [[skipped]]
        scenario = "x"
        check = "c"
        says = "not there"
        why = "w"
    "#;

    #[test]
    fn a_scenario_needs_a_success_and_nothing_else() {
        let expected = Expected::parse(EXPECTED).expect("valid");
        let problems = |checks: &str| expected.problems(&scenario("x", checks).expect("valid"));
        assert!(problems(r#"[{"id":"a","status":"SUCCESS"},{"id":"b","status":"SKIPPED"}]"#).is_empty());
        let skipped = |why: &str| {
            problems(&format!(
                r#"[{{"id":"a","status":"SUCCESS"}},{{"id":"c","status":"SKIPPED","errorMessage":"{why}"}}]"#
            ))
        };
        assert!(skipped("it is not there").is_empty());
        assert_eq!(skipped("no reason"), ["SKIPPED c no reason"]);
        assert_eq!(problems("[]"), ["no check succeeded"]);
        assert_eq!(
            problems(r#"[{"id":"a","status":"SUCCESS"},{"id":"c","status":"SKIPPED"}]"#),
            ["SKIPPED c"]
        );
        assert_eq!(
            problems(r#"[{"id":"a","status":"SUCCESS"},{"id":"c","status":"WARNING"}]"#),
            ["WARNING c"]
        );
        let harness = r#"[{"id":"a","status":"SUCCESS"},{"id":"wire-schema-harness-error","status":"INFO"}]"#;
        assert_eq!(problems(harness), ["FAILURE wire-schema-harness-error"]);
    }

    #[test]
    fn names_of_folders() {
        assert_eq!(scenario_name("server-tools-list-2026-11-22T11-48-05-778Z"), "tools-list");
        assert_eq!(scenario_name("server-server-initialize-2026-11-22T11-48-05-778Z"), "server-initialize");
        assert_eq!(scenario_name("auth/dpop-2026-11-22T11-48-05-778Z"), "auth/dpop");
    }

    #[test]
    fn demands_are_by_role_and_revision() {
        let expected = Expected::parse(EXPECTED).expect("valid");
        assert!(expected.demands("server", "A", "x") && !expected.demands("client", "A", "x"));
        assert!(!expected.demands("server", "B", "x"));
    }
}
