//! Links of the built site, those of the API references included: the file exists, and has the anchor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::process::read;
use crate::session::Log;

/// Links in texts that rustdoc takes from a dependency whose own pages are not built: those of tracing's extension traits.
const OF_DEPENDENCIES: [&str; 1] = ["dispatcher#setting-the-default-subscriber"];

/// Checks every link and every address of an image, script or style sheet. Other sites are not asked.
pub fn lead_somewhere(log: &Log, site: &Path) -> Result<(), String> {
    let mut pages = BTreeMap::new();
    collect(site, &mut pages)?;
    let (mut links, mut broken) = (0, 0);
    for (path, page) in &pages {
        for target in page.targets.iter().filter(|target| !OF_DEPENDENCIES.contains(&target.as_str())) {
            links += 1;
            if let Some(fault) = fault(site, path, target, &pages) {
                let shown = path.strip_prefix(site).unwrap_or(path);
                log.line(&format!("{}: {fault}: {target}", shown.display()));
                broken += 1;
            }
        }
    }
    log.line(&format!("{links} links in {} pages", pages.len()));
    match (links, broken) {
        (0, _) => Err(format!("no links in {}", site.display())),
        (_, 0) => Ok(()),
        _ => Err(format!("{broken} broken links")),
    }
}

/// The parts of a page that matter for links.
#[derive(Default)]
struct Page {
    targets: BTreeSet<String>,
    anchors: BTreeSet<String>,
}

fn collect(folder: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            let page = parse(&read(&path)?);
            pages.insert(path, page);
        }
    }
    Ok(())
}

/// The attributes of all tags. Text, comments, scripts and styles hold none.
fn parse(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, next)| next);
            continue;
        }
        let name = after.split([' ', '\n', '\t', '>', '/']).next().unwrap_or_default().to_ascii_lowercase();
        rest = attributes(after.get(name.len()..).unwrap_or_default(), |key, value| match key {
            "href" | "src" => drop(page.targets.insert(decoded(value))),
            "id" | "name" => drop(page.anchors.insert(decoded(value))),
            _ => {}
        });
        if name == "script" || name == "style" {
            rest = rest.split_once(&format!("</{name}")).map_or("", |(_, next)| next);
        }
    }
    page
}

/// Reports the attributes of a tag; the text after it.
fn attributes(mut rest: &str, mut found: impl FnMut(&str, &str)) -> &str {
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if let Some(next) = rest.strip_prefix('>') {
            return next;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if rest.is_empty() {
            return rest;
        }
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            rest = after;
            continue;
        };
        let (value, next) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((value, "")),
            _ => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len())),
        };
        found(&key.to_ascii_lowercase(), value);
        rest = next;
    }
}

/// A value without the entities that occur in addresses.
fn decoded(value: &str) -> String {
    let named = value.replace("&quot;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    named.replace("&lt;", "<").replace("&gt;", ">").replace("&#x2F;", "/").replace("&amp;", "&")
}

/// Bytes that are written as `%` and two digits.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn fault(site: &Path, page: &Path, target: &str, pages: &BTreeMap<PathBuf, Page>) -> Option<&'static str> {
    let scheme = target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '#', '?']));
    if scheme || target.starts_with("//") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = unescaped(file.split('?').next().unwrap_or_default());
    let from = if file.starts_with('/') { site } else { page.parent().unwrap_or(site) };
    let mut path =
        if file.is_empty() { page.to_path_buf() } else { plain(&from.join(file.trim_start_matches('/'))) };
    if !path.starts_with(site) {
        return Some("outside the site");
    }
    if path.is_dir() {
        path.push("index.html");
    }
    if !path.exists() {
        return Some("no such file");
    }
    let known = |anchor: &str| pages.get(&path).is_none_or(|page| page.anchors.contains(anchor));
    // As in a browser: the anchor as it is written, then without its escapes.
    let found = known(anchor) || known(&unescaped(anchor));
    // Rustdoc marks a range of lines by script.
    let first_line = anchor.split_once('-').map_or(anchor, |(first, _)| first);
    let lines = first_line.parse::<u32>().is_ok() && known(first_line);
    (!anchor.is_empty() && !lines && !found).then_some("no such anchor")
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut made = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(made.pop()),
            other => made.push(other),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_are_read_from_tags() {
        let page = parse(
            "<h1 id=\"a&amp;b\">x</h1><a class=y href='c.html#d'>z</a><img src=e.png>\
             <!-- <a href=\"f\"> --><script>\"<a href='g'>\"</script><p>href=\"h\"</p>",
        );
        assert_eq!(page.targets.iter().map(String::as_str).collect::<Vec<_>>(), ["c.html#d", "e.png"]);
        assert!(page.anchors.contains("a&b"));
    }

    #[test]
    fn missing_files_and_anchors_of_the_site_are_faults() {
        let site = crate::session::target().join("xtask/links-of-a-site");
        let _ = std::fs::remove_dir_all(&site);
        let index = "<p id=\"top\">x</p><p id=\"12\">y</p>";
        crate::process::write(&site.join("index.html"), index).unwrap();
        crate::process::write(&site.join("a/b c.html"), "<p id=\"x y\">z</p>").unwrap();
        let mut pages = BTreeMap::new();
        collect(&site, &mut pages).unwrap();
        let fault = |target| fault(&site, &site.join("a/b c.html"), target, &pages);
        for good in [
            "..",
            "../#top",
            "../index.html#12-20",
            "b%20c.html#x%20y",
            "#x y",
            "/",
            "https://example.org/a#b",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        assert_eq!(fault("none.html"), Some("no such file"));
        assert_eq!(fault("../#none"), Some("no such anchor"));
        assert_eq!(fault("../index.html#99-100"), Some("no such anchor"));
        assert_eq!(fault("#none"), Some("no such anchor"));
        assert_eq!(fault("../../index.html"), Some("outside the site"));
    }
}
