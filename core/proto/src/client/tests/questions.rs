//! Questions of servers, in both eras.

use super::*;
use crate::RpcError;

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#;

fn config(transport: Transport) -> ClientConfig {
    let roots = Some(Json::from_static(r#"[{"uri":"file:///a"}]"#));
    ClientConfig { transport, capabilities: Json::from_static(ALL), roots, ..ClientConfig::default() }
}

fn asking() -> Value {
    json!({"message": "Who?", "requestedSchema": {"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 30}}}})
}

fn elicit() -> Value {
    json!({"method": "elicitation/create", "params": asking()})
}

fn required(requests: Value, state: Option<&str>) -> Value {
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    result
}

/// The only outputs are questions.
fn asked(rig: &mut Rig) -> Vec<(u64, QuestionKind, Value)> {
    let read = |output: Output| match output {
        Output::Ask { question, kind, params } => {
            (question, kind, serde_json::from_str(params.as_str()).expect("JSON"))
        }
        other => panic!("{other:?}"),
    };
    rig.take().into_iter().map(read).collect()
}

impl Rig {
    fn reply(&mut self, question: u64, answer: Value) -> bool {
        self.conn.answer(self.now, question, Ok(answer.to_string()))
    }
}

#[test]
fn required_input_is_asked_for_and_the_request_made_again() {
    let mut rig = modern_of(config(Transport::Http));
    let options = CallOptions { progress: true, ..CallOptions::default() };
    rig.start_with(1, "call_tool", json!({"name": "t", "arguments": {"a": 1.50}}), options);
    let (first, _) = rig.sent("tools/call");
    let sample = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
    let roots = json!({"method": "roots/list"});
    rig.answer(first, required(json!({"n": elicit(), "r": roots, "s": sample}), Some("é\u{1} ==")));
    let questions = asked(&mut rig);
    let [(who, QuestionKind::Elicit, params), (what, QuestionKind::Sample, _)] = &questions[..] else {
        panic!("{questions:?}")
    };
    assert_eq!(params["mode"], "form", "it is always there");
    assert!(
        rig.reply(
            *what,
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "x"}})
        )
    );
    assert!(rig.take().is_empty());
    assert!(rig.reply(*who, json!({"action": "accept", "content": {"name": "Ann"}})));
    assert!(!rig.reply(*who, json!({"action": "decline"})), "once");
    let (second, params) = rig.sent("tools/call");
    assert_ne!(first, second);
    assert_eq!(params["arguments"], json!({"a": 1.50}));
    assert_eq!(params["requestState"], "é\u{1} ==");
    assert_eq!(params["_meta"]["progressToken"], second);
    assert_eq!(
        params["inputResponses"]["n"],
        json!({"action": "accept", "content": {"name": "Ann", "age": 30}})
    );
    assert_eq!(params["inputResponses"]["r"], json!({"roots": [{"uri": "file:///a"}]}));
    assert_eq!(params["inputResponses"]["s"]["model"], "m");

    // Nothing goes into other requests, and a round without a state has none.
    rig.start(2, "call_tool", json!({"name": "t"}));
    let (_, params) = rig.sent("tools/call");
    assert!(params.get("inputResponses").is_none() && params.get("requestState").is_none());
    rig.answer(second, required(json!({"n": elicit()}), None));
    let question = asked(&mut rig)[0].0;
    rig.reply(question, json!({"action": "cancel", "content": {"name": "x"}}));
    let (third, params) = rig.sent("tools/call");
    assert_eq!(params["inputResponses"], json!({"n": {"action": "cancel"}}));
    assert!(params.get("requestState").is_none());
    rig.answer(third, json!({"content": []}));
    assert!(rig.ended(1).is_ok());
}

#[test]
fn a_state_alone_is_sent_back_at_once_but_not_for_ever() {
    let mut rig = modern_of(config(STREAM));
    rig.start(1, "get_prompt", json!({"name": "p"}));
    for round in 0..16 {
        let (id, params) = rig.sent("prompts/get");
        assert_eq!(params.get("requestState"), (round > 0).then_some(&json!("s")));
        assert!(params.get("inputResponses").is_none());
        rig.answer(id, json!({"resultType": "input_required", "requestState": "s"}));
    }
    let (id, _) = rig.sent("prompts/get");
    rig.answer(id, json!({"resultType": "input_required", "requestState": "s"}));
    assert_eq!(rig.failed_as(1), "limit");

    let many: serde_json::Map<String, Value> = (0..65).map(|key| (key.to_string(), elicit())).collect();
    rig.start(2, "call_tool", json!({"name": "t"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, required(Value::Object(many), None));
    assert_eq!(rig.failed_as(2), "limit");
}

#[test]
fn input_that_may_not_be_required_fails_the_call() {
    let cases = [
        ("list_tools", required(json!({"a": elicit()}), None), "not allowed"),
        ("call_tool", json!({"resultType": "input_required"}), "without saying what"),
        ("call_tool", required(json!([]), None), "no object"),
        ("call_tool", json!({"resultType": "input_required", "requestState": 5}), "no string"),
        ("call_tool", required(json!({"a": {"method": "ping"}}), None), "ping"),
        ("call_tool", required(json!({"a": {"method": "tools/list"}}), None), "tools/list"),
        ("call_tool", required(json!({"a": {"method": "novel/ask"}}), None), "novel/ask"),
        ("call_tool", required(json!({"a": 3}), None), "no request"),
        (
            "call_tool",
            required(json!({"a": elicit(), "b": {"method": "elicitation/create", "params": []}}), None),
            "no object",
        ),
        (
            "call_tool",
            required(
                json!({"a": {"method": "sampling/createMessage", "params": {"messages": [], "tools": []}}}),
                None,
            ),
            "tools",
        ),
    ];
    let mut rig = modern_of(config(STREAM));
    for (index, (name, result, part)) in cases.into_iter().enumerate() {
        let op = index as u64;
        rig.start(op, name, json!({"name": "t"}));
        let (message, _) = rig.sent_message();
        rig.answer(message["id"].as_u64().expect("an id"), result);
        let error = rig.ended(op).expect_err("refused");
        assert_eq!(error.kind, "protocol", "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }
    let mut rig = modern(STREAM);
    for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
        rig.start(1, "call_tool", json!({"name": "t"}));
        let (id, _) = rig.sent("tools/call");
        rig.answer(id, required(json!({"a": {"method": method, "params": asking()}}), None));
        let error = rig.ended(1).expect_err("not declared");
        assert!(error.kind == "protocol" && error.message.contains(method), "{}", error.message);
    }
}

#[test]
fn refusals_and_wrong_answers_end_a_modern_call() {
    let mut rig = modern_of(config(STREAM));
    for (index, (answer, kind)) in [
        (Err(RpcError { code: -1, message: "no".into(), data: None }), "remote"),
        (Ok(json!({"action": "accept", "content": {"name": 5}})), "invalid_params"),
        (Ok(json!({"action": "accept"})), "invalid_params"),
        (Ok(json!({"action": "perhaps"})), "invalid_params"),
        (Ok(json!([])), "invalid_params"),
    ]
    .into_iter()
    .enumerate()
    {
        let op = index as u64;
        rig.start(op, "read_resource", json!({"uri": "test://r"}));
        let (id, _) = rig.sent("resources/read");
        rig.answer(id, required(json!({"a": elicit(), "b": elicit()}), None));
        let questions = asked(&mut rig);
        let wrong = answer.is_ok();
        rig.conn.answer(rig.now, questions[0].0, answer.map(|answer| answer.to_string()));
        let mut outputs = rig.take();
        if wrong {
            assert!(matches!(outputs.remove(0), Output::AnswerRefused { .. }));
        }
        let [Output::Withdrawn { question, .. }, Output::Error { error, .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!((*question, error.kind), (questions[1].0, kind));
    }
}

#[test]
fn legacy_servers_ask_by_requests() {
    let mut rig = legacy_of(config(Transport::Http), json!({}));
    let ask = |rig: &mut Rig, id: &str, method: &str, params: Value| {
        rig.recv(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    };
    ask(&mut rig, "e", "elicitation/create", asking());
    let (question, _, params) = asked(&mut rig).remove(0);
    assert_eq!((&params["mode"], &params["message"]), (&json!("form"), &json!("Who?")));
    rig.reply(question, json!({"action": "accept", "content": {"name": "Ann"}}));
    let (message, post) = rig.sent_message();
    assert_eq!(message["result"]["content"], json!({"name": "Ann", "age": 30}));
    assert_eq!((&message["id"], post.expect("a POST").request), (&json!("e"), false));

    ask(&mut rig, "w", "elicitation/create", asking());
    let question = asked(&mut rig)[0].0;
    rig.reply(question, json!({"action": "accept", "content": {}}));
    let outputs = rig.take();
    let [Output::AnswerRefused { .. }, Output::Send { bytes, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let message: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!((&message["id"], &message["error"]["code"]), (&json!("w"), &json!(-32602)));

    ask(&mut rig, "r", "roots/list", json!({}));
    assert_eq!(rig.sent_message().0["result"], json!({"roots": [{"uri": "file:///a"}]}));
    assert!(rig.conn.set_roots(Json::from_static("[]")));
    assert_eq!(rig.sent_message().0["method"], "notifications/roots/list_changed");
    ask(&mut rig, "r2", "roots/list", json!({}));
    assert_eq!(rig.sent_message().0["result"], json!({"roots": []}));

    for (method, params, code) in [
        ("elicitation/create", json!({"message": "x", "mode": "form"}), -32602),
        ("elicitation/create", json!({"message": "x", "mode": "novel", "requestedSchema": {}}), -32602),
        ("sampling/createMessage", json!({"messages": [], "toolChoice": {}}), -32602),
        ("sampling/createMessage", json!({}), -32602),
        ("tools/list", json!({}), -32601),
    ] {
        ask(&mut rig, "x", method, params);
        assert_eq!(rig.sent_message().0["error"]["code"], code, "{method}");
    }
    ask(&mut rig, "u", "elicitation/create", json!({"mode": "url", "message": "x", "url": "https://a"}));
    let question = asked(&mut rig)[0].0;
    rig.reply(question, json!({"action": "accept", "content": {"a": 1}}));
    assert_eq!(rig.sent_message().0["result"], json!({"action": "accept"}));

    for index in 0..64 {
        ask(&mut rig, &index.to_string(), "elicitation/create", asking());
    }
    let open = asked(&mut rig);
    ask(&mut rig, "more", "elicitation/create", asking());
    assert_eq!(rig.sent_message().0["error"]["code"], -32600);
    rig.recv(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "0"}}));
    assert!(matches!(rig.take()[..], [Output::Withdrawn { question, .. }] if question == open[0].0));
    rig.conn.close();
    assert_eq!(rig.take().iter().filter(|output| matches!(output, Output::Withdrawn { .. })).count(), 63);

    let mut forms = legacy_of(
        ClientConfig { capabilities: Json::from_static(r#"{"elicitation":{}}"#), ..ClientConfig::default() },
        json!({}),
    );
    ask(&mut forms, "u", "elicitation/create", json!({"mode": "url", "message": "x", "url": "https://a"}));
    assert_eq!(forms.sent_message().0["error"]["code"], -32602, "empty means forms only");
    ask(&mut forms, "s", "sampling/createMessage", json!({"messages": []}));
    assert_eq!(forms.sent_message().0["error"]["code"], -32601);
    assert!(!forms.conn.set_roots(Json::from_static("[]")));
}

#[test]
fn time_stands_still_while_the_host_is_asked() {
    let seconds = Duration::from_secs;
    for era in [Era::Modern, Era::Legacy] {
        let mut rig = match era {
            Era::Modern => modern_of(config(STREAM)),
            Era::Legacy => legacy_of(config(STREAM), json!({})),
        };
        let options =
            CallOptions { timeout: Some(seconds(10)), total: Some(seconds(15)), ..CallOptions::default() };
        rig.start_with(1, "call_tool", json!({"name": "t"}), options);
        let (id, _) = rig.sent("tools/call");
        rig.pass(seconds(9));
        match era {
            Era::Modern => rig.answer(id, required(json!({"a": elicit()}), None)),
            Era::Legacy => rig.recv(
                json!({"jsonrpc": "2.0", "id": "e", "method": "elicitation/create", "params": asking()}),
            ),
        }
        let question = asked(&mut rig)[0].0;
        rig.pass(seconds(1000));
        assert!(rig.take().is_empty());
        rig.reply(question, json!({"action": "decline"}));
        rig.sent_message();
        rig.pass(seconds(5));
        assert!(rig.take().is_empty());
        rig.pass(seconds(1));
        let outputs = rig.take();
        let Some(Output::Error { op: 1, error }) = outputs.last() else { panic!("{era:?} {outputs:?}") };
        assert_eq!(error.kind, "timeout", "the total limit goes on where it stood");
    }
}

#[test]
fn a_cancelled_call_takes_its_questions_along() {
    let mut rig = modern_of(config(STREAM));
    rig.start(1, "call_tool", json!({"name": "t"}));
    let (id, _) = rig.sent("tools/call");
    rig.answer(id, required(json!({"a": elicit()}), None));
    let question = asked(&mut rig)[0].0;
    assert!(rig.conn.cancel(1, ""));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Withdrawn { question: own, .. }, Output::Error { op: 1, .. }] if *own == question),
        "nothing is in flight that could be cancelled: {outputs:?}"
    );

    let mut rig = legacy_of(config(Transport::Http), json!({}));
    rig.start(1, "call_tool", json!({"name": "a"}));
    let (first, _) = rig.sent("tools/call");
    rig.start(2, "call_tool", json!({"name": "b"}));
    rig.sent("tools/call");
    let question = json!({"jsonrpc": "2.0", "id": "e", "method": "elicitation/create", "params": asking()});
    rig.conn.recv(rig.now, Some(first), Bytes::from(question.to_string()));
    let open = asked(&mut rig)[0].0;
    assert!(rig.conn.cancel(2, ""));
    assert!(!rig.take().iter().any(|output| matches!(output, Output::Withdrawn { .. })), "not its own");
    rig.answer(first, json!({"content": []}));
    let outputs = rig.take();
    assert!(
        matches!(&outputs[..], [Output::Send { .. }, Output::Withdrawn { question, .. }, Output::Result { .. }] if *question == open)
    );
}
