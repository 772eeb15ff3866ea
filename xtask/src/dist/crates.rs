//! The crates that are to be published, in the order of their dependencies.

use std::path::Path;

use crate::process::read;
use crate::session::{Log, root, target as target_folder};
use crate::setup;

/// The crates; each stands after its dependencies.
pub const CRATES: [(&str, &str); 5] = [
    ("trunnion-proto", "core/proto"),
    ("trunnion-engine", "core/engine"),
    ("trunnion-macros", "rust/macros"),
    ("trunnion", "rust"),
    ("trunnion-facade", "bindings/facade"),
];

/// `.crate` files, as `cargo publish` would send them; they are not compiled again.
pub fn pack(log: &Log, out: &Path, epoch: &str) -> Result<(), String> {
    for (name, folder) in CRATES {
        let manifest: toml::Table =
            read(&root().join(folder).join("Cargo.toml"))?.parse().map_err(|e| format!("{folder}: {e}"))?;
        let package = &manifest["package"];
        if package.get("publish").and_then(toml::Value::as_bool) == Some(false) {
            return Err(format!(
                "{name} is not published by its Cargo.toml, but stands in the order of release"
            ));
        }
    }
    let chosen = CRATES.iter().flat_map(|(name, _)| ["--package", *name]);
    let words: Vec<_> =
        ["package", "--locked", "--allow-dirty", "--no-verify"].into_iter().chain(chosen).collect();
    setup::cargo(&words).env("SOURCE_DATE_EPOCH", epoch).run(log)?;
    let version = super::version()?;
    for (name, _) in CRATES {
        let file = format!("{name}-{version}.crate");
        super::put(&target_folder().join("package").join(&file), &out.join(&file))?;
    }
    Ok(())
}
