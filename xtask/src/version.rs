//! `cargo xtask version`: one version in every manifest. The lint checks that they agree.

use std::ops::Range;

use crate::args::Args;
use crate::dist;
use crate::process::{read, write};
use crate::session::{Log, Session, root};

/// A place of the version: the text before and after it. All matches are meant, and at least one is required.
struct Place {
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

/// Crates of this project whose version is in lock files.
const LOCKED: [(&str, &[&str]); 2] = [
    (
        "Cargo.lock",
        &[
            "trunnion",
            "trunnion-auth-server",
            "trunnion-bench",
            "trunnion-c",
            "trunnion-chaos",
            "trunnion-engine",
            "trunnion-examples",
            "trunnion-facade",
            "trunnion-generators",
            "trunnion-macros",
            "trunnion-node",
            "trunnion-proto",
            "trunnion-python",
            "trunnion-swift",
            "workspace-hack",
            "xtask",
        ],
    ),
    ("fuzz/Cargo.lock", &["trunnion-proto"]),
];

const PLACES: [Place; 12] = [
    place("Cargo.toml", "[workspace.package]\nversion = \"", "\""),
    place("Cargo.toml", "trunnion-proto = { path = \"core/proto\", version = \"", "\""),
    place("Cargo.toml", "trunnion-engine = { path = \"core/engine\", version = \"", "\""),
    place("Cargo.toml", "trunnion-macros = { path = \"rust/macros\", version = \"", "\""),
    place("Cargo.toml", "trunnion = { path = \"rust\", version = \"", "\""),
    place("Cargo.toml", "trunnion-facade = { path = \"bindings/facade\", version = \"", "\""),
    place("node/package.json", "\"name\": \"trunnion\",\n  \"version\": \"", "\""),
    place("node/package-lock.json", "\"name\": \"trunnion\",\n  \"version\": \"", "\""),
    place("node/package-lock.json", "\"name\": \"trunnion\",\n      \"version\": \"", "\""),
    place("bindings/c/include/trunnion.h", "#define TRN_VERSION \"", "\""),
    place("README.md", "trunnion-mcp/trunnion\", from: \"", "\""),
    place("docs/typescript.md", "`trunnion-", ".tgz`"),
];

const fn place(file: &'static str, before: &'static str, after: &'static str) -> Place {
    Place { file, before, after }
}

/// `cargo xtask version X`, `cargo xtask version --notes`, or without arguments: prints the version.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    session.be_silent();
    let notes = args.flag("--notes");
    let words = args.rest()?;
    match words.as_slice() {
        [] if notes => {
            println!("{}", notes_of(&read(&root().join("CHANGELOG.md"))?, &dist::version()?)?);
            Ok(())
        }
        [] => {
            println!("{}", dist::version()?);
            Ok(())
        }
        [version] if !notes => set(version),
        _ => Err("give one version, --notes, or nothing".into()),
    }
}

/// Returns true if Semantic Versioning and PyPI both accept the version: X.Y.Z.
fn valid(version: &str) -> bool {
    let parts: Vec<_> = version.split('.').collect();
    let number = |part: &&str| part.parse::<u64>().is_ok_and(|number| number.to_string() == **part);
    parts.len() == 3 && parts.iter().all(number)
}

fn set(version: &str) -> Result<(), String> {
    if !valid(version) {
        return Err(format!("{version:?} is not a version of three numbers such as 0.2.0"));
    }
    for (file, spots) in all_places()? {
        let path = root().join(&file);
        let mut text = read(&path)?;
        for spot in spots.into_iter().rev() {
            text.replace_range(spot, version);
        }
        if file == "bindings/c/include/trunnion.h" {
            text = numbers(&text, version);
        }
        write(&path, &text)?;
        println!("{file}: {version}");
    }
    println!("then: name the changes in CHANGELOG.md (docs/RELEASING.md)");
    Ok(())
}

/// The header's numbers, as `cargo xtask codegen` writes them.
fn numbers(header: &str, version: &str) -> String {
    let mut parts = version.split('.');
    let mut part = || parts.next().unwrap_or("0").to_owned();
    let (major, minor, patch) = (part(), part(), part());
    header
        .lines()
        .map(|line| match line.split(' ').nth(1) {
            Some("TRN_VERSION_MAJOR") => format!("#define TRN_VERSION_MAJOR {major}\n"),
            Some("TRN_VERSION_MINOR") => format!("#define TRN_VERSION_MINOR {minor}\n"),
            Some("TRN_VERSION_PATCH") => format!("#define TRN_VERSION_PATCH {patch}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

/// A file and the ranges of its versions.
type File = (String, Vec<Range<usize>>);

/// Every place, by file, in the order of the file.
fn all_places() -> Result<Vec<File>, String> {
    let mut files: Vec<File> = Vec::new();
    let mut add = |file: &str, before: &str, after: &str| -> Result<(), String> {
        let found = spots(&read(&root().join(file))?, before, after);
        if found.is_empty() {
            return Err(format!("{file}: no version after {before:?}"));
        }
        match files.iter_mut().find(|(known, _)| known == file) {
            Some((_, spots)) => spots.extend(found),
            None => files.push((file.to_owned(), found)),
        }
        Ok(())
    };
    for Place { file, before, after } in &PLACES {
        add(file, before, after)?;
    }
    for (file, crates) in LOCKED {
        for name in crates {
            add(file, &format!("name = \"{name}\"\nversion = \""), "\"")?;
        }
    }
    for (_, spots) in &mut files {
        spots.sort_by_key(|spot| spot.start);
    }
    Ok(files)
}

/// Returns the ranges of the text between each pair of the two markers.
fn spots(text: &str, before: &str, after: &str) -> Vec<Range<usize>> {
    text.match_indices(before)
        .filter_map(|(at, _)| {
            let start = at + before.len();
            let length = text[start..].find(after)?;
            text[start..start + length]
                .chars()
                .all(|c| c.is_ascii_digit() || c == '.')
                .then_some(start..start + length)
        })
        .collect()
}

/// For the lint: every place has the workspace's version.
pub fn agrees(log: &Log) -> Result<(), String> {
    let version = dist::version()?;
    let mut wrong = 0;
    for (file, spots) in all_places()? {
        let text = read(&root().join(&file))?;
        for spot in spots {
            if text[spot.clone()] != version {
                let line = text[..spot.start].lines().count();
                log.line(&format!("{file}:{line}: {} is not {version}", &text[spot]));
                wrong += 1;
            }
        }
    }
    if wrong == 0 {
        Ok(())
    } else {
        Err(format!("{wrong} places have another version: cargo xtask version {version}"))
    }
}

/// The section of the changelog about a version, without its heading.
fn notes_of(changelog: &str, version: &str) -> Result<String, String> {
    let is_heading = |line: &str| {
        line.strip_prefix("## ")
            .is_some_and(|rest| rest.trim_start_matches('[').split([' ', ']']).next() == Some(version))
    };
    let mut lines = changelog.lines().skip_while(|line| !is_heading(line));
    lines.next().ok_or_else(|| format!("CHANGELOG.md has no section \"## {version}\""))?;
    let text: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let text = text.join("\n").trim().to_owned();
    if text.is_empty() { Err(format!("CHANGELOG.md says nothing of {version}")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::{notes_of, numbers, spots, valid};

    #[test]
    fn valid_versions() {
        assert!(valid("0.1.0") && valid("10.20.30"));
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "01.2.3", "v1.2.3", "1.2.3-rc.1", "1.2.+3"] {
            assert!(!valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn places_of_a_version() {
        let lock =
            "name = \"trunnion\"\nversion = \"0.1.0\"\n\nname = \"trunnion-proto\"\nversion = \"0.1.0\"\n";
        let found = spots(lock, "name = \"trunnion\"\nversion = \"", "\"");
        assert_eq!(found.iter().map(|spot| &lock[spot.clone()]).collect::<Vec<_>>(), ["0.1.0"]);
        assert!(spots(lock, "name = \"other\"\nversion = \"", "\"").is_empty());
        assert_eq!(
            numbers("#define TRN_VERSION_MINOR 1\nx\n", "2.34.5"),
            "#define TRN_VERSION_MINOR 34\nx\n"
        );
    }

    #[test]
    fn notes_of_one_version() {
        let changelog = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n- b\n\n## 0.1.0\n\n- a\n";
        assert_eq!(notes_of(changelog, "0.2.0").as_deref(), Ok("- b"));
        assert_eq!(notes_of(changelog, "0.1.0").as_deref(), Ok("- a"));
        assert!(notes_of(changelog, "0.3.0").is_err());
        assert!(notes_of("## 0.1.0\n\n## 0.0.9\n- x", "0.1.0").is_err());
    }
}
