//! Claims of a token: validation, the caller and its scopes (RFC 7519, section 4; RFC 9068; RFC 8707, section
//! 2).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::auth::url::cut;
use crate::json;

/// Default for the permitted difference between clocks, in seconds.
pub const LEEWAY: u64 = 60;

/// The rules that claims must satisfy.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Accepted audiences; one of them suffices.
    pub audiences: Vec<String>,
    /// Accepted issuers; empty: the verifier of the token is responsible for the issuer.
    pub issuers: Vec<String>,
    /// Permitted difference between clocks, in seconds.
    pub leeway: u64,
    /// Tokens that do not expire are refused.
    pub must_expire: bool,
}

impl Rules {
    /// Checks claims against the rules and returns the caller. `default_issuer` is for claims without an
    /// issuer.
    pub fn caller(
        &self,
        claims: Map<String, Value>,
        default_issuer: &str,
        now: u64,
    ) -> Result<Caller, Refusal> {
        let issuer = match claims.get("iss") {
            None if self.issuers.is_empty() => default_issuer,
            Some(Value::String(issuer)) => issuer.as_str(),
            _ => return Err(Refusal::Issuer),
        };
        if !self.issuers.is_empty() && !self.issuers.iter().any(|known| known == issuer) {
            return Err(Refusal::Issuer);
        }
        let audience = |one: &Value| {
            let one = one.as_str();
            one.is_some_and(|one| self.audiences.iter().any(|own| same_audience(own, one)))
        };
        let meant = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(audience),
            Some(one) => audience(one),
            None => false,
        };
        if !meant {
            return Err(Refusal::Audience);
        }
        let expires = instant(&claims, "exp")?;
        if expires.is_none() && self.must_expire {
            return Err(Refusal::NoExpiry);
        }
        let not_before = instant(&claims, "nbf")?;
        if not_before.is_some_and(|at| at > now.saturating_add(self.leeway)) {
            return Err(Refusal::NotYetValid);
        }
        let owner = match (text(&claims, "sub"), text(&claims, "client_id").or(text(&claims, "azp"))) {
            (Some(subject), _) => format!("sub:{subject}"),
            (None, Some(client)) => format!("client:{client}"),
            (None, None) => return Err(Refusal::NoSubject),
        };
        // As a JSON array, so that no two pairs make one text.
        let principal = format!("[{},{}]", json::string(issuer), json::string(&owner)).into();
        let caller = Caller::new(principal, claims, expires, self.leeway);
        caller.check_time(now)?;
        Ok(caller)
    }
}

/// A verified caller. `Debug` shows the principal only.
#[derive(Clone, PartialEq)]
pub struct Caller {
    principal: Arc<str>,
    scopes: Vec<String>,
    expires: Option<u64>,
    leeway: u64,
    claims: Map<String, Value>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Caller {
    fn new(principal: Arc<str>, claims: Map<String, Value>, expires: Option<u64>, leeway: u64) -> Caller {
        Caller { principal, scopes: scopes(&claims), expires, leeway, claims }
    }

    /// The caller of an earlier request whose work outlives it: the same principal and claims. Its token is
    /// not checked again.
    pub fn kept(principal: Arc<str>, claims: Map<String, Value>) -> Caller {
        Caller::new(principal, claims, None, 0)
    }

    /// Identifies the caller among all issuers; sessions, tasks and state belong to this value.
    pub fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// The verified claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Scopes of the token.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Returns whether the scope is among [`Caller::scopes`].
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    /// When the token expires, in seconds since 1970; `None`: never.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// Thumbprint of the key it is bound to (`cnf.jkt`, RFC 9449, section 6).
    pub fn key(&self) -> Option<&str> {
        self.claims.get("cnf")?.get("jkt")?.as_str()
    }

    /// Returns true if the token is bound (`cnf`, RFC 7800, section 3): to a [`key`](Caller::key), or to
    /// something that cannot be checked here, such as a certificate (RFC 8705, section 3). A bound token is
    /// never sufficient by itself.
    pub fn is_bound(&self) -> bool {
        self.claims.get("cnf").is_some_and(|bound| !bound.is_null())
    }

    /// The last second in which it is good.
    pub fn good_until(&self) -> Option<u64> {
        self.expires.map(|at| at.saturating_add(self.leeway))
    }

    /// [`Refusal::Expired`] from its last second on, and the leeway.
    pub fn check_time(&self, now: u64) -> Result<(), Refusal> {
        let over = self.good_until().is_some_and(|at| at <= now);
        if over { Err(Refusal::Expired) } else { Ok(()) }
    }
}

/// The caller of a request, as far as it is known.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// The other end of a pipe, or the same process: authorization does not apply (authorization, "Protocol
    /// Requirements").
    #[default]
    Local,
    /// Anonymous: over HTTP, on a server without authorization.
    Anybody,
    /// A verified caller.
    Known(Arc<Caller>),
}

impl Access {
    /// The verified caller.
    pub fn caller(&self) -> Option<&Arc<Caller>> {
        match self {
            Access::Known(caller) => Some(caller),
            _ => None,
        }
    }

    /// The principal, if known.
    pub fn principal(&self) -> Option<&Arc<str>> {
        self.caller().map(|caller| caller.principal())
    }

    /// Returns true if the caller has all of these scopes.
    pub fn may(&self, scopes: &[String]) -> bool {
        match self {
            Access::Local => true,
            Access::Anybody => scopes.is_empty(),
            Access::Known(caller) => scopes.iter().all(|scope| caller.has_scope(scope)),
        }
    }
}

/// `scope` of claims (RFC 8693, section 4.2), or `scp` as some issuers have it: a list with spaces, or an array.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |text: &str| {
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            if !all.iter().any(|known| known == scope) {
                all.push(scope.to_owned());
            }
        }
    };
    match claims.get("scope").or(claims.get("scp")) {
        Some(Value::String(list)) => add(list),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).for_each(add),
        _ => {}
    }
    all
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Seconds since 1970 (`NumericDate`); fractions are cut.
fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match (value.as_u64(), value.as_f64()) {
            (Some(at), _) => Ok(Some(at)),
            (None, Some(at)) if at.is_finite() => Ok(Some(at.max(0.0) as u64)),
            _ => Err(Refusal::Malformed),
        },
    }
}

/// Equal, but for the case of scheme and host and for a slash at the end (authorization, "Canonical Server URI").
fn same_audience(own: &str, other: &str) -> bool {
    let canonical = |url: &str| {
        let parts = cut(url, "aud").ok()?;
        let path = parts.path.trim_end_matches('/');
        Some((parts.origin().to_ascii_lowercase(), path.to_owned(), parts.query.map(str::to_owned)))
    };
    own == other || canonical(own).is_some_and(|own| Some(own) == canonical(other))
}
