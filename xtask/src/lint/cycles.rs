//! Import cycles between the modules of one folder, in every crate (ARCHITECTURE.md, "Rules").
//!
//! A module and everything below it count as one. The cycles that existed when the rule was introduced are in
//! `cycles-baseline.toml`, which may only shrink. References to an item of the crate root itself (`crate::Error`) are not
//! counted.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::process::{read, write};
use crate::session::{Log, root};

use imports::ModulePath;

const BASELINE: &str = "xtask/src/lint/cycles-baseline.toml";

/// Folders with a cycle (`core/engine/src/client`), and the names of the modules in it, sorted.
type Cycles = BTreeMap<String, Vec<BTreeSet<String>>>;

/// Refuses cycles that the baseline does not have, and a baseline with cycles that no longer exist. `update`
/// writes the baseline.
pub fn check(log: &Log, update: bool) -> Result<(), String> {
    let mut found = Cycles::new();
    for source in sources()? {
        found.append(&mut cycles_of(&source)?);
    }
    let path = root().join(BASELINE);
    let known = match read(&path) {
        Ok(text) => parse(&text)?,
        Err(_) if update => return write(&path, &to_text(&found)),
        Err(error) => return Err(error),
    };
    let new = new_cycles(&known, &found);
    if !new.is_empty() {
        return Err(format!("modules that import each other:\n  {}", new.join("\n  ")));
    }
    if found == known {
        return Ok(());
    }
    if update {
        log.line("the baseline of import cycles has shrunk");
        return write(&path, &to_text(&found));
    }
    Err("import cycles have gone: run `cargo xtask lint --filter cycles --update`".to_owned())
}

/// The `src` folder of each crate of the workspace.
fn sources() -> Result<Vec<PathBuf>, String> {
    let crates = ["core/*", "bindings/*", "tools/*"];
    let mut sources = vec![PathBuf::from("xtask/src")];
    for folder in crates.map(|pattern| pattern.trim_end_matches("/*")) {
        let entries = std::fs::read_dir(root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
        for entry in entries.flatten() {
            let source = Path::new(folder).join(entry.file_name()).join("src");
            if root().join(&source).is_dir() {
                sources.push(source);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

fn cycles_of(source: &Path) -> Result<Cycles, String> {
    let modules = imports::modules(&root().join(source))?;
    let edges = imports::edges(&modules)?;
    let folders: BTreeSet<ModulePath> =
        modules.keys().flat_map(|path| (0..path.len()).map(|depth| path[..depth].to_vec())).collect();
    let mut cycles = Cycles::new();
    for folder in folders {
        let found = cycles_in(&folder, &edges);
        if !found.is_empty() {
            let name = folder.iter().fold(source.to_path_buf(), |path, name| path.join(name));
            cycles.insert(name.to_string_lossy().into_owned(), found);
        }
    }
    Ok(cycles)
}

/// The cycles between the direct children of a folder.
fn cycles_in(folder: &[String], edges: &BTreeSet<(ModulePath, ModulePath)>) -> Vec<BTreeSet<String>> {
    let depth = folder.len();
    let child = |path: &ModulePath| path.starts_with(folder).then(|| path.get(depth).cloned()).flatten();
    let mut next: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        if let (Some(from), Some(to)) = (child(from), child(to))
            && from != to
        {
            next.entry(from).or_default().insert(to);
        }
    }
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        next.keys().map(|start| (start, reachable(start, &next))).collect();
    let mut cycles: Vec<BTreeSet<String>> = Vec::new();
    for (module, ahead) in &reached {
        if !ahead.contains(module) || cycles.iter().any(|cycle| cycle.contains(*module)) {
            continue;
        }
        let back = |other: &&&String| reached.get(*other).is_some_and(|ahead| ahead.contains(module));
        cycles.push(ahead.iter().filter(back).map(|name| (*name).clone()).collect());
    }
    cycles
}

fn reachable<'a>(start: &'a String, next: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        for other in next.get(module).into_iter().flatten() {
            if reached.insert(other) {
                open.push(other);
            }
        }
    }
    reached
}

/// Cycles that are no part of a known one.
fn new_cycles(known: &Cycles, found: &Cycles) -> Vec<String> {
    let is_known = |folder: &str, cycle: &BTreeSet<String>| {
        known.get(folder).is_some_and(|cycles| cycles.iter().any(|known| cycle.is_subset(known)))
    };
    let all = found.iter().flat_map(|(folder, cycles)| cycles.iter().map(move |cycle| (folder, cycle)));
    all.filter(|(folder, cycle)| !is_known(folder, cycle))
        .map(|(folder, cycle)| format!("{folder}: {}", cycle.iter().cloned().collect::<Vec<_>>().join(", ")))
        .collect()
}

fn parse(text: &str) -> Result<Cycles, String> {
    toml::from_str(text).map_err(|error| format!("{BASELINE}: {error}"))
}

fn to_text(cycles: &Cycles) -> String {
    let mut text = String::from(
        "# Modules of one folder that import each other. May only shrink. Do not edit:\n\
         # `cargo xtask lint --filter cycles --update` writes this file.\n\n",
    );
    for (folder, cycles) in cycles {
        let _ = writeln!(text, "\"{folder}\" = [");
        for cycle in cycles {
            let names: Vec<_> = cycle.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = writeln!(text, "  [{}],", names.join(", "));
        }
        text.push_str("]\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ModulePath {
        text.split("::").map(str::to_owned).collect()
    }

    fn edges(pairs: &[(&str, &str)]) -> BTreeSet<(ModulePath, ModulePath)> {
        pairs.iter().map(|(from, to)| (path(from), path(to))).collect()
    }

    #[test]
    fn cycle_of_folders_is_found_through_their_files() {
        let edges = edges(&[("a::x", "b"), ("b::y", "c"), ("c", "a::z"), ("d", "a"), ("a::x", "a::z")]);
        assert_eq!(cycles_in(&[], &edges), [["a", "b", "c"].map(str::to_owned).into()]);
        assert!(cycles_in(&path("a"), &edges).is_empty());
    }

    #[test]
    fn separate_cycles_are_separate() {
        let edges = edges(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")]);
        assert_eq!(cycles_in(&[], &edges).len(), 2);
    }

    #[test]
    fn part_of_a_known_cycle_is_not_new() {
        let known = parse("\"core/x/src\" = [[\"a\", \"b\", \"c\"]]").expect("a baseline");
        let found = |text: &str| parse(text).expect("cycles");
        assert!(new_cycles(&known, &found("\"core/x/src\" = [[\"a\", \"b\"]]")).is_empty());
        assert_eq!(new_cycles(&known, &found("\"core/x/src\" = [[\"a\", \"d\"]]")), ["core/x/src: a, d"]);
        assert_eq!(new_cycles(&known, &found("\"core/y/src\" = [[\"a\", \"b\"]]")), ["core/y/src: a, b"]);
        assert_eq!(parse(&to_text(&known)), Ok(known));
    }
}
