//! A host for the tests: answers the tools of [`server`] and collects what happens.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use trunnion_facade::{Completion, Engine, Event};

pub const DRIVERS: [&str; 2] = ["hosted", "threaded"];
pub const NOTHING_ALIVE: &str =
    r#"{"servers":0,"clients":0,"exchanges":0,"operations":0,"connections":0,"sessions":0}"#;

/// An engine, and the events that no test has waited for yet.
pub struct Host {
    pub engine: Engine,
    pub seen: Vec<Event>,
    completions: Vec<Completion>,
    /// Exchanges of the tool `hang`, which never answers.
    pub hanging: HashMap<u64, bool>,
}

pub fn host(driver: &str) -> Host {
    host_with(&json!({ "driver": driver }).to_string())
}

/// With these options of the engine.
pub fn host_with(options: &str) -> Host {
    let engine = Engine::new(options).expect("an engine");
    Host { engine, seen: Vec::new(), completions: Vec::new(), hanging: HashMap::new() }
}

impl Host {
    /// A server with the tools `add` (target 1), `steps` (2: three reports of progress), `hang` (3).
    pub fn server(&self) -> u64 {
        let server = self.engine.server_new(r#"{"name":"test","version":"1"}"#).expect("a server");
        let number = json!({"type": "number"});
        let add = json!({"name": "add", "inputSchema": {"type": "object",
            "properties": {"a": number, "b": number}, "required": ["a", "b"]}});
        self.engine.server_add(server, "tool", &add.to_string(), "{}", 1).expect("add");
        self.engine.server_add(server, "tool", r#"{"name":"steps"}"#, "{}", 2).expect("steps");
        self.engine.server_add(server, "tool", r#"{"name":"hang"}"#, "{}", 3).expect("hang");
        server
    }

    /// Acts as the host until an event fits, and returns it.
    pub fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            if let Some(at) = self.seen.iter().position(&fits) {
                return self.seen.remove(at);
            }
            self.turn();
        }
    }

    /// The result or error of an operation.
    pub fn outcome(&mut self, id: u64) -> Result<Value, Value> {
        let event = self.until(|event| event.id == id && matches!(event.kind, 10 | 11));
        let payload = serde_json::from_str(&event.payload).expect("JSON");
        if event.kind == 10 { Ok(payload) } else { Err(payload) }
    }

    pub fn call(&mut self, client: u64, tool: &str, arguments: Value) -> u64 {
        let params = json!({"name": tool, "arguments": arguments}).to_string();
        self.engine.request(client, "call_tool", &params, r#"{"progress":true}"#).expect("begins")
    }

    fn turn(&mut self) {
        let events = self.engine.drain(std::mem::take(&mut self.completions));
        if events.is_empty() {
            assert!(
                self.engine.wait(Some(Duration::from_secs(20))),
                "nothing happened; seen {:?}",
                self.seen
            );
        }
        for event in events {
            match (event.kind, event.target) {
                (1, 1) => {
                    let arguments: Value = serde_json::from_str(&event.payload).expect("JSON");
                    let sum = arguments["a"].as_f64().expect("a") + arguments["b"].as_f64().expect("b");
                    let payload = json!({ "sum": sum }).to_string();
                    self.completions.push(Completion { id: event.id, outcome: 2, payload });
                }
                (1, 2) => {
                    for step in 1..=3 {
                        let payload = json!({"progress": step, "total": 3}).to_string();
                        self.engine.progress(event.id, &payload).expect("progress");
                    }
                    self.completions.push(Completion { id: event.id, outcome: 1, payload: "done".into() });
                }
                (1, 3) => drop(self.hanging.insert(event.id, true)),
                _ => {}
            }
            self.seen.push(event);
        }
    }
}
