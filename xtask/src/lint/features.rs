//! The shared set of features of the dependencies of the workspace's members: see `tools/workspace-hack`.

use std::collections::BTreeSet;

use crate::session::Log;
use crate::setup::cargo;

/// Packages that are built alone, or together with the hack, and the kinds of dependencies of such a build.
const ALONE: [(&str, &str); 12] = [
    ("trunnion-proto", "normal,build,dev"),
    ("trunnion-engine", "normal,build,dev"),
    ("trunnion", "normal,build,dev"),
    ("trunnion-facade", "normal,build,dev"),
    ("trunnion-examples", "normal,build,dev"),
    ("trunnion-chaos", "normal,build,dev"),
    ("trunnion-auth-server", "normal,build,dev"),
    ("trunnion-bench", "normal,build,dev"),
    ("trunnion-python", "normal,build"),
    ("trunnion-node", "normal,build"),
    ("trunnion-swift", "normal,build"),
    ("trunnion-c", "normal,build"),
];

/// Every package that one of them would compile with other features than the whole workspace does.
pub fn are_one(log: &Log) -> Result<(), String> {
    let all = tree(&["--workspace", "--edges", "normal,build,dev"])?;
    let mut wrong = 0;
    for (package, edges) in ALONE {
        let alone = tree(&["--package", package, "--package", "workspace-hack", "--edges", edges])?;
        for row in alone.difference(&all) {
            log.line(&format!("{package} alone has {row}"));
            wrong += 1;
        }
    }
    match wrong {
        0 => Ok(()),
        _ => Err(format!(
            "{wrong} dependencies have other features in the workspace: name them in tools/workspace-hack"
        )),
    }
}

/// Names, versions and features of the packages in a build.
fn tree(words: &[&str]) -> Result<BTreeSet<String>, String> {
    let mut all = vec!["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p} {f}"];
    all.extend(words);
    Ok(cargo(&all).output()?.lines().map(|row| row.replace(" (proc-macro)", "")).collect())
}
