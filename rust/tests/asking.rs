//! Handlers that send input requests to their client, in both eras, and streams that clients subscribe to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::Peer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use trunnion::Error;
use trunnion::model::SampleRequest;
use trunnion::server::{Args, Ask, Context, Elicited, Prompt, Resource, Server, State, Tool};

#[derive(Deserialize, JsonSchema)]
struct Person {
    /// What people call you
    name: String,
    age: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
struct Color {
    color: Shade,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Shade {
    Red,
    Blue,
}

#[derive(Deserialize, JsonSchema)]
struct Order {
    item: String,
}

/// A counter of actions.
#[derive(Default, Clone)]
struct Done(Arc<AtomicU32>);

async fn greet(context: Context) -> Result<String, Error> {
    Ok(match context.elicit::<Person>("Who are you?").await? {
        Elicited::Accepted(Person { name, age }) => format!("Hello {name}, {age:?}"),
        Elicited::Declined => "Declined".into(),
        Elicited::Cancelled => "Cancelled".into(),
    })
}

async fn order(Args(order): Args<Order>, context: Context, done: State<Done>) -> Result<String, Error> {
    let number: u32 = context
        .once("charge", || async { Ok::<_, Error>(done.0.0.fetch_add(1, Ordering::Relaxed) + 41) })
        .await?;
    let Some(person) = context.elicit::<Person>("Who?").await?.accepted() else { return Ok("no".into()) };
    let Some(color) = context.elicit::<Color>("Which?").await?.accepted() else { return Ok("no".into()) };
    Ok(format!("{} {} {:?} for {}", number, order.item, color.color, person.name))
}

async fn everything(context: Context) -> Result<String, Error> {
    let sample = SampleRequest { max_tokens: 10, ..SampleRequest::default() };
    let asks =
        [("who", Ask::form::<Person>("Who?")), ("model", Ask::sample(sample)), ("roots", Ask::roots())];
    let answers = context.ask(asks).await?;
    let model: Value = answers.get("model")?;
    let who = answers.form::<Person>("who")?.accepted().map_or_else(String::new, |person| person.name);
    Ok(format!("{who} {} {}", model["model"], answers.roots("roots")?.len()))
}

async fn together(context: Context) -> Result<String, Error> {
    let (person, roots) = tokio::join!(context.elicit::<Person>("Who?"), context.list_roots());
    Ok(format!("{} {}", person?.accepted().map_or_else(String::new, |p| p.name), roots?.len()))
}

async fn declared(context: Context, done: State<Done>) -> Result<String, Error> {
    done.0.0.fetch_add(1, Ordering::Relaxed);
    let person = context.answers().form::<Person>("who")?.accepted();
    Ok(person.map_or_else(|| "nobody".into(), |person| person.name))
}

async fn visit(context: Context) -> Result<String, Error> {
    let action = context.elicit_url_as("e1", "Sign in", "https://example.com/sign-in").await?;
    Ok(format!("{action:?}"))
}

/// A call that is to be sent again after a page was visited (2025-11-25, "URL Elicitation Required Error").
async fn required() -> Result<String, Error> {
    let page =
        json!({"mode": "url", "elicitationId": "e2", "url": "https://example.com/", "message": "Sign in"});
    Err(Error::custom(-32042, "sign in first").with_data(json!({"elicitations": [page]})))
}

async fn hello() -> &'static str {
    "hello"
}

fn server(done: &Done) -> Server {
    Server::builder("test", "1.0")
        .state(done.clone())
        .tool(Tool::new("greet", greet))
        .tool(Tool::new("order", order))
        .tool(Tool::new("everything", everything))
        .tool(Tool::new("together", together))
        .tool(Tool::new("visit", visit))
        .tool(Tool::new("required", required))
        .tool(Tool::new("declared", declared).asks("who", Ask::form::<Person>("Who?")))
        .prompt(Prompt::new("greeting", greet))
        .resource(Resource::new("test://greeting", greet))
        .build()
        .expect("valid")
}

fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}"))
}

fn accept(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}

/// Sends the request again with answers.
async fn again(peer: &Peer, id: u64, params: &Value, asked: &Value, answers: Value) -> Value {
    let mut params = params.clone();
    params["inputResponses"] = answers;
    params["requestState"] = asked["result"]["requestState"].clone();
    let method = if params["uri"].is_string() {
        "resources/read"
    } else if params["name"] == "greeting" {
        "prompts/get"
    } else {
        "tools/call"
    };
    peer.ask(id, method, params).await.json()
}

#[tokio::test]
async fn a_modern_client_is_asked_by_the_result_and_comes_back() {
    let peer = Peer::modern(&server(&Done::default())).await;
    let call = json!({"name": "greet"});
    let asked = peer.ask(1, "tools/call", call.clone()).await.json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let question = &asked["result"]["inputRequests"]["q1"];
    assert_eq!(question["method"], "elicitation/create");
    let schema = &question["params"]["requestedSchema"];
    assert_eq!(
        schema["properties"]["name"],
        json!({"type": "string", "description": "What people call you"})
    );
    assert_eq!(schema["properties"]["age"]["type"], "integer", "{schema}");
    assert_eq!(schema["required"], json!(["name"]));

    let answers = json!({"q1": accept(json!({"name": "Ada", "age": 36})), "unasked": 5});
    assert_eq!(text(&again(&peer, 2, &call, &asked, answers).await), "Hello Ada, Some(36)");
    let answers = json!({"q1": {"action": "decline"}});
    assert_eq!(text(&again(&peer, 3, &call, &asked, answers).await), "Declined");
    let missing = again(&peer, 4, &call, &asked, json!({"other": accept(json!({}))})).await;
    assert_eq!(missing["result"]["resultType"], "input_required", "asked again: {missing}");
    for wrong in [json!(12345), accept(json!({"name": 5})), accept(json!({}))] {
        let error = again(&peer, 5, &call, &asked, json!({ "q1": wrong })).await;
        assert_eq!(error["error"]["code"], -32602, "{error}");
        assert!(
            error["error"]["message"].as_str().is_some_and(|m| m.contains("inputResponses.q1")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn prompts_and_resources_ask_too() {
    let peer = Peer::modern(&server(&Done::default())).await;
    let answers = || json!({"q1": accept(json!({"name": "Ada"}))});
    let prompt = json!({"name": "greeting"});
    let asked = peer.ask(1, "prompts/get", prompt.clone()).await.json();
    let answer = again(&peer, 2, &prompt, &asked, answers()).await;
    assert_eq!(answer["result"]["messages"][0]["content"]["text"], "Hello Ada, None", "{answer}");
    let resource = json!({"uri": "test://greeting"});
    let asked = peer.ask(3, "resources/read", resource.clone()).await.json();
    let answer = again(&peer, 4, &resource, &asked, answers()).await;
    assert_eq!(answer["result"]["contents"][0]["text"], "Hello Ada, None", "{answer}");
}

#[tokio::test]
async fn several_rounds_remember_what_was_said_and_done() {
    let done = Done::default();
    let peer = Peer::modern(&server(&done)).await;
    let call = json!({"name": "order", "arguments": {"item": "lamp"}});
    let first = peer.ask(1, "tools/call", call.clone()).await.json();
    let second = again(&peer, 2, &call, &first, json!({"q1": accept(json!({"name": "Ada"}))})).await;
    assert!(second["result"]["inputRequests"]["q2"].is_object(), "{second}");
    assert_ne!(first["result"]["requestState"], second["result"]["requestState"]);
    let answers = json!({"q2": accept(json!({"color": "blue"}))});
    assert_eq!(text(&again(&peer, 3, &call, &second, answers.clone()).await), "41 lamp Blue for Ada");
    assert_eq!(done.0.load(Ordering::Relaxed), 1, "charged once");

    // The state belongs to this call of this tool, unchanged.
    let mut other = call.clone();
    other["arguments"]["item"] = json!("sofa");
    let mut tampered = second.clone();
    let state = second["result"]["requestState"].as_str().expect("a state");
    tampered["result"]["requestState"] = json!(format!("{state}-TAMPERED"));
    for (call, asked) in [(&other, &second), (&call, &tampered), (&json!({"name": "greet"}), &second)] {
        let error = again(&peer, 4, call, asked, answers.clone()).await;
        assert_eq!(error["error"]["code"], -32602, "{error}");
    }
}

#[tokio::test]
async fn several_questions_travel_together() {
    let peer = Peer::modern(&server(&Done::default())).await;
    let sampled = json!({"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"});
    let roots = json!({"roots": [{"uri": "file:///a"}]});
    let who = accept(json!({"name": "Ada"}));

    let call = json!({"name": "everything"});
    let asked = peer.ask(1, "tools/call", call.clone()).await.json();
    assert_eq!(asked["result"]["inputRequests"].as_object().map(serde_json::Map::len), Some(3));
    let answers = json!({"who": who, "model": sampled, "roots": roots});
    assert_eq!(text(&again(&peer, 2, &call, &asked, answers).await), "Ada \"m\" 1");

    let call = json!({"name": "together"});
    let asked = peer.ask(3, "tools/call", call.clone()).await.json();
    assert_eq!(asked["result"]["inputRequests"].as_object().map(serde_json::Map::len), Some(2), "{asked}");
    assert_eq!(text(&again(&peer, 4, &call, &asked, json!({"q1": who, "q2": roots})).await), "Ada 1");
}

#[tokio::test]
async fn the_declarative_form_asks_before_the_handler_runs() {
    let done = Done::default();
    let server = server(&done);
    let peer = Peer::modern(&server).await;
    let call = json!({"name": "declared"});
    let asked = peer.ask(1, "tools/call", call.clone()).await.json();
    assert_eq!(done.0.load(Ordering::Relaxed), 0);
    let answers = json!({"who": accept(json!({"name": "Ada"}))});
    assert_eq!(text(&again(&peer, 2, &call, &asked, answers).await), "Ada");
    assert_eq!(done.0.load(Ordering::Relaxed), 1);

    let peer = Peer::legacy(&server, "2025-11-25", json!({"elicitation": {}})).await;
    let mut stream = peer.call(1, "declared", json!({})).await.stream();
    stream.next().await.expect("the priming event");
    let asked = stream.message().await;
    assert_eq!(peer.respond(&asked, accept(json!({"name": "Bob"}))).await, 202);
    assert_eq!(text(&stream.message().await), "Bob");
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_the_stream_of_the_call() {
    let peer = Peer::legacy(&server(&Done::default()), "2025-06-18", json!({"elicitation": {}})).await;
    let mut stream = peer.call(1, "greet", json!({})).await.stream();
    let asked = stream.message().await;
    assert_eq!((&asked["method"], asked["id"].is_number()), (&json!("elicitation/create"), true));
    assert_eq!(peer.respond(&asked, accept(json!({"name": "Ada"}))).await, 202);
    assert_eq!(text(&stream.message().await), "Hello Ada, None");
    assert_eq!(stream.next().await, None);

    // An answer that does not fit, an error, and an answer to nothing.
    let mut stream = peer.call(2, "greet", json!({})).await.stream();
    let asked = stream.message().await;
    assert_eq!(peer.respond(&json!({"id": 999}), json!({})).await, 202);
    assert_eq!(peer.respond(&asked, accept(json!({"name": 5}))).await, 202);
    let answer = stream.message().await;
    assert!(answer["error"]["message"].as_str().is_some_and(|m| m.contains("does not fit")), "{answer}");
    let mut stream = peer.call(3, "greet", json!({})).await.stream();
    let asked = stream.message().await;
    let refusal = json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "no user"}});
    assert_eq!(peer.post(&refusal).await.status(), 202);
    assert_eq!(stream.message().await["error"], json!({"code": -1, "message": "no user"}));
}

#[tokio::test]
async fn clients_are_asked_only_what_they_can_answer() {
    let server = server(&Done::default());
    let peer = Peer::modern(&server).await;
    let none = json!({"io.modelcontextprotocol/clientCapabilities": {}});
    let refused = peer.ask(1, "tools/call", json!({"name": "greet", "_meta": none})).await;
    assert_eq!(refused.status(), 400);
    let refused = refused.json();
    assert_eq!(refused["error"]["code"], -32021);
    assert_eq!(refused["error"]["data"]["requiredCapabilities"], json!({"elicitation": {}}));
    let peer = Peer::legacy(&server, "2025-11-25", json!({})).await;
    let refused = peer.call(1, "greet", json!({})).await;
    // Clients of that era read no error where the status is another.
    assert_eq!(refused.status(), 200);
    assert_eq!(refused.json()["error"]["code"], -32600);
    // The revision has no elicitation, whatever the client declares.
    let peer = Peer::legacy(&server, "2025-03-26", json!({"elicitation": {}})).await;
    assert_eq!(peer.call(1, "greet", json!({})).await.json()["error"]["code"], -32600);
}

#[tokio::test]
async fn states_open_where_the_keys_are_the_same() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let replica = |keys: &[&str]| {
        let server = Server::builder("test", "1.0").tool(Tool::new("greet", greet));
        server.state_keys(keys.iter().copied()).build().expect("valid")
    };
    let (one, two, other) = (replica(&[key]), replica(&[key]), replica(&[]));
    let call = json!({"name": "greet"});
    let asked = Peer::modern(&one).await.ask(1, "tools/call", call.clone()).await.json();
    let answers = json!({"q1": accept(json!({"name": "Ada"}))});
    let answer = again(&Peer::modern(&two).await, 2, &call, &asked, answers.clone()).await;
    assert_eq!(text(&answer), "Hello Ada, None");
    let error = again(&Peer::modern(&other).await, 3, &call, &asked, answers).await;
    assert!(error["error"]["message"].as_str().is_some_and(|m| m.contains("stateKeys")), "{error}");
    assert!(Server::builder("test", "1.0").state_keys(["short"]).build().is_err());
}

#[tokio::test]
async fn a_client_may_come_back_for_as_long_as_is_said() {
    let come_back = async |limit: Option<Duration>| {
        let builder = Server::builder("test", "1.0").tool(Tool::new("greet", greet));
        let builder = match limit {
            Some(limit) => builder.state_ttl(limit),
            None => builder,
        };
        let peer = Peer::modern(&builder.build().expect("valid")).await;
        let call = json!({"name": "greet"});
        let asked = peer.ask(1, "tools/call", call.clone()).await.json();
        again(&peer, 2, &call, &asked, json!({"q1": accept(json!({"name": "Ada"}))})).await
    };
    assert_eq!(text(&come_back(None).await), "Hello Ada, None");
    assert_eq!(come_back(Some(Duration::ZERO)).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_call_asks_and_remembers_only_so_much() {
    let many = async |context: Context| {
        let asks = (0..65).map(|n| (n.to_string(), Ask::roots()));
        context.ask(asks).await.map(drop).map_err(|error| Error::custom(1, error.kind))
    };
    let much = async |context: Context| {
        let work = || async { Ok::<_, Error>("x".repeat(300 << 10)) };
        context.once("much", work).await.map(drop).map_err(|error| Error::custom(1, error.kind))
    };
    let server = Server::builder("test", "1.0").tool(Tool::new("many", many)).tool(Tool::new("much", much));
    let peer = Peer::modern(&server.build().expect("valid")).await;
    for (tool, kind) in [("many", "usage"), ("much", "limit")] {
        let answer = peer.call(1, tool, json!({})).await.json();
        assert_eq!(answer["error"]["message"], kind, "{answer}");
    }
}

#[tokio::test]
async fn modern_clients_listen_for_what_they_name() {
    let server = server(&Done::default());
    let peer = Peer::modern(&server).await;
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["test://greeting"]});
    let mut stream = peer.ask(9, "subscriptions/listen", json!({ "notifications": filter })).await.stream();
    let first = stream.message().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], filter);
    let subscription =
        |message: &Value| message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    assert_eq!(subscription(&first), 9);

    server.remove_prompt("greeting");
    server.resource_updated("test://other");
    server.add(Tool::new("new", hello)).expect("valid");
    let changed = stream.message().await;
    assert_eq!(
        (&changed["method"], subscription(&changed)),
        (&json!("notifications/tools/list_changed"), json!(9))
    );
    server.resource_updated("test://greeting");
    assert_eq!(stream.message().await["params"]["uri"], "test://greeting");

    peer.listening.close().await;
    let last = stream.message().await;
    assert_eq!(last["id"], 9);
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 9);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn what_the_server_does_not_offer_is_not_granted() {
    let server = Server::builder("test", "1.0").tool(Tool::new("hello", hello)).build().expect("valid");
    let peer = Peer::modern(&server).await;
    let filter =
        json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:b"]});
    let mut stream = peer.ask(1, "subscriptions/listen", json!({ "notifications": filter })).await.stream();
    assert_eq!(stream.message().await["params"]["notifications"], json!({"toolsListChanged": true}));
    let error = peer.ask(2, "subscriptions/listen", json!({})).await.json();
    assert_eq!(error["error"]["code"], -32602);
}

#[tokio::test]
async fn the_end_of_an_elicitation_is_told_to_the_session_that_was_asked() {
    let server = server(&Done::default());
    let pages = json!({"elicitation": {"url": {}}});
    let asked = Peer::legacy(&server, "2025-11-25", pages.clone()).await;
    let other = Peer::legacy(&server, "2025-11-25", pages.clone()).await;
    let older = Peer::legacy(&server, "2025-06-18", pages).await;
    let mut standing = [asked.get(None).await.stream(), other.get(None).await.stream()];
    for stream in &mut standing {
        stream.next().await.expect("the priming event");
    }
    let mut old = older.get(None).await.stream();

    // Elicited by a call, and by an error; an elicitation of another session is not its own.
    let visit = async |peer: &Peer| {
        let mut stream = peer.call(1, "visit", json!({})).await.stream();
        let question = loop {
            let event = stream.next().await.expect("a question");
            if !event.data.is_empty() {
                break event.message();
            }
        };
        assert_eq!(peer.respond(&question, json!({"action": "accept"})).await, 202);
        assert_eq!(text(&stream.message().await), "Accept");
        question
    };
    assert_eq!(visit(&asked).await["params"]["elicitationId"], "e1");
    visit(&older).await;
    assert_eq!(other.call(2, "required", json!({})).await.json()["error"]["code"], -32042);

    // The next message on each stream shows that no other one was sent.
    for id in ["e1", "e1", "e2", "e3"] {
        server.elicitation_complete(id);
    }
    server.remove_tool("greet");
    for (stream, id) in standing.iter_mut().zip(["e1", "e2"]) {
        let told = stream.message().await;
        assert_eq!(told["method"], "notifications/elicitation/complete");
        assert_eq!(told["params"], json!({"elicitationId": id}));
        assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    }
    assert_eq!(old.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn the_modern_era_has_no_ids_of_elicitations() {
    let peer = Peer::modern(&server(&Done::default())).await;
    let capabilities = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}});
    let params = json!({"name": "visit", "arguments": {}, "_meta": capabilities});
    let asked = peer.ask(1, "tools/call", params.clone()).await.json();
    let (key, question) =
        asked["result"]["inputRequests"].as_object().and_then(|all| all.iter().next()).expect("one");
    assert_eq!(question["params"]["url"], "https://example.com/sign-in");
    assert!(question["params"].get("elicitationId").is_none(), "{question}");
    let done = again(&peer, 2, &params, &asked, json!({ key: {"action": "accept"} })).await;
    assert_eq!(text(&done), "Accept");
}
