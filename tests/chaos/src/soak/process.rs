//! The server process: its counters, its memory and its descriptors.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// A `soak_server` that runs.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    pid: u32,
    /// Its port on the loopback address.
    pub port: u16,
}

impl Server {
    /// Starts the program that lies beside this one.
    pub async fn start(driver: &str) -> Result<Server, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("soak_server");
        let mut child = Command::new(&program)
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let pid = child.id().ok_or("the server has ended")?;
        let mut server = Server { child, input, lines, pid, port: 0 };
        let line = server.line().await?;
        let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
        server.port = port.ok_or_else(|| format!("the server printed {line:?}, not its port"))?;
        Ok(server)
    }

    async fn line(&mut self) -> Result<String, String> {
        match timeout(Duration::from_secs(30), self.lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err("the server has ended".into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server printed nothing for 30 s".into()),
        }
    }

    /// The engine's counters of live handles.
    pub async fn live(&mut self) -> Result<Value, String> {
        let input = self.input.as_mut().ok_or("the server is closed")?;
        input.write_all(b"live\n").await.map_err(|e| e.to_string())?;
        serde_json::from_str(&self.line().await?).map_err(|e| e.to_string())
    }

    /// Closes the engine; returns its last counters.
    pub async fn close(mut self) -> Result<Value, String> {
        self.input.take();
        let live = serde_json::from_str(&self.line().await?).map_err(|e| e.to_string())?;
        let status = timeout(Duration::from_secs(30), self.child.wait()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(live),
            Ok(Ok(status)) => Err(format!("the server ended with {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server did not end within 30 s of being closed".into()),
        }
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> Result<f64, String> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid)).map_err(|e| e.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "VmRSS is not a number")?;
        Ok(kib / 1024.0)
    }

    /// Returns the number of open descriptors.
    pub fn descriptors(&self) -> Result<usize, String> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid)).map_err(|e| e.to_string())?.count())
    }
}
