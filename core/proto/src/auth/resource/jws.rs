//! Parser of signed tokens (JWS compact serialization, RFC 7515). It does not verify them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::limits::exceeds_depth;

/// Most bytes of a token, and of a proof.
pub const MAX_TOKEN: usize = 16 * 1024;
/// Deepest nesting of its header and claims.
const MAX_DEPTH: usize = 16;

/// Accepted signature algorithms: those with a private key that only the signer has. Neither `none` nor a
/// shared secret has a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];

    /// The registered name (RFC 7518, section 3.1; RFC 8037).
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Algorithm> {
        // "Ed25519" is what RFC 9864 calls the one kind of EdDSA that is meant.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// `kty`, and `crv` where there is one, of its keys.
    pub(super) fn key_type(self) -> (&'static str, Option<&'static str>) {
        match self {
            Algorithm::Es256 => ("EC", Some("P-256")),
            Algorithm::Es384 => ("EC", Some("P-384")),
            Algorithm::EdDsa => ("OKP", Some("Ed25519")),
            _ => ("RSA", None),
        }
    }
}

/// A signed token. `Debug` does not show it.
pub struct Jws<'a> {
    /// Algorithm of the header.
    pub algorithm: Algorithm,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// The header.
    pub header: Map<String, Value>,
    /// The claims, which are worth nothing before the signature is checked.
    pub claims: Map<String, Value>,
    /// The signed bytes.
    pub input: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

impl std::fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jws").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Returns true if a token has the form of a signed one: three parts separated by dots.
pub fn is_jws(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'a> Jws<'a> {
    /// Parses a token. [`Refusal::Algorithm`] if its algorithm is not among `allowed`.
    pub fn parse(token: &'a str, allowed: &[Algorithm]) -> Result<Jws<'a>, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLarge);
        }
        let (input, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = input.split_once('.').ok_or(Refusal::Malformed)?;
        let header = object(header)?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::parse)
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or(Refusal::Algorithm)?;
        // What is critical is not understood here, whatever it is (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Refusal::Malformed);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Refusal::Malformed),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        let claims = object(claims)?;
        Ok(Jws { algorithm, key_id, header, claims, input: input.as_bytes(), signature })
    }

    /// An access token: `typ` is absent, `JWT` or `at+jwt` (RFC 9068). Proofs and assertions are none.
    pub fn is_access_token(&self) -> bool {
        match self.header.get("typ") {
            None => true,
            Some(Value::String(kind)) => {
                let kind = kind.strip_prefix("application/").unwrap_or(kind);
                kind.eq_ignore_ascii_case("jwt") || kind.eq_ignore_ascii_case("at+jwt")
            }
            Some(_) => false,
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    if exceeds_depth(&bytes, MAX_DEPTH) {
        return Err(Refusal::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: Value, claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(&header.to_string()), part(claims), part("signature"))
    }

    fn refused(token: &str) -> Refusal {
        Jws::parse(token, &[Algorithm::Es256, Algorithm::Rs256]).expect_err("refused")
    }

    #[test]
    fn what_cannot_be_a_token() {
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "nOnE"}),
            json!({}),
            json!({"alg": 1}),
            json!({"alg": "PS256"}),
        ] {
            assert_eq!(refused(&token(header, "{}")), Refusal::Algorithm);
        }
        assert_eq!(refused(&token(json!({"alg": "ES256", "crit": ["b64"]}), "{}")), Refusal::Malformed);
        assert_eq!(refused(&token(json!({"alg": "ES256", "kid": 7}), "{}")), Refusal::Malformed);
        assert_eq!(refused(&token(json!({"alg": "ES256"}), "[]")), Refusal::Malformed);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        assert_eq!(refused(&token(json!({"alg": "ES256"}), &deep)), Refusal::Malformed);
        for text in ["", "a", "a.b", "a.b.c", "....", "e30.e30"] {
            assert!(matches!(refused(text), Refusal::Malformed | Refusal::Algorithm), "{text}");
        }
    }

    #[test]
    fn a_token_has_its_size() {
        let long = token(json!({"alg": "ES256"}), &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_TOKEN)));
        assert_eq!(refused(&long), Refusal::TooLarge);
    }

    #[test]
    fn kinds_of_tokens() {
        let is = |kind: Value| {
            let text = token(json!({"alg": "ES256", "typ": kind}), "{}");
            Jws::parse(&text, &Algorithm::ALL).expect("parsed").is_access_token()
        };
        assert!(is(json!("JWT")) && is(json!("at+jwt")) && is(json!("application/at+JWT")));
        assert!(!is(json!("dpop+jwt")) && !is(json!("logout+jwt")) && !is(json!(1)));
    }
}
