//! CORS headers for pages of allowed origins (Fetch Standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::answer::{ResponseBody, empty};

/// The response headers that a page must be able to read.
const EXPOSED: &str = "Mcp-Session-Id, WWW-Authenticate, DPoP-Nonce";
/// Lifetime of the answer to a preflight, in seconds; browsers have lower limits of their own.
const MAX_AGE: &str = "7200";
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The origin of a page that is to be let in. Its request has passed the check of its origin; one with
/// several has no page.
pub(super) fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.next().filter(|_| origins.next().is_none()).cloned()
}

/// The answer to a preflight, if the request is one. It comes without credentials, so nothing is asked of its
/// sender.
pub(super) fn preflight(head: &Parts, methods: &'static str) -> Option<Response<ResponseBody>> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    // Tools name headers of their own (x-mcp-header), so there is no list of all.
    if let Some(wanted) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if head.headers.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    Some(response)
}

/// Lets a page of this origin read the response. Never with the browser's own credentials (cookies): tokens
/// are sent by the page.
pub(super) fn allow(origin: HeaderValue, response: &mut Response<ResponseBody>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
