//! Metadata of a protected resource, as the resource publishes it (RFC 9728, section 2).

use serde_json::{Map, Value};

use crate::auth::error::AuthError;
use crate::auth::url::cut;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The protected-resource metadata of a server.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Its identifier, which tokens must be for: an `http` or `https` URL without a fragment.
    pub resource: String,
    /// Issuers of the authorization servers.
    pub authorization_servers: Vec<String>,
    /// The scopes of everyday use.
    pub scopes_supported: Vec<String>,
    /// Its name, for people.
    pub name: Option<String>,
    /// Algorithms of DPoP proofs; empty: DPoP is not served.
    pub proof_algorithms: Vec<String>,
    /// Only tokens that are bound to a key are taken.
    pub bound_only: bool,
}

impl Document {
    /// [`AuthError::BadUrl`] where the resource is no URL that a token can be for.
    pub fn check(&self) -> Result<(), AuthError> {
        let parts = cut(&self.resource, "resource")?;
        if parts.fragment.is_some() {
            return Err(AuthError::BadUrl { what: "resource", reason: "it has a fragment" });
        }
        if parts.has_dot_segments() {
            return Err(AuthError::BadUrl { what: "resource", reason: "it has dot segments" });
        }
        Ok(())
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        let mut members = Map::new();
        let list = |values: &[String]| Value::from(values.to_vec());
        members.insert("resource".into(), self.resource.clone().into());
        if !self.authorization_servers.is_empty() {
            members.insert("authorization_servers".into(), list(&self.authorization_servers));
        }
        if !self.scopes_supported.is_empty() {
            members.insert("scopes_supported".into(), list(&self.scopes_supported));
        }
        members.insert("bearer_methods_supported".into(), list(&["header".to_owned()]));
        if let Some(name) = &self.name {
            members.insert("resource_name".into(), name.clone().into());
        }
        if !self.proof_algorithms.is_empty() {
            members.insert("dpop_signing_alg_values_supported".into(), list(&self.proof_algorithms));
        }
        if self.bound_only {
            members.insert("dpop_bound_access_tokens_required".into(), true.into());
        }
        Value::Object(members).to_string()
    }

    /// URL of the document: the well-known part between the host and the path (RFC 9728, section 3.1).
    pub fn url(&self) -> Result<String, AuthError> {
        let parts = cut(&self.resource, "resource")?;
        let query = parts.query.map(|query| format!("?{query}")).unwrap_or_default();
        let path = if parts.path == "/" { "" } else { parts.path };
        Ok(format!("{}{WELL_KNOWN}{path}{query}", parts.origin()))
    }
}

/// Returns true if a request for this path asks for the document of a resource at `resource`, served at the
/// path `endpoint`: clients look below the well-known part for either, and then at its root.
pub fn is_document_path(path: &str, resource: &str, endpoint: &str) -> bool {
    let Some(suffix) = path.strip_prefix(WELL_KNOWN) else { return false };
    let own = cut(resource, "resource").map_or("", |parts| parts.path);
    suffix.is_empty() || suffix == own || suffix == endpoint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::HttpResponse;
    use crate::auth::metadata::{ResourceMetadata, resource_urls};

    fn document(resource: &str) -> Document {
        Document {
            resource: resource.into(),
            authorization_servers: vec!["https://as.example".into()],
            ..Document::default()
        }
    }

    #[test]
    fn clients_find_and_read_it() {
        for resource in ["https://h/mcp", "https://h", "https://h/", "https://h:8443/a/b?x=1"] {
            let document = document(resource);
            document.check().expect("a resource");
            assert_eq!(resource_urls(resource, None).expect("URLs")[0], document.url().expect("a URL"));
            let response = HttpResponse::json(200, document.to_json());
            let read = ResourceMetadata::read(&response, resource).expect("metadata");
            assert_eq!(read.choose(None).expect("a server"), "https://as.example");
        }
        for resource in ["mcp", "https://h/#x", "https://h/a/../b", "https://u@h/"] {
            assert!(document(resource).check().is_err(), "{resource}");
        }
    }

    #[test]
    fn where_it_is_asked_for() {
        let is = |path: &str| is_document_path(path, "https://h/public/mcp", "/mcp");
        let at = "/.well-known/oauth-protected-resource";
        assert!(is(at) && is(&format!("{at}/mcp")) && is(&format!("{at}/public/mcp")));
        assert!(!is(&format!("{at}/other")) && !is("/mcp"));
    }
}
