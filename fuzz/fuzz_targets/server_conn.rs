#![no_main]
//! A whole server connection. Each line is a frame, or `!` and a letter, a digit (which request), and a number:
//! `!c` complete with a text, `!e` with an error, `!r` with the rest of the line as its result, `!p` progress, `!l` log,
//! `!d` give it so many seconds, `!t` so many seconds pass, `!o` a frame too large began with the rest of the line,
//! `!x` the peer is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use trunnion_proto::outcome::Outcome;
use trunnion_proto::server::{LogEntry, LogLevel, Output, Progress, ServerConn, Settings, Stamp};
use trunnion_proto::{ErrorKind, Limits, RpcError};

struct Run {
    conn: ServerConn,
    stamp: Stamp,
    now: Duration,
    keys: Vec<u64>,
    /// Live requests and their ids.
    live: BTreeMap<u64, String>,
}

fuzz_target!(|input: &[u8]| {
    let limits = Limits { message_bytes: 2048, depth: 32, in_flight: 8 };
    let mut run = Run {
        conn: ServerConn::new(Settings { limits, modern: true, legacy: true }),
        stamp: Stamp::new(r#"{"name":"s","version":"1"}"#, 0, "private"),
        now: Duration::ZERO,
        keys: Vec::new(),
        live: BTreeMap::new(),
    };
    for line in input.split(|&byte| byte == b'\n') {
        match line {
            [b'!', what, rest @ ..] => run.act(*what, rest),
            frame => {
                run.conn.recv(Bytes::copy_from_slice(frame));
                assert!(run.drain().len() <= 1, "one frame, one message");
            }
        }
        assert_eq!(run.conn.in_flight(), run.live.len());
    }
    run.act(b'x', b"");
    assert_eq!((run.conn.in_flight(), run.conn.next_deadline()), (0, None));
    for key in run.keys.clone() {
        run.complete(key, Outcome::Text("late".into()));
    }
});

impl Run {
    fn act(&mut self, what: u8, rest: &[u8]) {
        let text = String::from_utf8_lossy(rest);
        let digit = rest.first().map_or(0, |digit| usize::from(digit.wrapping_sub(b'0')));
        let key = self.keys.iter().rev().nth(digit).copied().unwrap_or(u64::MAX);
        let tail = text.chars().skip(1).collect::<String>();
        let number = tail.parse::<f64>().unwrap_or(0.0);
        match what {
            b'c' => self.complete(key, Outcome::Text(tail)),
            b'e' => self.complete(key, Outcome::Error(RpcError::new(ErrorKind::InternalError, tail))),
            b'r' => self.complete(key, Outcome::Result(tail)),
            b'v' => self.complete(key, Outcome::Value(tail)),
            b'p' => {
                let step = Progress { progress: number, total: Some(number), message: Some(tail) };
                let sent = self.conn.progress(key, &step);
                assert_eq!(self.drain().len(), usize::from(sent));
                assert!(!sent || self.live.contains_key(&key));
            }
            b'l' => {
                let data = serde_json::value::to_raw_value(&tail).expect("JSON");
                let sent = self.conn.log(key, &LogEntry { level: LogLevel::Error, data, logger: Some(tail) });
                assert_eq!(self.drain().len(), usize::from(sent));
                assert!(!sent || self.live.contains_key(&key));
            }
            b'd' => self.conn.set_deadline(key, self.now.saturating_add(seconds(number))),
            b't' => {
                self.now = self.now.saturating_add(seconds(number));
                let before: BTreeSet<u64> = self.live.keys().copied().collect();
                self.conn.on_deadline(self.now, &self.stamp);
                let answered = self.drain().len();
                assert_eq!(before.len() - answered, self.live.len(), "who is out of time is answered");
                assert!(self.conn.next_deadline().is_none_or(|next| next > self.now));
            }
            b'o' => {
                self.conn.oversized(rest);
                assert_eq!(self.drain().len(), 1);
            }
            b'x' => {
                self.conn.peer_closed();
                assert!(self.drain().is_empty() && self.live.is_empty());
            }
            _ => {}
        }
    }

    fn complete(&mut self, key: u64, outcome: Outcome) {
        let accepted = self.conn.complete(key, outcome, &self.stamp);
        let live = self.live.remove(&key);
        assert_eq!(accepted, live.is_some(), "answered once");
        let sent = self.drain();
        assert_eq!(sent.len(), usize::from(accepted));
        if let (Some(id), [answer]) = (live, &sent[..]) {
            assert!(answer["result"].is_object() != answer["error"].is_object());
            assert_eq!(serde_json::from_str::<Value>(&id).expect("JSON"), answer["id"]);
        }
    }

    /// The sent messages.
    fn drain(&mut self) -> Vec<Value> {
        let mut sent = Vec::new();
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send(bytes) => {
                    assert!(!bytes.contains(&b'\n'), "a message is one line");
                    sent.push(serde_json::from_slice(&bytes).expect("a message is JSON"));
                }
                Output::Request(key, request) => {
                    let id = request.id.as_json().to_owned();
                    assert!(self.live.values().all(|live| *live != id), "an id is live once");
                    assert!(self.live.insert(key, id).is_none());
                    self.keys.push(key);
                }
                Output::Cancelled(key, _) => assert!(self.live.remove(&key).is_some(), "cancelled once"),
                // Nothing else is about a request that waits.
                #[allow(unreachable_patterns, reason = "there may be more to come")]
                _ => {}
            }
        }
        sent
    }
}

/// Any number as a time.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.abs()).unwrap_or(Duration::MAX / 4).min(Duration::MAX / 4)
}
