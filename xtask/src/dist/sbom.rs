//! The bill of materials (CycloneDX 1.6) of the code that is compiled into the libraries of one platform.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Plan, target::Target};
use crate::process::{read, sh};
use crate::session::root;
use crate::setup;

/// One crate that is compiled into the libraries.
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// The folder of its sources.
    pub folder: PathBuf,
    /// SHA-256 of the crate's file; `None`: a crate of this workspace.
    pub checksum: Option<String>,
    /// The dependencies, as `name version`.
    pub needs: BTreeSet<String>,
}

impl Component {
    /// Its name among the others.
    pub fn key(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

/// The crates of the libraries, without those that only run while these are compiled.
pub fn components(target: &Target) -> Result<Vec<Component>, String> {
    let mut tree = vec!["tree", "--locked", "--prefix", "none", "--format", "{p}", "--target", target.triple];
    tree.extend(["--edges", "normal,no-proc-macro", "--no-dedupe"]);
    for package in ["trunnion-python", "trunnion-node", "trunnion-c", "trunnion-swift"] {
        tree.extend(["--package", package]);
    }
    let listed = setup::cargo(&tree).output()?;
    let chosen: BTreeSet<String> = listed.lines().filter_map(key_of).collect();
    let metadata = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target.triple];
    let metadata: Value = serde_json::from_str(&setup::cargo(&metadata).output()?)
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let sums = checksums()?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut keys = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        if let (Some(id), Some(name), Some(version)) =
            (text(&package["id"]), text(&package["name"]), text(&package["version"]))
        {
            keys.insert(id, format!("{name} {version}"));
        }
    }
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let Some(key) = text(&node["id"]).and_then(|id| keys.get(&id).cloned()) else { continue };
        let normal = list(&node["deps"])
            .into_iter()
            .filter(|dependency| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()));
        let found = normal.filter_map(|dependency| keys.get(&text(&dependency["pkg"])?).cloned());
        needs.insert(key, found.filter(|key| chosen.contains(key)).collect());
    }
    let mut components: Vec<Component> = list(&metadata["packages"])
        .into_iter()
        .filter_map(|package| {
            let (name, version) = (text(&package["name"])?, text(&package["version"])?);
            let key = format!("{name} {version}");
            chosen.contains(&key).then(|| Component {
                license: text(&package["license"]),
                folder: PathBuf::from(text(&package["manifest_path"]).unwrap_or_default())
                    .parent()
                    .map_or_else(PathBuf::new, PathBuf::from),
                checksum: sums.get(&key).cloned(),
                needs: needs.remove(&key).unwrap_or_default(),
                name,
                version,
            })
        })
        .collect();
    components.sort_by_key(Component::key);
    if components.len() != chosen.len() {
        return Err(format!(
            "cargo tree names {} crates, cargo metadata knows {}",
            chosen.len(),
            components.len()
        ));
    }
    Ok(components)
}

/// `name version` of a line such as `tokio v1.54.0 (*)`.
fn key_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

fn checksums() -> Result<BTreeMap<String, String>, String> {
    let lock: toml::Table =
        read(&root().join("Cargo.lock"))?.parse().map_err(|e| format!("Cargo.lock: {e}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(packages
        .iter()
        .filter_map(|package| {
            let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
            Some((format!("{} {}", text("name")?, text("version")?), text("checksum")?.to_owned()))
        })
        .collect())
}

/// The file of a platform's bill.
pub fn name(plan: &Plan) -> String {
    format!("trunnion-{}-{}.cdx.json", plan.version, plan.target.triple)
}

/// Writes the bill.
pub fn write(plan: &Plan, components: &[Component]) -> Result<(), String> {
    let own = format!("pkg:generic/trunnion@{}", plan.version);
    let listed: Vec<Value> = components.iter().map(entry).collect();
    let purl =
        |key: &String| components.iter().find(|component| component.key() == *key).map(Component::purl);
    let mut edges: Vec<Value> = components
        .iter()
        .map(|component| {
            let needs: Vec<_> = component.needs.iter().filter_map(purl).collect();
            json!({ "ref": component.purl(), "dependsOn": needs })
        })
        .collect();
    let roots = ["trunnion-python", "trunnion-node", "trunnion-c", "trunnion-swift"];
    let roots: Vec<_> = components
        .iter()
        .filter(|component| roots.contains(&component.name.as_str()))
        .map(Component::purl)
        .collect();
    edges.push(json!({ "ref": own, "dependsOn": roots }));
    let time =
        sh(&format!("date -u -d @{0} +%FT%TZ 2>/dev/null || date -u -r {0} +%FT%TZ", plan.epoch)).output()?;
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.trim(),
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": "trunnion",
                "version": plan.version,
                "purl": own,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                "properties": [{ "name": "platform", "value": plan.target.triple }],
            },
        },
        "components": listed,
        "dependencies": edges,
    });
    bill["serialNumber"] = json!(serial(&bill.to_string()));
    let text = serde_json::to_string_pretty(&bill).map_err(|e| e.to_string())?;
    crate::process::write(&plan.out.join(name(plan)), &(text + "\n"))
}

fn entry(component: &Component) -> Value {
    let mut entry = json!({
        "type": "library",
        "bom-ref": component.purl(),
        "name": component.name,
        "version": component.version,
        "purl": component.purl(),
    });
    if let Some(license) = &component.license {
        // Older crates write MIT/Apache-2.0, which is no SPDX expression.
        entry["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = &component.checksum {
        entry["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(version) = bundled_sqlite(component) {
        let purl = format!("pkg:generic/sqlite@{version}");
        entry["components"] = json!([{ "type": "library", "bom-ref": purl, "name": "sqlite", "version": version, "purl": purl }]);
    }
    entry
}

/// The version of SQLite in the crate that carries its source.
fn bundled_sqlite(component: &Component) -> Option<String> {
    if component.name != "libsqlite3-sys" {
        return None;
    }
    let header = read(&component.folder.join("sqlite3/sqlite3.h")).ok()?;
    let line = header.lines().find(|line| line.starts_with("#define SQLITE_VERSION "))?;
    line.split('"').nth(1).map(str::to_owned)
}

/// A UUID of version 8 (RFC 9562) that is the hash of the content: the same bill has the same number.
fn serial(content: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(content)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn crate_of_a_line() {
        assert_eq!(super::key_of("tokio v1.54.0").as_deref(), Some("tokio 1.54.0"));
        assert_eq!(super::key_of("trunnion v0.1.0 (rust)").as_deref(), Some("trunnion 0.1.0"));
        assert_eq!(super::key_of(""), None);
    }

    #[test]
    fn serial_number_depends_on_the_content() {
        let one = super::serial("a");
        assert_eq!(one, super::serial("a"));
        assert_ne!(one, super::serial("b"));
        assert_eq!((one.len(), &one[23..24]), (45, "8"), "{one}");
    }
}
