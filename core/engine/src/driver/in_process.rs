//! Connections between a client and a server in one process.

use bytes::Bytes;
use tokio::sync::mpsc;

/// One end of an in-memory connection. A frame is one JSON-RPC message without a newline; dropping an end
/// closes the connection.
#[derive(Debug)]
pub struct MemoryEnd {
    /// Frames to the other end.
    pub outgoing: mpsc::UnboundedSender<Bytes>,
    /// Frames from the other end; `None` once it is dropped.
    pub incoming: mpsc::UnboundedReceiver<Bytes>,
}

/// Returns two connected ends.
pub fn memory_pair() -> (MemoryEnd, MemoryEnd) {
    let (to_b, from_a) = mpsc::unbounded_channel();
    let (to_a, from_b) = mpsc::unbounded_channel();
    (MemoryEnd { outgoing: to_b, incoming: from_b }, MemoryEnd { outgoing: to_a, incoming: from_a })
}
