import Foundation
import TrunnionBindings

/// Server authorization over HTTP: every request needs a valid token.
///
///     let server = try Server("files", version: "1.0.0", auth: .jwt(issuer: "https://auth.example.com"))
///
/// The server is an OAuth 2.1 resource server: it refers clients to their authorization servers, and checks
/// issuer, audience, time and signature on every request. Standard streams and clients of this process need
/// no token.
public struct ServerAuth: Sendable {
    /// The policy for tokens that are bound to a key.
    public enum DPoP: String, Sendable, Hashable, CaseIterable {
        /// Proofs are not accepted.
        case off
        /// A token that is bound to a key needs a proof; others do not. The default.
        case allowed
        /// Only tokens that are bound to a key are accepted.
        case required
    }

    /// The checks of tokens; at least one. With several, the first that knows a token decides: a fixed token,
    /// else a JWT of a known issuer, else introspection, else the closure.
    public var checks: [TokenCheck]
    /// The server's identifier, for which clients request tokens. Default: `publicUrl`, else the URL of the
    /// listener.
    public var resource: String?
    /// Issuers that clients are referred to. Default: those of the JWTs.
    public var authorizationServers: [String]?
    /// Scopes of everyday use, which clients request at first. Default: `requiredScopes`.
    public var scopesSupported: [String]?
    /// Scopes that every request needs.
    public var requiredScopes: [String]?
    /// The accepted audiences of tokens (`aud`). Default: the resource.
    public var audience: [String]?
    /// The policy for tokens that are bound to a key of the client (RFC 9449). Default: allowed.
    public var dpop: DPoP?
    /// Every proof needs a nonce of this server. Several processes need the same `stateKeys`. Default: false.
    public var dpopNonces: Bool?
    /// The maximum difference between clocks. Default: a minute.
    public var leeway: Duration?

    /// Creates the configuration; omitted parameters have their defaults.
    public init(
        _ checks: TokenCheck..., resource: String? = nil, authorizationServers: [String]? = nil,
        scopesSupported: [String]? = nil, requiredScopes: [String]? = nil, audience: [String]? = nil, dpop: DPoP? = nil,
        dpopNonces: Bool? = nil, leeway: Duration? = nil
    ) {
        self.checks = checks
        self.resource = resource
        self.authorizationServers = authorizationServers
        self.scopesSupported = scopesSupported
        self.requiredScopes = requiredScopes
        self.audience = audience
        self.dpop = dpop
        self.dpopNonces = dpopNonces
        self.leeway = leeway
    }

    /// Signed tokens of an issuer; see `TokenCheck.jwt`.
    public static func jwt(issuer: String, requiredScopes: [String]? = nil) -> ServerAuth {
        ServerAuth(.jwt(issuer: issuer), requiredScopes: requiredScopes)
    }

    /// Introspection: the authorization server checks each token; see `TokenCheck.introspection`.
    public static func introspection(
        endpoint: String, clientId: String, clientSecret: String, requiredScopes: [String]? = nil
    ) -> ServerAuth {
        ServerAuth(
            .introspection(endpoint: endpoint, clientId: clientId, clientSecret: clientSecret),
            requiredScopes: requiredScopes)
    }

    /// Fixed tokens, for development; see `TokenCheck.tokens`.
    public static func tokens(_ tokens: [String: Claims], requiredScopes: [String]? = nil) -> ServerAuth {
        ServerAuth(.tokens(tokens), requiredScopes: requiredScopes)
    }

    /// A custom check by the program; see `TokenCheck.verifier`.
    public static func verifier(requiredScopes: [String]? = nil, _ verify: @escaping TokenCheck.Verify) -> ServerAuth {
        ServerAuth(.verifier(verify), requiredScopes: requiredScopes)
    }

    /// The engine's option `auth`.
    var option: JSONValue {
        get throws {
            var (jwt, fixed): ([JSONValue], [String: JSONValue]) = ([], [:])
            var fields: [String: JSONValue] = [:]
            for check in checks {
                switch check.kind {
                case .jwt(let issuer):
                    jwt.append(.object(issuer))
                case .introspection(let asked):
                    if fields["introspection"] != nil { throw McpError(.usage, "auth: one introspection is enough") }
                    fields["introspection"] = .object(asked)
                case .tokens(let tokens):
                    fixed.merge(tokens.mapValues { .object($0.json) }) { $1 }
                case .verifier:
                    if fields["host"] != nil { throw McpError(.usage, "auth: one verifier is enough") }
                    fields["host"] = true
                }
            }
            if !jwt.isEmpty { fields["jwt"] = .array(jwt) }
            if !fixed.isEmpty { fields["tokens"] = .object(fixed) }
            let texts = { (texts: [String]) in JSONValue.array(texts.map(JSONValue.string)) }
            fields["resource"] = resource.map(JSONValue.string)
            fields["authorizationServers"] = authorizationServers.map(texts)
            fields["scopesSupported"] = scopesSupported.map(texts)
            fields["requiredScopes"] = requiredScopes.map(texts)
            fields["audience"] = audience.map(texts)
            fields["dpop"] = dpop.map { .string($0.rawValue) }
            fields["dpopNonces"] = dpopNonces.map(JSONValue.bool)
            fields["leewayMs"] = leeway.map { .int($0.wholeMilliseconds) }
            return .object(fields)
        }
    }

    /// Answers the engine's token checks; nil without a verifier.
    func answerer(_ onError: Server.OnError?) -> Answerer? {
        for check in checks {
            if case .verifier(let verify) = check.kind { return Self.answerer(verify, onError) }
        }
        return nil
    }

    private static func answerer(_ verify: @escaping TokenCheck.Verify, _ onError: Server.OnError?) -> Answerer {
        { _, payload in
            do {
                let asked = try JSON.decode([String: String].self, from: payload)
                guard let claims = try await verify(asked["token"] ?? "") else {
                    return Answer(outcome: .error, payload: #"{"message":"the token is not good"}"#)
                }
                return Answer(outcome: .result, payload: try JSON.text(claims))
            } catch {
                if !(error is CancellationError && Task.isCancelled) {
                    onError?(error, ErrorOrigin(item: "server", name: "verifier"))
                }
                // The text of the error may quote the token.
                return Answer(outcome: .toolError, payload: "the verifier threw \(type(of: error))")
            }
        }
    }
}

/// One method by which a server checks tokens.
public struct TokenCheck: Sendable {
    /// Checks a token. Nil: it is invalid. An error means that it cannot be checked now: the client is
    /// notified to retry later.
    public typealias Verify = @Sendable (_ token: String) async throws -> Claims?

    enum Kind: Sendable {
        case jwt([String: JSONValue])
        case introspection([String: JSONValue])
        case tokens([String: Claims])
        case verifier(Verify)
    }
    let kind: Kind

    /// Signed tokens (RFC 7519, RFC 9068) of an issuer; several issuers are several checks.
    /// - Parameters:
    ///   - jwksURI: the URL of the issuer's keys. Default: from its metadata (RFC 8414 or OpenID).
    ///   - algorithms: of `RS256` … `RS512`, `PS256` … `PS512`, `ES256`, `ES384`, `EdDSA`. Default: all.
    ///   - timeout: of each request to the issuer.
    public static func jwt(
        issuer: String, jwksURI: String? = nil, algorithms: [String]? = nil, timeout: Duration? = nil
    ) -> TokenCheck {
        var fields: [String: JSONValue] = ["issuer": .string(issuer)]
        fields["jwksUri"] = jwksURI.map(JSONValue.string)
        fields["algorithms"] = algorithms.map { .array($0.map(JSONValue.string)) }
        fields["timeoutMs"] = timeout.map { .int($0.wholeMilliseconds) }
        return TokenCheck(kind: .jwt(fields))
    }

    /// Introspection: the authorization server checks each token (RFC 7662).
    /// - Parameters:
    ///   - remember: the time for which a response is cached, never beyond the token's end; a revoked token
    ///     stays valid for that time. Default: ten seconds.
    ///   - timeout: of each introspection request.
    public static func introspection(
        endpoint: String, clientId: String, clientSecret: String, remember: Duration? = nil, timeout: Duration? = nil
    ) -> TokenCheck {
        var fields: [String: JSONValue] = [
            "endpoint": .string(endpoint), "clientId": .string(clientId), "clientSecret": .string(clientSecret),
        ]
        fields["cacheMs"] = remember.map { .int($0.wholeMilliseconds) }
        fields["timeoutMs"] = timeout.map { .int($0.wholeMilliseconds) }
        return TokenCheck(kind: .introspection(fields))
    }

    /// Fixed tokens, for development, with their claims: `sub` or `client_id` is needed; without `aud` a
    /// token is for this server.
    public static func tokens(_ tokens: [String: Claims]) -> TokenCheck { TokenCheck(kind: .tokens(tokens)) }

    /// A custom check by the program: a closure returns the claims, of which `aud` must name the server, and
    /// `sub` or `client_id` is needed. The time limit is ten seconds, and its task is cancelled when the
    /// request has ended. The server's `onError` receives its errors. Do not log the token.
    public static func verifier(_ verify: @escaping Verify) -> TokenCheck { TokenCheck(kind: .verifier(verify)) }
}

/// The verified claims of a token.
public struct Claims: JSONModel, ExpressibleByDictionaryLiteral {
    /// All claims.
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        json = Dictionary(elements) { _, last in last }
    }

    /// One claim.
    public subscript(name: String) -> JSONValue? { json[name] }

    /// `sub`: the user, or the program where it acts for itself.
    public var subject: String? { optionalMember("sub") }
    /// `iss`: the issuer of the token.
    public var issuer: String? { optionalMember("iss") }
    /// `client_id`: the program that calls.
    public var clientId: String? { optionalMember("client_id") }
    /// The scopes of the token: `scope`, a text with spaces, or an array under `scope` or `scp`.
    public var scopes: [String] {
        let claim = json["scope"] ?? json["scp"]
        if let text = claim?.stringValue { return text.split(separator: " ").map(String.init) }
        return claim?.arrayValue?.compactMap(\.stringValue) ?? []
    }

    /// Returns true if it is among the scopes.
    public func hasScope(_ scope: String) -> Bool { scopes.contains(scope) }

    /// Decodes all of them as a custom type.
    /// - Throws: `DecodingError` if they do not fit.
    public func decode<T: Decodable>(as type: T.Type = T.self) throws -> T {
        try JSONValue.object(json).decode(as: type)
    }
}

/// The visibility of an item, by the claims of the caller's token. The item does not exist for other callers.
///
///     visibleTo: .any([.scope("admin"), .claim("groups", is: "staff")])
public indirect enum Visibility: Sendable, Hashable {
    /// Tokens with one of these scopes.
    case scopes([String])
    /// Tokens whose claim is one of these values; an array matches if an element does. The name is the path
    /// to a claim in an object: `["realm_access", "roles"]`.
    case claims(path: [String], oneOf: [JSONValue])
    /// Tokens that match one of these.
    case any([Visibility])
    /// Tokens that match all of these.
    case all([Visibility])
    /// Tokens that do not match this.
    case not(Visibility)

    /// Tokens with one of these scopes.
    public static func scope(_ alternatives: String...) -> Visibility { .scopes(alternatives) }

    /// Tokens whose claim is one of these values; an array matches if an element does.
    public static func claim(_ name: String, is values: JSONValue...) -> Visibility {
        .claims(path: [name], oneOf: values)
    }

    /// The engine's option `visibleTo`.
    var json: JSONValue {
        switch self {
        case .scopes(let scopes): ["scope": .array(scopes.map(JSONValue.string))]
        case .claims(let path, let values): ["claim": .array(path.map(JSONValue.string)), "is": .array(values)]
        case .any(let all): ["any": .array(all.map(\.json))]
        case .all(let all): ["all": .array(all.map(\.json))]
        case .not(let one): ["not": one.json]
        }
    }
}

extension Context {
    /// The verified claims of the caller's token; nil if there is none, as over standard streams and without
    /// `auth`.
    public var claims: Claims? {
        get throws { try request.claims }
    }

    /// The caller's identity, unique among all issuers: one text for each issuer and subject (or program,
    /// without a subject).
    public var principal: String? {
        get throws { try request.principal }
    }
}

// Logs must not contain the contents of these types.

extension ServerAuth: CustomStringConvertible, CustomReflectable {
    public var description: String { "ServerAuth(\(checks))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension TokenCheck: CustomStringConvertible, CustomReflectable {
    public var description: String {
        switch kind {
        case .jwt(let fields): "jwt(\(fields["issuer"]?.stringValue ?? ""))"
        case .introspection(let fields): "introspection(\(fields["endpoint"]?.stringValue ?? ""))"
        case .tokens: "tokens"
        case .verifier: "verifier"
        }
    }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
