//! `cargo xtask demo`: one Python server over this repository's own files, and every language's client.

use std::time::Duration;

use serde_json::Value;

use crate::args::Args;
use crate::process::{cmd, free_port, sh};
use crate::session::{Session, root};
use crate::setup;

const QUERY: &str = "engine";
const HITS: usize = 3;
const SERVER: &str = "target/venv/bin/python examples/python/docsearch_server.py";
const INDEXER: &str = "target/venv/bin/python examples/python/docsearch_client.py";

const CLIENTS: [(&str, &str); 5] = [
    ("rust", "target/debug/docsearch_client"),
    ("python", "target/venv/bin/python examples/python/docsearch_client.py"),
    ("node", "node examples/node/docsearch_client.mjs"),
    ("swift", "tests/interop/swift-run.sh .build/debug/docsearch_client"),
    ("c", "target/c/docsearch_client"),
];

struct Answer {
    language: &'static str,
    time: Duration,
    hits: Vec<String>,
}

/// `cargo xtask demo`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    args.done()?;
    let languages = setup::languages(session);
    if !languages.iter().any(|language| language == "python") {
        return Err("the demo's server needs Python".into());
    }
    session.step("demo", |log| {
        let port = free_port()?;
        let mut server = sh(&format!("exec {SERVER} --http {port}")).background(Some(log))?;
        server.wait_for_port(port, Duration::from_secs(30))?;
        let url = format!("http://127.0.0.1:{port}/mcp");
        println!("\ndocsearch in Python listens on {url}; indexing {}", root().display());
        index(&url)?;
        let mut answers = Vec::new();
        for (language, command) in CLIENTS {
            if languages.iter().any(|usable| usable == language) {
                answers.push(search(language, command, &url)?);
            }
        }
        println!("\nsearch({QUERY:?}, limit {HITS}) asked from every language:\n");
        for answer in &answers {
            let milliseconds = answer.time.as_secs_f64() * 1e3;
            println!("  {:<8} {milliseconds:>7.0} ms  {}", answer.language, answer.hits.join("  "));
        }
        println!("  (times are of the whole client process, its start included)\n");
        match answers.iter().find(|answer| answer.hits.is_empty() || answer.hits != answers[0].hits) {
            Some(other) => Err(format!("{} had another answer than {}", other.language, answers[0].language)),
            None => Ok(()),
        }
    });
    Ok(())
}

/// The indexer shows a progress bar of its own, so it writes to the terminal.
fn index(url: &str) -> Result<(), String> {
    let mut words = INDEXER.split(' ');
    let program = words.next().expect("a command has a program");
    let root = root().to_string_lossy();
    cmd(program, words.chain([url, "index", &root])).inherit()
}

fn search(language: &'static str, command: &str, url: &str) -> Result<Answer, String> {
    let line = format!("exec {command} {url} search {QUERY} {HITS}");
    let finished = sh(&line).output_within(Duration::from_secs(60))?;
    finished.success().map_err(|e| format!("{language}: {e}"))?;
    let report: Value =
        serde_json::from_str(finished.stdout.trim()).map_err(|e| format!("{language}: {e}"))?;
    let hits = report["hits"].as_array().cloned().unwrap_or_default();
    let path = |hit: &Value| hit["path"].as_str().unwrap_or("?").to_owned();
    Ok(Answer { language, time: finished.time, hits: hits.iter().map(path).collect() })
}
