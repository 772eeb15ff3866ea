import Foundation

/// Client sign-in (OAuth 2.1) for servers that require authorization.
///
///     let auth = Auth.browser(AuthOptions(clientName: "Shop assistant"), store: .directory("credentials"))
///     let client = try await Client(.url("https://mcp.example.com/mcp"), auth: auth)
///
/// When the server refuses a request, the engine finds the authorization server, registers, sends the user
/// there, and retries the request; later it refreshes tokens and requests more scopes as calls need them. If
/// sign-in is impossible, the error is of kind `unauthorized`, and `reason` in its data states the cause.
/// Tokens are sent to the server's own origin only, and no message or description shows them.
///
/// Copies share the store: clients with copies of one value prompt the user once.
public struct Auth: Sendable {
    /// The storage of credentials.
    public enum Store: Sendable {
        /// In memory, for this value and its copies.
        case memory
        /// In a directory, created when needed, of files for this user only, which processes may share.
        case directory(String)
        /// In a custom store, such as a keychain or a database.
        case custom(any CredentialStore)
    }

    /// Sends the user to the page, and returns the whole URL that the browser was redirected to at the end.
    public typealias Redirect = @Sendable (_ page: String) async throws -> String

    let options: AuthOptions
    private let redirect: Redirect?
    private let store: (any CredentialStore)?

    private init(_ grant: String, _ options: AuthOptions, _ store: Store, redirect: Redirect? = nil) {
        var options = options
        options.grant = grant
        switch store {
        // Tokens are useless without the key, and with `true` each connection has its own.
        case .memory where options.dpop == .bool(true):
            self.store = nil
        case .memory:
            self.store = MemoryStore()
        case .directory(let path):
            options.store = .string(path)
            self.store = nil
        case .custom(let custom):
            self.store = custom
        }
        self.options = options
        self.redirect = redirect
    }

    /// The authorization code grant: the user authorizes the client in a browser, which `redirect` opens.
    ///
    /// The client's id is, in this order: `clientId`, `clientMetadataUrl` if the server accepts one, or the
    /// id that the server assigns when the client registers itself. Time limits of calls pause while the user
    /// decides; if the sign-in attempt ends earlier, the task of `redirect` is cancelled.
    /// - Parameters:
    ///   - redirectURI: the URL that the browser returns to: `https`, or `http` at a loopback host.
    ///   - redirect: opens the page. Its errors are reported in an error with reason `redirect`.
    public static func authorizationCode(
        redirectURI: String, options: AuthOptions = AuthOptions(), store: Store = .memory, redirect: @escaping Redirect
    ) -> Auth {
        var options = options
        options.redirectUri = redirectURI
        return Auth("authorization_code", options, store, redirect: redirect)
    }

    /// The authorization code grant in the browser of this machine, which returns to a port of this process
    /// (`loopbackPort`).
    public static func browser(_ options: AuthOptions = AuthOptions(), store: Store = .memory) -> Auth {
        Auth("authorization_code", options, store)
    }

    /// The client credentials grant: the client acts for itself, with a secret.
    public static func clientCredentials(
        clientId: String, clientSecret: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.clientSecret) = (clientId, clientSecret)
        return Auth("client_credentials", options, store)
    }

    /// The client credentials grant with a signature instead of a secret (`private_key_jwt`).
    /// - Parameter signingKey: a private key in PEM: PKCS #8 with P-256, P-384, Ed25519 or RSA.
    public static func clientCredentials(
        clientId: String, signingKey: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.signingKey) = (clientId, signingKey)
        return Auth("client_credentials", options, store)
    }

    /// The JWT bearer grant: the client presents an assertion that it holds (RFC 7523), such as a workload's
    /// identity. Its audience must be the authorization server.
    public static func jwtBearer(
        clientId: String, assertion: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.assertion) = (clientId, assertion)
        return Auth("jwt_bearer", options, store)
    }

    /// Enterprise-managed authorization: the organization's identity provider vouches for the user.
    /// - Parameters:
    ///   - clientId: the client at the MCP server's authorization server; its secret is an option.
    ///   - provider: the identity provider.
    ///   - subject: the user's token.
    ///   - subjectType: its type; by default an ID token.
    public static func enterprise(
        clientId: String, provider: IdentityProvider, subject: String, subjectType: String? = nil,
        options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var enterprise: [String: JSONValue] = [
            "tokenEndpoint": .string(provider.tokenEndpoint), "issuer": .string(provider.issuer),
            "clientId": .string(provider.clientId), "subject": .string(subject),
        ]
        enterprise["clientSecret"] = provider.clientSecret.map(JSONValue.string)
        enterprise["clientAuthMethod"] = provider.clientAuthMethod.map(JSONValue.string)
        enterprise["subjectType"] = subjectType.map(JSONValue.string)
        var options = options
        (options.clientId, options.enterprise) = (clientId, enterprise)
        return Auth("enterprise", options, store)
    }

    /// The engine's option `auth`.
    var option: [String: JSONValue] {
        get throws {
            var option = try JSONValue(encoding: options).objectValue ?? [:]
            if let store { option["store"] = ["id": .string(identity(of: store))] }
            return option
        }
    }

    /// Returns the handlers of the server's requests and of the engine's sign-in events.
    static func answerer(with handlers: Answerer?, signingIn: Answerer?) -> Answerer? {
        guard let signingIn else { return handlers }
        return { kind, payload in
            switch kind {
            case .authorize, .credentials: return await signingIn(kind, payload)
            default: return await handlers?(kind, payload) ?? nobody
            }
        }
    }

    static let nobody = Answer(outcome: .error, payload: #"{"message":"this client answers no such questions"}"#)

    /// Answers the sign-in events of the engine.
    var answerer: Answerer? {
        guard redirect != nil || store != nil else { return nil }
        return { kind, payload in
            do {
                let asked = try JSON.decode(JSONValue.self, from: payload)
                if kind == .authorize, let redirect {
                    return try await result(["url": .string(redirect(asked["url"]?.stringValue ?? ""))])
                }
                if kind == .credentials, let store {
                    return try await keep(in: store, asked)
                }
                return Auth.nobody
            } catch let error as McpError {
                return Answer(outcome: .error, payload: JSONValue.object(["message": .string(error.message)]).description)
            } catch {
                // The error of a store may quote the record.
                let told = kind == .authorize ? "\(error)" : "it threw \(type(of: error))"
                return Answer(outcome: .error, payload: JSONValue.object(["message": .string(told)]).description)
            }
        }
    }

    private func keep(in store: any CredentialStore, _ asked: JSONValue) async throws -> Answer {
        let server = asked["server"]?.stringValue ?? ""
        if asked["op"] == "load" {
            return try await result(store.load(server: server).map(JSONValue.object) ?? .null)
        }
        let (expected, record) = (asked["expected"]?.intValue ?? 0, asked["record"]?.objectValue ?? [:])
        return try await result(.bool(store.swap(server: server, expected: expected, record: record)))
    }

    private func result(_ value: JSONValue) throws -> Answer {
        Answer(outcome: .result, payload: try JSON.text(value))
    }

    /// Clients of this process whose stores have the same id refresh one at a time.
    private func identity(of store: any CredentialStore) -> String {
        "swift-\(UInt(bitPattern: ObjectIdentifier(store)))"
    }
}

/// An organization's identity provider, and the client's registration there.
public struct IdentityProvider: Sendable {
    /// The endpoint that exchanges the user's token.
    public var tokenEndpoint: String
    /// Its issuer.
    public var issuer: String
    /// The id of the client at the provider.
    public var clientId: String
    /// The secret of that id.
    public var clientSecret: String?
    /// The client's authentication method there; by default `client_secret_basic` with a secret, else `none`.
    public var clientAuthMethod: String?

    public init(
        tokenEndpoint: String, issuer: String, clientId: String, clientSecret: String? = nil,
        clientAuthMethod: String? = nil
    ) {
        self.tokenEndpoint = tokenEndpoint
        self.issuer = issuer
        self.clientId = clientId
        self.clientSecret = clientSecret
        self.clientAuthMethod = clientAuthMethod
    }
}

/// A store for the credentials of servers, one record for each, such as a keychain or a database. A record is
/// JSON with `version`, and holds secrets. A store belongs to one user: a program that serves many users
/// needs one store for each. Clients that share a store refresh one at a time.
public protocol CredentialStore: AnyObject, Sendable {
    /// Returns the record of the MCP server at this URL, if there is one.
    func load(server: String) async throws -> [String: JSONValue]?

    /// Stores the record if the version of the stored record is `expected` (0: there is no record).
    /// - Returns: true if it was stored; false: another client stored one first.
    func swap(server: String, expected: Int, record: [String: JSONValue]) async throws -> Bool
}

/// Credentials in memory, for this process.
public final class MemoryStore: CredentialStore {
    private let records = Locked([String: [String: JSONValue]]())

    public init() {}

    public func load(server: String) -> [String: JSONValue]? {
        records.withLock { $0[server] }
    }

    public func swap(server: String, expected: Int, record: [String: JSONValue]) -> Bool {
        records.withLock { records in
            guard (records[server]?["version"]?.intValue ?? 0) == expected else { return false }
            records[server] = record
            return true
        }
    }
}

// Logs must not contain the contents of these types.

extension Auth: CustomStringConvertible, CustomReflectable {
    public var description: String { "Auth(\(options.grant ?? ""))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension AuthOptions: CustomStringConvertible {
    public var description: String { "AuthOptions(\(grant ?? ""))" }
}

extension IdentityProvider: CustomStringConvertible, CustomReflectable {
    public var description: String { "IdentityProvider(\(issuer))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension MemoryStore: CustomReflectable {
    public var customMirror: Mirror { Mirror(self, children: []) }
}
