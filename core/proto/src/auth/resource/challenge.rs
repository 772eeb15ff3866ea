//! `WWW-Authenticate` as a server writes it (RFC 6750, section 3; RFC 9449, section 7.1; RFC 9728, section 5.1).

use super::refusal::Refusal;

/// Properties of a server that its challenges contain.
#[derive(Debug, Clone, Default)]
pub struct Challenges {
    /// URL of the protected-resource metadata.
    pub resource_metadata: String,
    /// `Bearer` tokens are taken.
    pub bearer: bool,
    /// Algorithms of DPoP proofs; empty: DPoP is not served.
    pub proof_algorithms: Vec<String>,
}

impl Challenges {
    /// The header values for a refusal, one for each accepted scheme; none for a failure of the server.
    /// `scopes`: the required scopes.
    pub fn of(&self, refusal: Refusal, scopes: &[String]) -> Vec<String> {
        if refusal.status() == 503 {
            return Vec::new();
        }
        let write = |scheme: &str, told: bool| {
            let mut parameters = Vec::new();
            if let Some(error) = refusal.error().filter(|_| told) {
                parameters.push(format!("error=\"{error}\""));
                parameters.push(format!("error_description=\"{}\"", refusal.description()));
            }
            if !scopes.is_empty() {
                parameters.push(format!("scope=\"{}\"", scopes.join(" ")));
            }
            parameters.push(format!("resource_metadata=\"{}\"", self.resource_metadata));
            if scheme == "DPoP" {
                parameters.push(format!("algs=\"{}\"", self.proof_algorithms.join(" ")));
            }
            format!("{scheme} {}", parameters.join(", "))
        };
        let mut values = Vec::new();
        let dpop = !self.proof_algorithms.is_empty();
        if self.bearer {
            // What is wrong with a proof is said for the scheme that has proofs.
            values.push(write("Bearer", !(dpop && refusal.is_of_proof())));
        }
        if dpop {
            values.push(write("DPoP", true));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Challenge;
    use crate::auth::challenge::{Scheme, read};

    fn challenges(bearer: bool, algorithms: &[&str]) -> Challenges {
        Challenges {
            resource_metadata: "https://h/.well-known/oauth-protected-resource/mcp".into(),
            bearer,
            proof_algorithms: algorithms.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn clients_read_what_servers_write() {
        let scopes = ["files:read".to_owned(), "files:write".to_owned()];
        for refusal in Refusal::ALL {
            let values = challenges(true, &["ES256"]).of(refusal, &scopes);
            let read = read(values.iter().map(|value| value.as_bytes()));
            if refusal == Refusal::Unavailable {
                assert!(read.is_empty());
                continue;
            }
            assert_eq!(read.len(), 2, "{refusal:?}");
            let challenge = Challenge::of(refusal.status(), &read);
            assert_eq!(challenge.error.as_deref(), refusal.error(), "{refusal:?}");
            assert_eq!(challenge.scope.as_deref(), Some("files:read files:write"));
            assert_eq!(
                challenge.resource_metadata.as_deref(),
                Some("https://h/.well-known/oauth-protected-resource/mcp")
            );
        }
    }

    #[test]
    fn schemes_that_are_not_served_are_not_named() {
        let of = |challenges: Challenges| {
            let values = challenges.of(Refusal::NoToken, &[]);
            read(values.iter().map(|value| value.as_bytes()))
                .iter()
                .map(|asked| asked.scheme)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(challenges(true, &[])), [Scheme::Bearer]);
        assert_eq!(of(challenges(false, &["ES256"])), [Scheme::Dpop]);
    }
}
