#![no_main]
//! A whole client connection. The first two bytes choose transport and era. Then each line is a frame, or `!` and a letter,
//! a digit, and a text: `!s` start an operation (the digit says which) with the text as parameters, `!c` cancel the one
//! that was started as that many, `!t` that many seconds pass, `!e` the response to that POST is over, `!f` that POST failed
//! with the text as body, `!b` with a broken connection, `!m` a frame that came with that POST, `!i` a session,
//! `!r` the peer was started again, `!g` the peer is gone, `!x` close. A `#` in a frame is the id of the last request.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use trunnion_proto::client::{
    CallOptions, ClientConfig, ClientConn, EraPolicy, Output, Transport, TransportFailure,
};
use trunnion_proto::json::Json;
use trunnion_proto::{Era, Limits, methods};

const OPS: [&str; 5] = ["list_tools", "call_tool", "ping", "read_resource", "get_prompt"];

struct Run {
    conn: ClientConn,
    http: bool,
    now: Duration,
    /// Ids of requests and keys of POSTs.
    ids: Vec<u64>,
    started: u64,
    /// Operations by whether they have ended.
    ended: BTreeMap<u64, bool>,
    closed: bool,
}

fuzz_target!(|input: &[u8]| {
    let [transport, era, lines @ ..] = input else { return };
    let stream = |restartable| Transport::Stream { restartable };
    let transport = [stream(false), stream(true), Transport::Http][usize::from(transport % 3)];
    let era =
        [EraPolicy::Auto, EraPolicy::Only(Era::Legacy), EraPolicy::Only(Era::Modern)][usize::from(era % 3)];
    let limits = Limits { message_bytes: 2048, depth: 32, in_flight: 8 };
    let config = ClientConfig { transport, era, limits, ..ClientConfig::default() };
    let mut run = Run {
        conn: ClientConn::new(config),
        http: transport == Transport::Http,
        now: Duration::ZERO,
        ids: Vec::new(),
        started: 0,
        ended: BTreeMap::new(),
        closed: false,
    };
    run.conn.connect(run.now);
    run.drain();
    for line in lines.split(|&byte| byte == b'\n') {
        match line {
            [b'!', what, rest @ ..] => run.act(*what, rest),
            frame => {
                let frame = run.with_id(frame);
                run.conn.recv(run.now, None, frame);
            }
        }
        run.drain();
    }
    run.conn.close();
    run.drain();
    assert!(run.closed && run.conn.next_deadline().is_none());
    assert!(run.ended.values().all(|ended| *ended), "every operation ends");
    assert!(run.ids.iter().all(|id| !run.conn.expects(*id)));
});

impl Run {
    fn act(&mut self, what: u8, rest: &[u8]) {
        let digit = rest.first().map_or(0, |digit| digit.wrapping_sub(b'0'));
        let text = rest.get(1..).unwrap_or_default();
        let post = self.ids.iter().rev().nth(usize::from(digit)).copied().unwrap_or(u64::MAX);
        match what {
            b's' => {
                self.started += 1;
                self.ended.insert(self.started, false);
                let op = methods::by_op(OPS[usize::from(digit) % OPS.len()]).expect("an operation");
                let options = CallOptions {
                    timeout: Some(Duration::from_secs(u64::from(digit))),
                    total: None,
                    progress: digit.is_multiple_of(2),
                    meta: Json::default(),
                    fresh: digit % 3 == 0,
                    task: digit % 4 == 3,
                    ..CallOptions::default()
                };
                let params = String::from_utf8_lossy(text).into_owned();
                self.conn.start(self.now, self.started, op, params, options);
            }
            b'c' => drop(self.conn.cancel(u64::from(digit), &String::from_utf8_lossy(text))),
            b't' => {
                self.now += Duration::from_secs(u64::from(digit));
                self.conn.on_deadline(self.now);
                assert!(self.conn.next_deadline().is_none_or(|next| next > self.now));
            }
            b'e' => self.conn.stream_ended(self.now, post),
            b'f' => {
                let body = self.with_id(text);
                let failure = TransportFailure::Status { status: 400, body, asked: Vec::new() };
                self.conn.failed(self.now, post, failure);
            }
            b'b' => self.conn.failed(self.now, post, TransportFailure::Connection("reset".into())),
            b'm' => {
                let frame = self.with_id(text);
                self.conn.recv(self.now, Some(post), frame);
            }
            b'i' => self.conn.session_assigned(post, &String::from_utf8_lossy(text)),
            b'r' => self.conn.restarted(),
            b'g' => self.conn.peer_closed("gone"),
            b'x' => self.conn.close(),
            _ => {}
        }
    }

    fn with_id(&self, frame: &[u8]) -> Bytes {
        let id = self.ids.last().copied().unwrap_or_default().to_string();
        let pieces: Vec<&[u8]> = frame.split(|&byte| byte == b'#').collect();
        Bytes::from(pieces.join(id.as_bytes()))
    }

    fn drain(&mut self) {
        while let Some(output) = self.conn.poll() {
            match output {
                Output::Send { bytes, post } => {
                    assert!(!self.closed, "nothing is sent when all is over");
                    assert!(self.http || !bytes.contains(&b'\n'), "a message is one line");
                    let message: Value = serde_json::from_slice(&bytes).expect("a message is JSON");
                    let request = message.get("method").and(message["id"].as_u64());
                    let id = post.map(|post| post.post).or(request);
                    assert!(id.is_none_or(|id| !self.ids.contains(&id)), "an id is used once");
                    self.ids.extend(id);
                }
                Output::Result { op, .. } | Output::Error { op, .. } => {
                    assert_eq!(self.ended.insert(op, true), Some(false), "{op} ends once");
                }
                Output::Progress { op, payload } => {
                    assert_eq!(self.ended.get(&op), Some(&false), "progress of what is not over");
                    serde_json::from_str::<Value>(payload.as_str()).expect("JSON");
                }
                Output::Closed { .. } => assert!(!std::mem::replace(&mut self.closed, true)),
                _ => {}
            }
        }
    }
}
