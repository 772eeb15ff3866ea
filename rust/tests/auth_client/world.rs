//! An MCP server that requires tokens, the authorization server that issues them, and a user who always
//! agrees.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as With};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use trunnion::auth::Auth;
use trunnion::client::ClientBuilder;
use trunnion::server::{Server, Tool};
use trunnion::{Client, Error};

pub const REDIRECT: &str = "http://localhost:3000/callback";

/// Parameters of a form or a query.
pub type Fields = BTreeMap<String, String>;

pub fn fields(query: &str) -> Fields {
    let url = reqwest::Url::parse(&format!("http://localhost/?{query}")).expect("a query");
    url.query_pairs().into_owned().collect()
}

/// The recorded requests, and the configured behavior.
#[derive(Default)]
pub struct State {
    pub issuer: String,
    pub mcp: String,
    /// The URL of its metadata.
    pub document: String,
    /// Members of the authorization server's metadata that differ; `null` removes one.
    pub metadata: Value,
    /// `iss` of callbacks instead of the issuer.
    pub iss: Option<String>,
    /// `state` of callbacks instead of the one that came.
    pub state: Option<String>,
    /// Never content, whatever the scope.
    pub forbids: bool,
    /// `expires_in` of tokens, in order; then an hour.
    pub lives: VecDeque<u64>,
    /// Tokens are for proofs, with these nonces at the authorization server and at the MCP server.
    pub nonces: Option<(&'static str, &'static str)>,
    /// The token endpoint answers when the MCP server has refused so many requests.
    pub after_refusals: usize,
    /// The token endpoint never answers.
    pub hangs: bool,
    /// The next answer of the token endpoint is held back.
    pub gate: Option<Arc<Gate>>,
    /// Every request to the authorization server: `GET /path`, `token refresh_token`; and `invalid_grant`.
    pub log: Vec<String>,
    /// Forms of the token endpoint, with `basic` for a secret in the header.
    pub forms: Vec<Fields>,
    /// Queries of authorization requests.
    pub pages: Vec<Fields>,
    /// `Authorization` of all requests to the MCP server.
    pub shown: Vec<Option<String>>,
    /// Redirect URIs of clients that registered themselves.
    registered: HashMap<String, Vec<Value>>,
    codes: HashMap<String, Fields>,
    /// Access tokens that are good, with their scopes.
    access: HashMap<String, String>,
    /// Refresh tokens that were not used yet, with their scopes.
    refresh: HashMap<String, String>,
    count: usize,
}

/// A gate at a request whose grant has been used up while its response is still in transit.
#[derive(Default)]
pub struct Gate {
    pub reached: Notify,
    pub open: Notify,
}

pub struct World {
    pub state: Shared,
}

#[derive(Clone)]
pub struct Shared {
    inner: Arc<Mutex<State>>,
    refusals: Arc<watch::Sender<usize>>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().expect("no test panics with it")
    }
}

pub async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

impl World {
    pub async fn new() -> World {
        World::at("/mcp").await
    }

    /// With the endpoint at this path; at `/sse` it is that of HTTP+SSE.
    pub async fn at(path: &str) -> World {
        let state = Shared { inner: Arc::default(), refusals: Arc::new(watch::channel(0).0) };
        let server = Server::builder("guarded", "1.0")
            .cache(std::time::Duration::from_secs(3600), false)
            .tool(Tool::new("hello", async || "hello"))
            .tool(Tool::new("admin", async || "done"));
        let http = server.build().expect("valid").http();
        let http = if path == "/sse" { http.sse_path(path) } else { http };
        let service = http.tower_service().expect("a service");
        let guard = from_fn_with_state(state.clone(), guard);
        let mcp = Router::new().route_service(path, service).layer(guard);
        let document = format!("/.well-known/oauth-protected-resource{path}");
        let mcp = mcp.route(&document, get(resource)).with_state(state.clone());
        let mcp = listen(mcp).await;
        let issuer = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/authorize", get(authorize))
            .route("/register", post(register))
            .route("/token", post(token))
            .with_state(state.clone());
        let issuer = listen(issuer).await;
        {
            let mut state = state.lock();
            state.document = format!("{mcp}{document}");
            (state.mcp, state.issuer) = (format!("{mcp}{path}"), issuer);
        }
        World { state }
    }

    /// A user who agrees, and a client that registers itself.
    pub fn auth(&self) -> Auth {
        Auth::authorization_code(REDIRECT, agree)
    }

    pub async fn connect(&self, auth: Auth) -> Result<Client, Error> {
        self.with(Client::builder().auth(auth)).await
    }

    pub async fn with(&self, builder: ClientBuilder) -> Result<Client, Error> {
        let url = self.state.lock().mcp.clone();
        builder.connect(url).await
    }

    /// Why connecting fails: the reason, and the whole error as text.
    pub async fn refused(&self, auth: Auth) -> (String, String) {
        let error = self.connect(auth).await.expect_err("no way in");
        why(&error)
    }

    /// The access tokens of before are good no more.
    pub fn revoke(&self) {
        self.state.lock().revoke();
    }

    /// The next answer of the token endpoint waits at this.
    pub fn gate(&self) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        self.state.lock().gate = Some(gate.clone());
        gate
    }

    /// When the MCP server has refused so many requests.
    pub async fn refusals(&self, wanted: usize) {
        self.state.refusals.subscribe().wait_for(|count| *count >= wanted).await.expect("it is there");
    }

    /// Returns the number of times that the user was sent to the page, and agreed.
    pub fn pages(&self) -> usize {
        self.state.lock().pages.len()
    }

    /// Returns the number of entries in the log of the authorization server that equal `line`.
    pub fn logged(&self, line: &str) -> usize {
        self.state.lock().log.iter().filter(|logged| *logged == line).count()
    }

    /// Returns the number of requests for this grant at the token endpoint.
    pub fn granted(&self, grant: &str) -> usize {
        self.logged(&format!("token {grant}"))
    }
}

pub fn why(error: &Error) -> (String, String) {
    assert_eq!(error.kind, "unauthorized", "{error:?}");
    let data: Value = serde_json::from_str(error.data.as_deref().expect("data")).expect("JSON");
    (data["reason"].as_str().expect("a reason").to_owned(), format!("{error:?}"))
}

/// Opens the page and returns the URL that it redirects to.
pub async fn agree(url: String) -> Result<String, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let response = browser.build().expect("a client").get(url).send().await.expect("a page");
    let Some(location) = response.headers().get("location") else {
        return Err(Error::internal(response.text().await.expect("a page")));
    };
    Ok(location.to_str().expect("ASCII").to_owned())
}

fn refuse(state: &Shared, status: StatusCode, challenge: String, nonce: Option<&str>) -> Response {
    state.refusals.send_modify(|count| *count += 1);
    let mut response = (status, [("www-authenticate", challenge)]).into_response();
    if let Some(nonce) = nonce {
        response.headers_mut().insert("dpop-nonce", nonce.parse().expect("a value"));
    }
    response
}

async fn guard(With(state): With<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let needed = if message["params"]["name"] == "admin" { "admin" } else { "basic" };
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let (shown, proof) = (header("authorization"), header("dpop"));
    let (metadata, granted, nonces, forbids) = {
        let mut locked = state.lock();
        locked.shown.push(shown.clone());
        let token = shown.as_ref().and_then(|shown| shown.split_once(' '));
        let granted = token.and_then(|(scheme, token)| {
            let known = locked.access.get(token).cloned();
            known.filter(|_| scheme == if locked.nonces.is_some() { "DPoP" } else { "Bearer" })
        });
        (locked.document.clone(), granted, locked.nonces, locked.forbids)
    };
    let Some(granted) = granted else {
        let challenge = format!(r#"Bearer scope="basic", resource_metadata="{metadata}""#);
        return refuse(&state, StatusCode::UNAUTHORIZED, challenge, None);
    };
    if let Some((_, nonce)) = nonces {
        let proof = proof.expect("a proof");
        let claims = checked(&proof);
        let access = shown.as_deref().and_then(|shown| shown.split_once(' ')).expect("a token").1;
        let digest = ring::digest::digest(&ring::digest::SHA256, access.as_bytes());
        assert_eq!(claims["ath"], URL_SAFE_NO_PAD.encode(digest));
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(state.lock().mcp)));
        if claims["nonce"] != nonce {
            let challenge = r#"DPoP error="use_dpop_nonce""#.to_owned();
            return refuse(&state, StatusCode::UNAUTHORIZED, challenge, Some(nonce));
        }
    }
    if forbids || !granted.split(' ').any(|scope| scope == needed) {
        let challenge =
            format!(r#"Bearer error="insufficient_scope", scope="{needed}", resource_metadata="{metadata}""#);
        return refuse(&state, StatusCode::FORBIDDEN, challenge, None);
    }
    let peer = parts.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    parts.extensions.insert(peer.expect("axum knows"));
    next.run(Request::from_parts(parts, Body::from(body))).await
}

/// Claims of a proof whose signature and header are good.
pub fn checked(jws: &str) -> Value {
    let parts: Vec<&str> = jws.split('.').collect();
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let header: Value = serde_json::from_slice(&read(parts[0])).expect("JSON");
    assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    let coordinate = |name: &str| read(header["jwk"][name].as_str().expect("a coordinate"));
    let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    key.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &read(parts[2])).expect("signed");
    serde_json::from_slice(&read(parts[1])).expect("JSON")
}

async fn resource(With(state): With<Shared>) -> Response {
    let state = state.lock();
    json_of(200, &json!({"resource": state.mcp, "authorization_servers": [state.issuer]}))
}

fn json_of(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/json")], value.to_string()).into_response()
}

async fn metadata(With(state): With<Shared>, headers: HeaderMap) -> Response {
    let mut state = state.lock();
    state.see("GET metadata", &headers);
    let issuer = &state.issuer;
    let mut all = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
        "authorization_response_iss_parameter_supported": true,
    });
    for (name, value) in state.metadata.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    json_of(200, &all)
}

async fn register(With(state): With<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut state = state.lock();
    state.see("register", &headers);
    let client: Value = serde_json::from_str(&body).expect("JSON");
    let id = format!("registered-{}", state.registered.len() + 1);
    state.registered.insert(id.clone(), client["redirect_uris"].as_array().expect("an array").clone());
    json_of(201, &json!({"client_id": id}))
}

async fn authorize(With(state): With<Shared>, request: Request) -> Response {
    let query = fields(request.uri().query().unwrap_or_default());
    let mut state = state.lock();
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["resource"], state.mcp);
    let known = state.registered.get(&query["client_id"]);
    if known.is_some_and(|known| !known.contains(&json!(query["redirect_uri"]))) {
        return (StatusCode::BAD_REQUEST, "unknown redirect URI").into_response();
    }
    state.count += 1;
    let code = format!("c0de-{}", state.count);
    let mut back = reqwest::Url::parse(&query["redirect_uri"]).expect("a URL");
    let iss = state.iss.clone().unwrap_or(state.issuer.clone());
    let sent = state.state.clone().unwrap_or(query["state"].clone());
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &sent).append_pair("iss", &iss);
    state.codes.insert(code, query.clone());
    state.pages.push(query);
    (StatusCode::FOUND, [("location", back.to_string())]).into_response()
}

async fn token(With(shared): With<Shared>, headers: HeaderMap, body: String) -> Response {
    let gate = shared.lock().gate.take();
    let answer = given(&shared, headers, body).await;
    if let Some(gate) = gate {
        gate.reached.notify_one();
        gate.open.notified().await;
    }
    answer
}

async fn given(shared: &Shared, headers: HeaderMap, body: String) -> Response {
    let mut form = fields(&body);
    let (wanted, hangs) = {
        let state = shared.lock();
        (state.after_refusals, state.hangs)
    };
    shared.refusals.subscribe().wait_for(|count| *count >= wanted).await.expect("it is there");
    if hangs {
        std::future::pending::<()>().await;
    }
    let mut state = shared.lock();
    state.log.push(format!("token {}", form["grant_type"]));
    if let Some(basic) = headers.get("authorization") {
        let pair = basic.to_str().expect("ASCII").strip_prefix("Basic ").expect("Basic");
        form.insert("basic".into(), String::from_utf8(STANDARD.decode(pair).expect("base64")).expect("text"));
    }
    state.forms.push(form.clone());
    if let Some((nonce, _)) = state.nonces {
        let claims = checked(headers.get("dpop").expect("a proof").to_str().expect("ASCII"));
        if claims["nonce"] != nonce {
            let body = json!({"error": "use_dpop_nonce"}).to_string();
            return (StatusCode::BAD_REQUEST, [("dpop-nonce", nonce)], body).into_response();
        }
    }
    let scope = match form["grant_type"].as_str() {
        "authorization_code" => state.codes.remove(&form["code"]).and_then(|asked| {
            let digest = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
            let same = asked["code_challenge"] == URL_SAFE_NO_PAD.encode(digest)
                && asked["redirect_uri"] == form["redirect_uri"];
            same.then(|| asked.get("scope").cloned().unwrap_or_default())
        }),
        "refresh_token" => state.refresh.remove(&form["refresh_token"]),
        _ => Some(form.get("scope").cloned().unwrap_or_default()),
    };
    let Some(scope) = scope else {
        state.log.push("invalid_grant".into());
        return json_of(400, &json!({"error": "invalid_grant"}));
    };
    state.count += 1;
    let (access, refresh) = (format!("acc3ss-{}", state.count), format!("r3fresh-{}", state.count));
    state.access.insert(access.clone(), scope.clone());
    let mut answer = json!({
        "access_token": access,
        "token_type": if state.nonces.is_some() { "DPoP" } else { "Bearer" },
        "expires_in": state.lives.pop_front().unwrap_or(3600),
    });
    if form["grant_type"] != "client_credentials" {
        state.refresh.insert(refresh.clone(), scope);
        answer["refresh_token"] = refresh.into();
    }
    json_of(200, &answer)
}

impl State {
    pub fn revoke(&mut self) {
        self.access.clear();
    }

    /// Refresh tokens too.
    pub fn forget(&mut self) {
        self.revoke();
        self.refresh.clear();
    }

    fn see(&mut self, what: &str, headers: &HeaderMap) {
        assert!(!headers.contains_key("authorization"), "{what}: tokens are the MCP server's");
        self.log.push(what.to_owned());
    }
}
