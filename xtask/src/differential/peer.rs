//! A server over standard streams that receives one message after the other.

use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use super::messages::{self, Case, Era};
use crate::fixtures::Fixture;
use crate::process::{Group, sh};

/// For an answer that must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// For one that need not, after the server has answered everything else.
const GRACE: Duration = Duration::from_millis(150);

/// The outcome of a message: `result`, `tool error`, `error CODE`, `silence` or `end`.
pub type Outcome = String;

/// Sends every message; returns the outcomes in the order of the cases.
pub fn ask(fixture: &Fixture, era: Era, cases: &[Case]) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::new();
    let mut peer = None;
    for case in cases {
        let mut asked = match peer.take() {
            Some(peer) => peer,
            None => Peer::start(fixture, era)?,
        };
        let outcome =
            asked.outcome(&case.frame).map_err(|why| format!("{}: {}: {why}", fixture.name, case.name))?;
        if !case.last && !asked.spent && outcome != "end" {
            peer = Some(asked);
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

struct Peer {
    input: ChildStdin,
    lines: Receiver<String>,
    era: Era,
    markers: u64,
    /// The answer to its markers has changed: a message has changed its revision.
    spent: bool,
    /// Ends the server when it is dropped.
    _group: Group,
}

enum Heard {
    Marker,
    Answer(Outcome),
    End,
    Nothing,
}

impl Peer {
    fn start(fixture: &Fixture, era: Era) -> Result<Peer, String> {
        let mut group = sh(&format!("exec {}", fixture.stdio_server)).conversation()?;
        let input = group.0.stdin.take().ok_or("no standard input")?;
        let output = group.0.stdout.take().ok_or("no standard output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let mut peer = Peer { input, lines, era, markers: 0, spent: false, _group: group };
        for frame in messages::opening(era) {
            peer.send(&frame).map_err(|error| format!("{}: {error}", fixture.name))?;
        }
        // A server may take the era of the first message for that of the connection.
        match peer.mark()? {
            Heard::End => Err(format!("{} did not start", fixture.name)),
            _ => Ok(peer),
        }
    }

    fn outcome(&mut self, frame: &str) -> Result<Outcome, String> {
        if self.send(frame).is_err() {
            return Ok("end".into());
        }
        // A server that answers in the order of arrival has answered everything before the mark; the second
        // mark is for servers that answer in another order.
        for _ in 0..2 {
            match self.mark()? {
                Heard::Answer(outcome) => return Ok(outcome),
                Heard::End => return Ok("end".into()),
                Heard::Marker | Heard::Nothing => {}
            }
        }
        match self.hear("", GRACE) {
            Heard::Answer(outcome) => Ok(outcome),
            Heard::End => Ok("end".into()),
            Heard::Marker | Heard::Nothing => Ok("silence".into()),
        }
    }

    /// Sends a marker and reads up to its answer; returns the other answer that came before it, if any.
    fn mark(&mut self) -> Result<Heard, String> {
        self.markers += 1;
        let id = format!("mark {}", self.markers);
        if self.send(&messages::marker(self.era, &id)).is_err() {
            return Ok(Heard::End);
        }
        let mut before = Heard::Marker;
        loop {
            match self.hear(&id, PATIENCE) {
                Heard::Marker => return Ok(before),
                Heard::End => return Ok(Heard::End),
                Heard::Nothing => return Err("it answers no more".into()),
                answer @ Heard::Answer(_) => before = answer,
            }
        }
    }

    fn hear(&mut self, marker: &str, limit: Duration) -> Heard {
        loop {
            let line = match self.lines.recv_timeout(limit) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Heard::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Heard::End,
            };
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            if message["id"] == marker {
                self.spent |= message.get("result").is_none();
                return Heard::Marker;
            }
            // A late answer to an earlier marker is skipped, and so are requests and notifications of the
            // server.
            if message["id"].as_str().is_some_and(|id| id.starts_with("mark ") || id == "opening") {
                continue;
            }
            if let Some(outcome) = outcome_of(&message) {
                return Heard::Answer(outcome);
            }
        }
    }

    fn send(&mut self, frame: &str) -> std::io::Result<()> {
        self.input.write_all(frame.as_bytes())?;
        self.input.write_all(b"\n")?;
        self.input.flush()
    }
}

fn outcome_of(message: &Value) -> Option<Outcome> {
    if let Some(error) = message.get("error") {
        return Some(format!("error {}", error["code"]));
    }
    let result = message.get("result")?;
    Some(if result["isError"] == true { "tool error" } else { "result" }.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::outcome_of;

    #[test]
    fn outcomes_have_their_class() {
        let class = |message| outcome_of(&message);
        assert_eq!(class(json!({"id": 1, "result": {}})).as_deref(), Some("result"));
        assert_eq!(class(json!({"id": 1, "result": {"isError": true}})).as_deref(), Some("tool error"));
        assert_eq!(class(json!({"id": null, "error": {"code": -32700}})).as_deref(), Some("error -32700"));
        assert_eq!(class(json!({"id": 1, "method": "ping"})), None);
    }
}
