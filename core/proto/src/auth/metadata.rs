//! Metadata of the protected resource (RFC 9728) and of the authorization server (RFC 8414, OpenID Discovery).

use serde::Deserialize;

use super::error::{AuthError, tame};
use super::http::HttpResponse;
use super::url::{AddressPolicy, cut};
use super::{authorize, pkce};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// Names of the two documents in error messages.
pub(crate) const RESOURCE_DOCUMENT: &str = "protected-resource metadata";
pub(crate) const SERVER_DOCUMENT: &str = "authorization-server metadata";

/// The used members of the metadata of a protected resource.
#[derive(Debug, Clone, Deserialize)]
pub struct ResourceMetadata {
    /// The resource's identifier; sent as `resource`, byte for byte.
    pub resource: String,
    /// Issuers of the authorization servers, as they came.
    #[serde(default)]
    pub authorization_servers: Option<Vec<String>>,
    /// Scopes the server is fine with.
    #[serde(default)]
    pub scopes_supported: Option<Vec<String>>,
}

/// URLs of a server's metadata, in order: the URL of its challenge and no other, or the well-known URLs, the
/// one with the server's path first.
pub fn resource_urls(server: &str, challenged: Option<&str>) -> Result<Vec<String>, AuthError> {
    if let Some(url) = challenged {
        return Ok(vec![url.to_owned()]);
    }
    let parts = cut(server, "the server's URL")?;
    let origin = parts.origin();
    let query = parts.query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut urls = Vec::new();
    if !parts.path.trim_end_matches('/').is_empty() {
        urls.push(format!("{origin}{RESOURCE}{}{query}", parts.path));
    }
    urls.push(format!("{origin}{RESOURCE}"));
    Ok(urls)
}

impl ResourceMetadata {
    /// Parse and check: `resource` covers `server`, and there is an authorization server.
    pub fn read(response: &HttpResponse, server: &str) -> Result<ResourceMetadata, AuthError> {
        let metadata: ResourceMetadata = response.parse(RESOURCE_DOCUMENT)?;
        if !covers(&metadata.resource, server) {
            return Err(AuthError::ResourceMismatch {
                resource: tame(&metadata.resource),
                server: server.to_owned(),
            });
        }
        if metadata.authorization_servers.as_ref().is_none_or(Vec::is_empty) {
            return Err(AuthError::NoAuthorizationServer);
        }
        Ok(metadata)
    }

    /// The issuer to go to: `known` if it is still listed, else the first.
    pub fn choose(&self, known: Option<&str>) -> Result<&str, AuthError> {
        let listed = self.authorization_servers.as_deref().unwrap_or_default();
        let found = listed.iter().find(|issuer| known == Some(issuer.as_str())).or(listed.first());
        found.map(String::as_str).ok_or(AuthError::NoAuthorizationServer)
    }
}

/// Is `resource` the server's URL, or a parent of it at a boundary of segments?
pub fn covers(resource: &str, server: &str) -> bool {
    let (Ok(resource), Ok(server)) = (cut(resource, "resource"), cut(server, "server")) else { return false };
    if resource.fragment.is_some() || resource.has_dot_segments() || server.has_dot_segments() {
        return false;
    }
    let path = resource.path.trim_end_matches('/');
    let below = server.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let query = resource.query.is_none() || resource.query == server.query && resource.path == server.path;
    resource.same_origin(&server) && below && query
}

/// The used members of the metadata of an authorization server.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ServerMetadata {
    /// The issuer, as it came.
    pub issuer: String,
    /// Authorization endpoint.
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    /// Token endpoint.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// Registration endpoint.
    #[serde(default)]
    pub registration_endpoint: Option<String>,
    /// Scopes it knows.
    #[serde(default)]
    pub scopes_supported: Option<Vec<String>>,
    /// PKCE methods.
    #[serde(default)]
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// Ways a client may authenticate at the token endpoint.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Algorithms for `private_key_jwt`.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    /// Algorithms for DPoP proofs; absent: no DPoP.
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Option<Vec<String>>,
    /// Takes the URL of a document as client id.
    #[serde(default)]
    pub client_id_metadata_document_supported: Option<bool>,
    /// Promises `iss` in callbacks.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: Option<bool>,
}

/// URLs of an issuer's metadata, in the order of the specification: RFC 8414 with the path after the
/// well-known part, OpenID likewise, OpenID with the path before it. Without a path: RFC 8414, OpenID.
pub fn server_urls(issuer: &str, policy: AddressPolicy) -> Result<Vec<String>, AuthError> {
    let parts = policy.check(issuer, "the issuer")?;
    if parts.query.is_some() {
        return Err(AuthError::BadUrl { what: "the issuer", reason: "it has a query" });
    }
    if parts.has_dot_segments() {
        return Err(AuthError::BadUrl { what: "the issuer", reason: "it has dot segments" });
    }
    let (origin, path) = (parts.origin(), parts.path.trim_end_matches('/'));
    let mut urls = vec![format!("{origin}{SERVER}{path}"), format!("{origin}{OPENID}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}{OPENID}"));
    }
    Ok(urls)
}

/// The metadata URL for servers of 2025-03-26: at the root of their own origin.
pub fn legacy_server_url(server: &str) -> Result<String, AuthError> {
    Ok(format!("{}{SERVER}", cut(server, "the server's URL")?.origin()))
}

impl ServerMetadata {
    /// Parse and check: `issuer` is the one asked for, string by string, and every endpoint is one that may be used.
    pub fn read(
        response: &HttpResponse,
        issuer: &str,
        policy: AddressPolicy,
    ) -> Result<ServerMetadata, AuthError> {
        let metadata: ServerMetadata = response.parse(SERVER_DOCUMENT)?;
        if metadata.issuer != issuer {
            return Err(AuthError::IssuerMismatch {
                expected: issuer.to_owned(),
                found: tame(&metadata.issuer),
            });
        }
        for (what, url) in [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
            ("registration_endpoint", &metadata.registration_endpoint),
        ] {
            if let Some(url) = url {
                policy.check(url, what)?;
            }
        }
        if let Some(url) = &metadata.authorization_endpoint {
            authorize::check_endpoint(url)?;
        }
        Ok(metadata)
    }

    /// The default endpoints of a server of 2025-03-26 without metadata: fixed paths at its own origin.
    pub fn legacy(server: &str) -> Result<ServerMetadata, AuthError> {
        let origin = cut(server, "the server's URL")?.origin();
        Ok(ServerMetadata {
            authorization_endpoint: Some(format!("{origin}/authorize")),
            token_endpoint: Some(format!("{origin}/token")),
            registration_endpoint: Some(format!("{origin}/register")),
            // That revision demands PKCE of everyone, so its default endpoints are taken to do it.
            code_challenge_methods_supported: Some(vec!["S256".into()]),
            issuer: origin,
            ..ServerMetadata::default()
        })
    }

    /// The authorization endpoint, and with it PKCE by S256: the flow through a browser starts with neither missing.
    pub fn for_browser(&self) -> Result<&str, AuthError> {
        let endpoint = self.endpoint("authorization_endpoint", &self.authorization_endpoint)?;
        if !pkce::offered(self.code_challenge_methods_supported.as_deref()) {
            return Err(AuthError::NoS256 { issuer: self.issuer.clone() });
        }
        Ok(endpoint)
    }

    /// The token endpoint.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.endpoint("token_endpoint", &self.token_endpoint)
    }

    fn endpoint<'a>(&self, endpoint: &'static str, url: &'a Option<String>) -> Result<&'a str, AuthError> {
        url.as_deref().ok_or_else(|| AuthError::NoEndpoint { issuer: self.issuer.clone(), endpoint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::url::AddressClass;

    #[test]
    fn where_resources_describe_themselves() {
        let of = |server| resource_urls(server, None).unwrap();
        let at = "https://h/.well-known/oauth-protected-resource";
        assert_eq!(of("https://h/public/mcp"), [format!("{at}/public/mcp"), at.into()]);
        assert_eq!(of("https://h"), [at]);
        assert_eq!(of("https://h/"), [at]);
        assert_eq!(of("https://h/mcp?x=1")[0], format!("{at}/mcp?x=1"));
        assert_eq!(resource_urls("https://h/mcp", Some("https://h/else")).unwrap(), ["https://h/else"]);
    }

    #[test]
    fn where_issuers_describe_themselves() {
        let policy = AddressPolicy { server: AddressClass::Public };
        let of = |issuer| server_urls(issuer, policy).unwrap().join(" ");
        let plain =
            "https://h/.well-known/oauth-authorization-server https://h/.well-known/openid-configuration";
        assert_eq!(of("https://h"), plain);
        assert_eq!(of("https://h/"), plain);
        assert_eq!(
            of("https://h/t"),
            "https://h/.well-known/oauth-authorization-server/t https://h/.well-known/openid-configuration/t \
             https://h/t/.well-known/openid-configuration"
        );
        for issuer in ["http://h", "https://h?x", "https://h/#", "https://h/a/../b", "https://10.0.0.1"] {
            assert!(server_urls(issuer, policy).is_err(), "{issuer}");
        }
    }

    #[test]
    fn what_a_resource_covers() {
        for (resource, yes) in [
            ("https://h/mcp", true),
            ("https://h/mcp/", true),
            ("https://h", true),
            ("https://h/", true),
            ("HTTPS://H:443/mcp", true),
            ("https://h/mc", false),
            ("https://h/mcp/x", false),
            ("https://h/MCP", false),
            ("http://h/mcp", false),
            ("https://h:8443/mcp", false),
            ("https://h/mcp#x", false),
            ("https://h/mcp?x", false),
            ("https://h/x/../mcp", false),
            ("https://h.evil.example/mcp", false),
            ("https://evil.example/mcp", false),
            ("mcp", false),
        ] {
            assert_eq!(covers(resource, "https://h/mcp"), yes, "{resource}");
        }
        assert!(covers("https://h/mcp?t=1", "https://h/mcp?t=1"));
    }
}
