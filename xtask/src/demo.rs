//! `cargo xtask demo`: one Python server over this repository's own files, which is killed half-way through
//! its work and resumes in another process; and the client of every language. The prerequisites of Python are
//! built and shown first, the others meanwhile.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args::Args;
use crate::process::{Group, free_port, read, sh, write};
use crate::session::{Log, Session, root, target};
use crate::setup;

const QUERY: &str = "engine";
const HITS: usize = 3;
const SERVER: &str = "env PYTHONPATH=python/src python3 examples/python/docsearch_server.py";
const INDEXER: &str = "env PYTHONPATH=python/src python3 examples/python/docsearch_client.py";

const CLIENTS: [(&str, &str); 5] = [
    ("python", INDEXER),
    ("rust", "target/debug/docsearch_client"),
    ("node", "node examples/node/docsearch_client.mjs"),
    ("c", "target/c/docsearch_client"),
    ("swift", "tests/interop/swift-run.sh .build/debug/docsearch_client"),
];

struct Answer {
    language: &'static str,
    hits: Vec<String>,
}

/// `cargo xtask demo`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let swift = args.flag("--swift");
    args.done()?;
    session.be_quiet();
    let session = &*session;
    let start = Instant::now();
    if let Some(why) = setup::missing_python_itself() {
        return Err(format!("the demo's server needs Python: {why}"));
    }
    let others: Vec<&str> = ["rust", "node", "c", "swift"]
        .into_iter()
        .filter(|language| *language != "swift" || swift || setup::has_swift())
        .collect();
    let others = setup::present(session, &others);
    introduce(&others);

    // With the terminal's own output, so that cargo shows how far it is.
    setup::build(&["trunnion-python"]).show()?;
    setup::python_module()?;
    std::thread::scope(|scope| {
        let built = scope.spawn(|| build_others(session, &others));
        let (server, url) = match serve_and_index(session) {
            Some(running) => running,
            None => return Err("the server did not do its work".to_owned()),
        };
        println!("\nsearch({QUERY:?}) asked from every language, the first {HITS} hits:");
        println!("(times are of the whole client process, its start included)\n");
        let mut answers = vec![search("python", &url)?];
        if !built.is_finished() {
            println!("  … building the other languages (target/xtask/logs)");
        }
        let ready = built.join().map_err(|_| "the build of the other languages panicked".to_owned())?;
        for (language, _) in CLIENTS.into_iter().filter(|(language, _)| ready.contains(language)) {
            answers.push(search(language, &url)?);
        }
        drop(server);
        match answers.iter().find(|answer| answer.hits.is_empty() || answer.hits != answers[0].hits) {
            Some(other) => Err(format!("{} had another answer than {}", other.language, answers[0].language)),
            None => Ok(()),
        }
    })?;
    if others.len() < CLIENTS.len() - 1 && !others.contains(&"swift") {
        println!("\nSwift joins where it is installed, or with --swift (downloads a toolchain of 0.6 GB).");
    }
    write(&last_time(), &format!("{:.0}", start.elapsed().as_secs_f64()))
}

fn last_time() -> PathBuf {
    target().join("xtask/demo-seconds")
}

/// Prints the next steps, their duration and the size of the downloads.
fn introduce(others: &[&str]) {
    println!(
        "A search server in Python indexes this repository as a task. It is killed half-way; another process ends the"
    );
    println!("task. Then the same search is asked from Python, {}.", others.join(", "));
    match read(&last_time()) {
        Ok(seconds) => println!("The last time here that took {seconds} s."),
        Err(_) => {
            println!("The first time compiles the engine: some minutes on two cores, Python's part first.")
        }
    }
    let (missing, megabytes) = setup::missing_crates();
    if missing > 0 {
        println!("Downloads at most {missing} Rust crates (about {megabytes} MB), which cargo keeps.");
    }
    if others.contains(&"node") && !root().join("node/node_modules").exists() {
        println!(
            "Downloads the TypeScript compiler and the libraries of its tests (about 45 MB), into node/node_modules."
        );
    }
    println!();
}

/// Builds the other languages; returns those that are usable.
fn build_others<'a>(session: &Session, languages: &[&'a str]) -> Vec<&'a str> {
    let packages: Vec<&str> = languages.iter().map(|language| setup::package(language)).collect();
    if !session.step("build the other languages", |log| setup::build(&packages).run(log)) {
        return Vec::new();
    }
    languages.iter().copied().filter(|language| setup::language_layer(session, language)).collect()
}

/// The server that has taken over and completed the index, and its endpoint.
fn serve_and_index(session: &Session) -> Option<(Group, String)> {
    let mut running = None;
    session.step("index", |log| {
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
        running = Some((indexed(&server, port, &url, log)?, url));
        Ok(())
    });
    running
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

/// The result of following a task.
struct Followed {
    task: Option<String>,
    finished: bool,
}

/// Runs the indexer until the task ends, or its progress is enough. Its standard error has the task's id, and
/// a line for each step, which becomes a bar here.
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

/// Ask, and show the answer.
fn search(language: &'static str, url: &str) -> Result<Answer, String> {
    let (_, command) = CLIENTS.iter().find(|(known, _)| *known == language).expect("a client of the table");
    let line = format!("exec {command} {url} search {QUERY}");
    let finished = sh(&line).output_within(Duration::from_secs(60))?;
    finished.success().map_err(|e| format!("{language}: {e}"))?;
    let report: Value =
        serde_json::from_str(finished.stdout.trim()).map_err(|e| format!("{language}: {e}"))?;
    let hits = report["hits"].as_array().cloned().unwrap_or_default();
    let place = |hit: &Value| format!("{}:{}", hit["path"].as_str().unwrap_or("?"), hit["line"]);
    let hits: Vec<String> = hits.iter().take(HITS).map(place).collect();
    println!("  {language:<8} {:>7.0} ms  {}", finished.time.as_secs_f64() * 1e3, hits.join("  "));
    Ok(Answer { language, hits })
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
