//! The licenses of the code that is compiled into the libraries; all of them require their text in copies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sbom::Component;

/// Files of a crate that hold a licence or a notice.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            path.is_file()
                && ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"]
                    .iter()
                    .any(|word| name.starts_with(word))
        })
        .collect();
    found.sort();
    found
}

/// Every text once, under the crates that have it.
pub fn notices(components: &[Component]) -> Result<String, String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out = String::from("The native library of trunnion contains these crates of others.\n\n");
    for component in components.iter().filter(|component| component.checksum.is_some()) {
        let license = component.license.as_deref().unwrap_or("see its text");
        out.push_str(&format!("{} {}: {license}\n", component.name, component.version));
        for file in files(&component.folder) {
            let bytes = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n").trim().to_owned();
            let users = texts.entry(text).or_default();
            if !users.contains(&component.name) {
                users.push(component.name.clone());
            }
        }
    }
    for (text, users) in texts {
        out.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), users.join(", ")));
    }
    Ok(out)
}
