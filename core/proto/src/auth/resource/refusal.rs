//! Reasons of a refused request: one name, status and sentence each.

/// Reasons of a refused request. They contain nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no token.
    NoToken,
    /// The `Authorization` header cannot be read, or there are several.
    BadRequest,
    /// A token in the URL (OAuth 2.1, section 5.1; the specification forbids it).
    TokenInQuery,
    /// Longer than [`MAX_TOKEN`](super::jws::MAX_TOKEN).
    TooLarge,
    /// Not a token of the expected form.
    Malformed,
    /// The algorithm of its signature is not allowed; `none` never is.
    Algorithm,
    /// No key of its issuer is meant by it.
    UnknownKey,
    /// The signature is not of that key.
    Signature,
    /// From an issuer that is not accepted.
    Issuer,
    /// For another audience.
    Audience,
    /// Expired.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// No expiry.
    NoExpiry,
    /// It names neither a subject nor a client.
    NoSubject,
    /// The authorization server reports the token as inactive, or no verifier knows it.
    Inactive,
    /// The program's own check has refused it.
    Rejected,
    /// Tokens must be bound to a key of the client's (DPoP).
    NotBound,
    /// It is bound to a key, and was shown without a proof of that.
    BoundAsBearer,
    /// DPoP is not served.
    NoDpop,
    /// The proof is missing, or there are several.
    NoProof,
    /// The proof is none: its form, its header or its claims are wrong.
    BadProof,
    /// The proof is unsigned, or signed by a key other than the one the token is bound to.
    ProofKey,
    /// The proof is for another request.
    ProofTarget,
    /// The proof is too old, or from the future.
    ProofTime,
    /// The proof was shown before.
    Replayed,
    /// The proof has no nonce of this server, or an old one.
    Nonce,
    /// The token lacks a required scope.
    Scope,
    /// The authorization server cannot be asked now.
    Unavailable,
}

/// A row of the table of refusals.
struct Row {
    name: &'static str,
    status: u16,
    error: Option<&'static str>,
    says: &'static str,
}

const fn row(name: &'static str, status: u16, error: Option<&'static str>, says: &'static str) -> Row {
    Row { name, status, error, says }
}

const INVALID_REQUEST: Option<&str> = Some("invalid_request");
const INVALID_TOKEN: Option<&str> = Some("invalid_token");
const INVALID_PROOF: Option<&str> = Some("invalid_dpop_proof");

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 28] = [
        Refusal::NoToken,
        Refusal::BadRequest,
        Refusal::TokenInQuery,
        Refusal::TooLarge,
        Refusal::Malformed,
        Refusal::Algorithm,
        Refusal::UnknownKey,
        Refusal::Signature,
        Refusal::Issuer,
        Refusal::Audience,
        Refusal::Expired,
        Refusal::NotYetValid,
        Refusal::NoExpiry,
        Refusal::NoSubject,
        Refusal::Inactive,
        Refusal::Rejected,
        Refusal::NotBound,
        Refusal::BoundAsBearer,
        Refusal::NoDpop,
        Refusal::NoProof,
        Refusal::BadProof,
        Refusal::ProofKey,
        Refusal::ProofTarget,
        Refusal::ProofTime,
        Refusal::Replayed,
        Refusal::Nonce,
        Refusal::Scope,
        Refusal::Unavailable,
    ];

    fn row(self) -> Row {
        match self {
            Refusal::NoToken => row("no_token", 401, None, "a token is required"),
            Refusal::BadRequest => row(
                "bad_authorization",
                400,
                INVALID_REQUEST,
                "one Authorization header with a token is required",
            ),
            Refusal::TokenInQuery => {
                row("token_in_query", 400, INVALID_REQUEST, "a token belongs into the Authorization header")
            }
            Refusal::TooLarge => row("token_too_large", 401, INVALID_TOKEN, "the token is too large"),
            Refusal::Malformed => row("malformed_token", 401, INVALID_TOKEN, "the token cannot be read"),
            Refusal::Algorithm => {
                row("algorithm", 401, INVALID_TOKEN, "the algorithm of the token's signature is not allowed")
            }
            Refusal::UnknownKey => row("unknown_key", 401, INVALID_TOKEN, "the token's key is not known"),
            Refusal::Signature => row("signature", 401, INVALID_TOKEN, "the token's signature is not valid"),
            Refusal::Issuer => row("issuer", 401, INVALID_TOKEN, "tokens of this issuer are not taken"),
            Refusal::Audience => row("audience", 401, INVALID_TOKEN, "the token is not for this server"),
            Refusal::Expired => row("expired", 401, INVALID_TOKEN, "the token has expired"),
            Refusal::NotYetValid => row("not_yet_valid", 401, INVALID_TOKEN, "the token is not valid yet"),
            Refusal::NoExpiry => {
                row("no_expiry", 401, INVALID_TOKEN, "the token does not say when it expires")
            }
            Refusal::NoSubject => row("no_subject", 401, INVALID_TOKEN, "the token does not say whose it is"),
            Refusal::Inactive => {
                row("inactive", 401, INVALID_TOKEN, "the token is not good, or not any more")
            }
            Refusal::Rejected => row("rejected", 401, INVALID_TOKEN, "the token was refused"),
            Refusal::NotBound => {
                row("not_bound", 401, INVALID_TOKEN, "tokens must be bound to a key and shown with DPoP")
            }
            Refusal::BoundAsBearer => {
                row("bound_as_bearer", 401, INVALID_TOKEN, "the token is bound to a key; show it with DPoP")
            }
            Refusal::NoDpop => row("no_dpop", 401, INVALID_TOKEN, "this server does not take DPoP"),
            Refusal::NoProof => row("no_proof", 401, INVALID_PROOF, "one DPoP proof is required"),
            Refusal::BadProof => row("bad_proof", 401, INVALID_PROOF, "the proof cannot be read"),
            Refusal::ProofKey => {
                row("proof_key", 401, INVALID_PROOF, "the proof is not of the key that the token is bound to")
            }
            Refusal::ProofTarget => {
                row("proof_target", 401, INVALID_PROOF, "the proof is not for this request and token")
            }
            Refusal::ProofTime => row("proof_time", 401, INVALID_PROOF, "the proof is not of now"),
            Refusal::Replayed => row("replayed", 401, INVALID_PROOF, "the proof was used before"),
            Refusal::Nonce => {
                row("nonce", 401, Some("use_dpop_nonce"), "the proof needs the nonce of this server")
            }
            Refusal::Scope => {
                row("scope", 403, Some("insufficient_scope"), "the token's scopes do not suffice")
            }
            Refusal::Unavailable => row("unavailable", 503, None, "tokens cannot be checked now; try again"),
        }
    }

    /// Its name, for programs: `data.reason` of the answer.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status (RFC 6750, section 3.1).
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The `error` of the challenge (RFC 6750, section 3.1; RFC 9449, section 7.1), if it has one.
    pub fn error(self) -> Option<&'static str> {
        self.row().error
    }

    /// One sentence, the same for every token.
    pub fn description(self) -> &'static str {
        self.row().says
    }

    /// It is about the proof, not about the token.
    pub fn is_of_proof(self) -> bool {
        matches!(self.error(), Some("invalid_dpop_proof" | "use_dpop_nonce"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_and_a_sentence_of_its_own() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        let sentences: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.description()).collect();
        assert_eq!((names.len(), sentences.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
        for refusal in Refusal::ALL {
            assert!(!refusal.description().contains(['"', '\\']), "{refusal:?} goes into a quoted string");
            assert_eq!(refusal.status() == 401, !matches!(refusal.status(), 400 | 403 | 503));
        }
    }

    #[test]
    fn the_table_of_the_documentation_is_this_one() {
        let documented = include_str!("../../../../../docs/authorization.md");
        for refusal in Refusal::ALL {
            let error = refusal.error().map(|error| format!("`{error}`")).unwrap_or_default();
            let row = format!(
                "| `{}` | {} | {error} | {} |",
                refusal.name(),
                refusal.status(),
                refusal.description()
            );
            assert!(documented.lines().any(|line| line == row), "{row}");
        }
    }
}
