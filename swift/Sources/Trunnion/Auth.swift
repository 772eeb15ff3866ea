import Foundation

/// How a client gets in where a server wants authorization (OAuth 2.1).
///
///     let auth = Auth.browser(AuthOptions(clientName: "Shop assistant"), store: .directory("credentials"))
///     let client = try await Client(.url("https://mcp.example.com/mcp"), auth: auth)
///
/// When the server refuses a request, the engine finds the authorization server, registers, sends the user there, and makes the
/// request again; later it refreshes tokens and asks for more scopes as calls need them. Where there is no way in, the error is
/// of kind `unauthorized`, and `reason` in its data says why. Tokens go to the server's own origin and nowhere else, and no
/// message or description shows them.
///
/// Copies share the store: clients that are given copies of one value ask the user once.
public struct Auth: Sendable {
    /// Where credentials are kept.
    public enum Store: Sendable {
        /// In memory, for this value and its copies.
        case memory
        /// In a directory, made when it is needed, of files for this user only, which processes may share.
        case directory(String)
        /// In a store of your own, such as a keychain or a database.
        case custom(any CredentialStore)
    }

    /// Sends the user to the page, and gives the whole URL that the browser was sent to in the end.
    public typealias Redirect = @Sendable (_ page: String) async throws -> String

    let options: AuthOptions
    private let redirect: Redirect?
    private let store: (any CredentialStore)?

    private init(_ grant: String, _ options: AuthOptions, _ store: Store, redirect: Redirect? = nil) {
        var options = options
        options.grant = grant
        switch store {
        // Tokens are of no use without the key, and with `true` each connection has its own.
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

    /// The user agrees in a browser, to which you send them.
    ///
    /// The client's id is, in this order: `clientId`, `clientMetadataUrl` where the server takes one, or what the server gives
    /// when the client registers itself. Time limits of calls stand still while the user decides; when the attempt is over
    /// before, the task of `redirect` is cancelled.
    /// - Parameters:
    ///   - redirectURI: where the browser comes back to: `https`, or `http` at a loopback host.
    ///   - redirect: what it throws is told in an error with reason `redirect`.
    public static func authorizationCode(
        redirectURI: String, options: AuthOptions = AuthOptions(), store: Store = .memory, redirect: @escaping Redirect
    ) -> Auth {
        var options = options
        options.redirectUri = redirectURI
        return Auth("authorization_code", options, store, redirect: redirect)
    }

    /// The user agrees in the browser of this machine, which comes back to a port of this process (`loopbackPort`).
    public static func browser(_ options: AuthOptions = AuthOptions(), store: Store = .memory) -> Auth {
        Auth("authorization_code", options, store)
    }

    /// The client acts for itself, with a secret.
    public static func clientCredentials(
        clientId: String, clientSecret: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.clientSecret) = (clientId, clientSecret)
        return Auth("client_credentials", options, store)
    }

    /// The client acts for itself, and signs instead of telling a secret (`private_key_jwt`).
    /// - Parameter signingKey: a private key in PEM: PKCS #8 with P-256, P-384, Ed25519 or RSA.
    public static func clientCredentials(
        clientId: String, signingKey: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.signingKey) = (clientId, signingKey)
        return Auth("client_credentials", options, store)
    }

    /// The client shows an assertion that it was given (RFC 7523), such as a workload's identity. Its audience must be the
    /// authorization server.
    public static func jwtBearer(
        clientId: String, assertion: String, options: AuthOptions = AuthOptions(), store: Store = .memory
    ) -> Auth {
        var options = options
        (options.clientId, options.assertion) = (clientId, assertion)
        return Auth("jwt_bearer", options, store)
    }

    /// The organization's identity provider vouches for the user (enterprise-managed authorization).
    /// - Parameters:
    ///   - clientId: the client at the MCP server's authorization server; its secret is an option.
    ///   - provider: the identity provider.
    ///   - subject: the user's token.
    ///   - subjectType: its type; by default an id token.
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

    /// Answers what the server asks, and what the engine does.
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

    /// Answers the engine's questions.
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
                // What a store throws may quote the record.
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

    /// Clients of this process whose stores have the same one take turns to refresh.
    private func identity(of store: any CredentialStore) -> String {
        "swift-\(UInt(bitPattern: ObjectIdentifier(store)))"
    }
}

/// An organization's identity provider, and the client as it knows it.
public struct IdentityProvider: Sendable {
    /// Where it exchanges the user's token.
    public var tokenEndpoint: String
    /// Its issuer.
    public var issuer: String
    /// Its id for the client.
    public var clientId: String
    /// The secret that belongs to that.
    public var clientSecret: String?
    /// How the client proves itself there; by default `client_secret_basic` with a secret, else `none`.
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

/// What keeps the credentials of servers, one record for each, such as a keychain or a database. A record is JSON with
/// `version`, and holds secrets. A store is one user's: a program that serves many gives each its own. Clients that were given
/// the same store take turns to refresh.
public protocol CredentialStore: AnyObject, Sendable {
    /// The record of the MCP server at this URL, if there is one.
    func load(server: String) async throws -> [String: JSONValue]?

    /// Keep the record, if the version of what is kept is `expected` (0: nothing is kept).
    /// - Returns: whether it was kept; false: someone was faster.
    func swap(server: String, expected: Int, record: [String: JSONValue]) async throws -> Bool
}

/// Credentials of this process.
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

// What these hold is nobody's to read in a log.

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
