//! `cargo xtask fuzz`: runs every target of `fuzz/` for a limited time, prints a table of the runs, and fails
//! on a crash.

use std::path::PathBuf;
use std::time::Duration;

use crate::args::Args;
use crate::process::{Cmd, cmd, read, write};
use crate::session::{Log, Session, root, target};
use crate::setup;

/// Duration of a target with `--smoke`, and without.
const SMOKE_SECONDS: u64 = 60;
const SECONDS: u64 = 600;
/// Additional time of a target: the last input, and attempts to shrink it.
const GRACE: Duration = Duration::from_secs(120);

/// `cargo xtask fuzz`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let smoke = args.flag("--smoke");
    let filter = args.option("--filter")?;
    let seconds = match args.option("--seconds")? {
        Some(text) => text.parse().ok().filter(|seconds| *seconds > 0).ok_or("--seconds wants a number")?,
        None if smoke => SMOKE_SECONDS,
        None => SECONDS,
    };
    args.done()?;
    let targets: Vec<String> = targets()?
        .into_iter()
        .filter(|name| filter.as_ref().is_none_or(|part| name.contains(part.as_str())))
        .collect();
    if targets.is_empty() {
        return Err("no such target".into());
    }
    let Some(fuzzer) = setup::fuzzer(session) else { return Ok(()) };
    if !session.step("build the fuzz targets", |log| cargo_fuzz(&fuzzer, "build", &[]).run(log)) {
        return Ok(());
    }
    let mut rows = Vec::new();
    for name in &targets {
        let mut row = None;
        session.step(&format!("fuzz {name}"), |log| {
            let found = fuzz(&fuzzer, name, seconds, log)?;
            row = Some(found);
            Ok(())
        });
        rows.push((name, row));
    }
    println!("\n{:<16}{:>14}{:>12}{:>10}", "target", "runs", "exec/s", "edges");
    for (name, row) in rows {
        match row {
            Some(found) => {
                println!("{name:<16}{:>14}{:>12}{:>10}", found.runs, found.per_second, found.edges)
            }
            None => println!("{name:<16}{:>14}", "FAIL"),
        }
    }
    Ok(())
}

/// The targets that `fuzz/Cargo.toml` names.
fn targets() -> Result<Vec<String>, String> {
    const FILE: &str = "fuzz/Cargo.toml";
    let table: toml::Table =
        toml::from_str(&read(&root().join(FILE))?).map_err(|e| format!("{FILE}: {e}"))?;
    let bins = table.get("bin").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(bins.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned)).collect())
}

/// The findings of libFuzzer.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    runs: u64,
    per_second: u64,
    edges: u64,
}

fn fuzz(fuzzer: &setup::Fuzzer, name: &str, seconds: u64, log: &Log) -> Result<Found, String> {
    let corpus = target().join("fuzz/corpus").join(name);
    let artifacts = target().join("fuzz/artifacts").join(name);
    write(&artifacts.join("README"), "Inputs that made the target fail.\n")?;
    std::fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let limit = format!("-max_total_time={seconds}");
    let prefix = format!("-artifact_prefix={}/", artifacts.display());
    let seeds = path(root().join("fuzz/seeds").join(name));
    let words = [
        name,
        &path(corpus),
        &seeds,
        "--",
        &limit,
        &prefix,
        "-max_len=4096",
        "-timeout=10",
        "-print_final_stats=1",
    ];
    let finished = cargo_fuzz(fuzzer, "run", &words).output_within(Duration::from_secs(seconds) + GRACE)?;
    log.line(finished.stderr.trim());
    finished.success().map_err(|why| format!("{why}; its input is in {}", artifacts.display()))?;
    stats(&finished.stderr).ok_or_else(|| "the fuzzer did not say what it did".into())
}

fn stats(text: &str) -> Option<Found> {
    let after = |word: &str| {
        let at = text.rfind(word)? + word.len();
        text[at..].split_whitespace().next()?.parse().ok()
    };
    let runs = after("stat::number_of_executed_units:")?;
    Some(Found {
        runs,
        per_second: after("stat::average_exec_per_sec:")?,
        edges: after("cov: ").unwrap_or(0),
    })
}

/// The code under test is safe Rust: no sanitizer finds more in it than its own checks, and they cost much.
fn cargo_fuzz(fuzzer: &setup::Fuzzer, what: &str, words: &[&str]) -> Cmd {
    let toolchain = fuzzer.toolchain.map(|name| format!("+{name}"));
    let folder = target().join("fuzz").to_string_lossy().into_owned();
    let options = ["fuzz", what, "--sanitizer", "none", "--target-dir", &folder];
    let command = cmd("cargo", toolchain.as_deref().into_iter().chain(options).chain(words.iter().copied()));
    let command = command.env("CARGO_TERM_COLOR", "never");
    if fuzzer.toolchain.is_none() { command.env("RUSTC_BOOTSTRAP", "1") } else { command }
}

#[cfg(test)]
mod tests {
    use super::{Found, stats, targets};

    #[test]
    fn the_fuzzers_last_words_are_read() {
        let said = "#9 NEW    cov: 120 ft: 300 corp: 4\n#300\tDONE   cov: 1291 ft: 5312 corp: 410/30Kb\n\
            stat::number_of_executed_units: 300\nstat::average_exec_per_sec:     150\n";
        assert_eq!(stats(said), Some(Found { runs: 300, per_second: 150, edges: 1291 }));
        assert_eq!(stats("error: no such target"), None);
    }

    #[test]
    fn every_target_has_seeds() {
        for name in targets().expect("readable") {
            let seeds = crate::session::root().join("fuzz/seeds").join(&name);
            assert!(seeds.read_dir().is_ok_and(|mut seeds| seeds.next().is_some()), "{name}");
        }
    }
}
