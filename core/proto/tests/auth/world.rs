//! A scripted server with its authorization server, and a driver that plays a flow against them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunnion_proto::auth::flow::Grant;
use trunnion_proto::auth::registration::Identity;
use trunnion_proto::auth::{
    AuthError, Challenge, Config, Credentials, Flow, Fresh, HttpRequest, HttpResponse, Input, Step,
};

pub const MCP: &str = "http://localhost:1/mcp";
pub const AS: &str = "http://localhost:2";
pub const REDIRECT: &str = "http://localhost:3000/callback";
pub const CIMD: &str = "https://conformance-test.local/client-metadata.json";

/// Parameters of a form or a query.
pub type Fields = BTreeMap<String, String>;

pub fn fields(text: &str) -> Fields {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

pub struct World {
    /// Responses to GET, by URL; any other URL is 404.
    pub documents: BTreeMap<String, HttpResponse>,
    /// Response of the registration endpoint.
    pub registration: HttpResponse,
    /// Responses of the token endpoint, in order; the last one is repeated.
    pub tokens: Vec<HttpResponse>,
    /// `iss` of callbacks.
    pub iss: Option<String>,
    /// Does the store take records?
    pub keeps: bool,
    /// Content of the store when it is read again.
    pub stored: Option<Credentials>,
    /// Everything that happened: `GET url`, `POST url`, `BROWSER`, `SIGN`, `RELOAD`.
    pub log: Vec<String>,
    /// Queries of pages that were opened.
    pub pages: Vec<Fields>,
    /// Requests that were posted.
    pub posted: Vec<HttpRequest>,
    /// Texts that were signed.
    pub signed: Vec<String>,
    ticks: u8,
    /// Seconds since 1970.
    pub now: u64,
}

pub fn resource(resource: &str, issuer: &str) -> HttpResponse {
    HttpResponse::json(200, json!({"resource": resource, "authorization_servers": [issuer]}).to_string())
}

/// Metadata of an authorization server, with `more` over it; `null` removes a member.
pub fn metadata(issuer: &str, more: Value) -> HttpResponse {
    let mut all = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
    });
    for (name, value) in more.as_object().expect("an object") {
        if value.is_null() {
            all.as_object_mut().expect("an object").remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    HttpResponse::json(200, all.to_string())
}

pub fn token(more: Value) -> HttpResponse {
    let mut all = json!({"access_token": "acc3ss", "token_type": "Bearer", "expires_in": 60});
    for (name, value) in more.as_object().expect("an object") {
        all[name] = value.clone();
    }
    HttpResponse::json(200, all.to_string())
}

pub fn oauth_error(status: u16, code: &str) -> HttpResponse {
    HttpResponse::json(status, json!({"error": code}).to_string())
}

pub fn described(status: u16, code: &str, description: &str) -> HttpResponse {
    HttpResponse::json(status, json!({"error": code, "error_description": description}).to_string())
}

impl World {
    /// A server with metadata at its path, and an authorization server without a path.
    pub fn new() -> World {
        World::with(json!({}))
    }

    pub fn with(more: Value) -> World {
        let documents = BTreeMap::from([
            ("http://localhost:1/.well-known/oauth-protected-resource/mcp".into(), resource(MCP, AS)),
            (format!("{AS}/.well-known/oauth-authorization-server"), metadata(AS, more)),
        ]);
        World {
            documents,
            registration: HttpResponse::json(201, r#"{"client_id":"dcr"}"#),
            tokens: vec![token(json!({}))],
            iss: None,
            keeps: true,
            stored: None,
            log: Vec::new(),
            pages: Vec::new(),
            posted: Vec::new(),
            signed: Vec::new(),
            ticks: 0,
            now: 1000,
        }
    }

    pub fn put(&mut self, url: &str, response: HttpResponse) {
        self.documents.insert(url.to_owned(), response);
    }

    pub fn fresh(&mut self) -> Fresh {
        self.ticks = self.ticks.wrapping_add(1);
        Fresh { now: self.now, random: [self.ticks; 64] }
    }

    fn answer(&mut self, request: HttpRequest) -> HttpResponse {
        self.log.push(format!("{} {}", request.method, request.url));
        assert!(self.log.len() < 100, "the flow does not end: {:?}", self.log);
        if request.method == "GET" {
            let missing = HttpResponse { status: 404, ..HttpResponse::default() };
            return self.documents.get(&request.url).cloned().unwrap_or(missing);
        }
        self.posted.push(request.clone());
        if request.url.ends_with("/register") {
            return self.registration.clone();
        }
        if self.tokens.len() > 1 { self.tokens.remove(0) } else { self.tokens[0].clone() }
    }

    /// Plays until the flow is done or has failed.
    pub fn play(&mut self, flow: &mut Flow, input: Input) -> Result<Credentials, AuthError> {
        let fresh = self.fresh();
        let mut step = flow.step(input, &fresh);
        loop {
            let input = match step {
                Step::Http(request) => Input::Response(self.answer(request)),
                Step::OpenBrowser { url } => {
                    self.log.push("BROWSER".into());
                    let page = fields(url.split_once('?').expect("a query").1);
                    let mut back = form_urlencoded::Serializer::new(String::new());
                    back.append_pair("code", "c0de").append_pair("state", &page["state"]);
                    if let Some(iss) = &self.iss {
                        back.append_pair("iss", iss);
                    }
                    self.pages.push(page);
                    Input::Callback(format!("{REDIRECT}?{}", back.finish()))
                }
                Step::Sign(request) => {
                    self.log.push("SIGN".into());
                    self.signed.push(request.input);
                    Input::Signature(vec![7; 64])
                }
                Step::Reload => {
                    self.log.push("RELOAD".into());
                    Input::Reloaded(self.stored.clone().map(Box::new))
                }
                Step::Done(record) => {
                    if self.keeps && !flow.yields() {
                        flow.kept((*record).clone());
                    }
                    return Ok(*record);
                }
                Step::Failed(error) => return Err(error),
            };
            let fresh = self.fresh();
            step = flow.step(input, &fresh);
        }
    }

    /// A new flow, from a challenge without particulars.
    pub fn run(&mut self, config: Config) -> Result<Credentials, AuthError> {
        let mut flow = Flow::new(config, None)?;
        self.play(&mut flow, unauthorized(None))
    }

    /// The forms sent to token endpoints.
    pub fn forms(&self) -> Vec<Fields> {
        self.posted
            .iter()
            .filter(|post| !post.url.ends_with("/register"))
            .map(|post| fields(&post.body))
            .collect()
    }

    pub fn reached(&self, what: &str) -> bool {
        self.log.iter().any(|line| line.contains(what))
    }
}

pub fn config() -> Config {
    let identity = Identity { name: "test".into(), metadata_url: Some(CIMD.into()), ..Identity::default() };
    Config::new(MCP, Grant::Browser { redirect_uri: REDIRECT.into() }, identity)
}

pub fn unauthorized(scope: Option<&str>) -> Input {
    Input::Challenged(Challenge { status: 401, scope: scope.map(str::to_owned), ..Challenge::default() })
}

pub fn forbidden(scope: &str) -> Input {
    Input::Challenged(Challenge {
        status: 403,
        error: Some("insufficient_scope".into()),
        scope: Some(scope.into()),
        resource_metadata: None,
    })
}
