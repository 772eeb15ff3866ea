//! The table of results in the README.

use serde_json::Value;

use super::{EXTENSION, REVISIONS};

const BEGIN: &str = "<!-- conformance: written by `cargo xtask conformance --readme` -->";
const END: &str = "<!-- /conformance -->";

/// The README with the report's table in the place of the one it has.
pub fn replace(readme: &str, report: &Value) -> Result<String, String> {
    let begin = readme.find(BEGIN).ok_or(format!("README.md has no line {BEGIN}"))? + BEGIN.len();
    let end = readme[begin..].find(END).ok_or(format!("README.md has no line {END}"))? + begin;
    Ok(format!("{}\n{}{}", &readme[..begin], table(report), &readme[end..]))
}

/// A row for each language and role, a column for each revision: clean runs of those that were run.
fn table(report: &Value) -> String {
    let suite = report["suite"].as_str().unwrap_or_default();
    let mut text =
        format!("\nClean of demanded runs, suite {suite}:\n\n| | {} | extensions |\n", REVISIONS.join(" | "));
    text.push_str(&format!("| --- |{}\n", " --- |".repeat(REVISIONS.len() + 1)));
    for (language, roles) in report["languages"].as_object().into_iter().flatten() {
        for role in ["server", "client"] {
            let columns = REVISIONS.into_iter().chain([EXTENSION]);
            let cells: Vec<_> = columns.map(|revision| cell(&roles[role], revision)).collect();
            text.push_str(&format!("| {language} {role} | {} |\n", cells.join(" | ")));
        }
    }
    text.push('\n');
    text
}

fn cell(verdicts: &Value, revision: &str) -> String {
    let runs = verdicts.as_array().into_iter().flatten();
    let demanded: Vec<_> =
        runs.filter(|run| run["revision"] == revision && run["expected"] == true).collect();
    if demanded.is_empty() {
        return "–".into();
    }
    let clean = demanded.iter().filter(|run| run["clean"] == true).count();
    format!("{clean}/{}", demanded.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_demanded_runs_count_and_only_clean_ones_are_clean() {
        let run = |revision: &str, expected: bool, clean: bool| json!({"revision": revision, "expected": expected, "clean": clean});
        let report = json!({"suite": "1", "languages": {"c": {
            "server": [run("2026-07-28", true, true), run("2026-07-28", true, false), run("extension", false, false)],
            "client": [],
        }}});
        let readme = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace(&readme, &report).expect("the marks are there");
        assert!(
            new.starts_with("before\n") && new.ends_with(&format!("{END}\nafter\n")) && !new.contains("old")
        );
        assert!(
            new.contains("| c server | – | – | – | 1/2 | – |\n| c client | – | – | – | – | – |\n"),
            "{new}"
        );
        assert_eq!(replace(&new, &report).as_ref(), Ok(&new), "writing it again changes nothing");
        assert!(replace("no marks", &report).is_err());
    }
}
