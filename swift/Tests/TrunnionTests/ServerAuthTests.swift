import Foundation
import Testing
import Trunnion

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// An authorization server that issues any token to any client (tests/auth-server).
private final class Issuer {
    let url: String
    private let program: Program

    init() throws {
        program = try Program(Surface.repository.appendingPathComponent("target/debug/trunnion-auth-server"))
        url = program.firstLine()
    }

    deinit { program.end() }

    func token(_ claims: JSONValue) async throws -> String {
        var request = URLRequest(url: try #require(URL(string: url + "/admin/token")))
        request.httpMethod = "POST"
        request.httpBody = Data(JSONValue.object(["claims": claims]).description.utf8)
        let data = try await URLSession.shared.data(for: request).0
        return try #require(try JSONDecoder().decode([String: String].self, from: data)["token"])
    }
}

@Suite("Letting in") struct ServerAuthTests {
    private let staff: [String: Claims] = [
        "anns": ["sub": "ann", "scope": "files:read"],
        "bobs": ["sub": "bob", "scope": "files:read files:write", "groups": ["staff"], "org": ["level": 3]],
        "eves": ["sub": "eve", "scope": "mail"],
    ]

    private func bearer(_ token: String) -> ConnectOptions {
        ConnectOptions(headers: ["authorization": .string("Bearer \(token)")])
    }

    private func files(_ auth: ServerAuth?, onError: Server.OnError? = nil) throws -> Server {
        let server = try Server("files", version: "1", auth: auth, onError: onError)
        try server.tool("whoami", "Says who calls") { (context: Context) in
            "\(try context.claims?.subject ?? "nobody") \(try context.principal ?? "")"
        }
        return server
    }

    /// Serve, and close everything afterwards.
    private func serving(_ server: Server, _ body: (String) async throws -> Void) async throws {
        let listener = try await server.serveHTTP()
        try await body(listener.url)
        try await listener.close()
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    private func whoami(_ url: String, _ token: String) async throws -> String {
        let client = try await Client(.url(url), options: bearer(token))
        let text = try await client.callTool("whoami").text
        await client.close()
        return text
    }

    /// The status that a request with this token is refused with.
    private func refusal(_ url: String, _ token: String?) async throws -> Int? {
        var request = URLRequest(url: try #require(URL(string: url)))
        request.httpMethod = "POST"
        request.httpBody = Data(#"{"jsonrpc":"2.0","id":1,"method":"x"}"#.utf8)
        request.setValue("application/json", forHTTPHeaderField: "content-type")
        request.setValue("application/json, text/event-stream", forHTTPHeaderField: "accept")
        if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "authorization") }
        let (data, response) = try await URLSession.shared.data(for: request)
        let text = String(decoding: data, as: UTF8.self)
        #expect(token.map(text.contains) != true && !text.contains("s3cret"))
        return (response as? HTTPURLResponse)?.statusCode
    }

    @Test func fixedTokens() async throws {
        let server = try files(.tokens(staff, requiredScopes: ["files:read"]))
        try await serving(server) { (url: String) async throws -> Void in
            #expect(await failure { try await Client(.url(url)) }?.data?["reason"] == "no_token")
            #expect(try await refusal(url, nil) == 401)
            #expect(try await refusal(url, "nobodys") == 401)
            #expect(try await refusal(url, "eves") == 403)
            #expect(try await whoami(url, "anns") == #"ann ["tokens","sub:ann"]"#)
        }
    }

    @Test func scopesAndVisibility() async throws {
        let server = try files(.tokens(staff))
        try server.tool("write", "Writes", scopes: ["files:write"]) { (context: Context) async throws -> String in
            let claims = try context.claims
            #expect(claims?.scopes == ["files:read", "files:write"] && claims?.hasScope("mail") == false)
            #expect(claims?["groups"] == ["staff"] && claims?.issuer == nil && claims?.clientId == nil)
            return "written"
        }
        let visible: [(String, Visibility)] = [
            ("staff", .claim("groups", is: "staff", "admins")),
            ("deep", .claims(path: ["org", "level"], oneOf: [3])),
            ("either", .any([.scope("mail"), .claim("groups", is: "staff")])),
            ("both", .all([.scope("files:write", "mail"), .not(.claim("sub", is: "bob"))])),
        ]
        for (name, visibleTo) in visible {
            try server.tool(name, visibleTo: visibleTo) { (_: Context) in name }
        }
        try server.resource("file:///keys", name: "keys", visibleTo: .scope("files:write")) { _ in "secret" }
        try server.resource(template: "mail://{id}", name: "mail", visibleTo: .scope("mail")) { request, _ in request["id"] }
        try server.prompt("review", "Reviews", scopes: ["files:write"], visibleTo: .scope("files:read")) {
            (_: Context) in "Review it."
        }
        try await serving(server) { (url: String) async throws -> Void in
            func seen(_ token: String) async throws -> [String] {
                let client = try await Client(.url(url), options: bearer(token))
                let tools = try await client.listTools().map(\.name)
                let resources = try await client.listResources().map(\.name)
                let templates = try await client.listResourceTemplates().map(\.name)
                let prompts = try await client.listPrompts().map(\.name)
                await client.close()
                return (tools + resources + templates + prompts).filter { $0 != "whoami" && $0 != "write" }.sorted()
            }
            #expect(try await seen("anns") == ["review"])
            #expect(try await seen("bobs") == ["deep", "either", "keys", "review", "staff"])
            #expect(try await seen("eves") == ["both", "either", "mail"])

            let ann = try await Client(.url(url), options: bearer("anns"))
            #expect(await failure { try await ann.callTool("write") }?.data?["reason"] == "scope")
            #expect(await failure { try await ann.callTool("staff") }?.kind == .invalidParams)
            #expect(await failure { try await ann.getPrompt("review") }?.data?["reason"] == "scope")
            await ann.close()
            let bob = try await Client(.url(url), options: bearer("bobs"))
            #expect(try await bob.callTool("write").text == "written")
            #expect(try await bob.readResource("file:///keys").text == "secret")
            await bob.close()
        }
    }

    @Test func whoIsLocalNeedsNoToken() async throws {
        let server = try files(.tokens(staff))
        try server.tool("write", scopes: ["files:write"], visibleTo: .scope("none")) { (context: Context) in
            try context.claims == nil && context.principal == nil ? "local" : "known"
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            #expect(try await client.callTool("write").text == "local")
        }
    }

    @Test func theProgramChecksTokens() async throws {
        struct Down: Error { let database = "s3cret" }
        let auth = ServerAuth(
            .verifier { token in
                if token == "down" { throw Down() }
                return token == "good" ? ["sub": "ann", "aud": "me"] : token == "others" ? ["sub": "ann", "aud": "you"] : nil
            }, audience: ["me"])
        let (errors, feed) = AsyncStream.makeStream(of: String.self)
        let server = try files(auth) { error, origin in
            feed.yield("\(origin.item) \(origin.name) \((error as? Down)?.database ?? "")")
        }
        try await serving(server) { (url: String) async throws -> Void in
            #expect(try await refusal(url, "bad") == 401)
            #expect(try await refusal(url, "others") == 401)
            #expect(try await refusal(url, "down") == 503)
            #expect(try await whoami(url, "good") == #"ann ["program","sub:ann"]"#)
        }
        feed.finish()
        var told: [String] = []
        for await error in errors { told.append(error) }
        #expect(told == ["server verifier s3cret"])
    }

    @Test func aVerifierIsCancelledWithItsRequest() async throws {
        let (asked, ended) = (Signal(), Signal())
        let auth = ServerAuth.verifier { _ in
            asked.fire()
            defer { ended.fire() }
            try await Task.sleep(for: .seconds(3600))
            return nil
        }
        let server = try files(auth)
        let listener = try await server.serveHTTP()
        let url = listener.url
        let options = bearer("any")
        let connecting = Task { try await Client(.url(url), options: options) }
        await asked.wait()
        connecting.cancel()
        await #expect(throws: CancellationError.self) { try await connecting.value }
        await ended.wait()
        try await listener.close()
        await server.close()
    }

    @Test func signedTokens() async throws {
        let issuer = try Issuer()
        for check in [
            TokenCheck.jwt(issuer: issuer.url, algorithms: ["ES256", "RS256", "EdDSA"], timeout: .seconds(10)),
            .introspection(
                endpoint: issuer.url + "/introspect", clientId: "resource", clientSecret: "resource-secret",
                remember: .seconds(1), timeout: .seconds(10)),
        ] {
            let auth = ServerAuth(
                check, .tokens(staff), authorizationServers: [issuer.url], scopesSupported: ["files:read"],
                audience: ["me"], dpop: .off, dpopNonces: false, leeway: .seconds(5))
            let (good, others) = (try await issuer.token(["aud": "me"]), try await issuer.token(["aud": "you"]))
            try await serving(try files(auth)) { (url: String) async throws -> Void in
                #expect(try await refusal(url, others) == 401)
                #expect(try await whoami(url, good).contains("sub:"))
                #expect(try await whoami(url, "anns").hasPrefix("ann"))
            }
        }
    }

    @Test func optionsThatAreWrong() throws {
        let verify: TokenCheck.Verify = { _ in nil }
        let secret = TokenCheck.introspection(endpoint: "https://as.example/i", clientId: "me", clientSecret: "s3cret")
        let set: [(ServerAuth, String)] = [
            (ServerAuth(), "no way to check"),
            (.tokens(["a": [:]]), "sub"),
            (ServerAuth(.jwt(issuer: "https://as.example", algorithms: ["HS256"])), "HS256"),
            (.jwt(issuer: "http://as.example"), "https"),
            (ServerAuth(.verifier(verify), .verifier(verify)), "one verifier"),
            (ServerAuth(secret, secret), "one introspection"),
            (.verifier(requiredScopes: ["offline_access"], verify), "offline_access"),
        ]
        for (auth, told) in set {
            #expect { try files(auth) } throws: { error in
                (error as? McpError)?.kind == .usage && "\(error)".contains(told)
            }
        }
        let server = try files(.verifier(verify))
        for visibleTo in [Visibility.any([]), .scope(), .claims(path: [], oneOf: [1])] {
            #expect { try server.tool("a", visibleTo: visibleTo) { (_: Context) in "" } } throws: {
                ($0 as? McpError)?.kind == .usage
            }
        }
    }

    @Test func nothingSecretIsShown() {
        let auth = ServerAuth(
            .introspection(endpoint: "https://as.example/i", clientId: "me", clientSecret: "s3cret"),
            .tokens(["s3cret": ["sub": "ann"]]))
        var dumped = ""
        dump(auth, to: &dumped)
        for shown in ["\(auth)", String(reflecting: auth), dumped, "\(auth.checks)", String(reflecting: auth.checks)] {
            #expect(!shown.contains("s3cret"), "\(shown)")
        }
    }
}
