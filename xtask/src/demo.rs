//! `cargo xtask demo`: one Python server over this repository's own files, and every language's client.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::args::Args;
use crate::process::{free_port, sh};
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
        println!("\nsearch({QUERY:?}) asked from every language, the first {HITS} hits:\n");
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

/// The indexer tells its progress on standard error, a line per file; here it becomes a bar.
fn index(url: &str) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {INDEXER} {url} index .")])
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{INDEXER}: {e}"))?;
    let (mut last, mut shown) = (String::new(), None);
    let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    for line in lines.map_while(Result::ok) {
        match progress(&line) {
            Some((done, total)) => draw(done, total, &mut shown),
            None => last = line,
        }
    }
    println!();
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("indexing failed: {last}")) }
}

/// `progress 12 340 core/lib.rs` to (12, 340).
fn progress(line: &str) -> Option<(f64, f64)> {
    let mut words = line.strip_prefix("progress ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn draw(done: f64, total: f64, shown: &mut Option<usize>) {
    const WIDTH: usize = 40;
    let filled = if total > 0.0 { (done / total * WIDTH as f64) as usize } else { 0 };
    let moved = shown.replace(filled) != Some(filled);
    if std::io::stdout().is_terminal() && (moved || done >= total) {
        print!(
            "\r  [{}{}] {done:.0} of {total:.0} files",
            "#".repeat(filled),
            " ".repeat(WIDTH - filled.min(WIDTH))
        );
        let _ = std::io::stdout().flush();
    } else if done >= total {
        print!("  {done:.0} files");
    }
}

fn search(language: &'static str, command: &str, url: &str) -> Result<Answer, String> {
    let line = format!("exec {command} {url} search {QUERY}");
    let finished = sh(&line).output_within(Duration::from_secs(60))?;
    finished.success().map_err(|e| format!("{language}: {e}"))?;
    let report: Value =
        serde_json::from_str(finished.stdout.trim()).map_err(|e| format!("{language}: {e}"))?;
    let hits = report["hits"].as_array().cloned().unwrap_or_default();
    let path = |hit: &Value| hit["path"].as_str().unwrap_or("?").to_owned();
    Ok(Answer { language, time: finished.time, hits: hits.iter().take(HITS).map(path).collect() })
}

#[cfg(test)]
mod tests {
    use super::progress;

    #[test]
    fn progress_lines() {
        assert_eq!(progress("progress 3 10 core/lib.rs"), Some((3.0, 10.0)));
        assert_eq!(progress("Traceback (most recent call last):"), None);
    }
}
