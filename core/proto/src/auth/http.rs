//! HTTP requests and responses of a flow, as values.

use super::error::{AuthError, harmless};
use super::{MAX_RESPONSE_BYTES, credentials::Secret};
use crate::jsonrpc::without_mark;
use crate::limits::exceeds_depth;

/// Media type of the bodies of token requests.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request to send as it is. `Debug` shows neither body nor values of headers.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Target URL, sent unchanged.
    pub url: String,
    /// Name and value, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Body, empty for `GET`.
    pub body: String,
}

impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|header| header.0).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl HttpRequest {
    pub(crate) fn get(url: &str, version: Option<&str>) -> HttpRequest {
        let mut headers = vec![("accept", "application/json".to_owned())];
        if let Some(version) = version {
            headers.push(("mcp-protocol-version", version.to_owned()));
        }
        HttpRequest { method: "GET", url: url.to_owned(), headers, body: String::new() }
    }

    pub(crate) fn post(url: &str, media_type: &str, body: String) -> HttpRequest {
        let headers =
            vec![("accept", "application/json".to_owned()), ("content-type", media_type.to_owned())];
        HttpRequest { method: "POST", url: url.to_owned(), headers, body }
    }

    /// Value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// An answer. `Debug` shows the status only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, if any.
    pub content_type: Option<String>,
    /// `DPoP-Nonce`, if any.
    pub dpop_nonce: Option<String>,
    /// The body, or its first bytes when it is longer than the limit: one byte above is enough.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

impl HttpResponse {
    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> HttpResponse {
        HttpResponse {
            status,
            content_type: Some("application/json".into()),
            dpop_nonce: None,
            body: body.into(),
        }
    }

    pub(crate) fn check_size(&self, what: &'static str) -> Result<(), AuthError> {
        if self.body.len() > MAX_RESPONSE_BYTES {
            return Err(AuthError::ResponseTooLarge { what, limit: MAX_RESPONSE_BYTES });
        }
        Ok(())
    }

    /// Is it meant as JSON? Pages that stand in for missing ones are HTML.
    pub(crate) fn is_json(&self) -> bool {
        match &self.content_type {
            // A page of HTML, too, may come without.
            None => without_mark(&self.body).trim_ascii_start().first() == Some(&b'{'),
            Some(value) => {
                let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
                essence == "application/json" || essence.ends_with("+json")
            }
        }
    }

    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self, what: &'static str) -> Result<T, AuthError> {
        self.check_size(what)?;
        let malformed = |reason: String| AuthError::Malformed { what, reason };
        if exceeds_depth(&self.body, 32) {
            return Err(malformed("it is nested too deeply".into()));
        }
        // What serde says of bad data may quote it, and answers of a token endpoint hold tokens: only the kind of
        // mistake is told.
        let value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(without_mark(&self.body))
                .map_err(|_| malformed("it is not a JSON object".into()))?;
        serde_json::from_value(serde_json::Value::Object(value)).map_err(|error| {
            let text = error.to_string();
            // "missing field `x`" names our own member; anything else is a wrong type.
            malformed(if text.starts_with("missing field") {
                text
            } else {
                "a member has the wrong type".into()
            })
        })
    }

    /// `error` and `error_description` of an error response, empty if absent. `shown`: secrets of the
    /// request, which some servers quote.
    pub(crate) fn error(&self, shown: &[Secret]) -> (String, String) {
        #[derive(serde::Deserialize)]
        struct Body {
            #[serde(default)]
            error: serde_json::Value,
            #[serde(default)]
            error_description: serde_json::Value,
        }
        let text =
            |value: serde_json::Value| value.as_str().map(|text| harmless(text, shown)).unwrap_or_default();
        match self.parse::<Body>("error") {
            Ok(body) => (text(body.error), text(body.error_description)),
            Err(_) => Default::default(),
        }
    }

    pub(crate) fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status)
    }
}

/// A number of seconds. Some servers send it as a string or with a fraction; any other value counts as
/// absent.
pub(crate) fn seconds(value: &serde_json::Value) -> Option<u64> {
    match value {
        serde_json::Value::String(text) => text.parse().ok(),
        value => value.as_u64().or(value.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)),
    }
}

/// `application/x-www-form-urlencoded` text.
pub(crate) struct Form(form_urlencoded::Serializer<'static, String>);

impl Form {
    pub(crate) fn new() -> Form {
        Form(form_urlencoded::Serializer::new(String::new()))
    }

    pub(crate) fn add(mut self, name: &str, value: &str) -> Form {
        self.0.append_pair(name, value);
        self
    }

    pub(crate) fn secret(self, name: &str, value: &Secret) -> Form {
        self.add(name, value.expose())
    }

    pub(crate) fn maybe(self, name: &str, value: Option<&str>) -> Form {
        match value {
            Some(value) => self.add(name, value),
            None => self,
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.finish()
    }
}
