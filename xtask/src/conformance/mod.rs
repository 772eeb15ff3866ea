//! `cargo xtask conformance`: the official suite against every language, with a gate that
//! ignores exit codes.
//!
//! The suite calls a run green when nothing was tested, when checks were skipped, and when a client was killed by
//! its timeout. So the gate reads every `checks.json` itself.

mod results;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::fixtures::{Fixture, load};
use crate::process::{cmd, read, write};
use crate::session::{Log, Session, Work, root, target};
use crate::setup;

use results::{Expected, Scenario, Verdict};

const REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
/// The entry for scenarios that belong to no revision.
const EXTENSION: &str = "extension";
const EXPECTED: &str = "tests/conformance/expected.toml";

/// `cargo xtask conformance`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let (json, filter) = (args.option("--json")?, args.option("--filter")?);
    let (wanted, readme) = (args.option("--lang")?, args.flag("--readme"));
    args.done()?;
    if readme && (wanted.is_some() || filter.is_some()) {
        return Err("--readme is for a run of every language and scenario".into());
    }
    let Some(report) = steps(session, wanted.as_deref(), filter.as_deref())? else { return Ok(()) };
    if let Some(file) = json {
        write(&root().join(&file), &format!("{report:#}\n"))?;
    }
    if readme {
        let file = root().join("README.md");
        write(&file, &table::replace(&read(&file)?, &report)?)?;
    }
    Ok(())
}

/// Every language, as a part of a longer run.
pub fn all(session: &Session) -> Result<(), String> {
    steps(session, None, None).map(drop)
}

/// Runs a step for each language and role; returns the results, or nothing if the suite cannot be run.
fn steps(session: &Session, language: Option<&str>, filter: Option<&str>) -> Result<Option<Value>, String> {
    let expected = Expected::parse(&read(&root().join(EXPECTED))?).map_err(|e| format!("{EXPECTED}: {e}"))?;
    let usable = match language {
        Some(language) => setup::some_languages(session, &[language]),
        None => setup::languages(session),
    };
    let Some(suite) = setup::suite(session) else { return Ok(None) };
    let mut fixtures = load("tests/conformance/fixtures.toml")?;
    fixtures.retain(|fixture| usable.contains(&fixture.name));
    if let Some(language) = language.filter(|_| fixtures.is_empty()) {
        return Err(format!("{language} is not usable"));
    }
    let report = Mutex::new(json!({ "suite": expected.suite, "languages": {} }));
    let mut work: Vec<Work<'_>> = Vec::new();
    for fixture in &fixtures {
        for role in ["server", "client"] {
            let gate = Gate { suite: &suite, fixture, expected: &expected, filter };
            let report = &report;
            let run = move |log: &Log| {
                let found = if role == "server" { gate.server(log)? } else { gate.client(log)? };
                report.lock().expect("no role panics with the lock")["languages"][&gate.fixture.name][role] =
                    found.iter().map(Verdict::to_json).collect::<Value>();
                gate.judge(role, &found, log)
            };
            work.push((format!("conformance: {} {role}", fixture.name), Box::new(run)));
        }
    }
    session.parallel(work);
    Ok(Some(report.into_inner().expect("no role panics with the lock")))
}

struct Gate<'a> {
    suite: &'a [String],
    fixture: &'a Fixture,
    expected: &'a Expected,
    filter: Option<&'a str>,
}

impl Gate<'_> {
    /// All scenarios of every revision, and those outside the revisions.
    fn server(&self, log: &Log) -> Result<Vec<Verdict>, String> {
        let running = self.fixture.serve("", &[], Some(log))?;
        // The suite connects to `localhost`: a server must accept that name though it is bound to an address.
        let url = format!("http://localhost:{}/mcp", running.port);
        let mut found = Vec::new();
        for revision in REVISIONS.iter().copied().map(Some).chain([None]) {
            let folder = self.folder("server", revision.unwrap_or("extensions"))?;
            let mut words = vec!["server", "--url", &url, "--suite", "all", "--timeout", "15000"];
            if let Some(revision) = revision {
                words.extend(["--spec-version", revision]);
            }
            self.start(&words, &folder, log, Duration::from_secs(600))?;
            let scenarios = results::read_folder(&folder)?;
            // The bare run repeats what the revisions had; only the extensions are new in it.
            let known = |scenario: &Scenario| {
                revision.is_some() || !found.iter().any(|verdict: &Verdict| verdict.scenario == scenario.name)
            };
            let fresh: Vec<_> = scenarios.into_iter().filter(known).collect();
            found.extend(fresh.into_iter().map(|scenario| self.verdict("server", revision, scenario)));
        }
        Ok(found)
    }

    /// The expected scenarios one by one: only then does the suite check the client's exit code and time.
    fn client(&self, log: &Log) -> Result<Vec<Verdict>, String> {
        let command = self.fixture.client.as_deref().ok_or("the fixture has no client")?;
        let mut found = Vec::new();
        for (revision, scenarios) in &self.expected.client {
            for name in scenarios.iter().filter(|name| self.filter.is_none_or(|part| name.contains(part))) {
                let folder = self.folder("client", &format!("{revision}-{}", name.replace('/', "-")))?;
                let mut words = vec!["client", "--command", command, "--scenario", name];
                let dated = (revision != EXTENSION).then_some(revision.as_str());
                if let Some(revision) = dated {
                    words.extend(["--spec-version", revision]);
                }
                let ended = self.start(&words, &folder, log, Duration::from_secs(90))?;
                let mut verdicts: Vec<_> = results::read_folder(&folder)?
                    .into_iter()
                    .map(|scenario| self.verdict("client", dated, scenario))
                    .collect();
                if !ended {
                    for verdict in &mut verdicts {
                        verdict.problems.push("the suite ended with an error: see the log".into());
                    }
                }
                found.extend(verdicts);
            }
        }
        Ok(found)
    }

    /// Runs the suite; returns true if it ended with success.
    fn start(&self, words: &[&str], folder: &Path, log: &Log, limit: Duration) -> Result<bool, String> {
        let folder = folder.to_string_lossy().into_owned();
        let mut all: Vec<&str> = self.suite[1..].iter().map(String::as_str).collect();
        all.extend(words);
        all.extend(["-o", &folder]);
        log.line(&format!("$ {} {}", self.suite[0], all.join(" ")));
        let finished = cmd(&self.suite[0], &all).output_within(limit)?;
        log.line(&finished.stdout);
        log.line(&finished.stderr);
        match finished.status {
            Some(status) => Ok(status.success()),
            None => Err(format!("the suite did not end within {} s", limit.as_secs())),
        }
    }

    fn folder(&self, role: &str, part: &str) -> Result<PathBuf, String> {
        let folder = target().join("conformance/results").join(&self.fixture.name).join(role).join(part);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }

    fn verdict(&self, role: &str, revision: Option<&str>, scenario: Scenario) -> Verdict {
        let revision = revision.unwrap_or(EXTENSION);
        let expected = self.expected.demands(role, revision, &scenario.name);
        let problems = self.expected.problems(&scenario);
        Verdict {
            scenario: scenario.name,
            revision: revision.to_owned(),
            expected,
            problems,
            successes: scenario.successes,
        }
    }

    /// Every expected scenario must be there and clean.
    fn judge(&self, role: &str, found: &[Verdict], log: &Log) -> Result<(), String> {
        let mut wrong = Vec::new();
        let demanded = if role == "server" { &self.expected.server } else { &self.expected.client };
        for (revision, scenarios) in demanded {
            for name in scenarios.iter().filter(|name| self.filter.is_none_or(|part| name.contains(part))) {
                match found.iter().find(|verdict| verdict.scenario == *name && verdict.revision == *revision)
                {
                    None => wrong.push(format!("{revision} {name}: was not run")),
                    Some(verdict) if verdict.problems.is_empty() => {}
                    Some(verdict) => {
                        wrong.push(format!("{revision} {name}: {}", verdict.problems.join("; ")))
                    }
                }
            }
        }
        let clean = found.iter().filter(|verdict| verdict.problems.is_empty()).count();
        let extra: Vec<_> =
            found.iter().filter(|verdict| verdict.problems.is_empty() && !verdict.expected).collect();
        println!("  {} {role}: {clean} of {} runs are clean", self.fixture.name, found.len());
        for verdict in extra {
            println!("  not demanded yet, but clean: {} {}", verdict.revision, verdict.scenario);
        }
        for line in &wrong {
            log.line(&format!("FAIL {line}"));
        }
        let demanded: usize = demanded.iter().map(|(_, scenarios)| scenarios.len()).sum();
        log.line(&format!(
            "conformance: {} passed, {} failed",
            demanded - wrong.len().min(demanded),
            wrong.len()
        ));
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{} demanded scenarios are not clean", wrong.len()))
        }
    }
}
