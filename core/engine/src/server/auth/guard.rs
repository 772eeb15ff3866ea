//! Authorization of the requests to one endpoint: returns the caller or the refusal for a request's head.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use trunnion_proto::auth::resource::challenge::Challenges;
use trunnion_proto::auth::resource::claims::Rules;
use trunnion_proto::auth::resource::document::{Document, is_document_path};
use trunnion_proto::auth::resource::jws::{Algorithm, Jws, MAX_TOKEN, is_jws};
use trunnion_proto::auth::resource::proof::{NONCE_LIFE, Proof, Seen, Target};
use trunnion_proto::auth::resource::{Caller, Refusal};
use trunnion_proto::auth::url::cut;
use trunnion_proto::auth::{Secret, scope};
use trunnion_proto::error::{ErrorKind, RpcError};
use trunnion_proto::jsonrpc::{self, Id};

use super::cache::{Digest, Known, Verdict, digest};
use super::{Auth, Dpop, now, signature};
use crate::driver::Driver;
use crate::error::Error;
use crate::server::http::ResponseBody;
use crate::server::seal::Sealer;
use crate::sync::lock;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The binding under which nonces are sealed.
const NONCE_BINDING: &[u8] = b"dpop nonce";
/// The time for which a verified JWT is cached, in seconds; a withdrawn key is accepted for so long.
const KEEP: u64 = 300;
/// Seconds after which a client may try again when tokens cannot be checked.
const RETRY_AFTER: &str = "5";
/// In the place of an issuer, for claims that name none: of fixed tokens, and of the program's own check. No
/// URL, as issuers are.
const OF_TOKENS: &str = "tokens";
const OF_PROGRAM: &str = "program";

/// An authorized caller.
pub struct Admitted {
    /// The authenticated caller.
    pub caller: Arc<Caller>,
    /// For the next proof, where this one's nonce grows old.
    pub nonce: Option<HeaderValue>,
}

/// The guard of one endpoint.
pub struct Guard {
    auth: Auth,
    rules: Rules,
    /// The issuer of claims that name none, where nobody else's tokens are taken.
    only_issuer: Option<String>,
    challenges: Challenges,
    document: Bytes,
    resource: String,
    /// The public URL of the endpoint, if known.
    url: Option<String>,
    endpoint: String,
    known: Known,
    seen: Mutex<Seen>,
    runtime: Option<tokio::runtime::Handle>,
}

/// The scheme of a presented token.
#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The verifier that checked a token.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// It is a fixed one.
    Fixed,
    /// It is signed, and names its issuer.
    Signed,
    /// The introspection endpoint at this URL.
    Introspected(&'a str),
    /// The program itself.
    Program,
}

impl Guard {
    /// `url`: where clients reach the endpoint, if that is known; `endpoint`: its path. An error is of kind
    /// `usage`.
    pub fn new(auth: &Auth, url: Option<String>, endpoint: &str, driver: &Driver) -> Result<Guard, Error> {
        let resource = auth.resource.clone().or_else(|| url.clone()).ok_or_else(|| {
            Error::usage(
                "auth: resource or publicUrl is needed: it is not known where clients reach the endpoint",
            )
        })?;
        let algorithms = match auth.dpop {
            Dpop::Off => Vec::new(),
            _ => Algorithm::ALL.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        };
        let supported =
            if auth.scopes_supported.is_empty() { &auth.required_scopes } else { &auth.scopes_supported };
        let issuers = auth.issuers();
        let document = Document {
            resource: resource.clone(),
            authorization_servers: issuers.clone(),
            scopes_supported: supported.clone(),
            name: auth.name.clone(),
            proof_algorithms: algorithms.clone(),
            bound_only: auth.dpop == Dpop::Required,
        };
        let wrong = |error: trunnion_proto::auth::AuthError| Error::usage(format!("auth: {error}"));
        document.check().map_err(wrong)?;
        let challenges = Challenges {
            resource_metadata: document.url().map_err(wrong)?,
            bearer: auth.dpop != Dpop::Required,
            proof_algorithms: algorithms,
        };
        let audiences = match &auth.audiences[..] {
            [] => vec![resource.clone()],
            audiences => audiences.to_vec(),
        };
        let runtime = match (&auth.runtime, driver) {
            (Some(runtime), _) | (None, Driver::Tokio(runtime)) => Some(runtime.clone()),
            (None, Driver::Hosted(_)) => None,
        };
        let only_issuer = match &issuers[..] {
            [issuer] if auth.ways() == 1 => Some(issuer.clone()),
            _ => None,
        };
        let leeway = auth.leeway_seconds();
        Ok(Guard {
            auth: auth.clone(),
            rules: Rules { audiences, issuers, leeway, must_expire: false },
            only_issuer,
            challenges,
            document: document.to_json().into(),
            resource,
            url,
            endpoint: endpoint.to_owned(),
            known: Known::default(),
            seen: Mutex::default(),
            runtime,
        })
    }

    /// The metadata, for a request that asks for it. Everybody may read it, from any page (RFC 9728, section
    /// 3.1).
    pub fn document(&self, head: &Parts) -> Option<Response<ResponseBody>> {
        if !is_document_path(head.uri.path(), &self.resource, &self.endpoint) {
            return None;
        }
        let mut response = match head.method {
            Method::GET | Method::HEAD => ResponseBody::json(200, self.document.clone()),
            Method::OPTIONS => ResponseBody::json(204, Bytes::new()),
            _ => ResponseBody::json(405, Bytes::new()),
        };
        let headers = response.headers_mut();
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
            ("access-control-allow-headers", "*"),
            ("cache-control", "public, max-age=300"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Some(response)
    }

    /// Find out who calls.
    pub async fn admit(&self, head: &Parts, sealer: &Sealer) -> Result<Admitted, Refusal> {
        if head.uri.query().is_some_and(has_token) {
            return Err(Refusal::TokenInQuery);
        }
        let (scheme, token) = shown(&head.headers)?;
        let caller = self.caller(token).await?;
        let nonce = self.check_binding(head, sealer, scheme, token, &caller)?;
        if !self.auth.required_scopes.iter().all(|scope| caller.has_scope(scope)) {
            return Err(Refusal::Scope);
        }
        Ok(Admitted { caller, nonce })
    }

    /// The answer to who is not let in. `scopes`: what is needed besides what every request needs.
    pub fn refuse(
        &self,
        refusal: Refusal,
        id: Option<&Id>,
        scopes: &[String],
        sealer: &Sealer,
    ) -> Response<ResponseBody> {
        let needed = scope::union(&self.auth.required_scopes, scopes.iter().cloned()).unwrap_or_default();
        let mut data = serde_json::json!({ "reason": refusal.name() });
        if refusal == Refusal::Scope {
            data["scopes"] = needed.clone().into();
        }
        let error = RpcError::new(ErrorKind::InvalidRequest, refusal.description()).with_data(data);
        let mut response = ResponseBody::json(refusal.status(), jsonrpc::error(id, &error).into());
        let headers = response.headers_mut();
        for challenge in self.challenges.of(refusal, &needed) {
            if let Ok(value) = HeaderValue::from_str(&challenge) {
                headers.append(WWW_AUTHENTICATE, value);
            }
        }
        if refusal == Refusal::Nonce {
            headers.insert(DPOP_NONCE, fresh_nonce(sealer));
        }
        if refusal == Refusal::Unavailable {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }

    async fn caller(&self, token: &str) -> Verdict {
        let (digest, now) = (digest(token), now());
        let caller = match self.known.get(&digest, now) {
            Some(verdict) => verdict?,
            None => self.find(token, digest).await?,
        };
        // A cached verdict may have expired.
        caller.check_time(now)?;
        Ok(caller)
    }

    /// Asks the verifier of such a token, and caches its answer for as long as that may be.
    async fn find(&self, token: &str, digest: Digest) -> Verdict {
        if let Some(mut claims) = self.auth.tokens.as_ref().and_then(|tokens| tokens.find(&digest)) {
            if !claims.contains_key("aud") {
                claims.insert("aud".into(), self.rules.audiences[0].clone().into());
            }
            return self.read(claims, Way::Fixed);
        }
        if is_jws(token) && !self.auth.jwt.is_empty() {
            let issuer = peek_issuer(token);
            let verifier = self.auth.jwt.iter().find(|verifier| issuer.as_deref() == Some(verifier.issuer()));
            match verifier {
                Some(verifier) => {
                    let claims = verifier.verify(token, self.runtime()?).await?;
                    // What is not good yet may be soon: only what is good is remembered.
                    let caller = self.read(claims, Way::Signed)?;
                    return self.keep(digest, Ok(caller), KEEP);
                }
                // Nobody else could know it: say what is wrong with it.
                None if self.auth.introspection.is_none() && self.auth.custom.is_none() => {
                    Jws::parse(token, &Algorithm::ALL)?;
                    return Err(Refusal::Issuer);
                }
                None => {}
            }
        }
        if let Some(introspection) = &self.auth.introspection {
            let verdict = match introspection.ask(token, self.runtime()?).await {
                Ok(claims) => self.read(claims, Way::Introspected(introspection.endpoint())),
                Err(refusal) => Err(refusal),
            };
            return self.keep(digest, verdict, introspection.kept_for());
        }
        if let Some(custom) = &self.auth.custom {
            return match custom.verify(Secret::new(token)).await {
                Ok(Some(claims)) => self.read(claims, Way::Program),
                Ok(None) => Err(Refusal::Rejected),
                Err(error) => {
                    tracing::warn!(kind = error.kind, "a token cannot be checked");
                    Err(Refusal::Unavailable)
                }
            };
        }
        Err(if is_jws(token) || self.auth.jwt.is_empty() { Refusal::Inactive } else { Refusal::Malformed })
    }

    fn read(&self, claims: serde_json::Map<String, serde_json::Value>, way: Way<'_>) -> Verdict {
        let names_issuer = claims.contains_key("iss");
        let signed = matches!(way, Way::Signed);
        let mut rules = Rules { must_expire: signed, ..self.rules.clone() };
        if matches!(way, Way::Fixed) || !(signed || names_issuer) {
            rules.issuers.clear();
        }
        // Each verifier has its own: the same subject of two issuers is two principals.
        let nameless = match way {
            Way::Fixed => OF_TOKENS,
            Way::Introspected(endpoint) => endpoint,
            Way::Signed | Way::Program => OF_PROGRAM,
        };
        let issuer = self.only_issuer.as_deref().unwrap_or(nameless);
        rules.caller(claims, issuer, now()).map(Arc::new)
    }

    fn keep(&self, digest: Digest, verdict: Verdict, time: u64) -> Verdict {
        let now = now();
        let last = match &verdict {
            Ok(caller) => caller.good_until(),
            Err(Refusal::Unavailable) => Some(now),
            Err(_) => None,
        };
        let until = now.saturating_add(time).min(last.unwrap_or(u64::MAX));
        if until > now {
            self.known.put(digest, verdict.clone(), until, now);
        }
        verdict
    }

    fn runtime(&self) -> Result<&tokio::runtime::Handle, Refusal> {
        self.runtime.as_ref().ok_or(Refusal::Unavailable)
    }

    /// Hold the token's key against how it was shown.
    fn check_binding(
        &self,
        head: &Parts,
        sealer: &Sealer,
        scheme: Scheme,
        token: &str,
        caller: &Caller,
    ) -> Result<Option<HeaderValue>, Refusal> {
        let key = match (scheme, caller.key(), self.auth.dpop) {
            (Scheme::Dpop, _, Dpop::Off) => return Err(Refusal::NoDpop),
            // To a certificate too, or to a key that cannot be read.
            (Scheme::Bearer, _, _) if caller.is_bound() => return Err(Refusal::BoundAsBearer),
            (Scheme::Bearer, _, Dpop::Required) | (Scheme::Dpop, None, _) => {
                return Err(Refusal::NotBound);
            }
            (Scheme::Bearer, ..) => return Ok(None),
            (Scheme::Dpop, Some(key), _) => key,
        };
        let mut proofs = head.headers.get_all(DPOP).iter();
        let (Some(proof), None) = (proofs.next(), proofs.next()) else { return Err(Refusal::NoProof) };
        let proof = proof.to_str().map_err(|_| Refusal::BadProof)?;
        let (urls, leeway, now) = (self.urls(head), self.rules.leeway, now());
        let target = Target { method: head.method.as_str(), urls: &urls, token, key };
        let proof = Proof::check(proof, target, leeway, now)?;
        if !signature::is_of(&proof.jws, &proof.key) {
            return Err(Refusal::ProofKey);
        }
        let mut next = None;
        if self.auth.nonces {
            let age = proof.nonce().and_then(|nonce| nonce_age(nonce, sealer, now));
            let age = age.filter(|age| *age < NONCE_LIFE).ok_or(Refusal::Nonce)?;
            next = (age > NONCE_LIFE / 2).then(|| fresh_nonce(sealer));
        }
        lock(&self.seen).note(&proof, leeway, now)?;
        Ok(next)
    }

    /// Returns the URLs that the client may use for the endpoint: the resource, the public URL, or the
    /// requested URL, after the check of its host. A proxy may request another host than its client did.
    fn urls(&self, head: &Parts) -> Vec<String> {
        let mut urls = vec![self.resource.clone()];
        if let Some(url) = &self.url {
            urls.push(url.clone());
            urls.extend(cut(url, "url").map(|parts| format!("{}{}", parts.origin(), head.uri.path())));
        }
        if let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok()) {
            let path = head.uri.path();
            urls.extend(["https", "http"].map(|scheme| format!("{scheme}://{host}{path}")));
        }
        urls
    }
}

/// The one token of the `Authorization` header.
fn shown(headers: &HeaderMap) -> Result<(Scheme, &str), Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Refusal::NoToken),
        (Some(value), None) => value.to_str().map_err(|_| Refusal::BadRequest)?,
        (Some(_), Some(_)) => return Err(Refusal::BadRequest),
    };
    let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    let scheme = if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else {
        // Another scheme: there is no token.
        return Err(Refusal::NoToken);
    };
    let token = token.trim_start();
    // b64token of RFC 6750, section 2.1.
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(fit) {
        return Err(Refusal::BadRequest);
    }
    if token.len() > MAX_TOKEN {
        return Err(Refusal::TooLarge);
    }
    Ok((scheme, token))
}

/// Returns true if a query contains a token as in RFC 6750, section 2.3.
fn has_token(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

/// Returns the unverified issuer of a token, only to select the verifier.
fn peek_issuer(token: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    #[derive(serde::Deserialize)]
    struct Issued {
        iss: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Issued>(&claims).ok().map(|issued| issued.iss)
}

/// A nonce that all processes with the same keys know.
fn fresh_nonce(sealer: &Sealer) -> HeaderValue {
    let nonce = sealer.seal(NONCE_BINDING, now().to_string());
    HeaderValue::from_str(&nonce).expect("Base64 is ASCII")
}

fn nonce_age(nonce: &str, sealer: &Sealer, now: u64) -> Option<u64> {
    let made: u64 = sealer.open(NONCE_BINDING, nonce)?.parse().ok()?;
    Some(now.saturating_sub(made))
}

impl ResponseBody {
    fn json(status: u16, body: Bytes) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::seal::DEFAULT_TTL;

    #[test]
    fn nonces_are_of_this_server_and_have_an_age() {
        let sealer = Sealer::new(&[], DEFAULT_TTL).expect("a key");
        let made = sealer.seal(NONCE_BINDING, "100".into());
        assert_eq!(nonce_age(&made, &sealer, 100 + NONCE_LIFE), Some(NONCE_LIFE));
        assert_eq!(nonce_age(&made, &Sealer::new(&[], DEFAULT_TTL).expect("a key"), 100), None);
        assert_eq!(nonce_age(&sealer.seal(b"another", "100".into()), &sealer, 100), None);
    }
}
