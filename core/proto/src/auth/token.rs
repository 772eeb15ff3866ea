//! Requests to token endpoints, and their responses.

use base64::Engine as _;
use serde::Deserialize;

use super::credentials::{AuthMethod, Client, Secret, Tokens};
use super::error::{AuthError, harmless, tame};
use super::http::{FORM, Form, HttpRequest, HttpResponse, seconds};
use super::scope;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Type of an identity assertion authorization grant (ID-JAG).
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// Type of an OpenID token.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// A request to a token endpoint.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Tokens for a code.
    Code {
        /// The code.
        code: Secret,
        /// The PKCE verifier.
        verifier: Secret,
        /// As in the authorization request.
        redirect_uri: String,
    },
    /// Tokens for a refresh token.
    Refresh(Secret),
    /// Tokens for the client itself.
    ClientCredentials,
    /// Tokens for an assertion (RFC 7523): a workload's, or an ID-JAG.
    JwtBearer(Secret),
    /// An ID-JAG from the identity provider (RFC 8693).
    IdJag {
        /// The user's token.
        subject: Secret,
        /// Its type, such as [`ID_TOKEN`].
        subject_type: String,
        /// Issuer of the authorization server it is to be shown to.
        audience: String,
    },
}

impl Ask {
    /// The secret parts of the request.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Ask::Code { code, verifier, .. } => vec![code.clone(), verifier.clone()],
            Ask::Refresh(secret) | Ask::JwtBearer(secret) => vec![secret.clone()],
            Ask::ClientCredentials => Vec::new(),
            Ask::IdJag { subject, .. } => vec![subject.clone()],
        }
    }
}

/// A token request before the client proves itself.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Target URL.
    pub endpoint: String,
    /// Issuer of the endpoint: `aud` of client assertions.
    pub issuer: String,
    /// The client.
    pub client: Client,
    /// The request.
    pub ask: Ask,
    /// `resource`, the same as in the authorization request.
    pub resource: Option<String>,
    /// Scopes, for grants that send them in this request.
    pub scopes: Vec<String>,
}

impl TokenRequest {
    /// The request, with the client's assertion if its method is `private_key_jwt`, and a DPoP proof if there is one.
    pub fn build(
        &self,
        assertion: Option<&Secret>,
        proof: Option<&Secret>,
    ) -> Result<HttpRequest, AuthError> {
        let form = match &self.ask {
            Ask::Code { code, verifier, redirect_uri } => Form::new()
                .add("grant_type", "authorization_code")
                .secret("code", code)
                .secret("code_verifier", verifier)
                .add("redirect_uri", redirect_uri),
            Ask::Refresh(token) => {
                Form::new().add("grant_type", "refresh_token").secret("refresh_token", token)
            }
            Ask::ClientCredentials => Form::new().add("grant_type", "client_credentials"),
            Ask::JwtBearer(assertion) => {
                Form::new().add("grant_type", JWT_BEARER).secret("assertion", assertion)
            }
            Ask::IdJag { subject, subject_type, audience } => Form::new()
                .add("grant_type", EXCHANGE)
                .add("requested_token_type", ID_JAG)
                .add("audience", audience)
                .secret("subject_token", subject)
                .add("subject_token_type", subject_type),
        };
        // A refresh without `scope` keeps what was granted; a code has its scopes already.
        let scoped = !matches!(self.ask, Ask::Code { .. } | Ask::Refresh(_));
        let form = form
            .maybe("resource", self.resource.as_deref())
            .maybe("scope", scope::parameter(&self.scopes).filter(|_| scoped).as_deref());
        let missing =
            |reason| AuthError::ClientAuthentication { method: self.client.method.as_str().into(), reason };
        let secret = || self.client.secret.as_ref().ok_or_else(|| missing("there is no client secret"));
        let mut basic = None;
        let form = match self.client.method {
            AuthMethod::None => form.add("client_id", &self.client.id),
            AuthMethod::ClientSecretPost => {
                form.add("client_id", &self.client.id).secret("client_secret", secret()?)
            }
            AuthMethod::ClientSecretBasic => {
                // RFC 6749, 2.3.1: both are form-encoded before they are joined.
                let encode =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.client.id), encode(secret()?.expose()));
                basic = Some(base64::engine::general_purpose::STANDARD.encode(pair));
                form
            }
            AuthMethod::PrivateKeyJwt => form
                .add("client_id", &self.client.id)
                .add("client_assertion_type", CLIENT_ASSERTION)
                .secret("client_assertion", assertion.ok_or_else(|| missing("it is not signed"))?),
        };
        let mut request = HttpRequest::post(&self.endpoint, FORM, form.finish());
        if let Some(basic) = basic {
            request.headers.push(("authorization", format!("Basic {basic}")));
        }
        if let Some(proof) = proof {
            request.headers.push(("dpop", proof.expose().to_owned()));
        }
        Ok(request)
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: Secret,
    token_type: String,
    #[serde(default)]
    issued_token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<Secret>,
    #[serde(default)]
    scope: Option<String>,
}

fn body(response: &HttpResponse, shown: &[Secret]) -> Result<Body, AuthError> {
    const WHAT: &str = "token response";
    response.check_size(WHAT)?;
    if response.is_redirect() {
        return Err(AuthError::Redirect { what: WHAT, status: response.status });
    }
    let (code, description) = response.error(shown);
    // Some say what is wrong with status 200, and some that tokens were created with 201.
    if !matches!(response.status, 200 | 201) || !code.is_empty() {
        return Err(AuthError::TokenEndpoint { status: response.status, code, description });
    }
    let mut body: Body = response.parse(WHAT)?;
    body.refresh_token = body.refresh_token.filter(|token| !token.expose().is_empty());
    let visible = |secret: &Secret| {
        !secret.expose().is_empty() && secret.expose().bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !visible(&body.access_token) {
        // Such a token would break the header it is sent in.
        return Err(AuthError::Malformed {
            what: WHAT,
            reason: "a token is empty or not visible ASCII".into(),
        });
    }
    Ok(body)
}

/// The tokens of an answer. `shown`: secrets of the request, which no message repeats. `dpop`: a proof was sent, so the
/// token must be bound to its key.
pub fn tokens(response: &HttpResponse, shown: &[Secret], dpop: bool, now: u64) -> Result<Tokens, AuthError> {
    let body = body(response, shown)?;
    let wanted = if dpop { "DPoP" } else { "Bearer" };
    if !body.token_type.eq_ignore_ascii_case(wanted) {
        return Err(AuthError::TokenType { token_type: harmless(&body.token_type, shown), wanted });
    }
    let life = body.expires_in.as_ref().and_then(seconds);
    Ok(Tokens {
        access: body.access_token,
        dpop,
        refresh: body.refresh_token,
        expires_at: life.map(|life| now.saturating_add(life)),
        scope: body.scope,
    })
}

/// The ID-JAG of an exchange. `shown`: secrets of the request, which no message repeats.
pub fn id_jag(response: &HttpResponse, shown: &[Secret]) -> Result<Secret, AuthError> {
    let body = body(response, shown)?;
    if body.issued_token_type.as_deref() != Some(ID_JAG) {
        let token_type = tame(&body.issued_token_type.unwrap_or(body.token_type));
        return Err(AuthError::TokenType { token_type, wanted: ID_JAG });
    }
    Ok(body.access_token)
}
