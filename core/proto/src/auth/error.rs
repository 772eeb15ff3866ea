//! Errors of an authorization, one variant each.

use super::credentials::Secret;
use super::url::AddressClass;

/// Longest word of a peer's text that is shown: access tokens are longer, and a server may quote one.
const LONGEST_WORD: usize = 24;
/// Minimum length of a secret that is searched for in a peer's text; shorter strings occur in every text.
const SHORTEST_SECRET: usize = 4;

/// Why an authorization failed. Neither `Display` nor `Debug` ever shows a token, a code or a secret; text of a peer
/// is cut to 200 characters and freed of control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// An option of the configuration is wrong or missing.
    #[error("authorization option {option}: {reason}")]
    Config {
        /// Name of the option.
        option: &'static str,
        /// The fault.
        reason: String,
    },
    /// An input that does not fit the step that was asked for.
    #[error("the authorization flow did not wait for {got}")]
    UnexpectedInput {
        /// The received value.
        got: &'static str,
    },
    /// Not a URL that can be used here.
    #[error("{what} is not a usable URL: {reason}")]
    BadUrl {
        /// Name of the URL.
        what: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// `http` to a host that is not this machine.
    #[error("{what} must use https (http is for loopback hosts only)")]
    NotHttps {
        /// Name of the URL.
        what: &'static str,
    },
    /// A document points to an address that its server has no business to point to.
    #[error("{what} points to a {class} address, which this server may not send a client to")]
    AddressRefused {
        /// Name of the URL.
        what: &'static str,
        /// Class of the address.
        class: AddressClass,
    },
    /// An answer above [`MAX_RESPONSE_BYTES`](super::MAX_RESPONSE_BYTES).
    #[error("the answer to {what} is larger than {limit} bytes")]
    ResponseTooLarge {
        /// The requested document or endpoint.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A redirect; none is followed.
    #[error("{what} answered with a redirect (status {status}); redirects are not followed")]
    Redirect {
        /// The requested document or endpoint.
        what: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// An HTTP status other than success and "not found".
    #[error("{what} answered with status {status}")]
    Status {
        /// The requested document or endpoint.
        what: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// An answer that is not the JSON document it should be.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// Name of the document.
        what: &'static str,
        /// The fault.
        reason: String,
    },
    /// No protected-resource metadata at the URL that the server declares, or at any URL while legacy servers
    /// are not permitted.
    #[error("the server has no protected-resource metadata at {url}")]
    NoResourceMetadata {
        /// The last URL asked.
        url: String,
    },
    /// The protected-resource metadata names no authorization server.
    #[error("the protected-resource metadata names no authorization server")]
    NoAuthorizationServer,
    /// The metadata is for another resource than the server.
    #[error("the protected-resource metadata is for {resource}, not for {server}")]
    ResourceMismatch {
        /// `resource` of the metadata.
        resource: String,
        /// URL of the server.
        server: String,
    },
    /// None of the well-known URLs of the authorization server has its metadata.
    #[error("no metadata of the authorization server {issuer} was found")]
    NoServerMetadata {
        /// The issuer.
        issuer: String,
    },
    /// The metadata's `issuer` is not the one that was asked for: nothing of it is used.
    #[error("metadata of {expected} says it is of {found}")]
    IssuerMismatch {
        /// Issuer asked for.
        expected: String,
        /// Issuer of the document.
        found: String,
    },
    /// The metadata lacks an endpoint that the grant needs.
    #[error("the authorization server {issuer} has no {endpoint}")]
    NoEndpoint {
        /// The issuer.
        issuer: String,
        /// Member of the metadata.
        endpoint: &'static str,
    },
    /// An endpoint of the metadata carries parameters that are the client's to set.
    #[error("{endpoint} already carries the parameter {parameter}")]
    PoisonedEndpoint {
        /// Member of the metadata.
        endpoint: &'static str,
        /// The parameter.
        parameter: String,
    },
    /// The authorization server does not offer PKCE with S256.
    #[error("the authorization server {issuer} does not offer PKCE with S256")]
    NoS256 {
        /// The issuer.
        issuer: String,
    },
    /// No way to obtain a client id.
    #[error(
        "no client id for {issuer}: it takes neither client id documents nor registrations; configure a client id"
    )]
    NoRegistration {
        /// The issuer.
        issuer: String,
    },
    /// The registration endpoint refused.
    #[error("registration was refused with status {status}{}{}", colon(code), colon(description))]
    RegistrationRefused {
        /// HTTP status.
        status: u16,
        /// `error`, empty if none.
        code: String,
        /// `error_description`, empty if none.
        description: String,
    },
    /// The configured client belongs to another authorization server.
    #[error("the configured client id belongs to {bound}, but the server now names {issuer}")]
    ClientOfAnotherIssuer {
        /// Issuer the client belongs to.
        bound: String,
        /// Issuer the server names.
        issuer: String,
    },
    /// A secret, a key or an assertion is configured without its issuer: the MCP server could name any
    /// authorization server.
    #[error(
        "the server names the authorization server {issuer}, and the configured client does not say that it belongs \
         there; set issuer to it if it is the right one"
    )]
    IssuerNotNamed {
        /// Issuer the server names.
        issuer: String,
    },
    /// The authorization server requires a client authentication that is not available.
    #[error("client authentication {method} is not possible: {reason}")]
    ClientAuthentication {
        /// `token_endpoint_auth_method`.
        method: String,
        /// Why not.
        reason: &'static str,
    },
    /// The callback is not one of this flow's.
    #[error("the callback's state is not the one that was sent")]
    StateMismatch,
    /// The callback has a parameter twice, or neither code nor error.
    #[error("the callback is malformed: {reason}")]
    BadCallback {
        /// The fault.
        reason: &'static str,
    },
    /// `iss` is promised by the metadata and missing in the callback.
    #[error("the callback lacks iss, which {issuer} promises to send")]
    MissingIss {
        /// The issuer.
        issuer: String,
    },
    /// `iss` of the callback is another one.
    #[error("the callback comes from another authorization server than {issuer}")]
    WrongIss {
        /// The issuer expected.
        issuer: String,
    },
    /// The authorization server or the user refused.
    #[error("authorization was refused: {code}{}", colon(description))]
    Refused {
        /// `error`.
        code: String,
        /// `error_description`, empty if none.
        description: String,
    },
    /// The token endpoint refused.
    #[error("the token endpoint answered with status {status}{}{}", colon(code), colon(description))]
    TokenEndpoint {
        /// HTTP status.
        status: u16,
        /// `error`, empty if none.
        code: String,
        /// `error_description`, empty if none.
        description: String,
    },
    /// A token of a type that was not asked for.
    #[error("the token endpoint gave a token of type {token_type} where {wanted} was wanted")]
    TokenType {
        /// `token_type`, or `issued_token_type` of an exchange.
        token_type: String,
        /// The requested type.
        wanted: &'static str,
    },
    /// The same operation was authorized again and again, and is still refused.
    #[error("the server still refuses after {attempts} authorizations")]
    TooManyAuthorizations {
        /// Number of attempts.
        attempts: u32,
    },
    /// A refresh was requested without a refresh token.
    #[error("there is no refresh token")]
    NoRefreshToken,
    /// The store holds a newer record than the one this was made from.
    #[error("the stored credentials have changed (version {stored}, expected {expected})")]
    StaleCredentials {
        /// Version in the store.
        stored: u64,
        /// Version the change was made from.
        expected: u64,
    },
}

impl AuthError {
    /// Stable name of the reason, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            AuthError::Config { .. } => "config",
            AuthError::UnexpectedInput { .. } => "unexpected_input",
            AuthError::BadUrl { .. } => "bad_url",
            AuthError::NotHttps { .. } => "not_https",
            AuthError::AddressRefused { .. } => "address_refused",
            AuthError::ResponseTooLarge { .. } => "response_too_large",
            AuthError::Redirect { .. } => "redirect",
            AuthError::Status { .. } => "status",
            AuthError::Malformed { .. } => "malformed",
            AuthError::NoResourceMetadata { .. } => "no_resource_metadata",
            AuthError::NoAuthorizationServer => "no_authorization_server",
            AuthError::ResourceMismatch { .. } => "resource_mismatch",
            AuthError::NoServerMetadata { .. } => "no_server_metadata",
            AuthError::IssuerMismatch { .. } => "issuer_mismatch",
            AuthError::NoEndpoint { .. } => "no_endpoint",
            AuthError::PoisonedEndpoint { .. } => "poisoned_endpoint",
            AuthError::NoS256 { .. } => "no_s256",
            AuthError::NoRegistration { .. } => "no_registration",
            AuthError::RegistrationRefused { .. } => "registration_refused",
            AuthError::ClientOfAnotherIssuer { .. } => "client_of_another_issuer",
            AuthError::IssuerNotNamed { .. } => "issuer_not_named",
            AuthError::ClientAuthentication { .. } => "client_authentication",
            AuthError::StateMismatch => "state_mismatch",
            AuthError::BadCallback { .. } => "bad_callback",
            AuthError::MissingIss { .. } => "missing_iss",
            AuthError::WrongIss { .. } => "wrong_iss",
            AuthError::Refused { .. } => "refused",
            AuthError::TokenEndpoint { .. } => "token_endpoint",
            AuthError::TokenType { .. } => "token_type",
            AuthError::TooManyAuthorizations { .. } => "too_many_authorizations",
            AuthError::NoRefreshToken => "no_refresh_token",
            AuthError::StaleCredentials { .. } => "stale_credentials",
        }
    }
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Text of a peer, fit for a message.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Text of a peer for a message, without possible secrets: the secrets of the request that it answers, and
/// words as long as tokens. Names of OAuth (`unmet_authentication_requirements`) are not secrets.
pub(crate) fn harmless(text: &str, shown: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in shown.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST_SECRET) {
        text = text.replace(secret, "…");
    }
    let is_name = |word: &str| {
        let plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain && word.len() <= 40 && word.contains('_')
    };
    let word = |word: &str| {
        let long = word.chars().count() > LONGEST_WORD && !is_name(word);
        if long { "…".to_owned() } else { word.to_owned() }
    };
    tame(&text.split(' ').map(word).collect::<Vec<_>>().join(" "))
}
