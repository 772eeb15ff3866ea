//! `load http …`, `load stdio …`, `load cold …`: drive a server, print one JSON object.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use trunnion_bench::wire::Case;
use trunnion_bench::{http, stdio};

const USAGE: &str = "usage:
  load http  CASE CONNECTIONS WARMUP SECONDS HOST:PORT PATH PID
  load stdio CASE IN_FLIGHT   WARMUP SECONDS COMMAND…
  load cold  RUNS COMMAND…
CASE is echo, list or read; WARMUP and SECONDS may be fractions.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<Value, String> {
    let usage = || USAGE.to_owned();
    let case = |name: &str| Case::parse(name).ok_or_else(usage);
    let number = |text: &str| text.parse::<usize>().map_err(|_| usage());
    let time = |text: &str| text.parse().map(Duration::from_secs_f64).map_err(|_| usage());
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["http", what, connections, warmup, seconds, authority, path, pid] => {
            let plan = http::Plan {
                authority,
                path,
                case: case(what)?,
                connections: number(connections)?,
                warmup: time(warmup)?,
                time: time(seconds)?,
                pid: number(pid)? as u32,
            };
            Ok(http::run(&plan).map_err(|e| e.to_string())?.to_json())
        }
        ["stdio", what, in_flight, warmup, seconds, _, ..] => {
            let run = stdio::run(&args[5..], case(what)?, number(in_flight)?, time(warmup)?, time(seconds)?);
            Ok(run.map_err(|e| e.to_string())?.to_json())
        }
        ["cold", runs, _, ..] => {
            let mut times = stdio::cold(&args[2..], number(runs)?).map_err(|e| e.to_string())?;
            times.sort_by(f64::total_cmp);
            Ok(json!({ "min_ms": times.first(), "median_ms": times.get(times.len() / 2) }))
        }
        _ => Err(usage()),
    }
}
