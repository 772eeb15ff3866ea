//! Token requests of a flow: signatures, nonces, refresh, and the resulting record.

use super::{Flow, Found, Phase, Step};
use crate::auth::Fresh;
use crate::auth::credentials::{AuthMethod, Client, Credentials, Secret};
use crate::auth::dpop::{KeyUse, Proof, SignRequest};
use crate::auth::error::AuthError;
use crate::auth::http::HttpResponse;
use crate::auth::token::{self, Ask, TokenRequest};

/// Purpose of a token request.
pub(super) enum Purpose {
    /// The tokens of the MCP server.
    Tokens,
    /// The same, by a refresh token.
    Refresh,
    /// An ID-JAG, to be shown by this client.
    IdJag(Client),
}

/// A token request that is being signed or sent.
pub(super) struct Pending {
    request: TokenRequest,
    purpose: Purpose,
    /// Absent when refreshing from the record alone.
    found: Option<Found>,
    dpop: bool,
    assertion: Option<Secret>,
    proof: Option<Secret>,
    /// A nonce was asked for already; a second time is no misunderstanding.
    renonced: bool,
}

impl Pending {
    /// The secrets that the request shows, which no message repeats.
    fn shown(&self) -> Vec<Secret> {
        let mut shown = self.request.ask.secrets();
        shown.extend(self.request.client.secret.clone());
        shown.extend([&self.assertion, &self.proof].into_iter().flatten().cloned());
        shown
    }

    pub(super) fn new(request: TokenRequest, purpose: Purpose, found: Option<Found>, dpop: bool) -> Pending {
        Pending { request, purpose, found, dpop, assertion: None, proof: None, renonced: false }
    }
}

impl Flow {
    pub(super) fn ask_tokens(
        &mut self,
        found: Found,
        client: Client,
        ask: Ask,
        scopes: Vec<String>,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        self.ask_found(Purpose::Tokens, found, client, ask, scopes, fresh)
    }

    fn ask_found(
        &mut self,
        purpose: Purpose,
        found: Found,
        client: Client,
        ask: Ask,
        scopes: Vec<String>,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let request = TokenRequest {
            endpoint: found.server.token()?.to_owned(),
            issuer: found.server.issuer.clone(),
            client,
            ask,
            resource: found.resource(),
            scopes,
        };
        let dpop = self.binds(&found);
        self.send(Pending::new(request, purpose, Some(found), dpop), fresh)
    }

    fn binds(&self, found: &Found) -> bool {
        let offered = found.server.dpop_signing_alg_values_supported.as_deref().unwrap_or_default();
        self.config.dpop.as_ref().is_some_and(|key| offered.contains(&key.algorithm))
    }

    /// Signs the missing parts, then sends.
    pub(super) fn send(&mut self, pending: Pending, fresh: &Fresh) -> Result<Step, AuthError> {
        let request = &pending.request;
        if request.client.method == AuthMethod::PrivateKeyJwt && pending.assertion.is_none() {
            let refused =
                |reason| AuthError::ClientAuthentication { method: "private_key_jwt".into(), reason };
            let key = self.config.client_key.as_ref().ok_or(refused("there is no key to sign with"))?;
            let listed = pending
                .found
                .as_ref()
                .filter(|found| found.server.issuer == request.issuer)
                .and_then(|found| found.server.token_endpoint_auth_signing_alg_values_supported.as_ref());
            if listed.is_some_and(|listed| !listed.contains(&key.algorithm)) {
                return Err(refused("the authorization server does not take the key's algorithm"));
            }
            let sign = key.assertion(&request.client.id, &request.issuer, fresh);
            return Ok(self.sign(pending, sign));
        }
        if let (true, None, Some(key)) = (pending.dpop, &pending.proof, &self.config.dpop) {
            let nonce = self.nonce.as_ref().filter(|(issuer, _)| *issuer == request.issuer);
            let proof = Proof {
                method: "POST",
                url: &request.endpoint,
                nonce: nonce.map(|(_, nonce)| nonce.as_str()),
                access: None,
            };
            let sign = key.proof(proof, fresh)?;
            return Ok(self.sign(pending, sign));
        }
        let step = Step::Http(request.build(pending.assertion.as_ref(), pending.proof.as_ref())?);
        self.phase = Phase::Token(Box::new(pending));
        Ok(step)
    }

    fn sign(&mut self, pending: Pending, request: SignRequest) -> Step {
        self.phase = Phase::Sign(Box::new(pending), request.clone());
        Step::Sign(request)
    }

    pub(super) fn signed(
        &mut self,
        mut pending: Pending,
        request: &SignRequest,
        signature: &[u8],
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        if signature.is_empty() {
            return Err(AuthError::Config { option: "signature", reason: "it is empty".into() });
        }
        let token = Some(request.finish(signature));
        match request.key {
            KeyUse::Client => pending.assertion = token,
            KeyUse::Dpop => pending.proof = token,
        }
        self.send(pending, fresh)
    }

    pub(super) fn token_answer(
        &mut self,
        response: HttpResponse,
        mut pending: Pending,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        response.check_size("token response")?;
        if let (true, Some(nonce)) = (pending.dpop, &response.dpop_nonce) {
            self.nonce = Some((pending.request.issuer.clone(), nonce.clone()));
            let wanted = matches!(response.status, 400 | 401) && response.error(&[]).0 == "use_dpop_nonce";
            if wanted && !pending.renonced {
                pending.renonced = true;
                // An assertion is good for one request too.
                (pending.proof, pending.assertion) = (None, None);
                return self.send(pending, fresh);
            }
        }
        let shown = pending.shown();
        let Pending { request, purpose, found, dpop, .. } = pending;
        if let Purpose::IdJag(client) = purpose {
            let assertion = token::id_jag(&response, &shown)?;
            let found = found.ok_or(AuthError::UnexpectedInput { got: "a response" })?;
            return self.ask_tokens(found, client, Ask::JwtBearer(assertion), request.scopes, fresh);
        }
        let tokens = token::tokens(&response, &shown, dpop, fresh.now);
        if let (Purpose::Refresh, Err(AuthError::TokenEndpoint { code, .. })) = (&purpose, &tokens) {
            self.refreshed = true;
            let gone = matches!(code.as_str(), "invalid_client" | "unauthorized_client");
            if gone || code == "invalid_grant" {
                let error = tokens.err().unwrap_or(AuthError::NoRefreshToken);
                if let (true, Some(stored)) = (gone, self.stored.as_mut()) {
                    stored.client = None;
                }
                self.phase = Phase::Reload(found.map(Box::new), error);
                return Ok(Step::Reload);
            }
        }
        let mut tokens = tokens?;
        let before = self.stored.take();
        let mut grant = Some(self.config.grant.name().to_owned());
        let mut redirect_uri = match &request.ask {
            Ask::Code { redirect_uri, .. } => Some(redirect_uri.clone()),
            _ => None,
        };
        if let Ask::Refresh(used) = &request.ask {
            // Without a challenge nothing was refused yet, so refreshing may still be of help when something is.
            self.refreshed |= found.is_some();
            // Servers that do not rotate leave the old one valid.
            tokens.refresh.get_or_insert_with(|| used.clone());
            // Refreshing changes neither; what was not noted is not known now either.
            (grant, redirect_uri) = before.map_or((None, None), |stored| (stored.grant, stored.redirect_uri));
        }
        let redirect_uri = redirect_uri.filter(|_| self.is_registered(&request.client));
        let record = Credentials {
            server: self.config.server.clone(),
            issuer: request.issuer,
            token_endpoint: request.endpoint,
            resource: request.resource,
            grant,
            client: Some(self.kept_client(request.client)),
            redirect_uri,
            tokens: Some(tokens),
            scopes: request.scopes,
            version: self.next_version(),
        };
        self.stored = Some(record.clone());
        Ok(Step::Done(Box::new(record)))
    }

    /// Refreshes the tokens after a challenge, with fresh metadata of both servers.
    pub(super) fn refresh(
        &mut self,
        found: Found,
        client: Client,
        token: Secret,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let scopes = self.stored.as_ref().map(|stored| stored.scopes.clone()).unwrap_or_default();
        self.ask_found(Purpose::Refresh, found, client, Ask::Refresh(token), scopes, fresh)
    }

    /// Refresh before the token ends, from the record alone.
    pub(super) fn refresh_early(&mut self, fresh: &Fresh) -> Result<Step, AuthError> {
        let stored = self.stored.as_ref().ok_or(AuthError::NoRefreshToken)?;
        let tokens = stored.tokens.as_ref().ok_or(AuthError::NoRefreshToken)?;
        let (Some(used), Some(token)) = (&stored.client, tokens.refresh.clone()) else {
            return Err(AuthError::NoRefreshToken);
        };
        let client = self.config.identity.renewed(used)?;
        self.config.addresses.check(&stored.token_endpoint, "token_endpoint")?;
        let dpop = tokens.dpop;
        if dpop && self.config.dpop.is_none() {
            let reason = "the stored tokens are bound to a key, and none is configured".to_owned();
            return Err(AuthError::Config { option: "dpop", reason });
        }
        let request = TokenRequest {
            endpoint: stored.token_endpoint.clone(),
            issuer: stored.issuer.clone(),
            client,
            ask: Ask::Refresh(token),
            resource: stored.resource.clone(),
            scopes: stored.scopes.clone(),
        };
        self.send(Pending::new(request, Purpose::Refresh, None, dpop), fresh)
    }

    /// The refresh token was refused: if someone else has refreshed meanwhile, theirs are the tokens.
    pub(super) fn reloaded(
        &mut self,
        stored: Option<Credentials>,
        found: Option<Found>,
        error: AuthError,
        fresh: &Fresh,
    ) -> Result<Step, AuthError> {
        let issuer = self.stored.as_ref().map(|stored| stored.issuer.clone());
        if let Some(theirs) = stored
            && Some(&theirs.issuer) == issuer.as_ref()
            && self.adopt(&theirs)
        {
            let good = theirs.tokens.as_ref().is_some_and(|tokens| !tokens.expires_within(fresh.now, 0));
            if good {
                return Ok(Step::Done(Box::new(theirs)));
            }
        }
        if let Some(stored) = self.stored.as_mut().and_then(|stored| stored.tokens.as_mut()) {
            stored.refresh = None;
        }
        match found {
            Some(found) => self.register(found, fresh),
            None => Err(error),
        }
    }
}
