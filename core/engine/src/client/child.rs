//! A server as a child process that uses its standard streams (2026-07-28, stdio).
//!
//! The child and its descendants are one process group, which ends with the connection.

mod stderr;

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout, timeout_at};
use trunnion_proto::client::{ClientError, kind};
use trunnion_proto::json::Json;

use self::stderr::Lines;
use super::command::{ChildCommand, Stderr};
use super::run::LinkEvent;
use crate::driver::process::{self, Exit, Group};

/// Time limit of the server to end by itself, and again after the request to end (SIGTERM).
const GRACE: Duration = Duration::from_secs(2);
/// Time limit of waiting for the output of a process that has ended, in case a descendant still has it open.
const LAST_WORDS: Duration = Duration::from_millis(500);
const READ_SIZE: usize = 64 << 10;
/// Number of messages of the largest size that may wait for a server that does not read its input before
/// calls are refused.
const WAITING_MESSAGES: usize = 4;

pub(super) struct ChildLink {
    command: ChildCommand,
    limit: usize,
    process: Process,
    unread: BytesMut,
    /// Bytes of `unread` that are known to contain no line end.
    scanned: usize,
    unsent: BytesMut,
    exited: Option<Ended>,
}

struct Ended {
    reason: String,
    /// The time until which its output is read.
    deadline: Instant,
    /// True after its output has ended.
    is_silent: bool,
}

struct Process {
    exit: Exit,
    group: Option<Group>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// The lines of its standard error, if the program requested them.
    lines: Option<Lines>,
}

impl ChildLink {
    /// Starts the program. The error is for a person.
    pub(super) fn spawn(command: ChildCommand, limit: usize) -> Result<ChildLink, String> {
        let process = Process::spawn(&command)?;
        Ok(ChildLink {
            command,
            limit,
            process,
            unread: BytesMut::new(),
            scanned: 0,
            unsent: BytesMut::new(),
            exited: None,
        })
    }

    /// Ends the process at once and starts the program again.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.process.kill();
        self.process = Process::spawn(&self.command)?;
        self.unread.clear();
        self.unsent.clear();
        (self.scanned, self.exited) = (0, None);
        Ok(())
    }

    /// Queues a frame; [`ChildLink::next`] writes it. Fails when too many bytes wait: calls are refused
    /// earlier, so these are answers.
    pub(super) fn send(&mut self, frame: Vec<u8>) -> Result<(), ClientError> {
        if self.unsent.len() > 2 * self.most_unsent() {
            let message = format!("the server asks and does not read its input: {}", self.waiting());
            return Err(ClientError::local(kind::LIMIT, message));
        }
        self.unsent.extend_from_slice(&frame);
        self.unsent.extend_from_slice(b"\n");
        Ok(())
    }

    /// Checks that one more call can be sent. Fails with kind `limit`.
    pub(super) fn has_room(&self) -> Result<(), ClientError> {
        if self.unsent.len() <= self.most_unsent() {
            return Ok(());
        }
        let message = format!("the server does not read its input: {}", self.waiting());
        Err(ClientError::local(kind::LIMIT, message))
    }

    fn most_unsent(&self) -> usize {
        self.limit.saturating_mul(WAITING_MESSAGES)
    }

    fn waiting(&self) -> String {
        let Self { unsent, limit, .. } = self;
        format!("{} bytes wait, {WAITING_MESSAGES} times {limit} (maxMessageBytes) may", unsent.len())
    }

    /// Returns a frame that has been read already.
    pub(super) fn buffered(&mut self) -> Option<Bytes> {
        loop {
            let Some(end) = self.unread[self.scanned..].iter().position(|&byte| byte == b'\n') else {
                self.scanned = self.unread.len();
                return None;
            };
            let mut line = self.unread.split_to(self.scanned + end);
            self.unread.advance(1);
            self.scanned = 0;
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(line.freeze());
            }
        }
    }

    /// Returns the next event; writes queued frames meanwhile. Cancel-safe.
    pub(super) async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(frame) = self.buffered() {
                return LinkEvent::Frame(frame);
            }
            if self.unread.len() > self.limit {
                let message = format!("the server's line exceeds {} bytes (maxMessageBytes)", self.limit);
                return LinkEvent::Broken(ClientError::local(kind::LIMIT, message));
            }
            self.unread.reserve(READ_SIZE);
            let Process { exit: ending, stdin, stdout, lines, .. } = &mut self.process;
            if let Some(exit) = &mut self.exited {
                if !exit.is_silent {
                    let read = timeout_at(exit.deadline, stdout.read_buf(&mut self.unread)).await;
                    exit.is_silent = !matches!(read, Ok(Ok(1..)));
                    continue;
                }
                // Its last line may lack its line end.
                if !self.unread.is_empty() {
                    self.unread.extend_from_slice(b"\n");
                    continue;
                }
                return match timeout_at(exit.deadline, next_line(lines)).await {
                    Ok(Some(line)) => LinkEvent::Stderr(line),
                    _ => LinkEvent::Closed(exit.reason.clone()),
                };
            }
            tokio::select! {
                read = stdout.read_buf(&mut self.unread) => match read {
                    Ok(count) if count > 0 => {}
                    // The exit status follows at once, unless the process survives without its output.
                    _ => {
                        let reason = match timeout(LAST_WORDS, ending.status()).await {
                            Ok(status) => ended(status),
                            Err(_) => "the server closed its output".to_owned(),
                        };
                        let deadline = Instant::now() + LAST_WORDS;
                        self.exited = Some(Ended { reason, deadline, is_silent: true });
                    }
                },
                written = write(stdin, &self.unsent), if !self.unsent.is_empty() => match written {
                    Ok(count) => self.unsent.advance(count),
                    // The server may have written the reason before it closed its input; its end reports it.
                    Err(_) => {
                        *stdin = None;
                        self.unsent.clear();
                    }
                },
                Some(line) = next_line(lines) => return LinkEvent::Stderr(line),
                status = ending.status() => {
                    let deadline = Instant::now() + LAST_WORDS;
                    self.exited = Some(Ended { reason: ended(status), deadline, is_silent: false });
                }
            }
        }
    }

    /// Ends the server gracefully: closes its input, waits, requests its end (SIGTERM), waits, kills it.
    pub(super) async fn end(mut self) {
        let deadline = Instant::now() + GRACE;
        let mut discarded = [0; 4096];
        if let Some(mut stdin) = self.process.stdin.take() {
            let _ = timeout_at(deadline, stdin.write_all(&self.unsent)).await;
        }
        for (deadline, signal) in
            [(deadline, Group::terminate as fn(&Group)), (deadline + GRACE, Group::kill)]
        {
            loop {
                // A server that waits for a reader of its output would not end.
                let Process { exit, stdout, .. } = &mut self.process;
                tokio::select! {
                    _ = exit.status() => return,
                    Ok(1..) = stdout.read(&mut discarded) => {}
                    () = tokio::time::sleep_until(deadline) => break,
                }
            }
            if let Some(group) = &self.process.group {
                signal(group);
            }
        }
        let _ = self.process.exit.status().await;
    }
}

/// Returns the next line of its standard error; `None` after the last, and at once if lines are not wanted.
async fn next_line(lines: &mut Option<Lines>) -> Option<Json> {
    match lines {
        Some(lines) => lines.next().await,
        None => None,
    }
}

async fn write(stdin: &mut Option<ChildStdin>, bytes: &[u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(bytes).await,
        None => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}

fn ended(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the server's process ended ({status})"),
        Err(error) => format!("the server's process cannot be watched: {error}"),
    }
}

impl Process {
    fn spawn(of: &ChildCommand) -> Result<Process, String> {
        let (program, arguments) = of.argv.split_first().ok_or("the command is empty")?;
        // The child's own `PATH`, if it has one.
        let path = of
            .env
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("PATH"))
            .map(|(_, value)| value.as_str());
        let mut command = process::command(program, path);
        if !of.inherit_env {
            command.env_clear();
            // A value that begins like this is a function that a shell has exported.
            let safe = process::SAFE_ENV.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
            command.envs(safe.filter(|(_, value)| !value.as_encoded_bytes().starts_with(b"()")));
        }
        command
            .args(arguments)
            .envs(&of.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match of.stderr {
                Stderr::Inherit => process::inherited_stderr(),
                Stderr::Null => Stdio::null(),
                Stderr::Lines => Stdio::piped(),
            })
            .kill_on_drop(true);
        if let Some(cwd) = &of.cwd {
            command.current_dir(cwd);
        }
        let (mut child, group) =
            process::start(&mut command).map_err(|error| format!("cannot start {program:?}: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the process has no output")?;
        let lines = child.stderr.take().map(Lines::of);
        let exit = Exit::of(child).map_err(|error| format!("cannot watch {program:?}: {error}"))?;
        Ok(Process { exit, group, stdin, stdout, lines })
    }

    fn kill(&mut self) {
        // Only once: after all processes have ended, the system may reuse the number for another group.
        if let Some(group) = self.group.take() {
            group.kill();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[tokio::test]
    async fn a_child_is_reaped_after_its_group_is_killed() {
        let script = "sleep 1000 >/dev/null 2>&1 & exit 3";
        let command =
            ChildCommand { argv: ["/bin/sh", "-c", script].map(str::to_owned).into(), ..Default::default() };
        let mut link = ChildLink::spawn(command, 1 << 20).expect("started");
        let LinkEvent::Closed(reason) = link.next().await else { panic!("it has ended") };
        assert!(reason.contains("exit status: 3"), "{reason}");
        let pid = link.process.exit.pid();
        let ended = || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(pid), options).map(|status| status.is_some())
        };
        assert_eq!(ended(), Ok(true), "its number is nobody else's while its group is to be killed");
        drop(link);
        assert_eq!(ended(), Err(Errno::CHILD));
    }
}
