//! One run of a command: its steps, their logs and times, and the table at the end.

use std::fs::{File, create_dir_all};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const TAIL: usize = 60;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// The one target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Returns true in a run of CI, where nothing may be skipped.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0")
}

enum Outcome {
    Passed,
    Failed,
    Skipped,
}

struct Record {
    name: String,
    outcome: Outcome,
    time: Duration,
}

/// The work of a step.
pub type Task = fn(&Log) -> Result<(), String>;

/// A piece of work for [`Session::parallel`].
pub type Work<'a> = (String, Box<dyn FnOnce(&Log) -> Result<(), String> + Send + 'a>);

/// One run of a command, with the records of its steps.
pub struct Session {
    command: String,
    start: Instant,
    records: Mutex<Vec<Record>>,
    failed: bool,
    quiet: bool,
    silent: bool,
}

/// The output of a step.
pub struct Log {
    path: PathBuf,
    verbose: bool,
}

impl Session {
    /// Starts the clock.
    pub fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            start: Instant::now(),
            records: Mutex::default(),
            failed: false,
            quiet: false,
            silent: false,
        }
    }

    /// Prints nothing about steps that pass: the command has a display of its own.
    pub fn be_quiet(&mut self) {
        self.quiet = true;
    }

    /// Prints nothing at all, unless the run fails: the output is for programs.
    pub fn be_silent(&mut self) {
        self.quiet = true;
        self.silent = true;
    }

    /// Marks the run as a whole as failed, whatever the results of its steps.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// As [`Session::step`], unless a step of this name has passed already.
    pub fn once(&self, name: &str, work: impl FnOnce(&Log) -> Result<(), String>) -> bool {
        let passed = |record: &Record| record.name == name && matches!(record.outcome, Outcome::Passed);
        self.records.lock().expect("no step panics with the lock").iter().any(passed) || self.step(name, work)
    }

    /// Runs one step. Its failure is noted and the run continues; returns true if it passed.
    pub fn step(&self, name: &str, work: impl FnOnce(&Log) -> Result<(), String>) -> bool {
        let start = Instant::now();
        if !self.quiet {
            println!("[{:6.1}s] run   {name}", self.start.elapsed().as_secs_f64());
        }
        let log = match Log::new(name) {
            Ok(log) => log,
            Err(error) => {
                eprintln!("no log for {name}: {error}");
                return false;
            }
        };
        let result = work(&log);
        let time = start.elapsed();
        let (word, outcome) = match result {
            Ok(()) => ("ok", Outcome::Passed),
            Err(_) => ("FAIL", Outcome::Failed),
        };
        let mut out = std::io::stdout().lock();
        if let Err(message) = &result {
            let _ = writeln!(out, "---- {name}: the last lines of {}", log.path.display());
            for line in log.tail(TAIL) {
                let _ = writeln!(out, "  {line}");
            }
            let _ = writeln!(out, "---- {name}: {message}");
        } else if !self.quiet {
            for line in log.closing_lines() {
                let _ = writeln!(out, "{line}");
            }
        }
        let seconds = self.start.elapsed().as_secs_f64();
        if !self.quiet {
            let _ = writeln!(out, "[{seconds:6.1}s] {word:<5} {name} ({:.1} s)", time.as_secs_f64());
        }
        drop(out);
        self.note(name, outcome, time);
        result.is_ok()
    }

    /// Runs several steps, two at a time.
    pub fn parallel(&self, work: Vec<Work<'_>>) -> bool {
        let slots: Vec<Mutex<Option<Work<'_>>>> =
            work.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let (next, good) = (AtomicUsize::new(0), Mutex::new(true));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let taken = slot.lock().expect("no step panics with the lock").take();
                        if let Some((name, work)) = taken {
                            *good.lock().expect("no step panics with the lock") &= self.step(&name, work);
                        }
                    }
                });
            }
        });
        good.into_inner().expect("no step panics with the lock")
    }

    /// Reports that a step cannot run here, and the reason. In CI that is a failure.
    pub fn skip(&self, what: &str, why: &str) {
        println!("SKIP {what}: {why}");
        self.note(what, Outcome::Skipped, Duration::ZERO);
    }

    fn note(&self, name: &str, outcome: Outcome, time: Duration) {
        self.records.lock().expect("no step panics with the lock").push(Record {
            name: name.into(),
            outcome,
            time,
        });
    }

    /// Prints the table; returns the exit code of the run.
    pub fn finish(self) -> ExitCode {
        let records = self.records.into_inner().expect("no step panics with the lock");
        let width = records.iter().map(|record| record.name.chars().count()).max().unwrap_or(0);
        let mut bad = self.failed;
        let table = records.len() > 1 && !self.quiet;
        if table {
            println!("\ncargo xtask {}", self.command);
        }
        for record in &records {
            let word = match record.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAIL",
                Outcome::Skipped => "SKIP",
            };
            let skip_is_bad = ci() && matches!(record.outcome, Outcome::Skipped);
            bad |= skip_is_bad || matches!(record.outcome, Outcome::Failed);
            if table {
                println!("  {:<width$}  {:>7.1} s  {word}", record.name, record.time.as_secs_f64());
            }
        }
        let verdict = if bad { "FAILED" } else { "ok" };
        if bad || !self.silent {
            println!("{verdict} in {:.1} s", self.start.elapsed().as_secs_f64());
        }
        if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Log {
    fn new(name: &str) -> std::io::Result<Self> {
        let folder = target().join("xtask/logs");
        create_dir_all(&folder)?;
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = folder.join(format!("{file}.log"));
        File::create(&path)?;
        Ok(Self { path, verbose: std::env::var_os("VERBOSE").is_some() })
    }

    /// A handle to write to, at the end of the log.
    pub fn file(&self) -> Result<File, String> {
        File::options().append(true).open(&self.path).map_err(|e| format!("{}: {e}", self.path.display()))
    }

    /// Adds a line.
    pub fn line(&self, text: &str) {
        if self.verbose {
            println!("{text}");
        }
        if let Ok(mut file) = self.file() {
            let _ = writeln!(file, "{text}");
        }
    }

    /// Prints the output of a command, if all output was requested.
    pub fn echo(&self, from: u64) {
        if self.verbose {
            let text = std::fs::read(&self.path).unwrap_or_default();
            print!("{}", String::from_utf8_lossy(&text[(from as usize).min(text.len())..]));
        }
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    fn lines(&self) -> Vec<String> {
        let Ok(file) = File::open(&self.path) else { return Vec::new() };
        BufReader::new(file)
            .split(b'\n')
            .flatten()
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .collect()
    }

    fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// The last lines of the test runners, which show the number of tests.
    fn closing_lines(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| !self.verbose && is_closing_line(line)).collect()
    }
}

fn is_closing_line(line: &str) -> bool {
    let line = line.trim();
    let counts = |word: &str| {
        line.split([',', ' ', '=']).filter(|part| !part.is_empty()).collect::<Vec<_>>().windows(2).any(
            |pair| {
                pair[1].trim_end_matches([',', ';', '.']) == word
                    && pair[0].chars().all(|c| c.is_ascii_digit())
            },
        )
    };
    (line.starts_with("test result:") && !line.contains(" 0 passed; 0 failed; 0 ignored"))
        || line.starts_with("Test run with")
        || (line.starts_with("Executed ") && line.contains("tests, with"))
        || ["# tests ", "# pass ", "# fail ", "ℹ tests ", "ℹ pass ", "ℹ fail "]
            .iter()
            .any(|p| line.starts_with(p))
        || (counts("passed")
            && (line.contains(" in ") || counts("failed"))
            && !line.starts_with("test result:"))
}

#[cfg(test)]
mod tests {
    use super::is_closing_line;

    #[test]
    fn closing_lines_of_the_runners() {
        for line in [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured",
            "==== 31 passed in 4.20s ====",
            "31 passed, 2 skipped in 4.20s",
            "# pass 12",
            "Test run with 30 tests passed after 2.1 seconds.",
            "c: 14 passed, 0 failed",
        ] {
            assert!(is_closing_line(line), "{line}");
        }
        for line in ["test result: ok. 0 passed; 0 failed; 0 ignored", "it passed", "running 3 tests"] {
            assert!(!is_closing_line(line), "{line}");
        }
    }
}
