//! Ways to obtain a client id: configuration, the URL of a client document, or dynamic registration (RFC
//! 7591).

use serde::Deserialize;
use serde_json::json;

use super::credentials::{AuthMethod, Client, Secret};
use super::error::{AuthError, tame};
use super::http::{HttpRequest, HttpResponse, seconds};
use super::metadata::ServerMetadata;
use super::url::{AddressClass, cut};

/// A client that was registered by hand.
#[derive(Debug, Clone)]
pub struct Preregistered {
    /// The issuer of the registration. `None`: the first issuer that the server names, and no other after it;
    /// for a client with a secret only with `trust_first_issuer`, or if a stored record shows an earlier use
    /// there.
    pub issuer: Option<String>,
    /// Without an `issuer`, show secrets to the first one that the MCP server names.
    pub trust_first_issuer: bool,
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: Option<Secret>,
    /// `None`: the strongest that the credentials and the metadata allow.
    pub method: Option<AuthMethod>,
}

impl Preregistered {
    fn with(&self, method: AuthMethod) -> Client {
        Client { id: self.id.clone(), secret: self.secret.clone(), method, secret_expires_at: None }
    }
}

/// Self-description of a client.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// `client_name` of a registration.
    pub name: String,
    /// URL of the client id metadata document, `https` with a path.
    pub metadata_url: Option<String>,
    /// A client registered by hand: goes before the other ways.
    pub preregistered: Option<Preregistered>,
    /// `application_type`: `native` or `web`. `None`: `native` when the redirect URI is loopback, else `web`.
    pub application_type: Option<&'static str>,
    /// Is there a key for `private_key_jwt`?
    pub has_key: bool,
}

/// The next thing to do for a client id.
#[derive(Debug, Clone)]
pub enum Choice {
    /// Use this client.
    Use(Client),
    /// Register: send this, and [`read`] the answer.
    Register(HttpRequest),
}

impl Identity {
    /// Check the options. [`AuthError::Config`] names the one that is wrong.
    pub fn check(&self) -> Result<(), AuthError> {
        let Some(url) = &self.metadata_url else { return Ok(()) };
        let bad = |reason: &str| AuthError::Config { option: "metadata_url", reason: reason.to_owned() };
        let parts = cut(url, "metadata_url").map_err(|error| bad(&error.to_string()))?;
        if !parts.is_https() {
            return Err(bad("it must use https"));
        }
        if parts.path.len() < 2 || parts.fragment.is_some() || parts.has_dot_segments() {
            return Err(bad("it must have a path, without dot segments, and no fragment"));
        }
        Ok(())
    }

    /// The configured client, else the client document, else registration, as far as the server supports
    /// them. Without a `redirect_uri` (no user is involved) there is no registration.
    pub fn choose(&self, server: &ServerMetadata, redirect_uri: Option<&str>) -> Result<Choice, AuthError> {
        if self.preregistered.is_some() {
            return Ok(Choice::Use(self.configured(server)?));
        }
        let methods = server.token_endpoint_auth_methods_supported.as_deref();
        if let Some(url) =
            self.metadata_url.as_ref().filter(|_| server.client_id_metadata_document_supported == Some(true))
        {
            let method = self.strongest(false, methods)?;
            let client = Client { id: url.clone(), secret: None, method, secret_expires_at: None };
            return Ok(Choice::Use(client));
        }
        match (&server.registration_endpoint, redirect_uri) {
            (Some(endpoint), Some(redirect_uri)) => {
                Ok(Choice::Register(self.request(endpoint, redirect_uri, methods)?))
            }
            _ => Err(AuthError::NoRegistration { issuer: server.issuer.clone() }),
        }
    }

    /// The configured client, at this authorization server.
    pub(crate) fn configured(&self, server: &ServerMetadata) -> Result<Client, AuthError> {
        let none = || AuthError::NoRegistration { issuer: server.issuer.clone() };
        let client = self.preregistered.as_ref().ok_or_else(none)?;
        if let Some(bound) = client.issuer.as_ref().filter(|bound| **bound != server.issuer) {
            let issuer = server.issuer.clone();
            return Err(AuthError::ClientOfAnotherIssuer { bound: bound.clone(), issuer });
        }
        let method = match client.method {
            Some(method) => method,
            None => {
                let methods = server.token_endpoint_auth_methods_supported.as_deref();
                self.strongest(client.secret.is_some(), methods)?
            }
        };
        self.usable(client.with(method))
    }

    /// The stored client in its current form, without the metadata: a configured client uses its configured
    /// credentials, with the earlier authentication method if still possible.
    pub(crate) fn renewed(&self, used: &Client) -> Result<Client, AuthError> {
        let Some(client) = self.preregistered.as_ref().filter(|client| client.id == used.id) else {
            return Ok(used.clone());
        };
        let possible = match used.method {
            AuthMethod::None => client.secret.is_none(),
            AuthMethod::ClientSecretPost | AuthMethod::ClientSecretBasic => client.secret.is_some(),
            AuthMethod::PrivateKeyJwt => self.has_key,
        };
        let method = match client.method {
            Some(method) => method,
            None if possible => used.method,
            None => self.strongest(client.secret.is_some(), None)?,
        };
        self.usable(client.with(method))
    }

    /// The strongest method for a client with known credentials. RFC 8414: an absent list means Basic.
    fn strongest(&self, secret: bool, methods: Option<&[String]>) -> Result<AuthMethod, AuthError> {
        let lists = |method: AuthMethod| {
            methods.is_some_and(|methods| methods.iter().any(|name| name == method.as_str()))
        };
        let order: &[(bool, AuthMethod)] = &[
            (self.has_key, AuthMethod::PrivateKeyJwt),
            (secret, AuthMethod::ClientSecretBasic),
            (secret, AuthMethod::ClientSecretPost),
            (!secret, AuthMethod::None),
        ];
        let possible = || order.iter().filter(|(possible, _)| *possible).map(|(_, method)| *method);
        match methods {
            Some(_) => possible().find(|method| lists(*method)).or(possible().find(|_| !secret)),
            // A key was configured to be used; a secret goes by Basic; without either there is only `none`.
            None => possible().next(),
        }
        .ok_or_else(|| AuthError::ClientAuthentication {
            method: tame(&methods.unwrap_or_default().join(", ")),
            reason: "the configured client can do none of them",
        })
    }

    fn usable(&self, client: Client) -> Result<Client, AuthError> {
        let (missing, reason) = match client.method {
            AuthMethod::PrivateKeyJwt => (!self.has_key, "there is no key to sign with"),
            AuthMethod::None => (false, ""),
            _ => (client.secret.is_none(), "there is no client secret"),
        };
        if missing {
            return Err(AuthError::ClientAuthentication { method: client.method.as_str().into(), reason });
        }
        Ok(client)
    }

    fn request(
        &self,
        endpoint: &str,
        redirect_uri: &str,
        methods: Option<&[String]>,
    ) -> Result<HttpRequest, AuthError> {
        // A client that registers itself is public by nature; where that is not offered, take a secret.
        let method = match methods {
            None => AuthMethod::None,
            Some(methods) => [AuthMethod::None, AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost]
                .into_iter()
                .find(|method| methods.iter().any(|name| name == method.as_str()))
                .ok_or_else(|| AuthError::ClientAuthentication {
                    method: tame(&methods.join(", ")),
                    reason: "a client that registers itself can do none of them",
                })?,
        };
        let native = cut(redirect_uri, "redirect_uri")?.class() == AddressClass::Loopback;
        let body = json!({
            "client_name": self.name,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method.as_str(),
            "application_type": self.application_type.unwrap_or(if native { "native" } else { "web" }),
        });
        Ok(HttpRequest::post(endpoint, "application/json", body.to_string()))
    }

    /// The client that a registration endpoint gave. How it authenticates is the server's word: without
    /// `token_endpoint_auth_method` it is Basic if there is a secret (RFC 7591), else none.
    pub fn read(&self, response: &HttpResponse) -> Result<Client, AuthError> {
        const WHAT: &str = "registration";
        #[derive(Deserialize)]
        struct Body {
            client_id: String,
            #[serde(default)]
            client_secret: Option<Secret>,
            #[serde(default)]
            client_secret_expires_at: Option<serde_json::Value>,
            #[serde(default)]
            token_endpoint_auth_method: Option<String>,
        }
        response.check_size(WHAT)?;
        if response.is_redirect() {
            return Err(AuthError::Redirect { what: WHAT, status: response.status });
        }
        let (code, description) = response.error(&[]);
        if !matches!(response.status, 200 | 201) || !code.is_empty() {
            return Err(AuthError::RegistrationRefused { status: response.status, code, description });
        }
        let body: Body = response.parse(WHAT)?;
        if body.client_id.is_empty() {
            return Err(AuthError::Malformed { what: WHAT, reason: "client_id is empty".into() });
        }
        let method = match &body.token_endpoint_auth_method {
            Some(name) => AuthMethod::parse(name).ok_or_else(|| AuthError::ClientAuthentication {
                method: tame(name),
                reason: "it is not known here",
            })?,
            None if body.client_secret.is_some() => AuthMethod::ClientSecretBasic,
            None => AuthMethod::None,
        };
        self.usable(Client {
            id: body.client_id,
            secret: body.client_secret,
            method,
            secret_expires_at: body.client_secret_expires_at.as_ref().and_then(seconds).filter(|at| *at != 0),
        })
    }
}
