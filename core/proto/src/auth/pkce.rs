//! Proof Key for Code Exchange (RFC 7636) with S256, the only method used.

use sha2::{Digest, Sha256};

use super::base64url;

/// `code_challenge` of a `code_verifier`: base64url of its SHA-256, without padding.
pub fn challenge(verifier: &str) -> String {
    base64url(&Sha256::digest(verifier.as_bytes()))
}

/// Does `code_challenge_methods_supported` allow to go on? Absent means no PKCE at all.
pub fn offered(methods: Option<&[String]>) -> bool {
    methods.is_some_and(|methods| methods.iter().any(|method| method == "S256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_7636() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn plain_is_not_enough() {
        assert!(!offered(None));
        assert!(!offered(Some(&[])));
        assert!(!offered(Some(&["plain".into(), "s256".into()])));
        assert!(offered(Some(&["plain".into(), "S256".into()])));
    }
}
