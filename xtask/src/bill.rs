//! `cargo xtask bill`: the cost of the other commands from a clean state, in CPU time, wall time and disk,
//! beside another commit.
//!
//! A commit is cloned into `target/bill`, and each row is run there with nothing built. Downloads are
//! excluded: a first `cargo fetch` is not counted, and pip and npm have their own caches. Measurements are
//! stored, so that the rows of a table can be measured one by one, when the machine is idle.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::args::Args;
use crate::process::{cmd, cpu_time_of_children, read, sh, write};
use crate::session::{Log, Session, root, target};

/// The last commit before the work on build times.
const AGAINST: &str = "65674ad";
const PAGE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- bill: written by `cargo xtask bill --write` -->";
const END: &str = "<!-- /bill -->";

/// One row of the table.
struct Row {
    name: &'static str,
    /// Run before, and not measured; for the shell.
    before: &'static str,
    command: &'static str,
    goal: Goal,
}

#[derive(Clone, Copy)]
enum Goal {
    /// Percent of the other commit's CPU time.
    Cpu(f64),
    /// Percent of the other commit's CPU time and of its wall time.
    Both(f64),
    /// Seconds of wall time.
    Seconds(f64),
}

/// Changes one line of a function in `core/proto`, so that what depends on its code is built again.
const EDIT: &str = "sed -i 's/^const MAX_DIGITS: usize = 64;$/const MAX_DIGITS: usize = 32 + 32;/' core/proto/src/jsonrpc.rs";

const ROWS: [Row; 6] = [
    Row { name: "demo", before: "true", command: "cargo xtask demo", goal: Goal::Cpu(25.0) },
    Row { name: "test", before: "true", command: "cargo xtask test", goal: Goal::Cpu(50.0) },
    Row { name: "ci", before: "true", command: "bash .ci/run", goal: Goal::Both(60.0) },
    Row { name: "bench", before: "true", command: "cargo xtask bench --quick", goal: Goal::Cpu(30.0) },
    Row {
        name: "edit-proto",
        before: "cargo test --package trunnion-proto",
        command: "cargo test --package trunnion-proto",
        goal: Goal::Seconds(10.0),
    },
    Row {
        name: "edit-python",
        before: "cargo xtask test python || cargo xtask test --filter python",
        command: "cargo xtask test python || cargo xtask test --filter python",
        goal: Goal::Seconds(45.0),
    },
];

/// `cargo xtask bill`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let (write_page, here) = (args.flag("--write"), args.flag("--here"));
    let against = args.option("--against")?;
    let names = args.rest()?;
    if let Some(unknown) = names.iter().find(|name| ROWS.iter().all(|row| row.name != **name)) {
        return Err(format!("no row {unknown}; there are {}", ROWS.map(|row| row.name).join(", ")));
    }
    let commits = [against.as_deref().unwrap_or(AGAINST), "HEAD"]
        .map(|name| cmd("git", ["rev-parse", "--short=7", name]).output().map(|text| text.trim().to_owned()));
    let [before, after] = commits;
    let (before, after) = (before?, after?);
    for row in ROWS.iter().filter(|row| names.is_empty() || names.iter().any(|name| name == row.name)) {
        // The other commit takes an hour and more, and stays as it was.
        for commit in [&before, &after].into_iter().filter(|commit| !here || **commit == after) {
            session.step(&format!("{} at {commit}", row.name), |log| measure(commit, row, log));
        }
    }
    let measured = known()?;
    let table = table(&measured, &before, &after);
    println!("\n{table}");
    if write_page {
        let page = read(&root().join(PAGE))?;
        let (head, rest) = page.split_once(BEGIN).ok_or_else(|| format!("{PAGE} has no {BEGIN}"))?;
        let (_, tail) = rest.split_once(END).ok_or_else(|| format!("{PAGE} has no {END}"))?;
        write(&root().join(PAGE), &format!("{head}{BEGIN}\n\n{table}\n{END}{tail}"))?;
    }
    Ok(())
}

fn folder() -> PathBuf {
    target().join("bill")
}

fn known() -> Result<Value, String> {
    match read(&folder().join("measured.json")) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| format!("measured.json: {e}")),
        Err(_) => Ok(json!({})),
    }
}

/// Clones the commit, builds nothing, runs the row, and stores its measurements.
fn measure(commit: &str, row: &Row, log: &Log) -> Result<(), String> {
    let clone = folder().join("clone");
    let _ = std::fs::remove_dir_all(&clone);
    let from = root().to_string_lossy().into_owned();
    cmd("git", ["clone", "--quiet", "--no-checkout", &from, &clone.to_string_lossy()]).run(log)?;
    cmd("git", ["checkout", "--quiet", "--detach", commit]).dir(&clone).run(log)?;
    alone(sh("cargo fetch --quiet --locked"), &clone).run(log)?;
    if row.name.starts_with("edit") {
        alone(sh(row.before), &clone).run(log)?;
        sh(EDIT).dir(&clone).run(log)?;
        cmd("git", ["diff", "--exit-code", "--quiet"])
            .dir(&clone)
            .run(log)
            .map_or(Ok(()), |()| Err("core/proto/src/jsonrpc.rs has no such line any more".to_owned()))?;
    }
    let (cpu, start) = (cpu_time_of_children(), Instant::now());
    let ended = alone(sh(row.command), &clone).run(log);
    let (cpu, wall) = (cpu_time_of_children() - cpu, start.elapsed());
    let size = cmd("du", ["--summarize", "--block-size=1M", "target"]).dir(&clone).output()?;
    let megabytes: f64 =
        size.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    let mut measured = known()?;
    measured[commit][row.name] = json!({
        "cpu": cpu.as_secs_f64(),
        "wall": wall.as_secs_f64(),
        "megabytes": megabytes,
        "ok": ended.is_ok(),
        "date": cmd("date", ["+%Y-%m-%d"]).output()?.trim(),
    });
    write(&folder().join("measured.json"), &format!("{measured:#}\n"))?;
    println!(
        "  {commit} {}: {:.0} s of CPU, {:.0} s, target/ {megabytes:.0} MB",
        row.name,
        cpu.as_secs_f64(),
        wall.as_secs_f64()
    );
    ended
}

/// In the clone, with a target folder of its own.
fn alone(command: crate::process::Cmd, clone: &Path) -> crate::process::Cmd {
    command.dir(clone).without("CARGO_TARGET_DIR".as_ref()).env("TERM", "dumb")
}

fn table(measured: &Value, before: &str, after: &str) -> String {
    let mut out = format!("{}\n\n", machine());
    out += &format!(
        "| from nothing | CPU s, {before} | CPU s, {after} | of it | wall s | wall s | of it | target/ MB | target/ MB | goal | |\n"
    );
    out += "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --- | --- |\n";
    for row in &ROWS {
        let figure = |commit: &str, name: &str| measured[commit][row.name][name].as_f64();
        let both = |name: &str| (figure(before, name), figure(after, name));
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let percent = |(before, after): (Option<f64>, Option<f64>)| Some(after? / before? * 100.0);
        let share =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"));
        let (cpu, wall, disk) = (both("cpu"), both("wall"), both("megabytes"));
        let (goal, met) = match row.goal {
            Goal::Cpu(most) => (format!("{most:.0} % of CPU"), percent(cpu).map(|is| is <= most)),
            Goal::Both(most) => (
                format!("{most:.0} % of CPU and wall"),
                percent(cpu).zip(percent(wall)).map(|(cpu, wall)| cpu <= most && wall <= most),
            ),
            Goal::Seconds(most) => (format!("{most:.0} s"), wall.1.map(|is| is <= most)),
        };
        let verdict = met.map_or("", |met| if met { "met" } else { "missed" });
        out += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {goal} | {verdict} |\n",
            row.name,
            cell(cpu.0),
            cell(cpu.1),
            share(percent(cpu)),
            cell(wall.0),
            cell(wall.1),
            share(percent(wall)),
            cell(disk.0),
            cell(disk.1),
        );
    }
    out
}

/// The machine of the measurement, in one line.
fn machine() -> String {
    let cpu = read(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = cmd("date", ["+%Y-%m-%d"]).output().unwrap_or_default();
    let compiler = cmd("rustc", ["--version"]).output().unwrap_or_default();
    format!("{model}, {cores} cores, {}, {}.", compiler.trim(), date.trim())
}
