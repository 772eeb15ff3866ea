//! Child processes: run to their end with a log, or in the background until dropped.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::session::{Log, root};

/// Returns a command that runs from the repository root by default.
pub struct Cmd {
    inner: Command,
    shown: String,
}

/// Makes a command from a program and its arguments.
pub fn cmd<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Cmd {
    let mut inner = Command::new(program);
    inner.current_dir(root()).stdin(Stdio::null());
    let mut shown = program.to_owned();
    for arg in args {
        shown.push(' ');
        shown.push_str(&arg.as_ref().to_string_lossy());
        inner.arg(arg);
    }
    Cmd { inner, shown }
}

/// Makes a command from one line for the shell.
pub fn sh(line: &str) -> Cmd {
    let mut made = cmd("sh", ["-c", line]);
    line.clone_into(&mut made.shown);
    made
}

impl Cmd {
    /// Runs in this folder.
    pub fn dir(mut self, dir: impl AsRef<std::path::Path>) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(key, value);
        self
    }

    /// Adds arguments.
    pub fn words(mut self, words: &[&str]) -> Self {
        for word in words {
            self.shown.push(' ');
            self.shown.push_str(word);
            self.inner.arg(word);
        }
        self
    }

    /// Removes a variable.
    pub fn without(mut self, key: &OsStr) -> Self {
        self.inner.env_remove(key);
        self
    }

    /// Runs to the end; its output is the terminal's. The error states the exit status.
    pub fn show(mut self) -> Result<(), String> {
        let status = self.inner.status().map_err(|e| format!("{}: {e}", self.shown))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{}` ended with {}", self.shown, describe(status)))
        }
    }

    /// Runs to the end; its output goes into the log. The error states the exit status.
    pub fn run(mut self, log: &Log) -> Result<(), String> {
        log.line(&format!("$ {}", self.shown));
        let from = log.size();
        self.inner.stdout(log.file()?).stderr(log.file()?).env("CARGO_TERM_COLOR", "never");
        let status = self.inner.status().map_err(|e| format!("{}: {e}", self.shown))?;
        log.echo(from);
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{}` ended with {}", self.shown, describe(status)))
        }
    }

    /// Runs to the end; returns its standard output.
    pub fn output(mut self) -> Result<String, String> {
        let output = self.inner.output().map_err(|e| format!("{}: {e}", self.shown))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "`{}` ended with {}: {}",
                self.shown,
                describe(output.status),
                stderr.trim()
            ));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs within a time limit; returns standard output and standard error. The whole process group ends
    /// with it.
    pub fn output_within(mut self, limit: Duration) -> Result<Finished, String> {
        let start = Instant::now();
        self.inner.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group =
            Group(own_group(&mut self.inner).spawn().map_err(|e| format!("{}: {e}", self.shown))?);
        let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
        let readers = [
            stdout.map(|pipe| std::thread::spawn(move || read_all(pipe))),
            stderr.map(|pipe| std::thread::spawn(move || read_all(pipe))),
        ];
        let status = loop {
            if let Some(status) = group.0.try_wait().map_err(|e| e.to_string())? {
                break Some(status);
            }
            if start.elapsed() > limit {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let time = start.elapsed();
        drop(group);
        let [stdout, stderr] =
            readers.map(|reader| reader.and_then(|reader| reader.join().ok()).unwrap_or_default());
        Ok(Finished { status, stdout, stderr, time })
    }

    /// Starts with its standard streams open to this program, as the leader of its own process group, which
    /// ends when this is dropped. Its standard error is discarded.
    pub fn conversation(mut self) -> Result<Group, String> {
        self.inner.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        own_group(&mut self.inner).spawn().map(Group).map_err(|e| format!("{}: {e}", self.shown))
    }

    /// Starts in the background as the leader of its own process group, which ends when this is dropped.
    pub fn background(mut self, log: Option<&Log>) -> Result<Group, String> {
        let output = || log.map_or_else(|| Ok(Stdio::null()), |log| log.file().map(Stdio::from));
        if let Some(log) = log {
            log.line(&format!("$ {} &", self.shown));
        }
        self.inner.stdout(output()?).stderr(output()?);
        own_group(&mut self.inner).spawn().map(Group).map_err(|e| format!("{}: {e}", self.shown))
    }
}

/// The result of [`Cmd::output_within`].
pub struct Finished {
    /// `None`: out of time.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Its duration.
    pub time: Duration,
}

impl Finished {
    /// Returns an error that describes the failure, or nothing.
    pub fn success(&self) -> Result<(), String> {
        let last = self.stderr.trim().lines().next_back().unwrap_or("").trim().to_owned();
        match self.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("ended with {}: {last}", describe(status))),
            None => Err(format!("no end within {:.0} s: {last}", self.time.as_secs_f64())),
        }
    }
}

/// A background process and its children.
pub struct Group(pub Child);

impl Group {
    /// The leader's process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until a program listens on the port of the loopback address.
    pub fn wait_for_port(&mut self, port: u16, limit: Duration) -> Result<(), String> {
        let (start, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], port)));
        while start.elapsed() < limit {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("the server ended with {} before it listened", describe(status)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("the server did not listen within {:.0} s", limit.as_secs_f64()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0.id() as i32) {
            let _ = kill_process_group(group, Signal::TERM);
            let patience = Instant::now();
            while patience.elapsed() < Duration::from_secs(2) && matches!(self.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// CPU time of all processes that this one has started and that have ended, theirs included.
pub fn cpu_time_of_children() -> Duration {
    // SAFETY: zeros are a valid `rusage`, and the call only writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let of = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// A port of the loopback address that was free a moment ago.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| format!("no free port: {e}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|e| e.to_string())
}

/// Returns true if a program is in PATH.
pub fn exists(name: &str) -> bool {
    program(name).is_some()
}

/// The file of a program in PATH.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Writes a file whole.
pub fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads a file whole.
pub fn read(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A group of its own, so that all of it can be ended; on Linux it also ends when this program is killed.
fn own_group(command: &mut Command) -> &mut Command {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: the closure makes one system call and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
        });
    }
    command
}

fn read_all(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    }
}

/// Copies the file when the two differ in length or the source is newer.
pub fn copy_if_newer(from: &std::path::Path, to: &std::path::Path) -> Result<bool, String> {
    let info = |path: &std::path::Path| File::open(path).and_then(|file| file.metadata()).ok();
    let source = info(from).ok_or_else(|| format!("{} is missing", from.display()))?;
    if let Some(known) = info(to)
        && known.len() == source.len()
        && known.modified().ok() >= source.modified().ok()
    {
        return Ok(false);
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    // A library that a process has mapped must not change under it: replace the name, not the bytes.
    let _ = std::fs::remove_file(to);
    std::fs::copy(from, to).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))?;
    Ok(true)
}
