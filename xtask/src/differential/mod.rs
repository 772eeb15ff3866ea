//! Comparison of our everything server with those of the official SDKs, by the same messages. Where outcomes
//! differ, `tests/interop/differences.toml` must give the reason; each entry must still apply.

mod messages;
mod peer;

use serde_json::{Value, json};

use crate::args::Args;
use crate::fixtures::{Fixture, load};
use crate::process::{read, write};
use crate::session::{Log, Session, root};
use crate::setup;

use messages::{Case, Era};

const EXPLAINED: &str = "tests/interop/differences.toml";
/// Lines of a report that the terminal gets; the log has all.
const SHOWN: usize = 40;

/// `cargo xtask differential`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let json = args.option("--json")?;
    args.done()?;
    if setup::some_languages(session, &["rust"]).is_empty() || !setup::peers(session) {
        return Ok(());
    }
    let mut report = None;
    session.step("differential", |log| {
        let found = differences()?;
        let verdict = found.verdict(&explanations()?, log);
        report = Some(found);
        verdict
    });
    match (json, report) {
        (Some(file), Some(report)) => write(&root().join(file), &format!("{:#}\n", report.to_json())),
        _ => Ok(()),
    }
}

/// The comparison as one step of `cargo xtask test`.
pub fn step(log: &Log) -> Result<(), String> {
    differences()?.verdict(&explanations()?, log)
}

/// One message that a foreign server answered otherwise.
#[derive(Debug)]
struct Difference {
    server: String,
    case: String,
    ours: String,
    theirs: String,
}

struct Report {
    asked: usize,
    differences: Vec<Difference>,
}

fn differences() -> Result<Report, String> {
    let ours = load("tests/conformance/fixtures.toml")?;
    let mut servers: Vec<Fixture> = ours.into_iter().filter(|fixture| fixture.name == "rust").collect();
    servers.extend(load("tests/interop/foreign.toml")?);
    let cases = Era::ALL.map(messages::cases);
    let answered = std::thread::scope(|scope| {
        let servers = &servers;
        let asked: Vec<_> = Era::ALL
            .iter()
            .zip(&cases)
            .flat_map(|(era, cases)| {
                servers.iter().map(move |server| scope.spawn(|| peer::ask(server, *era, cases)))
            })
            .collect();
        asked
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "the comparison panicked".to_owned())?)
            .collect::<Result<Vec<_>, String>>()
    })?;
    let mut report = Report { asked: cases.iter().map(Vec::len).sum(), differences: Vec::new() };
    for (cases, answered) in cases.iter().zip(answered.chunks(servers.len())) {
        let (ours, foreign) = answered.split_first().ok_or("our own server is missing")?;
        for (server, theirs) in servers[1..].iter().zip(foreign) {
            report.compare(server, cases, ours, theirs);
        }
    }
    Ok(report)
}

impl Report {
    fn compare(&mut self, server: &Fixture, cases: &[Case], ours: &[String], theirs: &[String]) {
        for ((case, ours), theirs) in cases.iter().zip(ours).zip(theirs) {
            if ours != theirs {
                self.differences.push(Difference {
                    server: server.name.clone(),
                    case: case.name.clone(),
                    ours: ours.clone(),
                    theirs: theirs.clone(),
                });
            }
        }
    }

    fn verdict(&self, explanations: &[Explanation], log: &Log) -> Result<(), String> {
        let problems = problems(&self.differences, explanations);
        for (at, line) in problems.iter().enumerate() {
            log.line(line);
            if at < SHOWN {
                println!("  {line}");
            }
        }
        log.line(&format!(
            "differential: {} messages, {} differences, {} explanations",
            self.asked,
            self.differences.len(),
            explanations.len()
        ));
        if problems.is_empty() { Ok(()) } else { Err(format!("{} problems", problems.len())) }
    }

    fn to_json(&self) -> Value {
        let line = |found: &Difference| json!({"server": found.server, "case": found.case, "ours": found.ours, "theirs": found.theirs});
        json!({"asked": self.asked, "differences": self.differences.iter().map(line).collect::<Vec<_>>()})
    }
}

/// An entry of `differences.toml`. In `case` a `*` stands for any text; without `server`, `ours` or `theirs` any fits.
#[derive(Debug)]
struct Explanation {
    server: Option<String>,
    case: String,
    ours: Option<String>,
    theirs: Option<String>,
}

impl Explanation {
    fn covers(&self, found: &Difference) -> bool {
        let meant = |wanted: &Option<String>, got: &str| wanted.as_ref().is_none_or(|wanted| wanted == got);
        meant(&self.server, &found.server)
            && meant(&self.ours, &found.ours)
            && meant(&self.theirs, &found.theirs)
            && like(&self.case, &found.case)
    }
}

fn explanations() -> Result<Vec<Explanation>, String> {
    let table: toml::Table =
        toml::from_str(&read(&root().join(EXPLAINED))?).map_err(|e| format!("{EXPLAINED}: {e}"))?;
    let entries = table.get("difference").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text =
        |entry: &toml::Value, key: &str| entry.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    entries
        .iter()
        .map(|entry| {
            let needed = |key| text(entry, key).ok_or_else(|| format!("{EXPLAINED}: an entry lacks `{key}`"));
            needed("why")?;
            Ok(Explanation {
                server: text(entry, "server"),
                case: needed("case")?,
                ours: text(entry, "ours"),
                theirs: text(entry, "theirs"),
            })
        })
        .collect()
}

fn problems(differences: &[Difference], explanations: &[Explanation]) -> Vec<String> {
    let unexplained =
        differences.iter().filter(|found| !explanations.iter().any(|known| known.covers(found)));
    let unused = explanations.iter().filter(|known| !differences.iter().any(|found| known.covers(found)));
    let mut lines: Vec<String> = unexplained
        .map(|found| format!("{}: {}: we: {}, they: {}", found.server, found.case, found.ours, found.theirs))
        .collect();
    lines.extend(unused.map(|known| format!("explains nothing any more: {known:?}")));
    lines
}

/// Matches a pattern in which `*` stands for any text.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(case: &str, theirs: Option<&str>) -> Explanation {
        let theirs = theirs.map(str::to_owned);
        Explanation { server: Some("s".into()), case: case.into(), ours: None, theirs }
    }

    #[test]
    fn unexplained_differences_and_unused_explanations_fail() {
        let found = |case: &str| Difference {
            server: "s".into(),
            case: case.into(),
            ours: "result".into(),
            theirs: "silence".into(),
        };
        let differences = [found("modern tools/call: id is null"), found("legacy ping: good")];
        assert_eq!(problems(&differences, &[]).len(), 2);
        let good = [explained("modern *: id is *", Some("silence")), explained("*ping*", None)];
        assert_eq!(problems(&differences, &good), Vec::<String>::new());
        let wrong = [explained("modern *: id is *", Some("result")), explained("*", None)];
        assert_eq!(problems(&differences, &wrong).len(), 1);
    }

    #[test]
    fn every_explanation_in_the_repository_has_its_reason() {
        assert!(!explanations().expect("valid").is_empty());
    }
}
