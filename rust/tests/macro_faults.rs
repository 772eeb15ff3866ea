//! Errors of the attribute macros and of the builder: their messages, and the places where the compiler shows
//! them. The files in the folder of this module contain both in comments, `//~ `text`: message`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

/// The library that this test was built with lies beside it, maybe with older ones of other features; newest first.
fn libraries() -> Vec<PathBuf> {
    let folder = std::env::current_exe().expect("a test").parent().expect("a folder").to_owned();
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with("libtrunnion-") && name.ends_with(".rlib"))
        })
        .map(|entry| (entry.metadata().and_then(|of| of.modified()).expect("a time"), entry.path()))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Errors as (line, underlined text, message); an error that refers to no part of the file is in line 0.
fn errors(source: &Path, library: &Path) -> Vec<(u64, String, String)> {
    let output = std::env::temp_dir().join(format!("trunnion-{}-faults", std::process::id()));
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let run = Command::new(compiler)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=json", "-o"])
        .arg(&output)
        .arg(format!("--extern=trunnion={}", library.display()))
        .arg(format!("-Ldependency={}", library.parent().expect("a folder").display()))
        .arg(source)
        .output()
        .expect("a compiler");
    let _ = fs::remove_file(output);
    let text = String::from_utf8(run.stderr).expect("UTF-8");
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["level"] == "error")
        .filter(|message| !message["message"].as_str().unwrap_or_default().starts_with("aborting due to"))
        .filter_map(|message| {
            let said = message["message"].as_str()?.to_owned();
            let spans = message["spans"].as_array()?;
            let Some(mut span) = spans.iter().find(|span| span["is_primary"] == true) else {
                return Some((0, String::new(), said));
            };
            // An error in macro-written code is shown at the call of the macro.
            while span["expansion"]["span"].is_object() && span["file_name"] != *source.to_str()? {
                span = &span["expansion"]["span"];
            }
            let shown = &span["text"][0];
            let place = |key: &str| shown[key].as_u64().map_or(0, |column| column.saturating_sub(1)) as usize;
            let (from, to) = (place("highlight_start"), place("highlight_end"));
            let underlined =
                shown["text"].as_str().unwrap_or_default().chars().skip(from).take(to - from).collect();
            Some((span["line_start"].as_u64()?, underlined, said))
        })
        .collect()
}

/// Every expected error, and no other: (line, underlined text, part of the message).
fn told(source: &Path) -> Vec<(u64, String, String)> {
    let text = fs::read_to_string(source).expect("a file");
    let mut told = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for note in line.split("//~ `").skip(1) {
            let (underlined, message) = note.split_once("`: ").expect("`text`: message");
            told.push((number, underlined.to_owned(), message.trim().to_owned()));
        }
    }
    told
}

fn check(file: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/macro_faults").join(file);
    let told = told(&source);
    let fits = |found: &[(u64, String, String)]| {
        told.iter().all(|(line, underlined, part)| {
            found.iter().any(|(at, text, message)| at == line && text == underlined && message.contains(part))
        }) && found.iter().all(|(at, ..)| told.iter().any(|(line, ..)| line == at))
    };
    let mut newest = None;
    for library in libraries() {
        let found = errors(&source, &library);
        if fits(&found) {
            return;
        }
        newest.get_or_insert(found);
    }
    panic!("told: {told:#?}\nfound: {newest:#?}");
}

#[test]
fn faults_that_the_macros_find() {
    check("expansion.rs");
}

#[test]
fn faults_that_the_compiler_finds() {
    check("types.rs");
}

#[test]
fn faults_that_the_compiler_finds_in_what_a_builder_is_given() {
    check("builder.rs");
}

#[test]
fn a_program_without_faults_needs_no_further_crate_and_gets_no_warnings() {
    check("none.rs");
}
