//! Rules that depend on the caller: scopes, visible items, ownership.

use serde_json::{Value, json};
use trunnion::server::auth::{Claims, Visibility};
use trunnion::server::{Ask, Completion, Context, Prompt, Resource, ResourceTemplate, ServerBuilder, Tool};

use crate::auth_server::world::{World, builder, send, status};
use crate::common::{Answer, Peer, Stream, text};

async fn whoami(claims: Claims, context: Context) -> String {
    let same = context.claims().is_some_and(|own| own.principal() == claims.principal());
    format!("{} {:?} {same}", claims.subject().unwrap_or("nobody"), claims.scopes())
}

pub async fn perhaps(claims: Option<Claims>) -> String {
    claims.map_or("somebody local".to_owned(), |claims| claims.principal().to_owned())
}

fn items() -> ServerBuilder {
    let staff = || Visibility::claim("groups", "staff");
    builder()
        .cache(std::time::Duration::from_secs(60), true)
        .page_size(2)
        .tool(Tool::new("whoami", whoami))
        .tool(Tool::new("perhaps", perhaps))
        .tool(Tool::new("write", async || "written").scopes(["files:write", "files:read"]))
        .tool(Tool::new("audit", async || "audited").visible_to(staff()))
        .tool(Tool::new("last", async || "last"))
        .resource(Resource::new("doc://open", async || "open"))
        .resource(Resource::new("doc://secret", async || "secret").visible_to(staff()))
        .resource(Resource::new("doc://scoped", async || "scoped").scopes(["files:read"]))
        .resource_template(ResourceTemplate::new("staff://{name}", async || "theirs").visible_to(staff()))
        .completion(Completion::resource_template("staff://{name}", async || vec!["a"]))
        .prompt(Prompt::new("open", async || "open"))
        .prompt(Prompt::new("secret", async || "secret").visible_to(staff()))
}

async fn world() -> World {
    World::with(|auth| auth, items()).await
}

fn staff(world: &World) -> String {
    world.token(json!({"claims": {"sub": "boss", "groups": ["all", "staff"]}}))
}

#[tokio::test]
async fn claims_reach_the_handler() {
    let world = world().await;
    let token = world.token(json!({"claims": {"sub": "ann", "scope": "a b"}}));
    let call = |name| world.ask_as(&token, "tools/call", json!({ "name": name }));
    assert_eq!(text(&call("whoami").await), r#"ann ["a", "b"] true"#);
    let principal = text(&call("perhaps").await).to_owned();
    assert_eq!(principal, json!([world.issuer.issuer(), "sub:ann"]).to_string());
}

#[tokio::test]
async fn who_is_local_needs_no_token() {
    let server = items().auth(
        trunnion::server::auth::Auth::new().verifier(|_: trunnion::server::auth::Secret| async { Ok(None) }),
    );
    let server = server.build().expect("valid");
    let client = trunnion::Client::builder().connect(&server).await.expect("connected");
    let call = |name| client.call_tool(name, json!({}));
    assert_eq!(call("perhaps").await.expect("an answer").text(), "somebody local");
    assert_eq!(call("audit").await.expect("an answer").text(), "audited");
    assert_eq!(call("write").await.expect("an answer").text(), "written");
    assert_eq!(call("whoami").await.expect_err("nobody").kind, "internal_error");
}

#[tokio::test]
async fn a_tool_needs_its_scopes() {
    let world = World::with(|auth| auth.required_scopes(["basic"]), items()).await;
    let call = |token: String, tool: &'static str| {
        let bearer = format!("Bearer {token}");
        send(world.calling(tool, &[("authorization", &bearer)]))
    };
    let with = |scope: &str| world.token(json!({"claims": {"scope": scope}}));
    let refused = call(with("basic files:read"), "write").await.expect_err("refused");
    assert_eq!((refused.status, refused.reason(), &refused.body["id"]), (403, "scope", &json!(1)));
    assert!(refused.challenges[0].contains(r#"error="insufficient_scope""#), "{refused:?}");
    assert!(refused.challenges[0].contains(r#"scope="basic files:write files:read""#), "{refused:?}");
    assert!(refused.challenges[0].contains("resource_metadata="), "{refused:?}");
    assert!(call(with("basic files:read files:write"), "write").await.is_ok());
    assert!(call(with("basic"), "last").await.is_ok());
    // The base scopes are for every request; some issuers write them as an array.
    assert_eq!(call(with("files:read files:write"), "last").await.expect_err("refused").status, 403);
    assert!(call(world.token(json!({"claims": {"scp": ["basic"]}})), "last").await.is_ok());

    let read = |token: String, uri: &str| {
        let bearer = format!("Bearer {token}");
        send(world.asking("resources/read", json!({ "uri": uri }), &[("authorization", &bearer)]))
    };
    assert_eq!(read(with("basic"), "doc://scoped").await.expect_err("refused").status, 403);
    let answer = read(with("basic files:read"), "doc://scoped").await.expect("read");
    assert_eq!(answer["result"]["cacheScope"], "private");
    let answer = read(with("basic"), "doc://open").await.expect("read");
    assert_eq!(answer["result"]["cacheScope"], "public");
}

#[tokio::test]
async fn scopes_without_auth_let_nobody_in() {
    let server = items().build().expect("valid");
    let peer = Peer::modern(&server).await;
    let answer = peer.call(1, "write", json!({})).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json()["error"]["data"]["reason"], "scope");
    assert_eq!(peer.call(2, "last", json!({})).await.status(), 200);
    let audit = peer.call(3, "audit", json!({})).await.json();
    assert_eq!(audit["error"]["message"], "Unknown tool: audit");
}

fn names(page: &Value, list: &str) -> Vec<String> {
    let items = page["result"][list].as_array().unwrap_or_else(|| panic!("no list: {page}"));
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn what_is_not_seen_is_not_there() {
    let world = world().await;
    let (user, boss) = (world.good(), staff(&world));
    let mut seen = Vec::new();
    for token in [&user, &boss] {
        let (mut all, mut params) = (Vec::new(), json!({}));
        loop {
            let page = world.ask_as(token, "tools/list", params).await;
            assert_eq!(page["result"]["cacheScope"], "private");
            all.extend(names(&page, "tools"));
            match page["result"].get("nextCursor") {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => break,
            }
        }
        seen.push(all.join(" "));
    }
    assert_eq!(seen, ["hello whoami perhaps write last", "hello whoami perhaps write audit last"]);

    for (method, params, fine) in [
        ("tools/call", json!({"name": "audit"}), "content"),
        ("resources/read", json!({"uri": "doc://secret"}), "contents"),
        ("resources/read", json!({"uri": "staff://x"}), "contents"),
        ("prompts/get", json!({"name": "secret"}), "messages"),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "staff://{name}"}, "argument": {"name": "name", "value": ""}}),
            "completion",
        ),
    ] {
        let mut unknown = params.clone();
        for name in ["name", "uri"] {
            if let Some(value) = params[name].as_str() {
                unknown[name] = value
                    .replace("audit", "aubit")
                    .replace("secret", "sekret")
                    .replace("staff", "stuff")
                    .into();
            }
        }
        if let Some(uri) = params["ref"]["uri"].as_str() {
            unknown["ref"]["uri"] = uri.replace("staff", "stuff").into();
        }
        let theirs = world.ask_as(&user, method, params.clone()).await;
        let nobodys = world.ask_as(&user, method, unknown).await;
        let plain = |answer: &Value| {
            let text = answer["error"].to_string();
            text.replace("aubit", "audit").replace("sekret", "secret").replace("stuff", "staff")
        };
        assert_eq!(plain(&theirs), plain(&nobodys), "{method}");
        let answer = world.ask_as(&boss, method, params).await;
        assert!(!answer["result"][fine].is_null(), "{method}: {answer}");
    }
    for (method, list, few, all) in [
        ("resources/list", "resources", 2, 2),
        ("prompts/list", "prompts", 1, 2),
        ("resources/templates/list", "resourceTemplates", 0, 1),
    ] {
        assert_eq!(names(&world.ask_as(&user, method, json!({})).await, list).len(), few, "{method}");
        assert_eq!(names(&world.ask_as(&boss, method, json!({})).await, list).len(), all, "{method}");
    }
}

#[tokio::test]
async fn a_cursor_does_not_tell_what_is_there() {
    use base64::Engine as _;
    let world = world().await;
    let user = world.good();
    let cursor = |name: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(name);
    let ask = |name: &str| world.ask_as(&user, "tools/list", json!({ "cursor": cursor(name) }));
    let (hidden, unknown) = (ask("audit").await, ask("aubit").await);
    assert_eq!(hidden["error"], unknown["error"]);
    assert!(hidden["error"]["message"].as_str().expect("a message").contains("cursor"));
    assert_eq!(names(&ask("write").await, "tools"), ["last"]);
}

/// Subscribes with a token, and returns the acknowledged resources and the stream.
async fn listening(world: &World, token: &str, uris: &[&str]) -> (Value, Stream) {
    let filter = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    let bearer = format!("Bearer {token}");
    let request = world.asking("subscriptions/listen", filter, &[("authorization", &bearer)]);
    let mut stream = Peer::answer(request).await.stream();
    let granted = stream.message().await["params"]["notifications"]["resourceSubscriptions"].clone();
    (granted, stream)
}

/// Collects the messages of a stream until the list of tools has changed.
pub async fn told(stream: &mut Stream) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if event.data.is_empty() {
            continue;
        }
        let message = event.message();
        let method = message["method"].as_str().expect("a notification").to_owned();
        if method == "notifications/tools/list_changed" {
            return told;
        }
        if method == "notifications/resources/updated" {
            told.push(message["params"]["uri"].as_str().expect("a URI").to_owned());
        }
    }
}

#[tokio::test]
async fn subscriptions_are_for_what_is_seen() {
    let world = world().await;
    let uris = ["doc://open", "doc://secret", "doc://scoped", "doc://to-come"];
    let (granted, mut users) = listening(&world, &world.good(), &uris).await;
    // A hidden item is acknowledged like a missing one, so that its existence is not disclosed.
    assert_eq!(granted, json!(["doc://open", "doc://secret", "doc://to-come"]));
    let (granted, mut bosses) = listening(&world, &staff(&world), &uris).await;
    assert_eq!(granted, json!(["doc://open", "doc://secret", "doc://to-come"]));
    uris.iter().for_each(|uri| world.server.resource_updated(*uri));
    assert!(world.server.remove_tool("last"));
    assert_eq!(told(&mut users).await, ["doc://open", "doc://to-come"]);
    assert_eq!(told(&mut bosses).await, ["doc://open", "doc://secret", "doc://to-come"]);
}

#[tokio::test]
async fn what_is_hidden_later_is_not_told_of() {
    let world = world().await;
    let (user, boss) = (world.good(), staff(&world));
    let (_, mut users) = listening(&world, &user, &["doc://to-come"]).await;
    let (_, mut bosses) = listening(&world, &boss, &["doc://to-come"]).await;
    let mut sessions = Vec::new();
    for token in [&user, &boss] {
        let id = session(&world, token).await;
        assert_eq!(subscribe(&world, token, &id, "doc://open").await, 200);
        sessions.push(Peer::answer(legacy(&world, reqwest::Method::GET, token, Some(&id))).await.stream());
    }
    let hidden = |uri: &str| {
        let resource = Resource::new(uri, async || "theirs");
        world.server.add(resource.visible_to(Visibility::claim("groups", "staff"))).expect("valid");
    };
    assert!(world.server.remove_resource("doc://open"));
    hidden("doc://open");
    hidden("doc://to-come");
    for uri in ["doc://open", "doc://to-come"] {
        world.server.resource_updated(uri);
    }
    assert!(world.server.remove_tool("last"));
    assert!(told(&mut users).await.is_empty());
    assert_eq!(told(&mut bosses).await, ["doc://to-come"]);
    assert!(told(&mut sessions[0]).await.is_empty());
    assert_eq!(told(&mut sessions[1]).await, ["doc://open"]);
}

/// Begins a legacy session with a token.
pub async fn session(world: &World, token: &str) -> String {
    session_of(world, token, "2025-11-25").await
}

async fn session_of(world: &World, token: &str, revision: &str) -> String {
    let params =
        json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let request = legacy_of(world, reqwest::Method::POST, token, None, revision);
    let response = request.body(body.to_string()).send().await.expect("sent");
    assert_eq!(response.status(), 200);
    response.headers()["mcp-session-id"].to_str().expect("ASCII").to_owned()
}

pub fn legacy(
    world: &World,
    method: reqwest::Method,
    token: &str,
    session: Option<&str>,
) -> reqwest::RequestBuilder {
    legacy_of(world, method, token, session, "2025-11-25")
}

fn legacy_of(
    world: &World,
    method: reqwest::Method,
    token: &str,
    session: Option<&str>,
    revision: &str,
) -> reqwest::RequestBuilder {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = http
        .request(method, world.url())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", revision)
        .header("authorization", format!("Bearer {token}"));
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    request
}

fn subscribing(uri: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": uri}})
}

async fn subscribe(world: &World, token: &str, session: &str, uri: &str) -> u16 {
    let request = legacy(world, reqwest::Method::POST, token, Some(session));
    status(request.body(subscribing(uri).to_string())).await
}

#[tokio::test]
async fn a_subscription_that_lacks_scopes_leaves_nothing_behind() {
    let world = world().await;
    let (without, with) = (world.good(), world.token(json!({"claims": {"scope": "files:read"}})));
    let id = session(&world, &without).await;
    assert_eq!(subscribe(&world, &without, &id, "doc://scoped").await, 403);
    let batching = session_of(&world, &without, "2025-03-26").await;
    let post = legacy_of(&world, reqwest::Method::POST, &without, Some(&batching), "2025-03-26");
    let batch = post.body(json!([subscribing("doc://scoped")]).to_string());
    let answer = Peer::answer(batch).await.stream().message().await;
    assert_eq!(answer["error"]["data"]["reason"], "scope", "{answer}");
    let mut streams = Vec::new();
    for (session, revision) in [(&id, "2025-11-25"), (&batching, "2025-03-26")] {
        // A subscriber may receive the change, but has not asked for it.
        let request = legacy_of(&world, reqwest::Method::GET, &with, Some(session), revision);
        streams.push(Peer::answer(request).await.stream());
    }
    world.server.resource_updated("doc://scoped");
    assert!(world.server.remove_tool("last"));
    for stream in &mut streams {
        assert!(told(stream).await.is_empty());
    }
}

#[tokio::test]
async fn a_session_is_its_owners() {
    let world = world().await;
    let (ann, bob) =
        (world.token(json!({"claims": {"sub": "ann"}})), world.token(json!({"claims": {"sub": "bob"}})));
    let id = session(&world, &ann).await;
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "last"}}).to_string();
    let post = |token: &str, id: &str| {
        status(legacy(&world, reqwest::Method::POST, token, Some(id)).body(call.clone()))
    };
    assert_eq!(post(&ann, &id).await, 200);
    // A new token of the same owner is as good.
    assert_eq!(post(&world.token(json!({"claims": {"sub": "ann", "jti": "2"}})), &id).await, 200);
    assert_eq!(post(&bob, &id).await, 404);
    let of = |method: &reqwest::Method, token: &str, id: &str| {
        let request = legacy(&world, method.clone(), token, Some(id));
        async move { Peer::answer(request).await }
    };
    let get = reqwest::Method::GET;
    let (theirs, unknown) = (of(&get, &bob, &id).await, of(&get, &bob, "unknown").await);
    match (theirs, unknown) {
        (Answer::Json(404, theirs), Answer::Json(404, unknown)) => assert_eq!(theirs, unknown),
        _ => panic!("another's stream is as unknown as none"),
    }
    let delete = reqwest::Method::DELETE;
    let (theirs, unknown) = (of(&delete, &bob, &id).await, of(&delete, &bob, "unknown").await);
    assert_eq!((theirs.status(), theirs.json()), (unknown.status(), unknown.json()));
    assert_eq!(post(&ann, &id).await, 200, "it is still there");
    assert_eq!(of(&delete, &ann, &id).await.status(), 204);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let world = World::with(|auth| auth.leeway(std::time::Duration::ZERO), items()).await;
    let id = session(&world, &world.good()).await;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let short = world.token(json!({"claims": {"exp": now + 2}}));
    let bearer = format!("Bearer {short}");
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let listening = world.asking("subscriptions/listen", filter, &[("authorization", &bearer)]);
    let mut listening = Peer::answer(listening).await.stream();
    let standing = legacy(&world, reqwest::Method::GET, &short, Some(&id));
    let mut standing = Peer::answer(standing).await.stream();
    // The stream that a client resumes with the id of the event that opened it.
    let id = session(&world, &world.good()).await;
    let resumed = legacy(&world, reqwest::Method::GET, &short, Some(&id)).header("last-event-id", "0-0");
    let mut resumed = Peer::answer(resumed).await.stream();
    listening.message().await;
    assert!(!listening.message().await["result"].is_null(), "a graceful end");
    assert_eq!(listening.next().await, None);
    while standing.next().await.is_some() {}
    while resumed.next().await.is_some() {}
    assert_eq!(world.refused(&short).await, "expired");
}

#[tokio::test]
async fn state_is_its_owners() {
    let asking =
        Tool::new("asking", async |context: Context| match context.ask([("name", Ask::roots())]).await {
            Ok(_) => "answered".to_owned(),
            Err(error) => error.message,
        });
    let world = World::with(|auth| auth, builder().tool(asking)).await;
    let (ann, bob) =
        (world.token(json!({"claims": {"sub": "ann"}})), world.token(json!({"claims": {"sub": "bob"}})));
    let first = world.ask_as(&ann, "tools/call", json!({"name": "asking"})).await;
    let state = first["result"]["requestState"].as_str().expect("a state");
    let again = json!({"name": "asking", "requestState": state, "inputResponses": {"name": {"roots": []}}});
    let theirs = world.ask_as(&bob, "tools/call", again.clone()).await;
    let mut broken = again.clone();
    broken["requestState"] = "made-up".into();
    assert_eq!(theirs["error"], world.ask_as(&bob, "tools/call", broken).await["error"]);
    assert_eq!(text(&world.ask_as(&ann, "tools/call", again).await), "answered");
}
