//! The core tasks of 2025-11-25: our servers and the official SDK of that time. The matrix does not cover
//! them, because its SDKs are newer, and have the extension that replaced these tasks, or none.

use std::time::Duration;

use super::OURS;
use crate::fixtures::{Fixture, load};
use crate::process::cmd;
use crate::session::{Log, target};

/// Longer than the client's own time limit, so that the client can report the event that did not come.
const LIMIT: Duration = Duration::from_secs(60);

/// Drives the tasks of every language's server over both transports.
pub fn step(languages: &[String], log: &Log) -> Result<(), String> {
    let mut fixtures = load(OURS)?;
    fixtures.retain(|fixture| languages.contains(&fixture.name));
    // Most of their time they wait, so all servers are driven at once.
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            fixtures.iter().map(|fixture| scope.spawn(|| both_transports(fixture, log))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no server makes it panic")).collect()
    });
    match (fixtures.len(), problems.len()) {
        (0, _) => Err("there is no server to drive".into()),
        (_, 0) => Ok(()),
        _ => Err(problems.join("; ")),
    }
}

/// Returns the faults.
fn both_transports(fixture: &Fixture, log: &Log) -> Vec<String> {
    let http =
        || fixture.serve("", &[], Some(log)).and_then(|running| drive(fixture, "http", &running.url(), log));
    let stdio = || drive(fixture, "stdio", &fixture.stdio_target(), log);
    [http(), stdio()].into_iter().filter_map(Result::err).collect()
}

fn drive(fixture: &Fixture, transport: &str, place: &str, log: &Log) -> Result<(), String> {
    let name = format!("{} over {transport}", fixture.name);
    let client = target().join("peers/node/foreign/tasks_client.mjs");
    let finished = cmd("node", [client.as_os_str(), place.as_ref()])
        .output_within(LIMIT)
        .map_err(|error| format!("{name}: {error}"))?;
    for line in finished.stdout.lines().chain(finished.stderr.lines()) {
        log.line(&format!("{name}: {line}"));
    }
    finished.success().map_err(|error| format!("{name}: {error}"))
}
