//! The npm packages: `trunnion`, which is JavaScript alone, and one with the native module for each platform.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Plan, put, put_licenses, put_tracked, strip, target::TARGETS};
use crate::process::{cmd, read, write};
use crate::session::{Log, root, target as target_folder};
use crate::setup;

/// The manifest of the package in the repository.
fn manifest() -> Result<Map<String, Value>, String> {
    serde_json::from_str(&read(&root().join("node/package.json"))?).map_err(|e| format!("package.json: {e}"))
}

/// The package `@trunnion/<platform>`.
pub fn platform(log: &Log, plan: &Plan, notices: &Path) -> Result<(), String> {
    let npm = plan.target.npm;
    let folder = plan.stage.join("npm").join(npm);
    let file = format!("trunnion.{npm}.node");
    put(&plan.libraries.join(plan.target.shared("trunnion_node")), &folder.join(&file))?;
    strip(log, plan, &folder.join(&file))?;
    let main = manifest()?;
    let mut parts = npm.split('-');
    let (os, cpu, library) = (parts.next(), parts.next(), parts.next());
    let mut package = json!({
        "name": format!("@trunnion/{npm}"),
        "version": plan.version,
        "description": format!("The native module of the package trunnion for {npm}"),
        "license": main["license"],
        "repository": main["repository"],
        "engines": main["engines"],
        "main": file,
        "files": [file, "THIRD-PARTY-LICENSES.txt"],
        "os": [os],
        "cpu": [cpu],
        "publishConfig": { "access": "public", "provenance": true },
    });
    if os == Some("linux") {
        package["libc"] = json!([if library == Some("musl") { "musl" } else { "glibc" }]);
    }
    write(&folder.join("package.json"), &pretty(&package)?)?;
    let readme = format!(
        "# @trunnion/{npm}\n\nThe native module of [trunnion](https://www.npmjs.com/package/trunnion) for {npm}. Install `trunnion`.\n"
    );
    write(&folder.join("README.md"), &readme)?;
    put_licenses(&folder, Some(notices))?;
    pack(log, plan, &folder)
}

/// The package `trunnion`: it names those of all platforms, of which npm installs the one that fits.
pub fn main(log: &Log, plan: &Plan) -> Result<(), String> {
    setup::typescript(log)?;
    let folder = plan.stage.join("npm/trunnion");
    put_tracked("node/src", &folder.join("src"))?;
    for format in ["esm", "cjs"] {
        let from = root().join("node").join(format);
        for entry in std::fs::read_dir(&from).map_err(|e| format!("{}: {e}", from.display()))?.flatten() {
            put(&entry.path(), &folder.join(format).join(entry.file_name()))?;
        }
    }
    for name in ["native/loader.cjs", "native/loader.d.cts", "README.md"] {
        put(&root().join("node").join(name), &folder.join(name))?;
    }
    let mut package = manifest()?;
    package.remove("scripts");
    package.remove("devDependencies");
    package.insert("publishConfig".into(), json!({ "access": "public", "provenance": true }));
    let platforms: Map<String, Value> =
        TARGETS.iter().map(|target| (format!("@trunnion/{}", target.npm), json!(plan.version))).collect();
    package.insert("optionalDependencies".into(), Value::Object(platforms));
    write(&folder.join("package.json"), &pretty(&Value::Object(package))?)?;
    put_licenses(&folder, None)?;
    pack(log, plan, &folder)
}

fn pretty(value: &Value) -> Result<String, String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|e| e.to_string())
}

/// npm gives every file one time, and sorts them.
fn pack(log: &Log, plan: &Plan, folder: &Path) -> Result<(), String> {
    let out = plan.out.to_string_lossy();
    cmd("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", &*out])
        .dir(folder)
        .env("npm_config_cache", target_folder().join("npm-cache"))
        .run(log)
}
