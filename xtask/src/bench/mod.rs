//! `cargo xtask bench`: our servers, the official SDKs and the floor, in interleaved rounds on one machine.

mod idle;
mod inputs;
mod report;
mod tasks;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::fixtures::{Fixture, load};
use crate::process::{cmd, exists, write};
use crate::session::{Log, Session, root, target};
use crate::setup;

/// The floor's name in `bench/peers.toml`.
const FLOOR: &str = "floor";

/// The measurements of a server, and their duration.
struct Plan {
    rounds: usize,
    warmup: f64,
    seconds: f64,
    cold_starts: usize,
    http: &'static [(&'static str, usize)],
    stdio: &'static [usize],
}

const QUICK: Plan = Plan {
    rounds: 3,
    warmup: 0.5,
    seconds: 1.5,
    cold_starts: 3,
    http: &[("echo", 64), ("echo", 1), ("list", 16)],
    stdio: &[64],
};

const FULL: Plan = Plan {
    rounds: 7,
    warmup: 1.0,
    seconds: 4.0,
    cold_starts: 5,
    http: &[("echo", 64), ("echo", 16), ("echo", 1), ("list", 16), ("read", 4)],
    stdio: &[64, 1],
};

/// Medians of one server: by measurement (`http echo@64`), then by figure (`per_cpu_second`).
pub type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// `cargo xtask bench`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let quick = args.flag("--quick");
    let plan = if quick { &QUICK } else { &FULL };
    let json = args.option("--json")?;
    let filter = args.option("--filter")?;
    args.done()?;
    let (usable, peers_usable) = setup::bench(session, quick);
    if !peers_usable {
        return Err("the peers could not be built, so there is nothing to compare with".into());
    }
    let mut servers = load("bench/fixtures.toml")?;
    servers.retain(|server| usable.contains(&server.name));
    let peers = load("bench/peers.toml")?;
    if let Some(part) = &filter {
        servers.retain(|server| server.name.contains(part.as_str()));
        if servers.is_empty() {
            return Err(format!("no server of bench/fixtures.toml has {part} in its name"));
        }
        let needed: Vec<_> = servers.iter().filter_map(|server| server.against.clone()).collect();
        servers.extend(peers.into_iter().filter(|peer| peer.name == FLOOR || needed.contains(&peer.name)));
    } else {
        servers.extend(peers);
    }
    let mut figures = BTreeMap::new();
    session.step("bench", |log| {
        figures = measure(plan, &servers, log)?;
        print!("{}", report::table(&servers, &figures, FLOOR));
        Ok(())
    });
    let ours: Vec<&Fixture> = servers.iter().filter(|server| server.against.is_some()).collect();
    let mut idle = BTreeMap::new();
    session.step("idle clients", |log| {
        let env = inputs::write_files(&target().join("bench"))?;
        for server in ours {
            let found = idle::measure(server, &env, log).map_err(|e| format!("{}: {e}", server.name))?;
            println!("  {}: {:.0} bytes a session, {:.0} a stream", server.name, found.session, found.stream);
            idle.insert(
                server.name.clone(),
                json!({"bytes_per_session": found.session, "bytes_per_stream": found.stream}),
            );
        }
        Ok(())
    });
    let mut tasks = Value::Null;
    session.step("tasks over each store", |_| {
        tasks = tasks::measure(if quick { 1.0 } else { 5.0 })?;
        Ok(())
    });
    if let Some(file) = json {
        let report = json!({ "servers": figures, "idle": idle, "tasks": tasks, "ratios": report::ratios(&servers, &figures, FLOOR) });
        write(&root().join(&file), &format!("{report:#}\n"))?;
    }
    Ok(())
}

fn measure(plan: &Plan, servers: &[Fixture], log: &Log) -> Result<BTreeMap<String, Figures>, String> {
    let env = inputs::write_files(&target().join("bench"))?;
    let mut samples: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<f64>>>> = BTreeMap::new();
    for round in 1..=plan.rounds {
        for server in servers {
            println!("  round {round} of {}: {}", plan.rounds, server.name);
            for (what, values) in
                visit(plan, server, &env, log).map_err(|e| format!("{}: {e}", server.name))?
            {
                let mine = samples.entry(server.name.clone()).or_default().entry(what).or_default();
                for (figure, value) in values.as_object().into_iter().flatten() {
                    mine.entry(figure.clone()).or_default().extend(value.as_f64());
                }
            }
        }
    }
    let medians = |by_figure: BTreeMap<String, Vec<f64>>| -> BTreeMap<String, f64> {
        by_figure.into_iter().map(|(figure, values)| (figure, median(values))).collect()
    };
    Ok(samples
        .into_iter()
        .map(|(server, measured)| {
            (server, measured.into_iter().map(|(what, by)| (what, medians(by))).collect())
        })
        .collect())
}

/// All measurements of one server in one round.
fn visit(
    plan: &Plan,
    server: &Fixture,
    env: &[(&'static str, String)],
    log: &Log,
) -> Result<Vec<(String, Value)>, String> {
    let (pin_server, pin_load) = if exists("taskset") { ("taskset -c 0", "taskset -c 1") } else { ("", "") };
    let tool = target().join("measured/load");
    let (warmup, seconds) = (plan.warmup.to_string(), plan.seconds.to_string());
    let load = |words: &[&str]| -> Result<Value, String> {
        let mut line: Vec<&str> = pin_load.split_whitespace().collect();
        let tool = tool.to_string_lossy();
        line.push(&tool);
        line.extend(words);
        log.line(&format!("$ {}", line.join(" ")));
        let mut command = cmd(line[0], &line[1..]);
        for (key, value) in env {
            command = command.env(key, value);
        }
        let finished = command.output_within(Duration::from_secs(180))?;
        finished.success()?;
        log.line(finished.stdout.trim());
        serde_json::from_str(&finished.stdout).map_err(|e| format!("the load generator's answer: {e}"))
    };
    let mut found = Vec::new();
    {
        let running = server.serve(pin_server, env, Some(log))?;
        let (authority, pid) = (format!("127.0.0.1:{}", running.port), running.group.id().to_string());
        for (case, connections) in plan.http {
            let count = connections.to_string();
            let values = load(&["http", case, &count, &warmup, &seconds, &authority, "/mcp", &pid])?;
            found.push((format!("http {case}@{connections}"), values));
        }
    }
    let line = format!("exec {pin_server} {}", server.stdio_server);
    for in_flight in plan.stdio {
        let count = in_flight.to_string();
        let values = load(&["stdio", "echo", &count, &warmup, &seconds, "sh", "-c", &line])?;
        found.push((format!("stdio echo@{in_flight}"), values));
    }
    let starts = plan.cold_starts.to_string();
    found.push(("cold start".into(), load(&["cold", &starts, "sh", "-c", &line])?));
    for (what, values) in &found {
        if values["errors"].as_f64().is_some_and(|errors| errors > 0.0) {
            return Err(format!("{what}: {} answers were errors", values["errors"]));
        }
    }
    Ok(found)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
