import Foundation
import Testing

@testable import Trunnion

@Suite("Features") struct FeatureTests {
    private func makeServer() throws -> Server {
        let server = try Server("features", version: "1.2.3", title: "Features", instructions: "Use it well.")
        try server.tool("add", "Adds two numbers", annotations: ToolAnnotations(readOnlyHint: true)) {
            (input: AddInput, _: Context) in AddOutput(sum: input.a + input.b)
        }
        try server.tool("echo", "Says it again") { (input: TextInput) in input.text }
        try server.tool("count", "Counts to three") { (context: Context) in
            for step in 1...3 { try context.progress(Double(step), total: 3, message: "step \(step)") }
            return "counted"
        }
        try server.tool("who", "Tells who asks") { (context: Context) in try context.request }
        try server.tool("many", "Answers with all sorts") { (_: Context) in
            [
                Content.text("one"), .image(Data([1, 2, 3]), mimeType: "image/png"),
                .resource(.text("two", uri: "test://two", mimeType: "text/plain")),
                .link("test://three", name: "three"),
            ]
        }
        try server.tool("refuse", "Fails") { (input: TextInput) -> String in throw ToolError(input.text) }
        try server.tool("list", "Answers with an array") { (_: Context) in [1, 2, 3] }
        try server.resource("test://text", name: "text", mimeType: "text/plain") { _ in "plain" }
        try server.resource("test://bytes", name: "bytes", mimeType: "image/png") { _ in Data([0, 255]) }
        try server.resource("test://json", name: "json") { _ in AddOutput(sum: 1) }
        try server.resource(template: "test://item/{id}", name: "item") { request, _ in
            "item \(request["id"]) at \(request.uri)"
        }
        struct Greeting: Codable, Described {
            var name: String
            var tone: String?
            static let descriptions = ["name": "Whom to greet"]
        }
        try server.prompt("greet", "Greets") { (input: Greeting, _) in
            "Greet \(input.name) in a \(input.tone ?? "friendly") tone."
        }
        try server.prompt("talk", "A dialogue") { (_: Context) in
            [PromptMessage.user("Hello"), .assistant("Good day")]
        }
        try server.completion(prompt: "greet") { request, _ in
            ["Ada", "Alan", "Grace"].filter { $0.hasPrefix(request.argument.value) }
        }
        try server.completion(template: "test://item/{id}") { request, _ in
            ["\(request.argument.name)-1", "\(request.argument.name)-2"]
        }
        return server
    }

    @Test(arguments: Way.allCases) func tools(_ way: Way) async throws {
        try await withClient(to: makeServer(), over: way) { (client: Client) async throws -> Void in
            let tools = try await client.listTools()
            #expect(tools.map(\.name) == ["add", "echo", "count", "who", "many", "refuse", "list"])
            #expect(tools[0].description == "Adds two numbers")
            #expect(tools[0].annotations?.readOnlyHint == true)
            #expect(tools[0].inputSchema["required"] == ["a", "b"])
            #expect(tools[0].outputSchema?["properties"]?["sum"] == ["type": "number"])
            #expect(tools[1].outputSchema == nil)

            let sum: AddOutput = try await client.callTool("add", AddInput(a: 2, b: 3)).decode()
            #expect(sum == AddOutput(sum: 5))
            let text = "héllo ✓ 😀\n\"q\""
            #expect(try await client.callTool("echo", ["text": .string(text)]).text == text)

            let many = try await client.callTool("many")
            #expect(many.content.map(\.type) == ["text", "image", "resource", "resource_link"])
            #expect(many.content[1].data == Data([1, 2, 3]))
            #expect(many.content[2].resource?.text == "two")
            #expect(try await client.callTool("list").text == "[1,2,3]")
        }
    }

    @Test(arguments: Way.allCases) func progressArrivesBeforeTheAnswer(_ way: Way) async throws {
        try await withClient(to: makeServer(), over: way) { (client: Client) async throws -> Void in
            let heard = Collected<ProgressUpdate>()
            let answer = try await client.callTool("count") { await heard.add($0) }
            #expect(answer.text == "counted")
            #expect(
                await heard.values == (1...3).map { ProgressUpdate(progress: Double($0), total: 3, message: "step \($0)") })
        }
    }

    @Test func aHandlerLearnsWhoAsks() async throws {
        let options = ConnectOptions(clientInfo: ["name": "curious", "version": "9"])
        try await withClient(to: makeServer(), over: .http, options: options) { (client: Client) async throws -> Void in
            let request: RequestInfo = try await client.callTool("who").decode()
            #expect(request.transport == "http")
            #expect(request.clientInfo?["name"] == "curious")
            #expect(!request.revision.isEmpty)
        }
    }

    @Test(arguments: Way.allCases) func failures(_ way: Way) async throws {
        try await withClient(to: makeServer(), over: way) { (client: Client) async throws -> Void in
            let refusal = try await client.callTool("refuse", ["text": "no"])
            #expect(refusal.isError)
            #expect(refusal.text == "no")
            #expect(throws: ToolError("no")) { try refusal.decode(as: JSONValue.self) }

            let unknown = await failure { try await client.callTool("nope") }
            #expect(unknown?.kind == .invalidParams)
            #expect(unknown?.code == -32602)
            #expect(try await client.callTool("add", ["a": "x"]).isError)
            await #expect(throws: McpError.self) { try await client.readResource("test://nowhere") }
            await #expect(throws: McpError.self) { try await client.getPrompt("nope") }
            #expect(try await client.callTool("echo", ["text": "still here"]).text == "still here")
        }
    }

    @Test(arguments: Way.allCases) func resources(_ way: Way) async throws {
        try await withClient(to: makeServer(), over: way) { (client: Client) async throws -> Void in
            #expect(try await client.listResources().map(\.uri) == ["test://text", "test://bytes", "test://json"])
            #expect(try await client.listResourceTemplates().map(\.uriTemplate) == ["test://item/{id}"])
            #expect(try await client.readResource("test://text").text == "plain")
            #expect(try await client.readResource("test://text").contents[0].mimeType == "text/plain")
            #expect(try await client.readResource("test://bytes").contents[0].data == Data([0, 255]))
            #expect(try await client.readResource("test://json").text == #"{"sum":1}"#)
            #expect(try await client.readResource("test://item/7").text == "item 7 at test://item/7")
        }
    }

    @Test(arguments: Way.allCases) func promptsAndCompletions(_ way: Way) async throws {
        try await withClient(to: makeServer(), over: way) { (client: Client) async throws -> Void in
            let prompts = try await client.listPrompts()
            #expect(prompts.map(\.name) == ["greet", "talk"])
            #expect(prompts[0].arguments.map(\.name) == ["name", "tone"])
            #expect(prompts[0].arguments.map(\.required) == [true, false])
            #expect(prompts[0].arguments[0].description == "Whom to greet")
            #expect(try await client.getPrompt("greet", ["name": "Ada"]).text == "Greet Ada in a friendly tone.")
            #expect(try await client.getPrompt("talk").messages.map(\.role) == ["user", "assistant"])
            #expect(
                try await client.complete(prompt: "greet", argument: "name", value: "A").values == ["Ada", "Alan"])
            #expect(
                try await client.complete(template: "test://item/{id}", argument: "id", value: "").values
                    == ["id-1", "id-2"])
            try await client.ping()
        }
    }

    @Test func listsArriveInPages() async throws {
        let server = try Server("pages", version: "1", options: ServerOptions(pageSize: 2))
        for number in 1...5 { try server.tool("t\(number)", "Number \(number)") { (_: Context) in "\(number)" } }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            var names: [String] = []
            for try await tool in client.tools { names.append(tool.name) }
            #expect(names == ["t1", "t2", "t3", "t4", "t5"])
            let first = try await client.tools.page()
            #expect(first.elements.map(\.name) == ["t1", "t2"])
            let second = try await client.tools.page(after: try #require(first.next))
            #expect(second.elements.map(\.name) == ["t3", "t4"])
        }
    }

    @Test func aChildProcessIsAServerToo() async throws {
        let client = try await Client(.command(everythingServer()))
        #expect(try await client.listTools().map(\.name).prefix(2) == ["test_simple_text", "add"])
        let sum: AddOutput = try await client.callTool("add", ["a": 2, "b": 3]).decode()
        #expect(sum.sum == 5)
        let heard = Collected<Double>()
        _ = try await client.callTool("slow", ["steps": 3, "delayMs": 1]) { await heard.add($0.progress) }
        #expect(await heard.values == [1, 2, 3])
        await client.close()
        try expectNothingAlive(client.runtime)
    }

    @Test func whatIsRegisteredTwiceOrWronglyIsRefused() async throws {
        let server = try makeServer()
        let twice = await failure {
            try server.tool("add", "Again") { (_: Context) in "" }
        }
        #expect(twice?.kind == .usage)
        let notAnObject = await failure {
            try server.tool("number", "Takes a number") { (input: Int) in input }
        }
        #expect(notAnObject?.kind == .usage)
        let badOption = await failure {
            try Server("x", version: "1", extra: ["noSuchOption": 1])
        }
        #expect(badOption?.kind == .usage)
        await server.close()
    }

    @Test func whatIsRemovedIsGone() async throws {
        let server = try makeServer()
        try await withClient(to: server) { (client: Client) async throws -> Void in
            #expect(try server.removeTool("echo"))
            #expect(try !server.removeTool("echo"))
            #expect(try await !client.listTools().map(\.name).contains("echo"))
            try server.tool("echo", "Says it louder") { (input: TextInput) in input.text.uppercased() }
            #expect(try await client.callTool("echo", ["text": "hey"]).text == "HEY")
        }
    }
}
