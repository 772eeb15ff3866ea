//! The steps of a flow before the user's page: metadata of both servers, a client id, scopes.

use std::collections::VecDeque;

use super::exchange::{Pending, Purpose};
use super::{AGAIN_AFTER, Challenge, Flow, Found, Grant, MAX_AUTHORIZATIONS, Phase, Step};
use crate::auth::Fresh;
use crate::auth::authorize::{self, Expected};
use crate::auth::credentials::{Client, Secret};
use crate::auth::error::AuthError;
use crate::auth::http::{HttpRequest, HttpResponse};
use crate::auth::metadata::{self, RESOURCE_DOCUMENT, ResourceMetadata, SERVER_DOCUMENT, ServerMetadata};
use crate::auth::registration::Choice;
use crate::auth::scope::{self, Selection};
use crate::auth::token::{Ask, TokenRequest};

/// Returns true if the document is at this URL. While several URLs are tried, a redirect or a page in another
/// format means "no", because servers answer unknown paths in this way. A server error does not mean "no":
/// otherwise a temporary failure would change the authorization server.
fn present(response: &HttpResponse, what: &'static str) -> Result<bool, AuthError> {
    response.check_size(what)?;
    match response.status {
        200 => Ok(response.is_json()),
        429 | 500.. => Err(AuthError::Status { what, status: response.status }),
        _ => Ok(false),
    }
}

impl Flow {
    pub(super) fn challenged(&mut self, challenge: Challenge) -> Result<Step, AuthError> {
        let urls = metadata::resource_urls(&self.config.server, challenge.resource_metadata.as_deref())?;
        self.challenge = challenge;
        self.next_resource(urls.into(), None)
    }

    fn get(&self, url: &str) -> HttpRequest {
        HttpRequest::get(url, self.config.protocol_version.as_deref())
    }

    fn next_resource(&mut self, mut urls: VecDeque<String>, last: Option<String>) -> Result<Step, AuthError> {
        if let Some(asked) = urls.pop_front() {
            self.config.addresses.check(&asked, "resource_metadata")?;
            let step = Step::Http(self.get(&asked));
            self.phase = Phase::Resource { urls, asked };
            return Ok(step);
        }
        if !self.config.legacy || self.challenge.resource_metadata.is_some() {
            return Err(AuthError::NoResourceMetadata { url: last.unwrap_or_default() });
        }
        let issuer = ServerMetadata::legacy(&self.config.server)?.issuer;
        let urls = VecDeque::from([metadata::legacy_server_url(&self.config.server)?]);
        self.next_server(urls, issuer, None)
    }

    pub(super) fn resource_answer(
        &mut self,
        response: HttpResponse,
        urls: VecDeque<String>,
        asked: String,
    ) -> Result<Step, AuthError> {
        // The place that the challenge names is no guess: there a redirect is refused by name.
        if response.is_redirect() && self.challenge.resource_metadata.is_some() {
            return Err(AuthError::Redirect { what: RESOURCE_DOCUMENT, status: response.status });
        }
        if !present(&response, RESOURCE_DOCUMENT)? {
            return self.next_resource(urls, Some(asked));
        }
        let resource = ResourceMetadata::read(&response, &self.config.server)?;
        let configured =
            self.config.identity.preregistered.as_ref().and_then(|client| client.issuer.as_deref());
        let known = configured.or(self.stored.as_ref().map(|stored| stored.issuer.as_str()));
        let issuer = resource.choose(known)?.to_owned();
        let urls = metadata::server_urls(&issuer, self.config.addresses)?;
        self.next_server(urls.into(), issuer, Some(resource))
    }

    fn next_server(
        &mut self,
        mut urls: VecDeque<String>,
        issuer: String,
        resource: Option<ResourceMetadata>,
    ) -> Result<Step, AuthError> {
        let Some(url) = urls.pop_front() else { return Err(AuthError::NoServerMetadata { issuer }) };
        let step = Step::Http(self.get(&url));
        self.phase = Phase::Server { urls, issuer, resource };
        Ok(step)
    }

    pub(super) fn server_answer(
        &mut self,
        response: HttpResponse,
        urls: VecDeque<String>,
        issuer: String,
        resource: Option<ResourceMetadata>,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let server = if present(&response, SERVER_DOCUMENT)? {
            ServerMetadata::read(&response, &issuer, self.config.addresses)?
        } else if urls.is_empty() && resource.is_none() {
            ServerMetadata::legacy(&self.config.server)?
        } else {
            return self.next_server(urls, issuer, resource);
        };
        self.discovered(Found { resource, server }, fresh)
    }

    fn discovered(&mut self, found: Found, fresh: &Fresh) -> Result<Step, AuthError> {
        let issuer = &found.server.issuer;
        // Whatever another authorization server gave stays with it.
        let stored = self.stored.as_ref().filter(|stored| stored.issuer == *issuer);
        let refresh =
            stored.and_then(|stored| Some((stored.client.clone()?, stored.tokens.clone()?.refresh?)));
        if let Some((used, token)) = refresh
            && !self.challenge.is_step_up()
            && !self.refreshed
        {
            // Of a configured client, how it proves itself is as the configuration and the metadata have it now.
            let client = match &self.config.identity.preregistered {
                Some(_) => self.config.identity.configured(&found.server)?,
                None => used,
            };
            return self.refresh(found, client, token, fresh);
        }
        self.register(found, fresh)
    }

    /// A client id for a new authorization.
    pub(super) fn register(&mut self, found: Found, fresh: &Fresh) -> Result<Step, AuthError> {
        if self.authorizations >= MAX_AUTHORIZATIONS {
            if fresh.now < self.authorized_at.saturating_add(AGAIN_AFTER) {
                return Err(AuthError::TooManyAuthorizations { attempts: self.authorizations });
            }
            self.authorizations = 0;
        }
        let redirect_uri = match &self.config.grant {
            Grant::Browser { redirect_uri } => {
                // Checked before a client is registered for nothing.
                found.server.for_browser()?;
                Some(redirect_uri.as_str())
            }
            _ => None,
        };
        found.server.token()?;
        let configured = self.config.identity.preregistered.is_some();
        if let Some(bound) = self.bound.as_ref().filter(|bound| configured && **bound != found.server.issuer)
        {
            let (bound, issuer) = (bound.clone(), found.server.issuer.clone());
            return Err(AuthError::ClientOfAnotherIssuer { bound, issuer });
        }
        if self.bound.is_none() && self.config.needs_issuer() {
            return Err(AuthError::IssuerNotNamed { issuer: found.server.issuer.clone() });
        }
        let choice = self.config.identity.choose(&found.server, redirect_uri)?;
        self.bound = Some(found.server.issuer.clone());
        match choice {
            Choice::Use(client) => self.authorize(found, client, fresh),
            Choice::Register(request) => {
                let stored = self.stored.as_ref().filter(|stored| stored.issuer == found.server.issuer);
                // Authorization servers may compare redirect URIs exactly, ports of this machine included (only RFC
                // 8252, section 7.3, says otherwise); registering anew is cheap where the user is asked anyway.
                let client = stored
                    .filter(|stored| stored.redirect_uri.as_deref() == redirect_uri)
                    .and_then(|stored| stored.client.clone());
                match client.filter(|client| client.secret_expires_at.is_none_or(|at| at > fresh.now)) {
                    Some(client) => self.authorize(found, client, fresh),
                    None => {
                        self.phase = Phase::Register(Box::new(found));
                        Ok(Step::Http(request))
                    }
                }
            }
        }
    }

    /// The client is known: ask for the authorization.
    pub(super) fn authorize(
        &mut self,
        found: Found,
        client: Client,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let before = match &self.stored {
            Some(stored) if stored.issuer == found.server.issuer => stored.scopes.as_slice(),
            _ => &[],
        };
        let browser = matches!(self.config.grant, Grant::Browser { .. });
        let scopes = scope::select(Selection {
            challenge: self.challenge.scope.as_deref(),
            resource: found.resource.as_ref().and_then(|metadata| metadata.scopes_supported.as_deref()),
            server: found.server.scopes_supported.as_deref(),
            before,
            offline: self.config.offline && browser,
        })?;
        self.authorizations += 1;
        self.authorized_at = fresh.now;
        let ask = match &self.config.grant {
            Grant::Browser { redirect_uri } => {
                let (verifier, state) = (Secret::new(fresh.verifier()), fresh.state());
                let url = authorize::url(authorize::Request {
                    endpoint: found.server.for_browser()?,
                    client_id: &client.id,
                    redirect_uri,
                    verifier: &verifier,
                    state: &state,
                    resource: found.resource().as_deref(),
                    scopes: &scopes,
                });
                self.phase = Phase::Browser { found: Box::new(found), client, scopes, verifier, state };
                return Ok(Step::OpenBrowser { url });
            }
            Grant::ClientCredentials => Ask::ClientCredentials,
            Grant::JwtBearer { assertion } => Ask::JwtBearer(assertion.clone()),
            Grant::Enterprise { token_endpoint, issuer, client: at_idp, subject, subject_type } => {
                let request = TokenRequest {
                    endpoint: token_endpoint.clone(),
                    issuer: issuer.clone(),
                    client: at_idp.clone(),
                    ask: Ask::IdJag {
                        subject: subject.clone(),
                        subject_type: subject_type.clone(),
                        audience: found.server.issuer.clone(),
                    },
                    resource: Some(found.resource().unwrap_or_else(|| self.config.server.clone())),
                    scopes: scopes.clone(),
                };
                return self.send(Pending::new(request, Purpose::IdJag(client), Some(found), false), fresh);
            }
        };
        self.ask_tokens(found, client, ask, scopes, fresh)
    }

    pub(super) fn called_back(
        &mut self,
        url: &str,
        found: Found,
        client: Client,
        scopes: Vec<String>,
        (verifier, state): (Secret, String),
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let expected = Expected {
            state: &state,
            issuer: &found.server.issuer,
            iss_promised: found.server.authorization_response_iss_parameter_supported == Some(true),
        };
        let code = authorize::callback(url, expected)?;
        let Grant::Browser { redirect_uri } = &self.config.grant else {
            return Err(AuthError::UnexpectedInput { got: "a callback" });
        };
        let ask = Ask::Code { code, verifier, redirect_uri: redirect_uri.clone() };
        self.ask_tokens(found, client, ask, scopes, fresh)
    }
}
