//! `cargo xtask demo`: one Python server over this repository's own files, which is killed half-way through its work and goes
//! on in another process; and every language's client.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::args::Args;
use crate::process::{Group, free_port, sh};
use crate::session::{Log, Session, root, target};
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
        let files = target().join("tmp/demo");
        let _ = std::fs::remove_dir_all(&files);
        std::fs::create_dir_all(&files).map_err(|e| format!("{}: {e}", files.display()))?;
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}/mcp");
        let (index, store) = (files.join("index.db"), files.join("tasks.db"));
        let server = format!(
            "exec {SERVER} --http {port} --db {} --store {} --lease 1",
            index.display(),
            store.display()
        );
        let _running = indexed(&server, port, &url, log)?;
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

/// Index as a task, of which the server dies half-way; the server that takes over.
fn indexed(server: &str, port: u16, url: &str, log: &Log) -> Result<Group, String> {
    let start = || -> Result<Group, String> {
        let mut group = sh(server).background(Some(log))?;
        group.wait_for_port(port, Duration::from_secs(30))?;
        Ok(group)
    };
    let mut first = start()?;
    println!("\ndocsearch in Python listens on {url}; indexing {} as a task", root().display());
    let mut bar = Bar::default();
    let begun = follow(&format!("{url} index ."), &mut bar, |done, total| done * 2.0 >= total)?;
    let task = begun.task.ok_or("the call did not become a task")?;
    if begun.finished {
        return Err("the index was complete before the server could be killed".into());
    }
    first.0.kill().map_err(|e| format!("the server cannot be killed: {e}"))?;
    drop(first);
    bar.note("killed with SIGKILL; a second server takes over");
    let second = start()?;
    if !follow(&format!("{url} resume {task}"), &mut bar, |_, _| false)?.finished {
        return Err("the task did not end".into());
    }
    bar.note("the same task is complete");
    Ok(second)
}

/// What became of following a task.
struct Followed {
    task: Option<String>,
    finished: bool,
}

/// Run the indexer until the task ends, or its progress is enough. It tells on standard error: the task's id, and a line for
/// each step, which becomes a bar here.
fn follow(arguments: &str, bar: &mut Bar, enough: impl Fn(f64, f64) -> bool) -> Result<Followed, String> {
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {INDEXER} {arguments}")])
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{INDEXER}: {e}"))?;
    let (mut last, mut task) = (String::new(), None);
    let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((done, total)) = progress(&line) {
            bar.draw(done, total);
            if enough(done, total) {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Followed { task, finished: false });
            }
        } else if let Some(id) = line.strip_prefix("task ") {
            task = Some(id.to_owned());
        } else {
            last = line;
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() {
        Ok(Followed { task, finished: true })
    } else {
        Err(format!("indexing failed: {last}"))
    }
}

/// `progress 12 340 core/lib.rs` to (12, 340).
fn progress(line: &str) -> Option<(f64, f64)> {
    let mut words = line.strip_prefix("progress ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// A bar in a terminal; elsewhere a line where something happens.
#[derive(Default)]
struct Bar {
    line: String,
}

impl Bar {
    fn draw(&mut self, done: f64, total: f64) {
        const WIDTH: usize = 40;
        let filled = if total > 0.0 { (done / total * WIDTH as f64) as usize } else { 0 }.min(WIDTH);
        self.line =
            format!("  [{}{}] {done:.0} of {total:.0} files", "#".repeat(filled), " ".repeat(WIDTH - filled));
        if std::io::stdout().is_terminal() {
            print!("\r{}", self.line);
            let _ = std::io::stdout().flush();
        }
    }

    fn note(&self, what: &str) {
        let again = if std::io::stdout().is_terminal() { "\r" } else { "" };
        println!("{again}{}, {what}", self.line);
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
