import Foundation
import Testing
import Trunnion

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

private let redirectURI = "http://localhost:3000/callback"
private let secrets = ["acc3ss", "r3fresh", "c0de", "s3cret"]
/// Made for these tests.
private let p256 = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghb/L5tuT1Pb4ZB99
    jHw2dLBlFI5zKDUHqkBkHgIQ3R2hRANCAASDRg6E5mauEpZuYm55p5OczDccVT9Y
    +Purw1W1NC6kAL6KA+bcdGqctLuGFrxW9d/ouvNmUGAjsDTcehrotnsP
    -----END PRIVATE KEY-----
    """

/// An MCP server that requires tokens, and the authorization server that issues them
/// (core/engine/examples/auth_world.rs).
private final class World {
    let mcp: String
    private let control: URL
    private let program: Program

    init() throws {
        program = try Program(Surface.repository.appendingPathComponent("target/debug/examples/auth_world"))
        let told = try JSONDecoder().decode([String: String].self, from: Data(program.firstLine().utf8))
        mcp = try #require(told["mcp"])
        control = try #require(told["control"].flatMap(URL.init(string:)))
    }

    deinit { program.end() }

    /// Returns the recorded state of the program.
    func seen() async throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: try await URLSession.shared.data(from: control).0)
    }

    /// Changes the behavior of the program.
    func change(_ what: JSONValue) async throws {
        var request = URLRequest(url: control)
        request.httpMethod = "PUT"
        request.httpBody = Data(what.description.utf8)
        _ = try await URLSession.shared.data(for: request)
    }

    /// Returns the number of times that the user was sent to a page.
    func pages() async throws -> Int { try await seen()["pages"]?.arrayValue?.count ?? -1 }

    /// Returns the number of requests for this grant at the token endpoint.
    func granted(_ grant: String) async throws -> Int {
        try await seen()["log"]?.arrayValue?.filter { $0 == .string("token \(grant)") }.count ?? -1
    }

    /// Connect, call, close.
    func hello(_ auth: Auth) async throws {
        let client = try await Client(.url(mcp), auth: auth)
        #expect(try await client.callTool("hello").text == "hello")
        await client.close()
    }

    /// The way in fails for this reason; the error.
    func refused(_ auth: Auth, for reason: String, sourceLocation: SourceLocation = #_sourceLocation) async -> McpError? {
        let error = await failure(sourceLocation: sourceLocation) { try await Client(.url(mcp), auth: auth) }
        #expect(error?.kind == .unauthorized && error?.data?["reason"] == .string(reason), sourceLocation: sourceLocation)
        let shown = error.map { "\($0)" + String(reflecting: $0) } ?? ""
        #expect(!secrets.contains(where: shown.contains), sourceLocation: sourceLocation)
        return error
    }
}

/// Does not follow.
private final class Stay: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}

/// The user agrees: the page is a redirect to the callback.
@Sendable private func agree(_ page: String) async throws -> String {
    let session = URLSession(configuration: .ephemeral, delegate: Stay(), delegateQueue: nil)
    defer { session.finishTasksAndInvalidate() }
    let (_, response) = try await session.data(from: try #require(URL(string: page)))
    return try #require((response as? HTTPURLResponse)?.value(forHTTPHeaderField: "location"))
}

private func user(_ options: AuthOptions = AuthOptions(), store: Auth.Store = .memory) -> Auth {
    .authorizationCode(redirectURI: redirectURI, options: options, store: store, redirect: agree)
}

/// A store of the program's own.
private final class Keychain: CredentialStore {
    let kept = Collected<String>()
    private let memory = MemoryStore()
    let isLocked: Bool

    init(isLocked: Bool = false) { self.isLocked = isLocked }

    struct Locked: Error {
        let token = "acc3ss"
    }

    func load(server: String) async throws -> [String: JSONValue]? {
        if isLocked { throw Locked() }
        return memory.load(server: server)
    }

    func swap(server: String, expected: Int, record: [String: JSONValue]) async throws -> Bool {
        await kept.add(server)
        return memory.swap(server: server, expected: expected, record: record)
    }
}

@Suite("Signing in") struct AuthTests {
    @Test func theUserAgreesOnce() async throws {
        let world = try World()
        let client = try await Client(.url(world.mcp), auth: user(AuthOptions(clientName: "Shop assistant")))
        #expect(try await client.callTool("hello").text == "hello")
        // More scopes are asked for when a call needs them.
        #expect(try await client.callTool("admin").text == "done")
        await client.close()
        let pages = try await world.seen()["pages"]?.arrayValue ?? []
        #expect(pages.map { $0["scope"] } == ["basic", "basic admin"])
        #expect(pages.allSatisfy { $0["redirect_uri"] == .string(redirectURI) })
    }

    @Test func clientsActForThemselves() async throws {
        let world = try World()
        let trusting = AuthOptions(trustFirstIssuer: true)
        try await world.hello(.clientCredentials(clientId: "me", clientSecret: "s3cret", options: trusting))
        let posting = AuthOptions(clientAuthMethod: "client_secret_post", trustFirstIssuer: true)
        try await world.hello(.clientCredentials(clientId: "me", clientSecret: "s3cret", options: posting))
        try await world.hello(.clientCredentials(clientId: "me", signingKey: p256, options: trusting))
        try await world.hello(.jwtBearer(clientId: "me", assertion: "h.e.y", options: trusting))
        let forms = try await world.seen()["forms"]?.arrayValue ?? []
        try #require(forms.count == 4)
        #expect(forms[0]["basic"] == "me:s3cret" && forms[1]["client_secret"] == "s3cret")
        #expect(forms[2]["client_assertion"]?.stringValue?.split(separator: ".").count == 3)
        #expect(forms[3]["assertion"] == "h.e.y")
    }

    @Test func filesAreShared() async throws {
        let world = try World()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try await world.hello(user(store: .directory(folder)))
        try await world.hello(user(store: .directory(folder)))
        #expect(try await world.pages() == 1)
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func copiesShareTheStore() async throws {
        let world = try World()
        let auth = user()
        let one = try await Client(.url(world.mcp), auth: auth)
        let two = try await Client(.url(world.mcp), auth: auth)
        for round in 1...5 {
            try await world.change(["revoke": true])
            async let first = one.callTool("hello").text
            async let second = two.callTool("hello").text
            #expect(try await [first, second] == ["hello", "hello"])
            #expect(try await world.granted("refresh_token") == round, "one refresh for both")
        }
        await one.close()
        await two.close()
        try await world.hello(auth)
        #expect(try await world.pages() == 1)
        // Another value knows nothing of it.
        try await world.hello(user())
        #expect(try await world.pages() == 2)
    }

    @Test func aStoreOfOnesOwn() async throws {
        let world = try World()
        let keychain = Keychain()
        try await world.hello(user(store: .custom(keychain)))
        try await world.hello(user(store: .custom(keychain)))
        #expect(try await world.pages() == 1)
        #expect(await keychain.kept.values.allSatisfy { $0 == world.mcp })
        #expect(await !keychain.kept.values.isEmpty)
        let error = await world.refused(user(store: .custom(Keychain(isLocked: true))), for: "store")
        #expect(error?.message.contains("Locked") == true)
    }

    @Test func whyThereIsNoWayIn() async throws {
        let world = try World()
        func redirecting(_ options: AuthOptions = AuthOptions(), _ redirect: @escaping Auth.Redirect) -> Auth {
            .authorizationCode(redirectURI: redirectURI, options: options, redirect: redirect)
        }
        let lost = await world.refused(redirecting { _ in throw McpError(.usage, "no display") }, for: "redirect")
        #expect(lost?.message.contains("no display") == true)
        let never = redirecting(AuthOptions(userTimeoutMs: 1)) { _ in
            try await Task.sleep(for: .seconds(3600))
            return ""
        }
        _ = await world.refused(never, for: "user_timeout")
        try await world.change(["iss": "https://evil.example"])
        _ = await world.refused(user(), for: "wrong_iss")
        // Without a way in, the refusal is the error.
        #expect(await failure { try await Client(.url(world.mcp)) }?.kind == .unauthorized)
    }

    @Test func givenUpWhileTheUserDecides() async throws {
        let world = try World()
        let (asked, ended) = (Signal(), Signal())
        let auth = Auth.authorizationCode(redirectURI: redirectURI) { _ in
            asked.fire()
            defer { ended.fire() }
            try await Task.sleep(for: .seconds(3600))
            return ""
        }
        let url = world.mcp
        let connecting = Task { try await Client(.url(url), auth: auth) }
        await asked.wait()
        connecting.cancel()
        await #expect(throws: CancellationError.self) { try await connecting.value }
        await ended.wait()
    }

    @Test func tokensAreBoundToAKey() async throws {
        let world = try World()
        try await world.change(["dpop": true])
        try await world.hello(user(AuthOptions(dpop: true)))
        try await world.hello(user(AuthOptions(dpop: .string(p256))))
        let shown = try await world.seen()["shown"]?.arrayValue?.last?.stringValue
        #expect(shown?.hasPrefix("DPoP ") == true)
    }

    @Test func optionsThatAreWrong() async throws {
        let provider = IdentityProvider(tokenEndpoint: "no URL", issuer: "https://idp.example", clientId: "us")
        let set: [(Auth, String)] = [
            (.clientCredentials(clientId: "me", signingKey: "s3cret"), "auth.signingKey"),
            (.clientCredentials(clientId: "", clientSecret: "s3cret"), "clientId"),
            (user(AuthOptions(dpop: "s3cret")), "auth.dpop"),
            (user(AuthOptions(dpop: true), store: .directory("credentials")), "dpop must be a key"),
            (user(AuthOptions(assertion: "s3cret")), "jwt_bearer"),
            (.enterprise(clientId: "me", provider: provider, subject: "s3cret"), "token_endpoint"),
        ]
        for (auth, told) in set {
            let error = await failure { try await Client(.url("http://127.0.0.1:9/mcp"), auth: auth) }
            #expect(error?.kind == .usage && error?.message.contains(told) == true, "\(told)")
            #expect(error.map { "\($0)" }?.contains("s3cret") == false)
        }
        let overStreams = await failure { try await Client(.command(["true"]), auth: user()) }
        #expect(overStreams?.message.contains("over HTTP") == true)
    }

    @Test func nothingSecretIsShown() {
        let options = AuthOptions(clientId: "me", clientSecret: "s3cret", signingKey: p256)
        let auth = user(options)
        var dumped = ""
        dump(auth, to: &dumped)
        for shown in ["\(auth)", String(reflecting: auth), dumped, "\(options)", String(reflecting: options)] {
            #expect(!shown.contains("s3cret") && !shown.contains("PRIVATE"), "\(shown)")
        }
    }
}
