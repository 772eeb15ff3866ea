//! The messages: for every method of an era a valid request, and every invalid variant of it.

use serde_json::{Map, Value, json};

/// Number of messages of each era.
const PER_ERA: usize = 250;

/// The era of all messages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    Legacy,
}

impl Era {
    /// In the order of the report.
    pub const ALL: [Era; 2] = [Era::Modern, Era::Legacy];

    /// As case names and `differences.toml` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Era::Modern => "modern",
            Era::Legacy => "legacy",
        }
    }
}

/// One message.
pub struct Case {
    /// `modern tools/call: name is 7`
    pub name: String,
    /// One line. Its id, where it has a good one, is [`ID`].
    pub frame: String,
    /// It may leave the connection in another state: the next message needs a new one.
    pub last: bool,
}

/// The id of every message that is not about ids.
pub const ID: &str = "case";

/// The messages of an era, the same ones every time.
pub fn cases(era: Era) -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, params) in methods(era) {
        request_cases(era, method, &params, &mut cases);
    }
    // Every method retains its valid request; of the others a fixed choice is made.
    let mut random = 0x7472_756e_6e69_6f6e_u64;
    let (mut chosen, mut rest): (Vec<Case>, Vec<Case>) =
        cases.into_iter().partition(|case| case.name.ends_with(": good"));
    chosen.extend(frame_cases(era));
    while chosen.len() < PER_ERA && !rest.is_empty() {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        let at = (random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % rest.len();
        chosen.push(rest.swap_remove(at));
    }
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    chosen
}

/// The first frames of a connection, before any message.
pub fn opening(era: Era) -> Vec<String> {
    match era {
        Era::Modern => Vec::new(),
        Era::Legacy => vec![
            json!({"jsonrpc": "2.0", "id": "opening", "method": "initialize", "params": handshake()})
                .to_string(),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string(),
        ],
    }
}

/// A request that every server answers at once.
pub fn marker(era: Era, id: &str) -> String {
    let (method, params) = match era {
        Era::Modern => ("server/discover", json!({ "_meta": meta() })),
        Era::Legacy => ("ping", json!({})),
    };
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn handshake() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "d", "version": "1"}})
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "d", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// The requests of an era that the everything servers answer well.
fn methods(era: Era) -> Vec<(&'static str, Value)> {
    let prompt = "test_prompt_with_arguments";
    let mut methods = vec![
        ("tools/list", json!({})),
        ("tools/call", json!({"name": "echo", "arguments": {"text": "x"}})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "test://static-text"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": prompt, "arguments": {"arg1": "a", "arg2": "b"}})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": prompt}, "argument": {"name": "arg1", "value": "p"}}),
        ),
    ];
    match era {
        Era::Modern => methods.push(("server/discover", json!({}))),
        Era::Legacy => methods.extend([("initialize", handshake()), ("ping", json!({}))]),
    }
    methods
}

fn request_cases(era: Era, method: &str, good: &Value, cases: &mut Vec<Case>) {
    let mut params = good.clone();
    if era == Era::Modern {
        params["_meta"] = meta();
    }
    let mut add = |what: String, message: Value| {
        let name = format!("{} {method}: {what}", era.as_str());
        // Another handshake may be for another revision.
        let last = method == "initialize" && what.contains("protocolVersion");
        cases.push(Case { name, frame: message.to_string(), last });
    };
    let with = |params: Value| json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params});
    add("good".into(), with(params.clone()));
    for (what, value) in
        [("a list", json!([])), ("a string", json!("x")), ("null", json!(null)), ("a number", json!(7))]
    {
        add(format!("params is {what}"), with(value));
    }
    add("no params".into(), json!({"jsonrpc": "2.0", "id": ID, "method": method}));
    let mut extra = params.clone();
    extra["novel"] = json!({"a": 1});
    add("an unknown member of params".into(), with(extra));

    for (at, change, changed) in changes(&params) {
        add(format!("{at} {change}"), with(changed));
    }
    let unknown = [
        ("/name", json!("no-such")),
        ("/uri", json!("test://no-such")),
        ("/uri", json!("no uri")),
        ("/ref/name", json!("no-such")),
        ("/ref/type", json!("ref/novel")),
        ("/argument/name", json!("no-such")),
        ("/protocolVersion", json!("1900-01-01")),
        ("/_meta/io.modelcontextprotocol~1protocolVersion", json!("1900-01-01")),
        ("/_meta/io.modelcontextprotocol~1protocolVersion", json!("2025-11-25")),
    ];
    for (at, value) in unknown {
        let mut changed = params.clone();
        if let Some(member) = changed.pointer_mut(at) {
            let what = format!("{at} is unknown ({value})");
            *member = value;
            add(what, with(changed));
        }
    }
    if method.ends_with("/list") {
        for cursor in [json!("no-such"), json!(""), json!(7), json!(null)] {
            let mut changed = params.clone();
            changed["cursor"] = cursor.clone();
            add(format!("cursor is {cursor}"), with(changed));
        }
    }
    for token in [json!(1.5), json!({}), json!(true), json!(null), json!("t"), json!(7)] {
        let mut changed = params.clone();
        if !changed["_meta"].is_object() {
            changed["_meta"] = json!({});
        }
        changed["_meta"]["progressToken"] = token.clone();
        add(format!("progress token is {token}"), with(changed));
    }
    for id in [json!(1.5), json!(null), json!({}), json!([]), json!(true), json!(-3), json!("")] {
        let mut message = with(params.clone());
        message["id"] = id.clone();
        add(format!("id is {id}"), message);
    }
    let mut message = with(params.clone());
    message["jsonrpc"] = json!("1.0");
    add("jsonrpc is 1.0".into(), message.clone());
    message.as_object_mut().expect("an object").remove("jsonrpc");
    add("no jsonrpc".into(), message);
    let mut message = with(params);
    message["novel"] = json!(1);
    add("an unknown member".into(), message);
}

/// Each member at any depth once removed, and once of each other type.
fn changes(params: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    let mut paths = Vec::new();
    collect(params, "", &mut paths);
    for path in paths {
        let (parent, key) = path.rsplit_once('/').expect("a pointer has a slash");
        let key = key.replace("~1", "/");
        let mut without = params.clone();
        let members = without.pointer_mut(parent).and_then(Value::as_object_mut);
        if members.and_then(|members| members.remove(&key)).is_some() {
            found.push((path.clone(), "is missing".into(), without));
        }
        let now = params.pointer(&path).cloned().unwrap_or_default();
        for value in [json!(7), json!("x"), json!(null), json!([]), json!({}), json!(true)] {
            if std::mem::discriminant(&now) != std::mem::discriminant(&value) {
                let mut changed = params.clone();
                *changed.pointer_mut(&path).expect("it is there") = value.clone();
                found.push((path.clone(), format!("is {value}"), changed));
            }
        }
    }
    found
}

fn collect(value: &Value, at: &str, paths: &mut Vec<String>) {
    for (key, member) in value.as_object().unwrap_or(&Map::new()) {
        let path = format!("{at}/{}", key.replace('/', "~1"));
        collect(member, &path, paths);
        paths.push(path);
    }
}

/// Frames that are not a request of a known method.
fn frame_cases(era: Era) -> Vec<Case> {
    let params = match era {
        Era::Modern => json!({ "_meta": meta() }),
        Era::Legacy => json!({}),
    };
    let request =
        |method: Value| json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params}).to_string();
    let note = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
    };
    let good = request(json!("tools/list"));
    let other_era = match era {
        Era::Modern => vec!["ping", "logging/setLevel", "resources/subscribe", "roots/list"],
        Era::Legacy => {
            vec!["server/discover", "subscriptions/listen", "roots/list", "sampling/createMessage"]
        }
    };
    let mut frames: Vec<(String, String)> = vec![
        ("unknown method".into(), request(json!("no/such"))),
        ("empty method".into(), request(json!(""))),
        ("method is 7".into(), request(json!(7))),
        ("method is a notification's".into(), request(json!("notifications/cancelled"))),
        ("no JSON".into(), "nope".into()),
        ("cut short".into(), good[..good.len() - 2].into()),
        ("a number".into(), "7".into()),
        ("a string".into(), "\"x\"".into()),
        ("null".into(), "null".into()),
        ("an empty object".into(), "{}".into()),
        ("an empty batch".into(), "[]".into()),
        ("a batch".into(), format!("[{good}]")),
        ("an answer nobody waits for".into(), json!({"jsonrpc": "2.0", "id": ID, "result": {}}).to_string()),
        (
            "an error nobody waits for".into(),
            json!({"jsonrpc": "2.0", "id": ID, "error": {"code": 1, "message": "m"}}).to_string(),
        ),
        ("neither method nor result".into(), json!({"jsonrpc": "2.0", "id": ID}).to_string()),
        ("unknown notification".into(), note("notifications/no-such", json!({}))),
        ("a cancellation of nothing".into(), note("notifications/cancelled", json!({"requestId": 77}))),
        ("a cancellation without an id".into(), note("notifications/cancelled", json!({}))),
        (
            "progress of nothing".into(),
            note("notifications/progress", json!({"progressToken": 1, "progress": 1})),
        ),
        ("a request's method as notification".into(), note("tools/list", params.clone())),
        ("a notification whose params are a list".into(), note("notifications/cancelled", json!([]))),
    ];
    frames.extend(
        other_era.into_iter().map(|method| (format!("{method} is not there"), request(json!(method)))),
    );
    frames
        .into_iter()
        .map(|(what, frame)| Case { name: format!("{} frame: {what}", era.as_str()), frame, last: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_as_many_as_promised_and_each_has_its_name() {
        for era in Era::ALL {
            let cases = cases(era);
            assert_eq!(cases.len(), PER_ERA);
            let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            assert_eq!(names.len(), PER_ERA);
            assert!(cases.iter().all(|case| !case.frame.contains('\n')));
            for (method, _) in methods(era) {
                assert!(names.contains(format!("{} {method}: good", era.as_str()).as_str()), "{method}");
            }
        }
    }
}
