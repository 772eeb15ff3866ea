//! A subscriber to a task, on a stream that may break at any time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::judge::Judge;
use crate::load::get;
use crate::wire::Wire;

/// Longest delay between the end of a task and its notification on an open stream.
const LATE: Duration = Duration::from_secs(15);

/// Subscribes until the end of the task is received.
pub async fn hear_the_end(wire: Arc<Wire>, judge: Arc<Judge>, id: String, deadline: Instant) {
    let deadline = deadline + LATE;
    while Instant::now() < deadline {
        let Ok(mut stream) = wire.listen(&id).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Events from before the subscription are not sent on the stream.
        let mut heard = Events::default();
        let mut asked = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, stream.chunk()).await {
                Ok(Ok(Some(chunk))) => heard.push(&chunk),
                Ok(_) => break,
                Err(_) => return judge.broken(format!("{id}: a listener heard nothing of its end")),
            }
            if heard.ends(&id) {
                return judge.count("listeners told the end", 1);
            }
            if heard.acknowledged && !std::mem::replace(&mut asked, true) {
                match get(&wire, &id, deadline).await {
                    Ok(state) if is_over(&state) => {
                        return judge.count("listeners that came after the end", 1);
                    }
                    Ok(_) => {}
                    Err(why) => return judge.broken(format!("{id}: {why}")),
                }
            }
        }
        judge.count("streams that broke while somebody listened", 1);
    }
    judge.broken(format!("{id}: a listener never heard its end"));
}

fn is_over(state: &Value) -> bool {
    matches!(state["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}

/// The events of a stream (WHATWG HTML, "Server-sent events"), as far as they are needed here.
#[derive(Default)]
struct Events {
    pending: Vec<u8>,
    acknowledged: bool,
    messages: Vec<Value>,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            let Ok(message) = serde_json::from_slice::<Value>(data) else { continue };
            match message["method"].as_str() {
                Some("notifications/subscriptions/acknowledged") => self.acknowledged = true,
                Some("notifications/tasks") => self.messages.push(message["params"].clone()),
                _ => {}
            }
        }
    }

    fn ends(&mut self, id: &str) -> bool {
        self.messages.drain(..).any(|state| state["taskId"] == id && is_over(&state))
    }
}
