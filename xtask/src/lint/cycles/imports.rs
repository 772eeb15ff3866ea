//! The modules of a crate, and which of them name which others by `crate::` or `super::`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::process::read;

/// Names from the crate root down; empty for the root.
pub type ModulePath = Vec<String>;

/// Every file of a crate by its module. Test modules are left out.
pub fn modules(source: &Path) -> Result<BTreeMap<ModulePath, PathBuf>, String> {
    let mut modules = BTreeMap::new();
    let mut open = vec![source.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source).expect("below the source folder").with_extension("");
                let mut module: ModulePath =
                    name.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                if matches!(module.last().map(String::as_str), Some("lib" | "main" | "mod")) {
                    module.pop();
                }
                if !module.iter().any(|name| name == "tests") {
                    modules.insert(module, path);
                }
            }
        }
    }
    Ok(modules)
}

/// The modules that each module names.
pub fn edges(modules: &BTreeMap<ModulePath, PathBuf>) -> Result<BTreeSet<(ModulePath, ModulePath)>, String> {
    let known: BTreeSet<&[String]> =
        modules.keys().flat_map(|path| (0..=path.len()).map(|depth| &path[..depth])).collect();
    let mut edges = BTreeSet::new();
    for (module, file) in modules {
        for mut named in paths(&read(file)?, module) {
            while !known.contains(&named[..]) {
                named.pop();
            }
            edges.insert((module.clone(), named));
        }
    }
    Ok(edges)
}

/// The paths that begin with `crate::` or `super::` in the text of a module, from the crate root.
fn paths(text: &str, module: &[String]) -> Vec<ModulePath> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let tokens = tokens(text);
    let mut paths = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let starts = index == 0 || tokens[index - 1] != "::";
        if !starts || tokens.get(index + 1) != Some(&"::") {
            continue;
        }
        let mut base = match *token {
            "crate" => Vec::new(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        let mut at = index + 2;
        while tokens.get(at) == Some(&"super") && tokens.get(at + 1) == Some(&"::") {
            base.pop();
            at += 2;
        }
        branch(&tokens, at, &base, &mut paths);
    }
    paths
}

/// Reads one branch of a path, with the groups of a `use`. Returns the index of the token behind it.
fn branch(tokens: &[&str], mut at: usize, base: &[String], paths: &mut Vec<ModulePath>) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    let end = branch(tokens, at, &path, paths);
                    // A token that is not a path, such as an attribute, is skipped.
                    at = end.max(at + 1);
                    if tokens.get(at) == Some(&",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some(name) if is_name(name) => {
                path.push((*name).to_owned());
                at += 1;
                if tokens.get(at) == Some(&"::") {
                    at += 1;
                    continue;
                }
                if tokens.get(at) == Some(&"as") {
                    at += 2;
                }
            }
            Some(&"*") => at += 1,
            _ => {}
        }
        paths.push(path);
        return at;
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names and signs, without comments and the contents of texts.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            text_length(rest)
        } else if is_name(rest) {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else if rest.starts_with("'\"'") {
            3
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(length);
        if !token.starts_with("//") && !first.is_whitespace() {
            tokens.push(token);
        }
        rest = behind;
    }
    tokens
}

/// The length of a text with its quotes.
fn text_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return index + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let module = ["a", "b"].map(str::to_owned);
        paths(text, &module).into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn groups_are_read_branch_by_branch() {
        assert_eq!(named("use crate::{x::{Y, z::Q as R}, w};"), ["x::Y", "x::z::Q", "w"]);
        assert_eq!(named("use super::super::d::E;"), ["d::E"]);
    }

    #[test]
    fn paths_in_code_count_and_texts_and_comments_do_not() {
        assert_eq!(named("fn f() -> crate::x::Y { super::g(1) }"), ["x::Y", "a::g"]);
        assert!(
            named("// crate::x\nlet t = \"crate::x \\\" crate::y\"; let other::crate::x = 1;").is_empty()
        );
    }

    #[test]
    fn tests_of_a_module_do_not_count() {
        assert_eq!(named("use crate::x;\n#[cfg(test)]\nmod tests {\n    use crate::y;\n}\n"), ["x"]);
    }
}
