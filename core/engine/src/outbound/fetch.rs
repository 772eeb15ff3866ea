//! HTTP requests of a sign-in, restricted to the addresses that the machine permits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trunnion_proto::auth::url::{AddressClass, AddressPolicy, cut};
use trunnion_proto::auth::{AuthError, HttpRequest, HttpResponse, MAX_RESPONSE_BYTES};
use trunnion_proto::client::TransportFailure;

use super::http::{chain, install_provider};
use super::unpack::Unpacker;
use crate::sync::lock;

const DPOP_NONCE: &str = "dpop-nonce";

/// The reason for missing authorization. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Failure {
        Failure { reason, message: message.into() }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Failure {
        Failure::new(error.name(), error.to_string())
    }
}

impl From<Failure> for TransportFailure {
    fn from(failure: Failure) -> TransportFailure {
        let message = format!("authorization failed: {}", failure.message);
        TransportFailure::Unauthorized { reason: failure.reason, message }
    }
}

pub(crate) struct Fetcher {
    policy: AddressPolicy,
    /// A URL that the user configured, not a document: it may be at any address.
    trusted: Option<String>,
    timeout: Duration,
    clients: Mutex<HashMap<Kind, reqwest::Client>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// True for requests that bypass any proxy.
    loopback: bool,
    /// True for requests to any address.
    trusted: bool,
}

/// The error for a name that does not resolve to a permitted address: it resolves only to addresses of this
/// class.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to a {0} address, which the MCP server may not send a client to (option addresses)")]
struct Refused(AddressClass);

impl Fetcher {
    pub(crate) fn new(policy: AddressPolicy, trusted: Option<String>, timeout: Duration) -> Fetcher {
        Fetcher { policy, trusted, timeout, clients: Mutex::default() }
    }

    /// Sends a request and returns the response, with any status; redirects are not followed. The body is cut
    /// one byte above the machine's limit.
    pub(crate) async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        self.send_to(request, self.trusted.as_ref() == Some(&request.url)).await
    }

    /// Sends a request like [`Fetcher::send`]. `trusted`: the user configured the URL, so it may lead to any
    /// address.
    pub(crate) async fn send_to(
        &self,
        request: &HttpRequest,
        trusted: bool,
    ) -> Result<HttpResponse, Failure> {
        // Queries may contain private data.
        let place = request.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            let reason = if error.is_timeout() {
                "timeout"
            } else if is_refused(&error) {
                "address_refused"
            } else {
                "unreachable"
            };
            Failure::new(reason, format!("{place}: {}", chain(&error)))
        };
        let unusable = |reason: String| Failure::new("bad_url", format!("{place}: {reason}"));
        let parts = cut(&request.url, "the URL")?;
        let kind = Kind { loopback: parts.class() == AddressClass::Loopback, trusted };
        let url = Url::parse(&request.url).map_err(|error| unusable(error.to_string()))?;
        let method = if request.method == "GET" { reqwest::Method::GET } else { reqwest::Method::POST };
        let mut sent = self.client(kind).map_err(failed)?.request(method, url);
        for (name, value) in &request.headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| unusable(format!("the value of {name} is no header value")))?;
            value.set_sensitive(true);
            sent = sent.header(*name, value);
        }
        let mut response = sent.body(request.body.clone()).send().await.map_err(failed)?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let mut answer = HttpResponse {
            status: response.status().as_u16(),
            content_type: text(CONTENT_TYPE.as_str()).map(str::to_owned),
            dpop_nonce: text(DPOP_NONCE).map(str::to_owned),
            body: Vec::new(),
        };
        let mut unpacker = Unpacker::of(response.headers(), MAX_RESPONSE_BYTES)
            .map_err(|reason| Failure::new("malformed", format!("{place}: {reason}")))?;
        while answer.body.len() <= MAX_RESPONSE_BYTES
            && let Some(chunk) = response.chunk().await.map_err(failed)?
        {
            let chunk = match &mut unpacker {
                None => chunk,
                Some(unpacker) => match unpacker.feed(chunk) {
                    Ok(chunk) => chunk,
                    Err(TransportFailure::Limit(_)) => vec![0; MAX_RESPONSE_BYTES + 1].into(),
                    Err(_) => {
                        return Err(Failure::new("malformed", format!("{place}: it cannot be unpacked")));
                    }
                },
            };
            let room = MAX_RESPONSE_BYTES + 1 - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(answer)
    }

    fn client(&self, kind: Kind) -> Result<reqwest::Client, reqwest::Error> {
        if let Some(client) = lock(&self.clients).get(&kind) {
            return Ok(client.clone());
        }
        install_provider();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(HeaderValue::from_static(concat!("trunnion/", env!("CARGO_PKG_VERSION"))))
            .timeout(self.timeout);
        if kind.loopback {
            builder = builder.no_proxy();
        }
        if !kind.trusted {
            builder = builder.dns_resolver(Arc::new(Guarded { policy: self.policy, proxies: proxies() }));
        }
        let client = builder.build()?;
        lock(&self.clients).insert(kind, client.clone());
        Ok(client)
    }
}

fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Refused>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Returns the names of the proxies that the user has set; the user's proxies may be at any address.
fn proxies() -> Vec<String> {
    let name = |variable: &str| {
        let value = std::env::var(variable).ok()?;
        let url = Url::parse(&value).or_else(|_| Url::parse(&format!("http://{value}"))).ok()?;
        url.host_str().map(str::to_owned)
    };
    let variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    variables.into_iter().filter_map(name).collect()
}

/// A resolver that returns only permitted addresses. The check and the connection use the same response, so
/// that a name cannot resolve to another address after the check.
struct Guarded {
    policy: AddressPolicy,
    proxies: Vec<String>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, proxy) = (self.policy, self.proxies.iter().any(|proxy| proxy == name.as_str()));
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let class = |address: &SocketAddr| AddressClass::of(address.ip());
            let permitted: Vec<SocketAddr> =
                found.iter().filter(|address| proxy || policy.permits(class(address))).copied().collect();
            match (permitted.is_empty(), found.first()) {
                (true, Some(first)) => Err(Refused(class(first)).into()),
                _ => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_held_against_the_policy_when_they_are_resolved() {
        let policy = AddressPolicy { server: AddressClass::Public };
        let of = |proxies| Guarded { policy, proxies };
        let name = || "localhost".parse::<Name>().expect("a name");
        let refused = of(Vec::new()).resolve(name()).await.err().expect("refused");
        assert!(is_refused(refused.as_ref()) && refused.to_string().contains("loopback"), "{refused}");
        assert!(of(vec!["localhost".into()]).resolve(name()).await.is_ok());
    }
}
