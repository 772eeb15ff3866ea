//! The rules: openers of doc comments, test names, width and retired words of pages.

use serde_json::Value;

use super::super::files::word_at;

/// Rule names, which are also the tables of the baseline.
const DOC_COMMENT: &str = "doc comment opens with a question word";
const TEST_NAME: &str = "test name";
const WIDE_LINE: &str = "line over 110 columns";
const RETIRED_WORD: &str = "retired word";

const COLUMNS: usize = 110;
const TEST_NAME_LENGTH: usize = 60;

const QUESTION_WORDS: &[&str] =
    &["what", "who", "whom", "whose", "whoever", "how", "where", "which", "whether"];

/// Phrases of `docs/style.md` that have no other meaning in these pages, and their replacements.
const RETIRED: &[(&str, &str)] = &[
    ("whoever", "the caller, the client, the process that"),
    ("is told", "is notified, receives"),
    ("are told", "are notified, receive"),
    ("was told", "was notified, received"),
    ("were told", "were notified, received"),
    ("told of", "notified of"),
    ("tells of", "reports"),
    ("give up", "cancel"),
    ("gives up", "cancels"),
    ("given up", "cancelled"),
    ("let in", "authorized, accepted"),
    ("lets in", "authorizes, accepts"),
    ("not any more", "no longer, expired"),
    ("goes on", "continues"),
    ("found out", "detected, determined"),
    ("for ever", "indefinitely"),
    ("is put to", "is sent to"),
    ("are put to", "are sent to"),
    ("of before", "earlier, previous"),
    ("in so many words", "explicitly"),
    ("is away", "is unavailable"),
    ("was away", "was unavailable"),
    ("in the place of", "instead of"),
    ("goes again", "is retried"),
    ("none of ours", "not issued by this server"),
    ("nobody's", "unknown"),
    ("standing stream", "long-lived stream, subscription stream"),
    ("standing streams", "long-lived streams, subscription streams"),
    ("unless told otherwise", "by default"),
    ("behaviour", "behavior"),
    ("licence", "license"),
    ("colour", "color"),
];

/// One place where a rule is broken.
#[derive(Debug, PartialEq)]
pub struct Breach {
    pub rule: &'static str,
    pub file: String,
    pub line: usize,
    pub text: String,
}

fn breach(rule: &'static str, file: &str, line: usize, text: impl Into<String>) -> Breach {
    Breach { rule, file: file.to_owned(), line, text: text.into() }
}

/// Doc comments that open with a question word.
pub fn comments(file: &str, extension: &str, text: &str) -> Vec<Breach> {
    let openers = match extension {
        "rs" => line_comments(text, &["///", "//!"]),
        "swift" => [line_comments(text, &["///"]), block_comments(text, "/**", true)].concat(),
        "ts" | "mts" | "cts" | "mjs" | "cjs" | "js" => block_comments(text, "/**", true),
        // C declarations are documented by a block comment in the first column; inner comments are indented.
        "c" | "h" => [block_comments(text, "/*", false), line_comments(text, &["///"])].concat(),
        "py" | "pyi" => docstrings(text),
        "toml" => doc_values(text),
        _ => Vec::new(),
    };
    openers
        .into_iter()
        .filter(|(_, opener)| asks(opener))
        .map(|(line, opener)| breach(DOC_COMMENT, file, line, opener))
        .collect()
}

/// True if the first word of a sentence or an identifier is a question word.
fn asks(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    QUESTION_WORDS.contains(&text[..end].to_lowercase().as_str())
}

/// First lines of runs of line comments with one of the markers.
fn line_comments(text: &str, markers: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut before = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = markers.iter().find(|marker| line.starts_with(**marker) && !line.starts_with("////"));
        if let Some(marker) = marker
            && before != Some(marker)
        {
            found.push((number + 1, line[marker.len()..].trim().to_owned()));
        }
        before = marker;
    }
    found
}

/// First lines with text of block comments that begin with the marker.
fn block_comments(text: &str, marker: &str, indented: bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        let start = if indented { line.trim_start() } else { line };
        let rest = match start.strip_prefix(marker) {
            Some(rest) => rest,
            None if open => line,
            None => continue,
        };
        let words = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '*');
        open = words.is_empty();
        if !words.is_empty() && !words.starts_with('/') {
            found.push((number + 1, words.to_owned()));
        } else if words.starts_with('/') {
            open = false;
        }
    }
    found
}

/// Docstrings: triple-quoted text that follows the head of a module, a class or a function.
fn docstrings(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut before = ":";
    for (number, line) in text.lines().enumerate() {
        let code = line.trim();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        let body = code.strip_prefix("r\"\"\"").or_else(|| code.strip_prefix("\"\"\""));
        if let Some(body) = body
            && before.ends_with(':')
        {
            found.push((number + 1, body.to_owned()));
        }
        before = code;
    }
    found
}

/// Values of the key `doc` in `surface.toml`, from which comments of every language are generated.
fn doc_values(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(number, line)| Some((number + 1, line.strip_prefix("doc = \"")?.to_owned()))).collect()
}

/// Test names that are too long or open with a question word.
pub fn test_names(file: &str, extension: &str, text: &str) -> Vec<Breach> {
    let names = match extension {
        "rs" => rust_tests(text),
        "py" => prefixed(text, &["def test_", "async def test_"], "("),
        "swift" => swift_tests(text),
        "mjs" => prefixed(text, &["test(\"", "it(\"", "describe(\""], "\""),
        "c" if file.starts_with("tests/c/") => prefixed(text, &["TEST("], ")"),
        "json" if file.starts_with("tests/vectors/") => transcripts(text),
        _ => Vec::new(),
    };
    let wrong = |name: &str| name.chars().count() > TEST_NAME_LENGTH || asks(&split_words(name));
    names
        .into_iter()
        .filter(|(_, name)| wrong(name))
        .map(|(line, name)| breach(TEST_NAME, file, line, name))
        .collect()
}

/// An identifier as words: `whatIsKept` and `what_is_kept` become "what Is Kept" and "what is kept".
fn split_words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() || c == '_' {
            words.push(' ');
        }
        if c != '_' {
            words.push(c);
        }
    }
    words
}

/// Functions that carry an attribute with `test` as its last segment, such as `#[tokio::test]`.
fn rust_tests(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut marked = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']']).next().unwrap_or_default();
            marked |= path == "test" || path.ends_with("::test");
        } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "))
            && marked
        {
            found.push((number + 1, rest.split('(').next().unwrap_or_default().to_owned()));
            marked = false;
        } else if !line.starts_with("//") {
            marked = false;
        }
    }
    found
}

/// Names between one of the prefixes and the end mark, at the start of a line.
fn prefixed(text: &str, prefixes: &[&str], end: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let rest = prefixes.iter().find_map(|prefix| line.strip_prefix(prefix));
        if let Some((name, _)) = rest.and_then(|rest| rest.split_once(end)) {
            found.push((number + 1, name.to_owned()));
        }
    }
    found
}

/// Functions of Swift Testing (`@Test func name`), with the attribute on the same or the line before.
fn swift_tests(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut marked = false;
    for (number, line) in text.lines().enumerate() {
        marked |= line.trim_start().starts_with("@Test");
        if let Some((_, rest)) = line.split_once("func ") {
            if marked {
                found.push((number + 1, rest.split('(').next().unwrap_or_default().to_owned()));
            }
            marked = false;
        }
    }
    found
}

/// Names of the cases of a transcript file.
fn transcripts(text: &str) -> Vec<(usize, String)> {
    let file: Value = serde_json::from_str(text).unwrap_or_default();
    let cases = file["cases"].as_array().into_iter().flatten();
    let line_of = |name: &str| {
        let quoted = format!("\"name\": \"{name}\"");
        text.lines().position(|line| line.contains(&quoted)).map_or(1, |at| at + 1)
    };
    cases.filter_map(|case| case["name"].as_str()).map(|name| (line_of(name), name.to_owned())).collect()
}

/// The page that lists the retired words.
const STYLE: &str = "docs/style.md";

/// Wide lines and retired words of a Markdown page. Code and tables are exempt from the width, code, links and the
/// style page from the words.
pub fn pages(file: &str, text: &str) -> Vec<Breach> {
    let mut found = Vec::new();
    let mut fence = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fence = !fence;
            continue;
        }
        let prose = without_links(line);
        if fence || prose.starts_with("    ") && !prose.trim_start().starts_with(['-', '*']) {
            continue;
        }
        let number = number + 1;
        let columns = prose.chars().count();
        if !prose.starts_with('|') && columns > COLUMNS {
            found.push(breach(WIDE_LINE, file, number, format!("{columns} columns")));
        }
        if file == STYLE {
            continue;
        }
        let words: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("`").to_lowercase();
        for (phrase, instead) in RETIRED.iter().filter(|(phrase, _)| word_at(&words, phrase).is_some()) {
            found.push(breach(RETIRED_WORD, file, number, format!("\"{phrase}\": {instead}")));
        }
    }
    found
}

/// A line without the targets of its links: `[text](target)` becomes `[text]`, and bare addresses disappear.
fn without_links(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        text.push(']');
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let bare = |word: &&str| !word.contains("://");
    if text.contains("://") { text.split(' ').filter(bare).collect::<Vec<_>>().join(" ") } else { text }
}

#[cfg(test)]
mod tests;
