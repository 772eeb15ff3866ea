//! Relative links of the Markdown pages and of `llms.txt`: the file exists, and the page that an anchor names
//! has such a heading.

use std::path::{Path, PathBuf};

use super::files::tracked;
use crate::process::read;
use crate::session::{Log, root};

/// The index of the decision records.
const DECISIONS: &str = "docs/adr/README.md";

/// Checks the links of every tracked page, and the index of the decision records.
pub fn lead_somewhere(log: &Log) -> Result<(), String> {
    let mut broken = 0;
    for page in tracked()?.into_iter().filter(|file| file.ends_with(".md") || file == "llms.txt") {
        let path = root().join(&page);
        let Ok(text) = read(&path) else { continue };
        for link in links(&text) {
            if let Some(fault) = fault(&path, &text, &link.target) {
                log.line(&format!("{page}:{}: {fault}: {}", link.line, link.target));
                broken += 1;
            }
        }
    }
    let index = read(&root().join(DECISIONS))?;
    for record in unlisted(&index, &tracked()?) {
        log.line(&format!("{DECISIONS} does not list {record}"));
        broken += 1;
    }
    if broken == 0 { Ok(()) } else { Err(format!("{broken} broken or missing links")) }
}

/// Decision records without a link in the index.
fn unlisted<'f>(index: &str, files: &'f [String]) -> Vec<&'f str> {
    let listed: Vec<String> = links(index).into_iter().map(|link| link.target).collect();
    let records = files.iter().filter_map(|file| file.strip_prefix("docs/adr/"));
    records.filter(|name| *name != "README.md" && !listed.iter().any(|known| known == name)).collect()
}

/// One inline link, `[text](target)`.
#[derive(Debug, PartialEq)]
pub struct Link {
    pub line: usize,
    pub text: String,
    pub target: String,
}

/// The inline links outside code blocks, without those to other sites.
pub fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let mut fence = false;
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fence = !fence;
        }
        let mut rest = if fence { "" } else { line };
        while let Some((before, after)) = rest.split_once("](") {
            let Some((target, next)) = after.split_once(')') else { break };
            rest = next;
            let in_code = before.matches('`').count() % 2 == 1;
            if in_code || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let text = before.rsplit_once('[').map_or(before, |(_, text)| text);
            found.push(Link { line: number + 1, text: text.to_owned(), target: target.to_owned() });
        }
    }
    found
}

/// The file of a target, relative to the page.
pub fn file_of(page: &Path, target: &str) -> PathBuf {
    let file = target.split('#').next().unwrap_or_default();
    page.parent().unwrap_or(page).join(file)
}

fn fault(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let other;
    let headings = if file.is_empty() {
        text
    } else {
        let path = file_of(page, target);
        if !path.exists() {
            return Some("no such file");
        }
        other = read(&path).unwrap_or_default();
        &other
    };
    let is_page = file.is_empty() || Path::new(file).extension().is_some_and(|extension| extension == "md");
    (!anchor.is_empty() && is_page && !anchors(headings).iter().any(|known| known == anchor))
        .then_some("no such heading")
}

/// Anchors of the headings, as GitHub makes them; a repeated heading gets a number.
fn anchors(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut fence = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fence = !fence;
        }
        let heading = line.trim_start_matches('#');
        if fence || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let earlier = found.iter().filter(|known| **known == anchor).count();
        found.push(if earlier == 0 { anchor.clone() } else { format!("{anchor}-{earlier}") });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_outside_code() {
        let page =
            "See [a](b.md#c), [`d`](../e.rs) and [f](https://example.org).\n```\n[g](h)\n```\n`[i](j)`\n";
        let found: Vec<(usize, String, String)> =
            links(page).into_iter().map(|link| (link.line, link.text, link.target)).collect();
        assert_eq!(found, [(1, "a".into(), "b.md#c".into()), (1, "`d`".to_owned(), "../e.rs".to_owned())]);
    }

    #[test]
    fn decision_records_must_be_listed() {
        let files = ["docs/adr/README.md", "docs/adr/0001-a.md", "docs/adr/0002-b.md", "docs/c.md"]
            .map(str::to_owned);
        assert_eq!(unlisted("| 1 | [A](0001-a.md) |", &files), ["0002-b.md"]);
    }

    #[test]
    fn anchors_are_those_of_the_hosting_site() {
        let page = "# Rust, C & `axum`\n## A client\n```\n# no heading\n```\n## A client\n#hashtag\n";
        assert_eq!(anchors(page), ["rust-c--axum", "a-client", "a-client-1"]);
    }

    #[test]
    fn missing_files_and_headings_are_faults() {
        let page = root().join("docs/limits.md");
        let text = "# Limits\n";
        assert_eq!(fault(&page, text, "options.md"), None);
        assert_eq!(fault(&page, text, "#limits"), None);
        assert_eq!(fault(&page, text, "../Cargo.toml#L3"), None);
        assert_eq!(fault(&page, text, "none.md"), Some("no such file"));
        assert_eq!(fault(&page, text, "#none"), Some("no such heading"));
        assert_eq!(fault(&page, text, "../ARCHITECTURE.md#none"), Some("no such heading"));
    }
}
