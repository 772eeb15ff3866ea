//! The server of `tests/vectors/README.md` as a host of the facade, for `tests/vectors.rs`: the driver is the first
//! argument, the definition the second.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunnion_facade::{Completion, Engine, Error, Event};

const TEXT: u32 = 1;
const VALUE: u32 = 2;
const TOOL_ERROR: u32 = 4;

const CANCELLED: u32 = 5;
const RESULT: u32 = 10;
const ERROR: u32 = 11;

/// The items of the server, in the order of the targets 0 to 9.
fn items() -> [(&'static str, Value); 10] {
    let takes = |name: &str, argument: &str, kind: &str| {
        let schema =
            json!({"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]});
        json!({"name": name, "inputSchema": schema})
    };
    let number = json!({"type": "number"});
    let terms = json!({"type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"]});
    [
        ("tool", json!({"name": "add", "inputSchema": terms})),
        ("tool", takes("echo", "text", "string")),
        ("tool", takes("fail", "message", "string")),
        ("tool", takes("steps", "n", "integer")),
        ("tool", json!({"name": "hang"})),
        ("tool", takes("visit", "id", "string")),
        ("resource", json!({"uri": "test://text", "mimeType": "text/plain"})),
        ("resource_template", json!({"uriTemplate": "test://item/{id}"})),
        ("prompt", json!({"name": "greet", "arguments": [{"name": "name", "required": true}]})),
        ("completion", json!({"ref": {"type": "ref/prompt", "name": "greet"}})),
    ]
}

/// Calls that have asked, by the operations of their questions, and the ids of their elicitations.
type Visits = BTreeMap<u64, (u64, String)>;

fn answer(engine: &Engine, event: &Event, visits: &mut Visits) -> Result<Option<Completion>, Error> {
    let input: Value = serde_json::from_str(&event.payload).expect("payloads are JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let (outcome, payload) = match event.target {
        0 => (VALUE, json!({"sum": number(&input["a"]) + number(&input["b"])}).to_string()),
        1 => (TEXT, text(&input["text"])),
        2 => (TOOL_ERROR, text(&input["message"])),
        3 => {
            let n = input["n"].as_i64().unwrap_or_default();
            for step in 1..=n {
                engine.progress(event.id, &json!({"progress": step, "total": n}).to_string())?;
            }
            (TEXT, "done".into())
        }
        4 => return Ok(None),
        5 => {
            let page = json!({"mode": "url", "message": "Sign in", "url": "https://example.com/sign-in", "elicitationId": input["id"]});
            let asked = json!({"page": {"op": "elicit", "params": page}}).to_string();
            let operation = engine.request(event.id, "ask", &asked, "{}")?;
            visits.insert(operation, (event.id, text(&input["id"])));
            return Ok(None);
        }
        6 => (TEXT, "hello".into()),
        7 => (TEXT, format!("item {}", text(&input["params"]["id"]))),
        8 => (TEXT, format!("Greet {}", text(&input["name"]))),
        _ => {
            let value = text(&input["argument"]["value"]);
            let names = ["ada", "alan", "grace"].into_iter().filter(|name| name.starts_with(&value));
            (VALUE, json!(names.collect::<Vec<_>>()).to_string())
        }
    };
    Ok(Some(Completion { id: event.id, outcome, payload }))
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let engine = Engine::new(&json!({"driver": arguments[1]}).to_string())?;
    let server = engine.server_new(&arguments[2])?;
    for (target, (item, definition)) in (0..).zip(items()) {
        engine.server_add(server, item, &definition.to_string(), "{}", target)?;
    }
    let serving = engine.serve_stdio(server, "{}")?;
    let mut completions = Vec::new();
    let mut visits = Visits::new();
    loop {
        let events = engine.drain(std::mem::take(&mut completions));
        if events.is_empty() {
            engine.wait(None);
        }
        for event in events {
            match event.kind {
                RESULT | ERROR if event.id == serving => {
                    engine.close(std::time::Duration::from_secs(1));
                    return Ok(());
                }
                RESULT => {
                    let (id, elicitation) = visits.remove(&event.id).expect("an answer to a question");
                    let params = json!({ "elicitationId": elicitation }).to_string();
                    engine.notify(server, "elicitation_complete", &params)?;
                    let answers: Value = serde_json::from_str(&event.payload).expect("payloads are JSON");
                    let payload = answers["page"]["action"].as_str().unwrap_or_default().to_owned();
                    completions.push(Completion { id, outcome: TEXT, payload });
                }
                CANCELLED => eprintln!("hang cancelled"),
                _ => completions.extend(answer(&engine, &event, &mut visits)?),
            }
        }
    }
}
