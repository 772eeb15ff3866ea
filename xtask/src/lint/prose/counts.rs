//! Numbers of breaches by rule and file, as the baseline file stores them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::rules::Breach;

/// Rule, then file, then number of breaches. Zero is not stored.
#[derive(Debug, Default, PartialEq)]
pub struct Counts(BTreeMap<String, BTreeMap<String, usize>>);

impl Counts {
    /// Counts breaches.
    pub fn of(breaches: &[Breach]) -> Self {
        let mut counts = Self::default();
        for breach in breaches {
            let files = counts.0.entry(breach.rule.to_owned()).or_default();
            *files.entry(breach.file.clone()).or_default() += 1;
        }
        counts
    }

    /// Reads the baseline file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| format!("prose baseline: {error}"))?;
        let mut counts = Self::default();
        for (rule, files) in table {
            let files = files.as_table().ok_or("prose baseline: a rule must be a table of files")?;
            for (file, count) in files {
                let count = count.as_integer().and_then(|count| usize::try_from(count).ok());
                let count = count.ok_or_else(|| format!("prose baseline: {file} must be a count"))?;
                counts.0.entry(rule.clone()).or_default().insert(file.clone(), count);
            }
        }
        Ok(counts)
    }

    /// Writes the baseline file, one line per file, so that branches merge line by line.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Breaches of docs/style.md by file. Numbers may only shrink. Do not edit:\n\
             # `cargo xtask lint --filter prose --update` writes this file.\n",
        );
        for (rule, files) in &self.0 {
            let _ = write!(text, "\n[\"{rule}\"]\n");
            for (file, count) in files {
                let _ = writeln!(text, "\"{file}\" = {count}");
            }
        }
        text
    }

    fn get(&self, rule: &str, file: &str) -> usize {
        self.0.get(rule).and_then(|files| files.get(file)).copied().unwrap_or(0)
    }

    /// Rules and files for which `self` has a smaller number than `other`.
    pub fn grown(&self, other: &Self) -> Vec<(String, String)> {
        let rows =
            other.0.iter().flat_map(|(rule, files)| files.iter().map(move |(file, n)| (rule, file, *n)));
        rows.filter(|(rule, file, n)| *n > self.get(rule, file))
            .map(|(rule, file, _)| (rule.clone(), file.clone()))
            .collect()
    }

    /// Rules and files for which `self` has a larger number than `other`.
    pub fn shrunk(&self, other: &Self) -> Vec<(String, String)> {
        other.grown(self)
    }

    /// Rules with a larger total in `other`. A file may be renamed or split: its breaches move with it.
    pub fn grown_rules(&self, other: &Self) -> Vec<String> {
        let total =
            |counts: &Self, rule: &str| counts.0.get(rule).map_or(0, |files| files.values().sum::<usize>());
        other.0.keys().filter(|rule| total(other, rule) > total(self, rule)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        Counts::parse(text).expect("a baseline")
    }

    #[test]
    fn baseline_survives_a_round_trip() {
        let before = counts("[\"doc comment\"]\n\"a.rs\" = 2\n\"b.rs\" = 1\n[\"wide line\"]\n\"a.md\" = 3\n");
        assert_eq!(counts(&before.to_text()), before);
        assert!(Counts::parse("rule = 1").is_err());
        assert!(Counts::parse("[rule]\nfile = \"many\"").is_err());
    }

    #[test]
    fn growth_and_shrinkage_are_reported_by_file() {
        let known = counts("[r]\na = 2\nb = 1\n");
        let found = counts("[r]\na = 1\nc = 1\n");
        assert_eq!(known.grown(&found), [("r".to_owned(), "c".to_owned())]);
        assert_eq!(known.shrunk(&found), [("r".into(), "a".into()), ("r".to_owned(), "b".to_owned())]);
        assert!(known.grown(&known).is_empty() && known.shrunk(&known).is_empty());
    }

    #[test]
    fn breaches_may_move_between_files_but_not_increase() {
        let known = counts("[r]\n\"old.rs\" = 2\n");
        assert!(known.grown_rules(&counts("[r]\n\"new.rs\" = 2\n")).is_empty());
        assert_eq!(known.grown_rules(&counts("[r]\n\"old.rs\" = 2\n\"new.rs\" = 1\n")), ["r"]);
        assert_eq!(known.grown_rules(&counts("[s]\n\"old.rs\" = 1\n")), ["s"]);
    }
}
