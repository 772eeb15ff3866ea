//! The HTTP endpoints of the authorization server.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State as With};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::keys::{is_signed, parts, random, sha256, thumbprint};
use crate::{AuthServer, RESOURCE_SERVER};

/// Parameters of a form or a query.
type Fields = BTreeMap<String, String>;

/// Most bytes of a request.
const MOST: usize = 1 << 20;

pub fn router(server: AuthServer) -> Router {
    Router::new().fallback(answer).with_state(server)
}

async fn answer(With(server): With<AuthServer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let path = head.uri.path();
    let (hangs, fails) = {
        let mut state = server.lock();
        *state.asked.entry(path.to_owned()).or_default() += 1;
        (state.hangs.contains(path), state.fails.get(path).copied())
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    if let Some(status) = fails.and_then(|status| StatusCode::from_u16(status).ok()) {
        return status.into_response();
    }
    match (&head.method, path) {
        (&Method::GET, "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration") => {
            server.metadata()
        }
        (&Method::GET, "/jwks") => {
            let keys: Vec<Value> = server.lock().keys.iter().map(|key| key.published()).collect();
            said(200, &json!({ "keys": keys }))
        }
        (&Method::GET, "/authorize") => server.authorize(&head.uri),
        (&Method::POST, "/token") => server.grant(&head.headers, &body),
        (&Method::POST, "/register") => register(&body),
        (&Method::POST, "/introspect") => server.introspect(&head.headers, &body),
        (&Method::GET, "/admin/asked") => said(200, &json!(server.asked())),
        (&Method::POST, path) if path.starts_with("/admin/") => server.admin(path, &body),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn said(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
    (status, headers, value.to_string()).into_response()
}

fn failed(error: &str) -> Response {
    said(400, &json!({ "error": error }))
}

fn fields(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

fn register(body: &[u8]) -> Response {
    let mut client: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    client.insert("client_id".into(), random().into());
    said(201, &Value::Object(client))
}

impl AuthServer {
    fn admin(&self, path: &str, body: &[u8]) -> Response {
        let Ok(how) = serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) else {
            return failed("the body is not JSON");
        };
        match path {
            "/admin/token" => said(200, &json!({ "token": self.token(&how) })),
            "/admin/proof" => said(200, &self.proof(&how)),
            "/admin/rotate" => {
                self.rotate(&how);
                said(200, &json!({}))
            }
            "/admin/behave" => {
                self.behave(&how);
                said(200, &json!({}))
            }
            "/admin/revoke" => {
                self.revoke(&how);
                said(200, &json!({}))
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn metadata(&self) -> Response {
        let issuer = self.issuer();
        let all = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "registration_endpoint": format!("{issuer}/register"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": true,
            "dpop_signing_alg_values_supported": ["ES256"],
        });
        let mut all = all.as_object().cloned().unwrap_or_default();
        crate::mint::merge(&mut all, &Value::Object(self.lock().metadata.clone()));
        said(200, &Value::Object(all))
    }

    /// The user always agrees.
    fn authorize(&self, uri: &Uri) -> Response {
        let query = fields(uri.query().unwrap_or_default().as_bytes());
        let Some(redirect) = query.get("redirect_uri").cloned() else { return failed("invalid_request") };
        let code = random();
        let mut back = form_urlencoded::Serializer::new(String::new());
        if query.get("code_challenge_method").map(String::as_str) == Some("S256") {
            back.append_pair("code", &code);
        } else {
            back.append_pair("error", "invalid_request");
        }
        back.append_pair("state", query.get("state").map_or("", String::as_str))
            .append_pair("iss", self.issuer());
        self.lock().codes.insert(code, query);
        let joint = if redirect.contains('?') { '&' } else { '?' };
        (StatusCode::FOUND, [("location", format!("{redirect}{joint}{}", back.finish()))]).into_response()
    }

    fn grant(&self, headers: &HeaderMap, body: &Bytes) -> Response {
        let form = fields(body);
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let (client, _) = basic(headers).unwrap_or((field("client_id").to_owned(), String::new()));
        let key = match headers.get("dpop").map(|proof| proof.to_str().unwrap_or_default()) {
            None => None,
            Some(proof) => match self.proven(proof) {
                Some(key) => Some(key),
                None => return failed("invalid_dpop_proof"),
            },
        };
        let mut claims = Map::new();
        claims.insert("aud".into(), field("resource").into());
        claims.insert("client_id".into(), client.clone().into());
        claims.insert("scope".into(), field("scope").into());
        match field("grant_type") {
            "authorization_code" => {
                // A code is good once, whatever becomes of it.
                let Some(asked) = self.lock().codes.remove(field("code")) else {
                    return failed("invalid_grant");
                };
                let same = |name: &str| asked.get(name).map_or("", String::as_str) == field(name);
                let verified =
                    asked.get("code_challenge").is_some_and(|own| *own == sha256(field("code_verifier")));
                if !verified || !same("redirect_uri") || !same("resource") {
                    return failed("invalid_grant");
                }
                claims.insert("scope".into(), asked.get("scope").cloned().unwrap_or_default().into());
            }
            "refresh_token" => {
                let Some(known) = self.lock().refresh.remove(field("refresh_token")) else {
                    return failed("invalid_grant");
                };
                claims = known;
            }
            "client_credentials" => drop(claims.insert("sub".into(), client.into())),
            _ => return failed("unsupported_grant_type"),
        }
        if let Some(key) = &key {
            claims.insert("cnf".into(), json!({ "jkt": key }));
        }
        let scope = claims["scope"].clone();
        let mut granted = json!({
            "access_token": self.token(&json!({ "claims": claims })),
            "token_type": if key.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": 300,
            "scope": scope,
        });
        if field("grant_type") != "client_credentials" {
            let refresh = random();
            granted["refresh_token"] = refresh.clone().into();
            self.lock().refresh.insert(refresh, claims);
        }
        said(200, &granted)
    }

    /// Thumbprint of the key of a proof for the token endpoint.
    fn proven(&self, proof: &str) -> Option<String> {
        let (header, claims) = parts(proof)?;
        let here = claims["htm"] == "POST" && claims["htu"] == format!("{}/token", self.issuer());
        let fine = header["typ"] == "dpop+jwt" && header["alg"] == "ES256" && here;
        (fine && is_signed(proof, &header["jwk"])).then(|| thumbprint(&header["jwk"]))
    }

    fn introspect(&self, headers: &HeaderMap, body: &Bytes) -> Response {
        let own =
            basic(headers).is_some_and(|(id, secret)| (id.as_str(), secret.as_str()) == RESOURCE_SERVER);
        if !own {
            return said(401, &json!({ "error": "invalid_client" }));
        }
        let form = fields(body);
        let known = self.lock().tokens.get(form.get("token").map_or("", String::as_str)).cloned();
        let good = |claims: &Map<String, Value>| {
            claims.get("exp").and_then(Value::as_u64).is_none_or(|at| at > crate::now())
        };
        match known.filter(good) {
            None => said(200, &json!({ "active": false })),
            Some(mut claims) => {
                claims.insert("active".into(), true.into());
                said(200, &Value::Object(claims))
            }
        }
    }
}

/// Name and secret of HTTP Basic, as OAuth encodes them (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let form = format!("x={text}");
        form_urlencoded::parse(form.as_bytes()).next().map(|(_, text)| text.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
