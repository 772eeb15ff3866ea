//! The URL of the authorization page, and the check of its callback.

use super::credentials::Secret;
use super::error::{AuthError, harmless};
use super::http::Form;
use super::url::cut;
use super::{pkce, scope};

/// Parameters of an authorization request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `authorization_endpoint`.
    pub endpoint: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// `redirect_uri`.
    pub redirect_uri: &'a str,
    /// PKCE verifier; its S256 challenge is sent.
    pub verifier: &'a Secret,
    /// `state`.
    pub state: &'a str,
    /// `resource`, as the metadata has it.
    pub resource: Option<&'a str>,
    /// Scopes; none: no parameter.
    pub scopes: &'a [String],
}

const OURS: [&str; 9] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "code_challenge",
    "code_challenge_method",
    "state",
    "resource",
    "scope",
    "prompt",
];

/// [`AuthError::PoisonedEndpoint`] if the endpoint's own query sets a parameter of the client: servers differ
/// in which of two values they use.
pub fn check_endpoint(endpoint: &str) -> Result<(), AuthError> {
    let parts = cut(endpoint, "authorization_endpoint")?;
    for (name, _) in form_urlencoded::parse(parts.query.unwrap_or("").as_bytes()) {
        if OURS.contains(&name.as_ref()) || name == "request" || name == "request_uri" {
            return Err(AuthError::PoisonedEndpoint {
                endpoint: "authorization_endpoint",
                parameter: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// The URL to open. It keeps the endpoint's own query.
pub fn url(request: Request<'_>) -> String {
    let offline = request.scopes.iter().any(|scope| scope == "offline_access");
    let query = Form::new()
        .add("response_type", "code")
        .add("client_id", request.client_id)
        .add("redirect_uri", request.redirect_uri)
        .add("code_challenge", &pkce::challenge(request.verifier.expose()))
        .add("code_challenge_method", "S256")
        .add("state", request.state)
        .maybe("resource", request.resource)
        .maybe("scope", scope::parameter(request.scopes).as_deref())
        // OpenID servers ignore `offline_access` unless consent is asked for.
        .maybe("prompt", offline.then_some("consent"))
        .finish();
    let joint = match request.endpoint.split_once('?') {
        None => "?",
        Some((_, own)) if own.is_empty() || own.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{}{joint}{query}", request.endpoint)
}

/// The values that a callback is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The `state` that was sent.
    pub state: &'a str,
    /// The issuer that was recorded before the user was sent away.
    pub issuer: &'a str,
    /// Does the metadata promise `iss`?
    pub iss_promised: bool,
}

/// The code of a callback (a whole URL, or its query).
///
/// Checked in this order, so that nothing of a foreign answer is used or shown: `state`, `iss` (RFC 9207, as plain
/// strings), `error`, `code`.
pub fn callback(url: &str, expected: Expected<'_>) -> Result<Secret, AuthError> {
    let query = url.split_once('#').map_or(url, |(before, _)| before);
    let query = query.split_once('?').map_or(query, |(_, query)| query);
    let (mut state, mut iss, mut error, mut description, mut code) = (None, None, None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match name.as_ref() {
            "state" => &mut state,
            "iss" => &mut iss,
            "error" => &mut error,
            "error_description" => &mut description,
            "code" => &mut code,
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(AuthError::BadCallback { reason: "it has a parameter twice" });
        }
    }
    if state.as_deref() != Some(expected.state) {
        return Err(AuthError::StateMismatch);
    }
    match iss {
        Some(iss) if iss != expected.issuer => {
            return Err(AuthError::WrongIss { issuer: expected.issuer.to_owned() });
        }
        None if expected.iss_promised => {
            return Err(AuthError::MissingIss { issuer: expected.issuer.to_owned() });
        }
        _ => {}
    }
    if let Some(error) = error {
        let shown: Vec<Secret> = state.into_iter().chain(code).map(Secret::new).collect();
        let description = harmless(&description.unwrap_or_default(), &shown);
        return Err(AuthError::Refused { code: harmless(&error, &shown), description });
    }
    match code {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => Err(AuthError::BadCallback { reason: "it has neither code nor error" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_own_query_is_kept() {
        let verifier = Secret::new("v");
        let of = |endpoint| {
            let request = Request {
                endpoint,
                client_id: "c",
                redirect_uri: "http://localhost/cb",
                verifier: &verifier,
                state: "s",
                resource: Some("https://h/mcp"),
                scopes: &[],
            };
            url(request)
        };
        assert!(of("https://as/a").starts_with("https://as/a?response_type=code&client_id=c&"));
        assert!(of("https://as/a?").starts_with("https://as/a?response_type"));
        assert!(of("https://as/a?t=1").starts_with("https://as/a?t=1&response_type"));
        assert!(of("https://as/a").contains("&resource=https%3A%2F%2Fh%2Fmcp"));
        assert!(!of("https://as/a").contains("scope="));
        for name in ["client_id", "redirect_uri", "request_uri", "stat%65"] {
            assert!(check_endpoint(&format!("https://as/a?{name}=x")).is_err(), "{name}");
        }
        assert!(check_endpoint("https://as/a?tenant=x").is_ok());
    }

    #[test]
    fn callbacks() {
        const AS: &str = "https://as.example";
        let issuer = || AS.to_owned();
        let of = |query: &str, iss_promised| {
            callback(query, Expected { state: "s", issuer: AS, iss_promised })
                .map(|code| code.expose().to_owned())
        };
        let good = "http://localhost:3000/cb?code=c&state=s&iss=https%3A%2F%2Fas.example";
        assert_eq!(of(good, true), Ok("c".into()));
        assert_eq!(of(good, false), Ok("c".into()));
        assert_eq!(of("code=c&state=s", false), Ok("c".into()));
        assert_eq!(of("code=c&state=s", true), Err(AuthError::MissingIss { issuer: issuer() }));
        for iss in [
            "https://evil.example",
            "https://as.example/",
            "HTTPS://as.example",
            "https://as.example:443",
            "",
        ] {
            let query = format!("code=c&state=s&iss={iss}");
            assert_eq!(of(&query, false), Err(AuthError::WrongIss { issuer: issuer() }), "{iss}");
        }
        assert_eq!(of("code=c", false), Err(AuthError::StateMismatch));
        assert_eq!(of("code=c&state=S", false), Err(AuthError::StateMismatch));
        assert!(matches!(of("code=c&state=s&code=d", false), Err(AuthError::BadCallback { .. })));
        assert!(matches!(of("state=s", false), Err(AuthError::BadCallback { .. })));
        let denied = "error=access_denied&error_description=no%0Away&state=s";
        let refused = AuthError::Refused { code: "access_denied".into(), description: "noway".into() };
        assert_eq!(of(denied, false), Err(refused));
        // What a foreign server says is not repeated.
        let foreign = of(&format!("{denied}&iss=https://evil.example"), false).unwrap_err().to_string();
        assert!(!foreign.contains("noway") && !foreign.contains("evil"), "{foreign}");
    }
}
