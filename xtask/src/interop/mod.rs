//! Every client x every server x {stdio, Streamable HTTP}, the official SDKs included; also with a client set
//! to an older revision, and over HTTP+SSE if both sides have it. By default a client must negotiate the
//! newest revision; over HTTP+SSE it is set to the newest one that has `initialize`, and to the one that the
//! transport is from.

pub mod tasks;
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
/// The revision that a client negotiates with any server by default, and those that it can be configured to.
const NEWEST: &str = "2026-07-28";
const OLDER: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", OLDEST];
/// The first revision. Streamable HTTP is younger, but the endpoints serve it there as well, and there are clients that ask.
const OLDEST: &str = "2024-11-05";
/// The revisions over HTTP+SSE, a transport of the legacy era: the newest one that has `initialize`, and its
/// own. Clients are set to them, because the official Python client would request a newer one even there.
const SSE: [&str; 2] = ["2025-11-25", OLDEST];
/// The clients that run every older revision over standard streams too. There they differ in nothing that is
/// a language's own, so one of ours is enough; the others run the oldest one only.
const STDIO_ROWS: [&str; 2] = ["rust", "rmcp-official"];

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
            log.line(&format!("{}: {problem}", cell.name()));
        }
    }
    log.line(&format!("interop: {} passed, {failed} failed", cells.len() - failed));
    match (cells.len(), failed) {
        (0, _) => Err("no cell of the matrix was run".into()),
        (_, 0) => Ok(()),
        (all, _) => Err(format!("{failed} of {all} cells failed")),
    }
}

/// One client against one server over one transport, in one revision.
pub struct Cell {
    client: String,
    server: String,
    transport: &'static str,
    revision: &'static str,
    seconds: f64,
    problem: Option<String>,
}

impl Cell {
    fn name(&self) -> String {
        format!("{} -> {} over {} in {}", self.client, self.server, self.transport, self.revision)
    }

    fn to_json(&self) -> Value {
        json!({
            "client": self.client,
            "server": self.server,
            "transport": self.transport,
            "revision": self.revision,
            "ok": self.problem.is_none(),
            "seconds": self.seconds,
            "problem": self.problem,
        })
    }
}

/// One cell before it is run.
struct Visit<'a> {
    client: &'a Fixture,
    server: &'a Fixture,
    transport: &'static str,
    revision: &'static str,
}

/// The tables of the matrix, by transport and revision.
fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    [NEWEST]
        .into_iter()
        .chain(OLDER)
        .flat_map(|revision| ["stdio", "http"].map(|transport| (transport, revision)))
        .chain(SSE.map(|revision| ("sse", revision)))
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

    fn visits(&self) -> Vec<Visit<'_>> {
        let mut visits = Vec::new();
        for (transport, revision) in tables() {
            for client in &self.fixtures {
                let told = client.revisions.iter().any(|known| known == revision);
                let row = match transport {
                    "sse" => told && client.sse_client,
                    "stdio" if revision != NEWEST && revision != OLDEST => {
                        told && STDIO_ROWS.contains(&client.name.as_str())
                    }
                    _ => told || revision == NEWEST,
                };
                if !row {
                    continue;
                }
                for server in self.fixtures.iter().filter(|server| transport != "sse" || server.sse.is_some())
                {
                    let name = format!("{}-{}-{transport}-{revision}", client.name, server.name);
                    if self.filter.as_ref().is_none_or(|part| name.contains(part.as_str())) {
                        visits.push(Visit { client, server, transport, revision });
                    }
                }
            }
        }
        visits
    }

    fn run(&self, log: &Log) -> Result<Vec<Cell>, String> {
        let visits = self.visits();
        let mut servers: HashMap<&str, Result<Running, String>> = HashMap::new();
        for Visit { server, transport, .. } in &visits {
            if *transport != "stdio" && !servers.contains_key(server.name.as_str()) {
                servers.insert(&server.name, server.serve("", &[], Some(log)));
            }
        }
        let (next, cells) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(visit) = visits.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let target = match (visit.transport, servers.get(visit.server.name.as_str())) {
                            ("stdio", _) | (_, None) => Ok(visit.server.stdio_target()),
                            (_, Some(Err(problem))) => Err(problem.clone()),
                            ("sse", Some(Ok(running))) => {
                                Ok(running.at(visit.server.sse.as_deref().unwrap_or_default()))
                            }
                            (_, Some(Ok(running))) => Ok(running.url()),
                        };
                        let cell = self.cell(visit, target);
                        cells.lock().expect("no cell panics with the lock").push(cell);
                    }
                });
            }
        });
        Ok(cells.into_inner().expect("no cell panics with the lock"))
    }

    fn cell(&self, visit: &Visit<'_>, target: Result<String, String>) -> Cell {
        let (seconds, result) = match target {
            Err(problem) => (0.0, Err(problem)),
            Ok(target) => self.make(visit, &target),
        };
        let (client, server) = (visit.client.name.clone(), visit.server.name.clone());
        let (transport, revision) = (visit.transport, visit.revision);
        Cell { client, server, transport, revision, seconds, problem: result.err() }
    }

    fn make(&self, visit: &Visit<'_>, target: &str) -> (f64, Result<(), String>) {
        let Visit { client, server, transport, revision } = visit;
        let command = client.client.as_deref().unwrap_or("false");
        let mut command = sh(&format!("exec {command} '{target}'"));
        if *transport == "sse" {
            command = command.env("MCP_INTEROP_TRANSPORT", "sse");
        }
        if *revision != NEWEST {
            command = command.env("MCP_INTEROP_ERA", "legacy").env("MCP_INTEROP_REVISION", revision);
        }
        let finished = match command.output_within(LIMIT) {
            Ok(finished) => finished,
            Err(error) => return (0.0, Err(error)),
        };
        let checked = finished.success().and_then(|()| {
            let place = tour::Place { client: &client.name, server: &server.name, transport, revision };
            tour::check(finished.stdout.trim(), place, &self.tolerances)
        });
        (finished.time.as_secs_f64(), checked)
    }

    /// Rows are clients, columns are servers.
    fn table(&self, cells: &[Cell]) -> String {
        let width = self.fixtures.iter().map(|fixture| fixture.name.len()).max().unwrap_or(0).max(6);
        let mut out = String::new();
        for (transport, revision) in tables() {
            let here = |cell: &&Cell| cell.transport == transport && cell.revision == revision;
            if !cells.iter().any(|cell| here(&cell)) {
                continue;
            }
            let mut line = format!("\n{transport}, {revision}\n{:<width$}", "");
            for server in &self.fixtures {
                line += &format!("  {:>width$}", server.name);
            }
            out += line.trim_end();
            for client in &self.fixtures {
                if !cells.iter().filter(here).any(|cell| cell.client == client.name) {
                    continue;
                }
                out += &format!("\n{:<width$}", client.name);
                for server in &self.fixtures {
                    let mut row = cells.iter().filter(here).filter(|cell| cell.client == client.name);
                    let cell = row.find(|cell| cell.server == server.name);
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
                out += &format!("{}: {problem}\n", cell.name());
            }
        }
        out
    }
}
