//! Closed-loop load over keep-alive HTTP/1.1 connections, on one thread.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};

use crate::sample::{Run, cpu_seconds, rss_kib};
use crate::wire::{Case, contains};

/// The load: target, requests, duration.
pub struct Plan<'a> {
    /// `host:port`.
    pub authority: &'a str,
    /// Path of the endpoint.
    pub path: &'a str,
    /// The request to repeat.
    pub case: Case,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Time that is driven but not counted.
    pub warmup: Duration,
    /// Time that is counted.
    pub time: Duration,
    /// The server's process, for its CPU time and memory.
    pub pid: u32,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
    sent: Instant,
}

/// Drives the server and measures.
pub fn run(plan: &Plan<'_>) -> Result<Run> {
    let poller = Poller::new()?;
    let mut connections = Vec::with_capacity(plan.connections);
    for key in 0..plan.connections {
        let stream = TcpStream::connect(plan.authority)?;
        stream.set_nodelay(true)?;
        let request = plan.case.http_request(plan.authority, plan.path, key as u64 + 1);
        let mut connection = Connection { stream, request, buffer: Vec::new(), sent: Instant::now() };
        connection.verify(plan.case)?;
        connection.stream.set_nonblocking(true)?;
        // SAFETY: the connections live until the end of this function and leave the poller before that.
        unsafe { poller.add(&connection.stream, Event::readable(key))? };
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.send()?;
    }
    let mut run = Run::default();
    let mut events = Events::new();
    let start = Instant::now();
    let (counted, end) = (start + plan.warmup, start + plan.warmup + plan.time);
    let mut cpu_before = None;
    loop {
        let now = Instant::now();
        if now >= counted && cpu_before.is_none() {
            cpu_before = Some((now, cpu_seconds(plan.pid)));
        }
        if now >= end {
            break;
        }
        events.clear();
        poller.wait(&mut events, Some(end - now))?;
        for event in events.iter() {
            let connection = &mut connections[event.key];
            while let Some(ok) = connection.receive()? {
                if cpu_before.is_some() {
                    run.latencies_us.push(connection.sent.elapsed().as_micros() as u32);
                    run.errors += u64::from(!ok);
                }
                connection.send()?;
            }
            poller.modify(&connection.stream, Event::readable(event.key))?;
        }
    }
    let (since, cpu) = cpu_before.unwrap_or((start, 0.0));
    run.elapsed = since.elapsed();
    run.cpu = cpu_seconds(plan.pid) - cpu;
    run.rss_kib = rss_kib(plan.pid);
    for connection in &connections {
        poller.delete(&connection.stream)?;
    }
    Ok(run)
}

impl Connection {
    fn send(&mut self) -> Result<()> {
        self.sent = Instant::now();
        self.stream.write_all(&self.request)
    }

    /// One blocking exchange whose answer must be the right one.
    fn verify(&mut self, case: Case) -> Result<()> {
        self.stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        self.send()?;
        loop {
            self.read_some()?;
            if let Some(end) = response_end(&self.buffer)? {
                let right = self.buffer.starts_with(b"HTTP/1.1 200") && contains(&self.buffer, case.mark());
                if !right {
                    let text = String::from_utf8_lossy(&self.buffer[..end.min(600)]).into_owned();
                    return Err(Error::new(ErrorKind::InvalidData, format!("wrong answer: {text}")));
                }
                self.buffer.drain(..end);
                return Ok(());
            }
        }
    }

    fn read_some(&mut self) -> Result<()> {
        let old = self.buffer.len();
        self.buffer.resize(old + 64 * 1024, 0);
        let read = self.stream.read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// `Some(success)` when a whole answer is there, `None` when more must come.
    fn receive(&mut self) -> Result<Option<bool>> {
        loop {
            if let Some(end) = response_end(&self.buffer)? {
                let ok = self.buffer.starts_with(b"HTTP/1.1 200");
                self.buffer.drain(..end);
                return Ok(Some(ok));
            }
            match self.read_some() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The end of the first response in `buffer`, if it is complete.
fn response_end(buffer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = buffer.windows(4).take(16 * 1024).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let body = head + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let header = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned()))
    };
    if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        return Ok((buffer.len() >= body + length).then_some(body + length));
    }
    if header("transfer-encoding").is_none_or(|coding| coding != "chunked") {
        return Err(Error::new(ErrorKind::InvalidData, "an answer without a length"));
    }
    let mut at = body;
    loop {
        let Some(line) = buffer[at..].windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&buffer[at..at + line]).unwrap_or("").split(';').next().unwrap_or("");
        let size =
            usize::from_str_radix(size.trim(), 16).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
        let next = at + line + 2 + size + 2;
        if buffer.len() < next {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(next));
        }
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::response_end;

    #[test]
    fn ends_of_sized_and_chunked_answers() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP";
        assert_eq!(response_end(sized).expect("valid"), Some(sized.len() - 4));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(response_end(chunked).expect("valid"), Some(chunked.len()));
        assert_eq!(response_end(&chunked[..chunked.len() - 3]).expect("valid"), None);
    }
}
