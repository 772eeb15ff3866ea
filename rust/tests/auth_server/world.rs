//! A server, its authorization server, and requests that expose status, headers and challenges.

use serde_json::{Value, json};
use trunnion::server::auth::{Auth, JwtVerifier};
use trunnion::server::{Server, ServerBuilder};
use trunnion_auth_server::AuthServer;

use crate::common::{Answer, Peer, hello};

/// A refusal, as a client sees it.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: Value,
    /// Values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
    pub nonce: Option<String>,
}

impl Refused {
    pub fn reason(&self) -> &str {
        self.body["error"]["data"]["reason"].as_str().unwrap_or_else(|| panic!("no reason: {self:?}"))
    }
}

pub struct World {
    pub issuer: AuthServer,
    pub server: Server,
    pub peer: Peer,
}

pub fn builder() -> ServerBuilder {
    Server::builder("guarded", "1").tool(trunnion::server::Tool::new("hello", hello))
}

impl World {
    /// A server that takes JWTs of our authorization server.
    pub async fn new() -> World {
        World::with(|auth| auth, builder()).await
    }

    pub async fn with(change: impl FnOnce(Auth) -> Auth, builder: ServerBuilder) -> World {
        let issuer = AuthServer::start().await.expect("a port");
        let auth = change(Auth::new().jwt(JwtVerifier::new(issuer.issuer())));
        World::of(issuer, auth, builder).await
    }

    pub async fn of(issuer: AuthServer, auth: Auth, builder: ServerBuilder) -> World {
        let server = builder.auth(auth).build().expect("valid");
        let peer = Peer::modern(&server).await;
        World { issuer, server, peer }
    }

    pub fn url(&self) -> &str {
        self.peer.listening.url()
    }

    /// A token for this server; `how` as of [`AuthServer::token`].
    pub fn token(&self, mut how: Value) -> String {
        if how["claims"].get("aud").is_none() {
            how["claims"]["aud"] = self.url().into();
        }
        self.issuer.token(&how)
    }

    pub fn good(&self) -> String {
        self.token(json!({}))
    }

    /// Calls a tool with these headers.
    pub fn calling(&self, tool: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.asking("tools/call", json!({ "name": tool }), headers)
    }

    pub fn asking(
        &self,
        method: &str,
        mut params: Value,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({"roots": {}});
        let mut request = self.peer.request(reqwest::Method::POST).header("mcp-method", method);
        if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
            request = request.header("mcp-name", name);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        request.body(body.to_string())
    }

    /// Calls `hello`; returns the answer, or the refusal.
    pub async fn hello(&self, headers: &[(&str, &str)]) -> Result<Value, Refused> {
        send(self.calling("hello", headers)).await
    }

    pub async fn hello_as(&self, token: &str) -> Result<Value, Refused> {
        self.hello(&[("authorization", &format!("Bearer {token}"))]).await
    }

    /// The reason why this token is refused.
    pub async fn refused(&self, token: &str) -> String {
        let refused = self.hello_as(token).await.expect_err("refused");
        assert!(!format!("{refused:?}").contains(token), "a refusal holds nothing of the token");
        refused.reason().to_owned()
    }

    pub async fn ask_as(&self, token: &str, method: &str, params: Value) -> Value {
        let bearer = format!("Bearer {token}");
        Peer::answer(self.asking(method, params, &[("authorization", &bearer)])).await.json()
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Result<Value, Refused> {
    let response = request.send().await.expect("sent");
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status == 200 {
        return Ok(body);
    }
    let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("ASCII").to_owned();
    Err(Refused {
        status,
        body,
        challenges: headers.get_all("www-authenticate").iter().map(text).collect(),
        nonce: headers.get("dpop-nonce").map(text),
    })
}

/// The status of an answer that is no stream.
pub async fn status(request: reqwest::RequestBuilder) -> u16 {
    match Peer::answer(request).await {
        Answer::Json(status, _) => status,
        Answer::Stream(_) => 200,
    }
}
