import Foundation
import Testing

import Trunnion

// The code of docs/swift.md, compiled and run. The last test sees that the guide shows nothing else.

struct ConvertInput: Codable { var files: [String] }
struct AppConfig: Codable { var theme: String }
struct SummariseInput: Codable {
    var path: String
    var language: String?
}
struct BookInput: Codable { var people: Int }
struct Menu: Codable, Sendable { var course: String }
struct ImportInput: Codable { var pages: Int }

@Sendable func signInSheet(_ page: String) async throws -> String { page }
func holdTable(for people: Int) async throws -> Int { people }
func importPage(_ page: Int) async throws {}
func printReceipt() async throws -> Int { 7 }
@Sendable func session(of token: String) async throws -> String? { token == "good" ? "ann" : nil }

@Suite("The guide") struct GuideTests {
    @Test func theGuideWorksAsWritten() async throws {
        struct AddInput: Codable, Described {
            var a: Double
            var b: Double
            static let descriptions = ["a": "The first number", "b": "The second number"]
        }
        struct AddOutput: Codable { var sum: Double }

        let server = try Server("calculator", version: "1.0.0")
        try server.tool("add", "Adds two numbers") { (input: AddInput) in
            AddOutput(sum: input.a + input.b)
        }

        let schema: Schema = .json(["type": "object", "properties": ["query": ["type": "string", "minLength": 1]]])
        try server.tool("search", "Finds documents", inputSchema: schema) { (arguments: JSONValue) in
            "looked for \(arguments["query"]?.stringValue ?? "")"
        }

        try server.tool("convert", "Converts files") { (input: ConvertInput, context: Context) in
            for (done, file) in input.files.enumerated() {
                try Task.checkCancellation()
                try context.progress(Double(done), total: Double(input.files.count), message: file)
            }
            return "converted \(input.files.count) files"
        }

        try server.resource("config://app", name: "config", mimeType: "application/json") { _ in
            AppConfig(theme: "dark")
        }
        try server.resource(template: "doc://{path}", name: "document") { request, _ in
            "the text of \(request["path"])"
        }
        try server.prompt("summarise", "Summarises a document") { (input: SummariseInput, _) in
            "Summarise \(input.path) in \(input.language ?? "English")."
        }
        try server.completion(prompt: "summarise") { request, _ in
            ["English", "Esperanto"].filter { $0.hasPrefix(request.argument.value) }
        }
        try server.completion(template: "doc://{path}") { request, _ in
            CompletionValues(values: [request.argument.value + "readme.md"], total: 12, hasMore: true)
        }

        try server.tool("book", "Books a table") { (input: BookInput, context: Context) in
            let hold = try await context.once("hold") { try await holdTable(for: input.people) }
            let answer = try await context.elicit("Which menu for table \(hold)?", as: Menu.self)
            guard let menu = answer.fields else { return "not booked: \(answer.action.rawValue)" }
            let note = try await context.sample("A one-line note for the kitchen: \(menu.course).", maxTokens: 60)
            return "booked table \(hold): \(note.text)"
        }

        try server.tool("choose", "Chooses a menu") { (context: Context) in
            let answers = try await context.ask([
                "menu": .elicit("Which menu?", as: Menu.self),
                "wine": .sample("Which wine goes with fish?", maxTokens: 60),
            ])
            let menu: Menu? = try answers.elicitation("menu").decode()
            return menu?.course ?? "none"
        }

        try server.tool("seat", "Finds a seat", asks: ["menu": .elicit("Which menu?", as: Menu.self)]) { (context: Context) in
            let menu: Menu? = try context.answers.elicitation("menu").decode()
            return menu.map { "a seat near the \($0.course) kitchen" } ?? "no seat"
        }

        let listener = try await server.serveHTTP()
        try await tour(of: listener)
        try await asking(listener)
        try await listener.close()
        await server.close()

        func tour(of listener: HTTPListener) async throws {
            let client = try await Client(.url(listener.url))
            let sum: AddOutput = try await client.callTool("add", AddInput(a: 2, b: 3)).decode()
            for try await tool in client.tools { print(tool.name, tool.description ?? "") }
            let text = try await client.readResource("doc://readme.md").text
            let prompt = try await client.getPrompt("summarise", ["path": "readme.md"])
            await client.close()
            #expect(sum.sum == 5)
            #expect(text == "the text of readme.md")
            #expect(prompt.text == "Summarise readme.md in English.")
            try await failures(of: Client(.url(listener.url)))
        }

        func asking(_ listener: HTTPListener) async throws {
            let handlers = ClientHandlers(
                roots: [Root(uri: "file:///srv/ada/menus")],
                onElicit: { request in
                    guard case .form(let form) = request.kind else { return .decline }
                    print(form.message)
                    return .accept(["course": "fish"])
                },
                onSample: { _ in CreateMessageResult(text: "No salt.", model: "house") })
            let asked = try await Client(.url(listener.url), handlers: handlers)
            #expect(try await asked.callTool("book", ["people": 4]).text == "booked table 4: No salt.")
            #expect(try await asked.callTool("choose").text == "fish")
            #expect(try await asked.callTool("seat").text == "a seat near the fish kitchen")
            let changes = try await asked.listen(tools: true, resourceURIs: ["config://app"])
            print(changes.granted.resourceURIs)
            try server.notifyResourceUpdated("config://app")
            for try await change in changes {
                if case .resource(let uri) = change { print(uri) }
                break
            }
            print(try await asked.listTools(options: RequestOptions(cache: false)).count)
            try asked.setRoots([])
            try await asked.setLogLevel(.warning)
            await asked.close()
        }

        func failures(of client: Client) async throws {
            let call = Task {
                try await client.callTool("convert", ["files": ["a", "b"]]) { update in
                    print(update.progress, update.total ?? 0, update.message ?? "")
                }
            }
            call.cancel()
            _ = await call.result
            do {
                _ = try await client.callTool("nope")
            } catch let error as McpError where error.kind == .invalidParams {
                print(error.code, error.message)
            }
            await client.close()
        }
    }

    /// Compiled only: it would serve for ever.
    func serving(_ server: Server) async throws {
        let listener = try await server.serveHTTP(port: 8000)
        print(listener.url)
        try await listener.wait()
    }

    @Test func whatIsThrownAndShown() async throws {
        let sunny = try Server(
            "sunny", version: "1.0.0", extra: ["icons": [["src": "https://example.com/sun.png", "sizes": ["48x48"]]]],
            onError: { error, origin in print("\(origin.item) \(origin.name): \(error)") })
        let icons: JSONValue = [["src": "https://example.com/sun.png", "mimeType": "image/png"]]
        try sunny.tool("shine", "Shines", extra: ["icons": icons]) { (_: Context) in "it shines" }
        try await withClient(to: sunny) { (client: Client) async throws -> Void in
            #expect(try await client.listTools()[0].icons.map(\.src) == ["https://example.com/sun.png"])
        }
    }

    @Test func callsThatTakeLong() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let options = ServerOptions(store: folder.appendingPathComponent("state.db").path)
        let importer = try Server("importer", version: "1.0.0", options: options)
        try importer.tool("import", "Imports pages", task: .optional, resumable: true, taskConcurrency: 4) {
            (input: ImportInput, context: Context) in
            // Resumes after the last checkpoint if an earlier run's process died.
            let done: Int = try context.lastCheckpoint() ?? 0
            for page in done..<input.pages {
                try await importPage(page)
                try context.progress(Double(page + 1), total: Double(input.pages), message: "page \(page + 1)")
                try await context.checkpoint(page + 1)  // stored when this returns
            }
            let receipt = try await context.once("receipt") { try await printReceipt() }
            return "\(input.pages) pages, receipt \(receipt)"
        }
        let client = try await Client(.server(importer))
        let task = try await client.startTask("import", ["pages": 3])
        let id = task.id  // nil if the server has answered immediately

        // Later, possibly in another process.
        let again = id.map(client.task) ?? task
        for try await state in again.updates() {
            print(state.status.rawValue, state.statusMessage ?? "")
        }
        print(try await again.result().text)
        #expect(try await again.result().text == "3 pages, receipt 7")
        await client.close()
        await importer.close()
        try FileManager.default.removeItem(at: folder)
    }

    @Test func whoMayCall() async throws {
        let guarded = try Server(
            "files", version: "1.0.0",
            auth: .tokens(["s3cret": ["sub": "ann", "scope": "files:read"]], requiredScopes: ["files:read"]))
        try guarded.tool("whoami", "Says who calls") { (context: Context) in
            try context.claims?.subject ?? "a program"
        }
        try guarded.tool("delete", "Deletes", scopes: ["files:write"]) { (_: Context) in "deleted" }
        try guarded.tool("audit", "Audits", visibleTo: .any([.scope("admin"), .claim("groups", is: "staff")])) {
            (_: Context) in "…"
        }
        let listener = try await guarded.serveHTTP()
        let options = ConnectOptions(headers: ["authorization": "Bearer s3cret"])
        let client = try await Client(.url(listener.url), options: options)
        #expect(try await client.callTool("whoami").text == "ann")
        #expect(try await client.listTools().map(\.name) == ["whoami", "delete"])
        await client.close()
        try await listener.close()
        await guarded.close()

        let auth = ServerAuth(
            .jwt(issuer: "https://auth.example.com", algorithms: ["ES256"]),
            .verifier { token in
                guard let user = try await session(of: token) else { return nil }
                return ["sub": .string(user), "aud": "https://files.example.com/mcp"]
            },
            resource: "https://files.example.com/mcp", dpop: .allowed)
        _ = try Server("files", version: "1.0.0", auth: auth)
    }

    @Test func aHandlerSeesTheTrace() async throws {
        func tracing() throws -> Runtime {
            let runtime = try Runtime(EngineOptions(telemetry: ["endpoint": "http://127.0.0.1:4318", "serviceName": "shop"]))
            return runtime
        }
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-"
        let sent = trace + "00f067aa0ba902b7-01"
        for runtime in [try Runtime(), try tracing()] {
            let server = try Server("traced", version: "1.0.0", runtime: runtime)
            try server.tool("trace", "Says which span it is part of") { (context: Context) in
                let parent = try context.request.meta?["traceparent"]
                // try await other.callTool("next", options: RequestOptions(meta: ["traceparent": parent ?? .null]))
                return parent?.stringValue ?? "none"
            }
            let client = try await Client(.server(server))
            let result = try await client.callTool("trace", options: RequestOptions(meta: ["traceparent": .string(sent)]))
            #expect(result.text.hasPrefix(trace))
            await client.close()
            await server.close()
            await runtime.close()
        }
    }

    /// Compiled only: what changes is told elsewhere.
    func changing(_ server: Server) throws {
        try server.notifyResourceUpdated("config://app")
        server.onRootsChanged { print("ask for the roots again") }
    }

    /// Compiled only: the web server is missing.
    func carrying(
        _ server: Server, _ headers: [(name: String, value: String)], _ body: Data, _ send: (Data) -> Void
    ) async throws {
        let request = HTTPRequest(
            method: "POST", target: "/mcp", headers: headers.map { HTTPHeader($0.name, $0.value) }, body: body)
        let response = try await server.handle(request)
        for try await piece in response.body { send(piece) }
    }

    /// Compiled only: the shop is missing.
    func signingIn(to shopURL: String) async throws {
        // A user with a browser on this machine.
        let browser = Auth.browser(AuthOptions(clientName: "Shop assistant"), store: .directory("/var/lib/shop/credentials"))

        // A user whom your program sends to the page: returns the URL to which the browser was redirected.
        let app = Auth.authorizationCode(redirectURI: "https://shop.example/callback") { page in
            try await signInSheet(page)
        }

        // A program without a user, with a secret; with `signingKey:` it signs instead (private_key_jwt).
        let program = Auth.clientCredentials(
            clientId: "my-id", clientSecret: "my-secret", options: AuthOptions(issuer: "https://auth.example.com"))

        do {
            let client = try await Client(.url(shopURL), auth: program)
            print(try await client.callTool("hello").text)
            await client.close()
        } catch let error as McpError where error.kind == .unauthorized {
            print("no way in: \(error.data?["reason"]?.stringValue ?? "")")
        }
        _ = (browser, app)
    }

    @Test func theGuideShowsOnlyWhatIsCompiledHere() throws {
        let own = try String(contentsOfFile: #filePath, encoding: .utf8)
        let guide = try String(
            contentsOf: Surface.repository.appendingPathComponent("docs/swift.md"), encoding: .utf8)
        let code = own.lines.joined(separator: "\n")
        let blocks = guide.components(separatedBy: "```swift\n").dropFirst().map { $0.components(separatedBy: "```")[0] }
        #expect(blocks.count > 5)
        for block in blocks {
            #expect(code.contains(block.lines.joined(separator: "\n")), "\(block)")
        }
    }
}

extension String {
    /// Its lines without indentation, up to the last that is not empty.
    fileprivate var lines: [String] {
        trimmingCharacters(in: .newlines).components(separatedBy: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    }
}
