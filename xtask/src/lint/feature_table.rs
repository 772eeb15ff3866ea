//! `docs/features.md`: the 48 features of the SDK tier audit, each with an example or a test in each
//! language.

use std::path::Path;

use super::files::word_at;
use super::links::{Link, file_of, links};
use crate::process::read;
use crate::session::{Log, root};

const PAGE: &str = "docs/features.md";
const LANGUAGES: [&str; 5] = ["Rust", "Python", "TypeScript", "Swift", "C"];
const FEATURES: usize = 48;

/// Checks that no feature is missing and that every cell names a text of the file that it links to.
pub fn is_true(log: &Log) -> Result<(), String> {
    let path = root().join(PAGE);
    let faults = faults(&path, &read(&path)?);
    for fault in &faults {
        log.line(&format!("{PAGE}:{fault}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("{} faults in {PAGE}", faults.len())) }
}

fn faults(path: &Path, page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = 1;
    for (number, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let is_row = line.starts_with("| ") && !cells[0].starts_with(['#', '-']);
        if !is_row {
            continue;
        }
        let number = number + 1;
        if let Ok(feature) = cells[0].parse::<usize>() {
            if feature != next {
                found.push(format!("{number}: feature {next} is missing"));
            }
            next = feature + 1;
        }
        for (at, language) in LANGUAGES.iter().enumerate() {
            let cell = cells.get(at + 2).copied().unwrap_or_default();
            let linked = links(cell);
            if linked.is_empty() {
                found.push(format!("{number}: {language} has no link"));
            }
            let wrong = linked.iter().filter_map(|link| fault(path, link));
            found.extend(wrong.map(|fault| format!("{number}: {language}: {fault}")));
        }
    }
    if next != FEATURES + 1 {
        found.push(format!("0: {} features instead of {FEATURES}", next - 1));
    }
    found
}

/// The text of a link is a code span, which must occur in the file as a word.
fn fault(page: &Path, link: &Link) -> Option<String> {
    let Ok(file) = read(&file_of(page, &link.target)) else {
        return Some(format!("no file {}", link.target));
    };
    let text = link.text.trim_matches('`');
    if text.len() + 2 != link.text.len() {
        return Some(format!("{} is not in backticks", link.text));
    }
    file.lines()
        .all(|line| word_at(line, text).is_none())
        .then(|| format!("{} does not contain {text}", link.target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &[String]) -> String {
        format!(
            "| # | feature | Rust | Python | TypeScript | Swift | C |\n| ---: | --- |\n{}\n",
            rows.join("\n")
        )
    }

    fn row(feature: usize, cell: &str) -> String {
        format!("| {feature} | A feature |{}", format!(" {cell} |").repeat(5))
    }

    #[test]
    fn a_complete_table_has_no_faults() {
        let cell = "[`workspace`](../Cargo.toml)";
        let rows: Vec<String> = (1..=FEATURES).map(|feature| row(feature, cell)).collect();
        assert!(faults(&root().join(PAGE), &page(&rows)).is_empty());
    }

    #[test]
    fn missing_features_files_and_texts_are_faults() {
        let good = "[`workspace`](../Cargo.toml)";
        let mut rows: Vec<String> = (1..=FEATURES).map(|feature| row(feature, good)).collect();
        rows.remove(4);
        rows[0] = row(1, "[`workspac`](../Cargo.toml)");
        rows[1] = row(2, "[`workspace`](../none.toml)");
        rows[2] = row(3, "");
        rows[3] = row(4, "[workspace](../Cargo.toml)");
        let found = faults(&root().join(PAGE), &page(&rows));
        assert_eq!(found.len(), 5 + 5 + 5 + 5 + 1, "{found:?}");
        for part in ["does not contain", "no file", "has no link", "not in backticks", "feature 5 is missing"]
        {
            assert!(found.iter().any(|fault| fault.contains(part)), "{part}");
        }
        rows.truncate(3);
        assert!(faults(&root().join(PAGE), &page(&rows)).iter().any(|fault| fault.contains("instead of 48")));
    }
}
