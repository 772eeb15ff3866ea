//! The common table of contents of the five guides.

use crate::process::read;
use crate::session::{Log, root};

const LANGUAGES: [&str; 5] = ["python", "typescript", "swift", "rust", "c"];

/// The chapters of every guide, in order.
const CHAPTERS: [&str; 14] = [
    "Install",
    "Quick start",
    "Tools",
    "Resources",
    "Prompts and completion",
    "Context",
    "Elicitation and sampling",
    "Tasks",
    "Server authorization",
    "Deploying",
    "Client",
    "Client sign-in (OAuth)",
    "Tracing",
    "Errors",
];

/// Checks the headings of each guide.
pub fn share_their_contents(log: &Log) -> Result<(), String> {
    let mut other = Vec::new();
    for language in LANGUAGES {
        let page = format!("docs/{language}.md");
        let found = chapters(&read(&root().join(&page))?);
        if found != CHAPTERS {
            log.line(&format!("{page}: its chapters are {found:?}"));
            other.push(page);
        }
    }
    if other.is_empty() {
        return Ok(());
    }
    Err(format!("the chapters of a guide are {CHAPTERS:?}; those of {} are not", other.join(", ")))
}

/// Headings of the second level outside code blocks.
fn chapters(page: &str) -> Vec<String> {
    let mut fence = false;
    let mut found = Vec::new();
    for line in page.lines() {
        fence ^= line.starts_with("```");
        found.extend(line.strip_prefix("## ").filter(|_| !fence).map(str::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_in_code_are_no_headings() {
        assert_eq!(chapters("# A\n## B\n```sh\n## no\n```\n### C\n## D\n"), ["B", "D"]);
    }
}
