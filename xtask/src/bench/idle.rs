//! The cost of idle clients: 10,000 legacy sessions, then 10,000 subscription streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixtures::Fixture;
use crate::session::Log;

const CLIENTS: usize = 10_000;
/// Maximum number of times that everything is opened and closed. Memory that stays after the first rounds
/// belongs to the allocator, which reuses it better each time. A leak grows by the same amount in every
/// round.
const ROUNDS: usize = 8;
/// Growth from one time to the next, over all there is, that is no leak.
const SLACK: f64 = 0.02;

/// Memory of one server, in bytes for each.
pub struct Idle {
    pub session: f64,
    pub stream: f64,
}

/// Opens and closes everything until memory grows no more.
pub fn measure(server: &Fixture, env: &[(&'static str, String)], log: &Log) -> Result<Idle, String> {
    let running = server.serve("", env, Some(log))?;
    let (port, pid) = (running.port, running.group.id());
    let mut found = Idle { session: 0.0, stream: 0.0 };
    for (what, per_one, visit) in [
        ("session", &mut found.session, sessions as fn(u16, u32) -> Result<Round, String>),
        ("stream", &mut found.stream, streams),
    ] {
        let mut last = visit(port, pid)?;
        *per_one = (last.open - last.before).max(0.0) / CLIENTS as f64;
        log.line(&format!("{what}: {last:?}"));
        let mut grown = f64::INFINITY;
        for _ in 1..ROUNDS {
            let next = visit(port, pid)?;
            log.line(&format!("{what}: {next:?}"));
            grown = next.after - last.after;
            last = next;
            if grown <= last.after * SLACK {
                break;
            }
        }
        if grown > last.after * SLACK {
            return Err(format!("{grown} bytes more after {CLIENTS} more {what}s were opened and closed"));
        }
    }
    Ok(found)
}

/// Resident bytes before, with everything open, and after everything was closed.
#[derive(Debug)]
struct Round {
    before: f64,
    open: f64,
    after: f64,
}

fn sessions(port: u16, pid: u32) -> Result<Round, String> {
    let mut connection = connect(port)?;
    let before = resident(pid)?;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {"sampling": {}, "elicitation": {}}, "clientInfo": {"name": "idle", "version": "1.0.0"}}});
    let body = body.to_string();
    let mut ids = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let head = exchange(&mut connection, "POST", "", &body)?;
        let id = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        ids.push(id.ok_or_else(|| format!("no session: {head}"))?.trim().to_owned());
    }
    let open = resident(pid)?;
    for id in ids {
        exchange(&mut connection, "DELETE", &format!("mcp-session-id: {id}\r\n"), "")?;
    }
    Ok(Round { before, open, after: resident(pid)? })
}

fn streams(port: u16, pid: u32) -> Result<Round, String> {
    let (before, files) = (resident(pid)?, descriptors(pid)?);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
        "params": {"_meta": meta, "notifications": {"toolsListChanged": true}}});
    let body = body.to_string();
    let mut open = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut connection = connect(port)?;
        let more = "mcp-protocol-version: 2026-07-28\r\nmcp-method: subscriptions/listen\r\n";
        send(&mut connection, "POST", more, &body)?;
        let mut seen = Vec::new();
        while !seen.windows(12).any(|part| part == b"acknowledged") {
            let mut chunk = [0; 1024];
            match connection.read(&mut chunk).map_err(|error| error.to_string())? {
                0 => return Err(format!("no stream: {}", String::from_utf8_lossy(&seen))),
                count => seen.extend_from_slice(&chunk[..count]),
            }
        }
        open.push(connection);
    }
    let with_all = resident(pid)?;
    drop(open);
    let limit = Instant::now() + Duration::from_secs(60);
    while descriptors(pid)? > files {
        if Instant::now() > limit {
            return Err(format!("{} connections were not closed", descriptors(pid)? - files));
        }
        std::thread::yield_now();
    }
    Ok(Round { before, open: with_all, after: resident(pid)? })
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let connection = TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("connect: {error}"))?;
    connection.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
    connection.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(connection)
}

fn send(connection: &mut TcpStream, method: &str, more: &str, body: &str) -> Result<(), String> {
    let request = format!(
        "{method} /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: application/json, \
         text/event-stream\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).map_err(|error| error.to_string())
}

/// One request and its whole answer; the answer's head, in lower case as our servers write it.
fn exchange(connection: &mut TcpStream, method: &str, more: &str, body: &str) -> Result<String, String> {
    send(connection, method, more, body)?;
    let mut seen = Vec::new();
    loop {
        if let Some(end) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(Ok(0), str::parse).map_err(|_| "a length".to_owned())?;
            if seen.len() >= end + 4 + length {
                return Ok(head);
            }
        }
        let mut chunk = [0; 4096];
        match connection.read(&mut chunk).map_err(|error| error.to_string())? {
            0 => return Err("the server closed the connection".into()),
            count => seen.extend_from_slice(&chunk[..count]),
        }
    }
}

fn resident(pid: u32) -> Result<f64, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = kilobytes.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    Ok(kilobytes.ok_or("VmRSS is not there")? * 1024.0)
}

fn descriptors(pid: u32) -> Result<usize, String> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.to_string())?.count())
}
