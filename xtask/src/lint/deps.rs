//! The direction of dependencies: proto <- engine <- {facade <- bindings, rust}, and the dependencies that `proto`
//! must not have.

use serde_json::Value;

use super::files::word_at;
use crate::process::read;
use crate::session::{Log, root};
use crate::setup::cargo;

/// The page with a line for each direct dependency.
const PAGE: &str = "docs/dependencies.md";

const BINDINGS: &[&str] = &["trunnion-python", "trunnion-node", "trunnion-swift", "trunnion-c"];

/// The workspace crates that a workspace crate may depend on; crates not listed may depend on none.
const MAY: &[(&str, &[&str])] = &[
    ("trunnion-proto", &[]),
    ("trunnion-macros", &[]),
    ("trunnion-engine", &["trunnion-proto"]),
    ("trunnion", &["trunnion-proto", "trunnion-engine", "trunnion-macros"]),
    ("trunnion-facade", &["trunnion-proto", "trunnion-engine"]),
    ("trunnion-python", &["trunnion-facade"]),
    ("trunnion-node", &["trunnion-facade"]),
    ("trunnion-swift", &["trunnion-facade"]),
    ("trunnion-c", &["trunnion-facade"]),
    ("trunnion-cli", &["trunnion"]),
    ("trunnion-examples", &["trunnion"]),
    ("trunnion-chaos", &["trunnion", "trunnion-facade"]),
];

/// The features of dependencies, for unpublished crates.
const HACK: &str = "workspace-hack";

/// Sockets, threads and timers: nothing that `proto` pulls in may bring them.
const NOT_REACHED_BY_PROTO: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "polling",
    "mio",
    "hyper",
    "hyper-util",
    "reqwest",
    "rustls",
    "rusqlite",
    "socket2",
];

/// Clocks, entropy, the system: `proto` is given these as data, so it may not name them. (Its schema validator
/// seeds hash maps; that never shows.)
const NOT_NAMED_BY_PROTO: &[&str] =
    &["rustix", "libc", "ring", "rand", "getrandom", "chrono", "time", "uuid", "tempfile"];

/// Crates that a binding must leave to the engine.
const NOT_IN_BINDINGS: &[&str] = &["tokio", "hyper", "reqwest", "jsonschema", "schemars"];

/// Checks `cargo metadata`.
pub fn direction(log: &Log) -> Result<(), String> {
    let text = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    let metadata: Value = serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut wrong = violations(&metadata);
    wrong.extend(undocumented(&metadata, &read(&root().join(PAGE))?));
    for line in &wrong {
        log.line(line);
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} faults of dependencies", wrong.len())) }
}

/// Direct dependencies of the workspace without a line in the page. `workspace-hack` only repeats those of others.
fn undocumented(metadata: &Value, page: &str) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let members: Vec<Value> = list(&metadata["workspace_members"]);
    let ours: Vec<Value> =
        list(&metadata["packages"]).into_iter().filter(|package| members.contains(&package["id"])).collect();
    let is_ours = |name: &str| ours.iter().any(|package| package["name"] == name);
    let names: std::collections::BTreeSet<String> = ours
        .iter()
        .filter(|package| package["name"] != HACK)
        .flat_map(|package| list(&package["dependencies"]))
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .filter(|name| !is_ours(name))
        .collect();
    let missing = names.into_iter().filter(|name| word_at(page, name).is_none());
    missing.map(|name| format!("{PAGE} has no line for {name}")).collect()
}

fn violations(metadata: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let members: Vec<Value> = list(&metadata["workspace_members"]);
    let packages = list(&metadata["packages"]);
    let ours: Vec<&Value> = packages.iter().filter(|package| members.contains(&package["id"])).collect();
    let our_names: Vec<&str> = ours.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in &ours {
        let name = package["name"].as_str().unwrap_or_default();
        let allowed = MAY.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, allowed)| allowed);
        for dependency in list(&package["dependencies"]) {
            let on = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"] == "dev";
            let hack = on == HACK && package["publish"].is_array();
            if our_names.contains(&on) && !allowed.contains(&on) && !dev && !hack {
                wrong.push(format!("{name} depends on {on}"));
            }
            if name == "trunnion-proto" && !dev && NOT_NAMED_BY_PROTO.contains(&on) {
                wrong.push(format!("trunnion-proto names {on}"));
            }
            if BINDINGS.contains(&name) && NOT_IN_BINDINGS.contains(&on) {
                wrong.push(format!("{name} depends on {on}: that is the engine's business"));
            }
        }
    }
    for name in reachable(metadata, &packages, "trunnion-proto") {
        if NOT_REACHED_BY_PROTO.contains(&name.as_str()) {
            wrong.push(format!("trunnion-proto reaches {name}"));
        }
    }
    wrong
}

/// Names of all packages that `from` pulls in, other than for its tests and builds.
fn reachable(metadata: &Value, packages: &[Value], from: &str) -> Vec<String> {
    let name_of =
        |id: &Value| packages.iter().find(|package| package["id"] == *id).map(|package| &package["name"]);
    let nodes = metadata["resolve"]["nodes"].as_array().cloned().unwrap_or_default();
    let start = packages.iter().find(|package| package["name"] == from).map(|package| package["id"].clone());
    let mut seen: Vec<Value> = start.into_iter().collect();
    let mut next = 0;
    while next < seen.len() {
        let node = nodes.iter().find(|node| node["id"] == seen[next]);
        next += 1;
        for dependency in node.and_then(|node| node["deps"].as_array()).into_iter().flatten() {
            let normal = dependency["dep_kinds"].as_array().is_none_or(|kinds| {
                // Targets that this machine is not, such as wasm, are no part of what is built here.
                kinds.iter().any(|kind| kind["kind"].is_null() && kind["target"].is_null())
            });
            if normal && !seen.contains(&dependency["pkg"]) {
                seen.push(dependency["pkg"].clone());
            }
        }
    }
    seen.iter().filter_map(|id| name_of(id)?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{undocumented, violations};

    #[test]
    fn undocumented_dependencies_are_found() {
        let dependencies = json!([{"name": "serde"}, {"name": "serde_json"}, {"name": "trunnion-proto"}]);
        let metadata = json!({
            "workspace_members": ["trunnion-proto", "trunnion"],
            "packages": [
                {"name": "trunnion-proto", "id": "trunnion-proto", "dependencies": []},
                {"name": "trunnion", "id": "trunnion", "dependencies": dependencies},
                {"name": "serde", "id": "serde", "dependencies": [{"name": "other"}]},
            ],
        });
        assert_eq!(undocumented(&metadata, "| serde_json |"), ["docs/dependencies.md has no line for serde"]);
        assert!(undocumented(&metadata, "| serde, serde_json |").is_empty());
    }

    #[test]
    fn a_binding_that_names_the_engine_is_found() {
        let package = |name: &str, on: &[&str]| {
            let dependencies: Vec<_> = on.iter().map(|on| json!({"name": on, "kind": null})).collect();
            json!({"name": name, "id": name, "dependencies": dependencies})
        };
        let metadata = json!({
            "workspace_members": ["trunnion-proto", "trunnion-engine", "trunnion-facade", "trunnion-python"],
            "packages": [
                package("trunnion-proto", &["serde", "tokio", "rand"]), package("serde", &[]), package("tokio", &[]),
                package("trunnion-engine", &["trunnion-proto"]),
                package("trunnion-facade", &["trunnion-engine"]),
                package("trunnion-python", &["trunnion-facade", "trunnion-engine"]),
            ],
            "resolve": {"nodes": [{"id": "trunnion-proto", "deps": [
                {"pkg": "serde", "dep_kinds": [{"kind": null, "target": null}]},
                {"pkg": "tokio", "dep_kinds": [{"kind": null, "target": null}]},
            ]}]},
        });
        assert_eq!(
            violations(&metadata),
            [
                "trunnion-proto names rand",
                "trunnion-python depends on trunnion-engine",
                "trunnion-proto reaches tokio"
            ]
        );
    }
}
