//! Load over a child's standard streams, and the time from its start to its first answer.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::sample::{Run, cpu_seconds, rss_kib};
use crate::wire::{Case, contains, id_of};

/// A server on pipes. It is killed when dropped.
pub struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    input: Vec<u8>,
    scanned: usize,
}

impl Server {
    /// Starts `command` (a program and its arguments).
    pub fn spawn(command: &[String]) -> Result<Self> {
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        Ok(Self { child, stdin, stdout, input: Vec::new(), scanned: 0 })
    }

    /// Sends one request and waits for its answer, which must hold the mark of its case.
    pub fn exchange(&mut self, case: Case, id: u64) -> Result<()> {
        self.stdin.write_all(format!("{}\n", case.body(id)).as_bytes())?;
        loop {
            while let Some(line) = self.line() {
                if id_of(&line) != Some(id) {
                    continue;
                }
                if contains(&line, case.mark()) {
                    return Ok(());
                }
                let text = String::from_utf8_lossy(&line[..line.len().min(400)]).into_owned();
                return Err(Error::new(ErrorKind::InvalidData, format!("wrong answer: {text}")));
            }
            self.read_some()?;
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.scanned + self.input[self.scanned..].iter().position(|b| *b == b'\n')?;
        let line = self.input[self.scanned..end].to_vec();
        self.scanned = end + 1;
        Some(line)
    }

    fn read_some(&mut self) -> Result<()> {
        self.input.drain(..self.scanned);
        self.scanned = 0;
        let old = self.input.len();
        self.input.resize(old + 256 * 1024, 0);
        let read = self.stdout.read(&mut self.input[old..]);
        self.input.truncate(old + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the server ended"));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Holds `in_flight` requests open at the server and measures.
pub fn run(
    command: &[String],
    case: Case,
    in_flight: usize,
    warmup: Duration,
    time: Duration,
) -> Result<Run> {
    let mut server = Server::spawn(command)?;
    server.exchange(Case::Discover, 0)?;
    server.exchange(case, 1)?;
    let pid = server.child.id();
    for fd in [server.stdin.as_fd(), server.stdout.as_fd()] {
        fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
    }
    let mut run = Run::default();
    let mut sent: HashMap<u64, Instant> = HashMap::new();
    let (mut next, mut output, mut wanted) = (2_u64, Vec::new(), in_flight);
    let start = Instant::now();
    let (counted, end) = (start + warmup, start + warmup + time);
    let mut before = None;
    loop {
        let now = Instant::now();
        if now >= counted && before.is_none() {
            before = Some((now, cpu_seconds(pid)));
        }
        if now >= end {
            break;
        }
        for _ in 0..std::mem::take(&mut wanted) {
            output.extend_from_slice(case.body(next).as_bytes());
            output.push(b'\n');
            sent.insert(next, now);
            next += 1;
        }
        match server.stdin.write(&output) {
            Ok(written) => drop(output.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock || output.is_empty() => {}
            Err(error) => return Err(error),
        }
        wait(&server, !output.is_empty(), end - now)?;
        match server.read_some() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        while let Some(line) = server.line() {
            let Some(since) = id_of(&line).and_then(|id| sent.remove(&id)) else { continue };
            wanted += 1;
            if before.is_some() {
                run.latencies_us.push(since.elapsed().as_micros() as u32);
                run.errors += u64::from(!contains(&line[..line.len().min(400)], b"\"result\""));
            }
        }
    }
    let (since, cpu) = before.unwrap_or((start, 0.0));
    run.elapsed = since.elapsed();
    run.cpu = cpu_seconds(pid) - cpu;
    run.rss_kib = rss_kib(pid);
    Ok(run)
}

/// Starts the server `runs` times; returns the times from spawn to the first answer, in milliseconds.
pub fn cold(command: &[String], runs: usize) -> Result<Vec<f64>> {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            let mut server = Server::spawn(command)?;
            server.exchange(Case::Discover, 0)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn wait(server: &Server, writing: bool, limit: Duration) -> Result<()> {
    let mut fds = [PollFd::new(&server.stdout, PollFlags::IN), PollFd::new(&server.stdin, PollFlags::OUT)];
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    let count = if writing { 2 } else { 1 };
    poll(&mut fds[..count], Some(&limit))?;
    Ok(())
}
