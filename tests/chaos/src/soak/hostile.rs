//! Clients that never read, leave, half-close, send slowly, and open more than they use. They write HTTP by
//! hand, so that no library closes or reads for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::judge::Judge;
use crate::random::Random;

/// All of them.
pub const KINDS: [Kind; 8] = [
    Kind::NeverReads,
    Kind::Leaves,
    Kind::HalfCloses,
    Kind::Dribbles,
    Kind::FloodsSessions,
    Kind::FloodsLists,
    Kind::FloodsListens,
    Kind::FloodsCancels,
];

/// Longest wait of a client for a time limit of the server.
const STUBBORN: Duration = Duration::from_secs(90);

/// The misbehavior of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for large answers and reads none of them.
    NeverReads,
    /// Asks, sends one byte more, and resets the connection.
    Leaves,
    /// Sends its request and ends its side: it must be answered all the same.
    HalfCloses,
    /// Sends one byte a second.
    Dribbles,
    /// Begins sessions of the legacy era and never comes back.
    FloodsSessions,
    /// Asks for lists without an end on one connection, and reads slowly.
    FloodsLists,
    /// Opens streams and leaves them.
    FloodsListens,
    /// Calls tools that hang, and leaves.
    FloodsCancels,
}

impl Kind {
    /// Name of its visits in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NeverReads => "visits of clients that never read",
            Kind::Leaves => "visits of clients that reset the connection after one byte more",
            Kind::HalfCloses => "visits of clients that half-close and are answered",
            Kind::Dribbles => "visits of clients that send a byte a second",
            Kind::FloodsSessions => "visits of clients that begin 50 sessions and leave",
            Kind::FloodsLists => "visits of clients that ask for 200 lists and read nothing",
            Kind::FloodsListens => "visits of clients that open 50 streams and leave",
            Kind::FloodsCancels => "visits of clients that begin 50 calls and leave",
        }
    }

    /// Makes visit after visit until asked to finish.
    pub async fn visits(self, port: u16, judge: Arc<Judge>, finish: Arc<AtomicBool>, mut random: Random) {
        while !finish.load(Ordering::Relaxed) {
            match self.visit(port, &mut random, &finish).await {
                // For most of them, a closed connection is the correct response.
                Ok(()) | Err(Ended::Refused) => judge.count(self.name(), 1),
                Err(Ended::Wrong(why)) => judge.broken(format!("{self:?}: {why}")),
            }
            sleep(Duration::from_millis(random.between(5, 50))).await;
        }
    }

    async fn visit(self, port: u16, random: &mut Random, finish: &AtomicBool) -> Result<(), Ended> {
        match self {
            Kind::NeverReads => {
                let mut stream = connect(port, Some(4096)).await?;
                for id in 0..4 {
                    stream.write_all(&call(id, "big", json!({}))).await?;
                }
                until_closed(&mut stream, finish).await
            }
            Kind::Leaves => {
                let mut stream = connect(port, None).await?;
                stream.write_all(&call(1, "hang", json!({}))).await?;
                sleep(Duration::from_millis(random.between(0, 20))).await;
                stream.write_all(b"P").await?;
                reset(&stream);
                Ok(())
            }
            Kind::HalfCloses => {
                let mut stream = connect(port, None).await?;
                stream.write_all(&call(1, "later", json!({"ms": 50}))).await?;
                stream.shutdown().await?;
                let mut answer = Vec::new();
                match timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await {
                    Ok(Ok(_)) => {
                        let answer = String::from_utf8_lossy(&answer);
                        // The server may have asked with an interim response whether anybody is still there.
                        let last = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
                        match last.starts_with("HTTP/1.1 200") && last.contains("later") {
                            true => Ok(()),
                            false => Err(Ended::Wrong(format!("answered {answer:?}"))),
                        }
                    }
                    Ok(Err(_)) => Err(Ended::Refused),
                    Err(_) => Err(Ended::Wrong("no answer within 30 s".into())),
                }
            }
            Kind::Dribbles => {
                let mut stream = connect(port, None).await?;
                for byte in call(1, "echo", json!({"text": "slowly"})) {
                    stream.write_all(&[byte]).await?;
                    if finish.load(Ordering::Relaxed) {
                        break;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
                Ok(())
            }
            Kind::FloodsSessions => {
                let mut stream = connect(port, None).await?;
                for id in 0..50 {
                    let hello = json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
                        "protocolVersion": "2025-11-25", "capabilities": {},
                        "clientInfo": {"name": "flood", "version": "1"}}});
                    stream.write_all(&post("", &hello)).await?;
                    some_answer(&mut stream).await?;
                }
                Ok(())
            }
            Kind::FloodsLists => {
                let mut stream = connect(port, Some(4096)).await?;
                for id in 0..200 {
                    stream.write_all(&request(id, "tools/list", "", json!({}))).await?;
                }
                let mut few = [0; 512];
                let _ = timeout(Duration::from_secs(5), stream.read(&mut few)).await;
                Ok(())
            }
            Kind::FloodsListens => {
                let mut streams = Vec::new();
                for id in 0..50 {
                    let mut stream = connect(port, None).await?;
                    let wanted = json!({"notifications": {"toolsListChanged": true}});
                    stream.write_all(&request(id, "subscriptions/listen", "", wanted)).await?;
                    streams.push(stream);
                }
                sleep(Duration::from_millis(random.between(0, 500))).await;
                for stream in streams.iter().step_by(2) {
                    reset(stream);
                }
                Ok(())
            }
            Kind::FloodsCancels => {
                let mut streams = Vec::new();
                for id in 0..50 {
                    let mut stream = connect(port, None).await?;
                    stream.write_all(&call(id, "hang", json!({}))).await?;
                    streams.push(stream);
                }
                Ok(())
            }
        }
    }
}

/// The reason for a visit that ended early.
enum Ended {
    /// The server cut it off.
    Refused,
    /// A violation by the server.
    Wrong(String),
}

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Ended {
        Ended::Refused
    }
}

async fn connect(port: u16, receive_buffer: Option<u32>) -> Result<TcpStream, Ended> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?)
}

/// Closing the stream then resets the connection.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Stay until the server's patience ends, and read nothing meanwhile.
async fn until_closed(stream: &mut TcpStream, finish: &AtomicBool) -> Result<(), Ended> {
    for _ in 0..STUBBORN.as_secs() {
        if finish.load(Ordering::Relaxed) {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
        // A read of one byte at most shows whether the connection is still open.
        if stream.write_all(b"P").await.is_err() {
            return Err(Ended::Refused);
        }
    }
    Ok(())
}

async fn some_answer(stream: &mut TcpStream) -> Result<(), Ended> {
    let mut chunk = [0; 4096];
    match timeout(Duration::from_secs(30), stream.read(&mut chunk)).await {
        Ok(Ok(0)) | Ok(Err(_)) => Err(Ended::Refused),
        Ok(Ok(_)) => Ok(()),
        Err(_) => Err(Ended::Wrong("no answer within 30 s".into())),
    }
}

fn call(id: u64, tool: &str, arguments: Value) -> Vec<u8> {
    request(id, "tools/call", tool, json!({"name": tool, "arguments": arguments}))
}

/// A request of revision 2026-07-28.
fn request(id: u64, method: &str, name: &str, mut params: Value) -> Vec<u8> {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let mut heads = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n");
    if !name.is_empty() {
        heads += &format!("mcp-name: {name}\r\n");
    }
    post(&heads, &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn post(heads: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{heads}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
