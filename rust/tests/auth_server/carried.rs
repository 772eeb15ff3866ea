//! Server authorization of an endpoint mounted in another web server, and on the oldest transport.

use axum::Router;
use serde_json::json;
use trunnion::server::auth::{Auth, JwtVerifier, StaticTokens, Visibility};
use trunnion::server::{Resource, Tool};
use trunnion_auth_server::AuthServer;

use crate::auth_server::callers::told;
use crate::auth_server::world::builder;
use crate::common::{Peer, text};

#[tokio::test]
async fn a_web_server_carries_it() {
    let issuer = AuthServer::start().await.expect("a port");
    let auth = Auth::new().jwt(JwtVerifier::new(issuer.issuer()));
    let server = builder().auth(auth).build().expect("valid");
    let error = server.http().tower_service().expect_err("it is not known where it is");
    assert!(error.kind == "usage" && error.message.contains("publicUrl"), "{error:?}");
    let public = "https://mcp.example.com/mcp";
    let service = server.http().public_url(public).tower_service().expect("a service");
    let router = Router::new()
        .route_service("/mcp", service.clone())
        .route_service("/.well-known/oauth-protected-resource/mcp", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let document =
        http.get(format!("{base}/.well-known/oauth-protected-resource/mcp")).send().await.expect("sent");
    assert!(document.text().await.expect("text").contains(public));
    let refused = http.post(format!("{base}/mcp")).send().await.expect("sent");
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().expect("ASCII").to_owned();
    assert!(
        challenge.contains("https://mcp.example.com/.well-known/oauth-protected-resource/mcp"),
        "{challenge}"
    );
    let token = issuer.token(&json!({"claims": {"aud": public}}));
    let client = trunnion::Client::builder().header("authorization", format!("Bearer {token}"));
    let client = client.connect(format!("{base}/mcp")).await.expect("let in");
    assert_eq!(client.call_tool("hello", json!({})).await.expect("an answer").text(), "hello");
}

#[tokio::test]
async fn a_proof_is_for_the_public_url_whatever_the_proxy_asks_for() {
    let issuer = AuthServer::start().await.expect("a port");
    let (resource, public) = ("https://mcp.example.com", "https://mcp.example.com/mcp");
    let auth = Auth::new().jwt(JwtVerifier::new(issuer.issuer())).resource(resource);
    let server = builder().auth(auth).build().expect("valid");
    let listening = server.http().public_url(public).bind("127.0.0.1:0").await.expect("a port");
    let peer = Peer::of(listening, "2025-11-25");
    let jkt = issuer.proof(&json!({}))["jkt"].clone();
    let token = issuer.token(&json!({"claims": {"aud": resource, "cnf": {"jkt": jkt}}}));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    for (url, fine) in
        [(public, 200), ("https://mcp.example.com/other", 401), ("https://evil.example/mcp", 401)]
    {
        let proof = issuer.proof(&json!({"method": "POST", "url": url, "token": token}));
        let request = peer.request(reqwest::Method::POST).header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", proof["proof"].as_str().expect("a proof"));
        assert_eq!(Peer::answer(request.body(body.to_string())).await.status(), fine, "{url}");
    }
}

#[tokio::test]
async fn a_stream_of_the_oldest_transport_tells_what_is_seen_now() {
    let staff = || Visibility::claim("groups", "staff");
    let tokens = StaticTokens::new()
        .token("ann", json!({"sub": "ann", "groups": "staff"}))
        .token("bob", json!({"sub": "bob"}));
    let server = builder()
        .tool(Tool::new("last", async || "last"))
        .resource(Resource::new("doc://a", async || "open"))
        .auth(Auth::new().tokens(tokens))
        .build()
        .expect("valid");
    let listening = server.http().sse_path("/sse").bind("127.0.0.1:0").await.expect("a port");
    let url = |path: &str| listening.url().replace("/mcp", path);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut streams = Vec::new();
    for token in ["ann", "bob"] {
        let bearer = format!("Bearer {token}");
        let mut stream = Peer::answer(http.get(url("/sse")).header("authorization", &bearer)).await.stream();
        let endpoint = stream.next().await.expect("the endpoint").data;
        let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        for (id, method, params) in
            [(1, "initialize", hello), (2, "resources/subscribe", json!({"uri": "doc://a"}))]
        {
            let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            let request = http.post(url(&endpoint)).header("content-type", "application/json");
            let request = request.header("authorization", &bearer).body(body.to_string());
            assert_eq!(request.send().await.expect("sent").status(), 202);
            let answer = stream.message().await;
            assert!(answer["id"] == id && !answer["result"].is_null(), "{answer}");
        }
        streams.push(stream);
    }
    assert!(server.remove_resource("doc://a"));
    server.add(Resource::new("doc://a", async || "theirs").visible_to(staff())).expect("valid");
    server.resource_updated("doc://a");
    assert!(server.remove_tool("last"));
    assert_eq!(told(&mut streams[0]).await, ["doc://a"]);
    assert!(told(&mut streams[1]).await.is_empty());
}

#[tokio::test]
async fn a_stream_of_the_oldest_transport_is_its_owners() {
    let tokens = StaticTokens::new().token("ann", json!({"sub": "ann"})).token("bob", json!({"sub": "bob"}));
    let server = builder().auth(Auth::new().tokens(tokens)).build().expect("valid");
    let listening = server.http().sse_path("/sse").bind("127.0.0.1:0").await.expect("a port");
    let peer = Peer::of(listening, "2024-11-05");
    let url = |path: &str| peer.listening.url().replace("/mcp", path);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    assert_eq!(http.get(url("/sse")).send().await.expect("sent").status(), 401);
    let mut stream = Peer::answer(http.get(url("/sse")).header("authorization", "Bearer ann")).await.stream();
    let endpoint = stream.next().await.expect("the endpoint").data;
    let say = async |token: &str, id: u64, method: &str, params: serde_json::Value| {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let request = http.post(url(&endpoint)).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {token}")).body(body.to_string());
        request.send().await.expect("sent").status().as_u16()
    };
    let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    assert_eq!(say("ann", 1, "initialize", hello).await, 202);
    assert_eq!(stream.message().await["id"], 1);
    assert_eq!(say("bob", 2, "tools/call", json!({"name": "hello"})).await, 404);
    assert_eq!(say("ann", 3, "tools/call", json!({"name": "hello"})).await, 202);
    let answer = stream.message().await;
    assert_eq!((&answer["id"], text(&answer)), (&json!(3), "hello"));
}
