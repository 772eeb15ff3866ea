//! Every client x every server x {stdio, Streamable HTTP}, the official SDKs included.

mod tour;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::fixtures::{Fixture, Running, load};
use crate::process::{sh, write};
use crate::session::{Log, Session, root};
use crate::setup;

const LIMIT: Duration = Duration::from_secs(60);
const OURS: &str = "tests/conformance/fixtures.toml";
const FOREIGN: &str = "tests/interop/foreign.toml";

/// `cargo xtask interop`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let json = args.option("--json")?;
    let filter = args.option("--filter")?;
    let foreign_only = args.flag("--foreign");
    args.done()?;
    let languages = if foreign_only { Vec::new() } else { setup::languages(session) };
    let peers = setup::peers(session);
    let matrix = Matrix::load(&languages, peers, filter.as_deref())?;
    let mut cells = Vec::new();
    session.step("interop", |log| {
        cells = matrix.run(log)?;
        print!("{}", matrix.table(&cells));
        verdict(&cells, log)
    });
    if let Some(file) = json {
        let passed = cells.iter().filter(|cell| cell.problem.is_none()).count();
        let report = json!({
            "passed": passed,
            "failed": cells.len() - passed,
            "cells": cells.iter().map(Cell::to_json).collect::<Vec<_>>(),
        });
        write(&root().join(&file), &format!("{report:#}\n"))?;
    }
    Ok(())
}

/// The matrix as one step of `cargo xtask test`.
pub fn step(languages: &[String], peers: bool, log: &Log) -> Result<(), String> {
    let matrix = Matrix::load(languages, peers, None)?;
    let cells = matrix.run(log)?;
    print!("{}", matrix.table(&cells));
    verdict(&cells, log)
}

fn verdict(cells: &[Cell], log: &Log) -> Result<(), String> {
    let failed = cells.iter().filter(|cell| cell.problem.is_some()).count();
    for cell in cells {
        if let Some(problem) = &cell.problem {
            log.line(&format!("{} -> {} over {}: {problem}", cell.client, cell.server, cell.transport));
        }
    }
    log.line(&format!("interop: {} passed, {failed} failed", cells.len() - failed));
    match (cells.len(), failed) {
        (0, _) => Err("no cell of the matrix was run".into()),
        (_, 0) => Ok(()),
        (all, _) => Err(format!("{failed} of {all} cells failed")),
    }
}

/// One client against one server over one transport.
pub struct Cell {
    client: String,
    server: String,
    transport: &'static str,
    seconds: f64,
    problem: Option<String>,
}

impl Cell {
    fn to_json(&self) -> Value {
        json!({
            "client": self.client,
            "server": self.server,
            "transport": self.transport,
            "ok": self.problem.is_none(),
            "seconds": self.seconds,
            "problem": self.problem,
        })
    }
}

struct Matrix {
    fixtures: Vec<Fixture>,
    tolerances: Vec<tour::Tolerance>,
    filter: Option<String>,
}

impl Matrix {
    fn load(languages: &[String], peers: bool, filter: Option<&str>) -> Result<Self, String> {
        let mut fixtures = load(OURS)?;
        fixtures.retain(|fixture| languages.contains(&fixture.name));
        if peers {
            fixtures.extend(load(FOREIGN)?);
        }
        Ok(Self { fixtures, tolerances: tour::tolerances()?, filter: filter.map(str::to_owned) })
    }

    fn pairs(&self) -> Vec<(&Fixture, &Fixture, &'static str)> {
        let mut pairs = Vec::new();
        for transport in ["stdio", "http"] {
            for client in &self.fixtures {
                for server in &self.fixtures {
                    let name = format!("{}-{}-{transport}", client.name, server.name);
                    if self.filter.as_ref().is_none_or(|part| name.contains(part.as_str())) {
                        pairs.push((client, server, transport));
                    }
                }
            }
        }
        pairs
    }

    fn run(&self, log: &Log) -> Result<Vec<Cell>, String> {
        let pairs = self.pairs();
        let mut servers: HashMap<&str, Result<Running, String>> = HashMap::new();
        for (_, server, transport) in &pairs {
            if *transport == "http" && !servers.contains_key(server.name.as_str()) {
                servers.insert(&server.name, server.serve("", &[], Some(log)));
            }
        }
        let (next, cells) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some((client, server, transport)) =
                        pairs.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let target = match (*transport, servers.get(server.name.as_str())) {
                            ("http", Some(Ok(running))) => Ok(running.url()),
                            ("http", Some(Err(problem))) => Err(problem.clone()),
                            _ => Ok(server.stdio_target()),
                        };
                        let cell = self.cell(client, server, transport, target);
                        cells.lock().expect("no cell panics with the lock").push(cell);
                    }
                });
            }
        });
        Ok(cells.into_inner().expect("no cell panics with the lock"))
    }

    fn cell(
        &self,
        client: &Fixture,
        server: &Fixture,
        transport: &'static str,
        target: Result<String, String>,
    ) -> Cell {
        let (seconds, result) = match target {
            Err(problem) => (0.0, Err(problem)),
            Ok(target) => self.visit(client, server, &target),
        };
        let (client, server) = (client.name.clone(), server.name.clone());
        Cell { client, server, transport, seconds, problem: result.err() }
    }

    fn visit(&self, client: &Fixture, server: &Fixture, target: &str) -> (f64, Result<(), String>) {
        let command = client.client.as_deref().unwrap_or("false");
        let finished = match sh(&format!("exec {command} '{target}'")).output_within(LIMIT) {
            Ok(finished) => finished,
            Err(error) => return (0.0, Err(error)),
        };
        let checked = finished.success().and_then(|()| {
            let line = finished.stdout.trim();
            tour::check(line, &client.name, &server.name, &self.tolerances)
        });
        (finished.time.as_secs_f64(), checked)
    }

    /// Rows are clients, columns are servers.
    fn table(&self, cells: &[Cell]) -> String {
        let width = self.fixtures.iter().map(|fixture| fixture.name.len()).max().unwrap_or(0).max(6);
        let mut out = String::new();
        for transport in ["stdio", "http"] {
            let mut line = format!("\n{:<width$}", format!("{transport} >"));
            for server in &self.fixtures {
                line += &format!("  {:>width$}", server.name);
            }
            out += line.trim_end();
            for client in &self.fixtures {
                out += &format!("\n{:<width$}", client.name);
                for server in &self.fixtures {
                    let cell = cells.iter().find(|cell| {
                        cell.client == client.name
                            && cell.server == server.name
                            && cell.transport == transport
                    });
                    let word = match cell {
                        Some(Cell { problem: None, seconds, .. }) => format!("{seconds:.2} s"),
                        Some(_) => "FAIL".to_owned(),
                        None => "-".to_owned(),
                    };
                    out += &format!("  {word:>width$}");
                }
            }
            out.push('\n');
        }
        for cell in cells {
            if let Some(problem) = &cell.problem {
                out += &format!("{} -> {} over {}: {problem}\n", cell.client, cell.server, cell.transport);
            }
        }
        out
    }
}
