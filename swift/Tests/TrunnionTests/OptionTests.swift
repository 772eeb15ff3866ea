import Foundation
import Testing

@testable import Trunnion

@Suite("Options of items and requests") struct OptionTests {
    @Test func whatIsDeclaredIsAddedToWhatTheHandlersStandFor() async throws {
        let server = try Server("asking", version: "1")
        try server.tool("capabilities", "Tells what the client can do") { (context: Context) in
            try context.request.clientCapabilities ?? .null
        }
        let handlers = ClientHandlers(
            onElicit: { _ in .decline }, onSample: { _ in CreateMessageResult(text: "yes", model: "m") })
        let options = ConnectOptions(capabilities: ["sampling": ["tools": [:]], "experimental": ["x": [:]]])
        let client = try await Client(.server(server), options: options, handlers: handlers)
        let declared: JSONValue = try await client.callTool("capabilities").decode()
        #expect(declared["elicitation"] == ["form": [:]])
        #expect(declared["sampling"] == ["tools": [:]])
        #expect(declared["experimental"] == ["x": [:]])
        await client.close()
        await server.close()
    }

    @Test func everyKindOfHandlerHasATimeLimit() async throws {
        let server = try Server("slow", version: "1")
        let cancelled = Collected<String>()
        @Sendable func forever(_ what: String) async throws -> String {
            do {
                try await Task.sleep(for: .seconds(3600))
            } catch {
                await cancelled.add(what)
                throw error
            }
            return "late"
        }
        let limit = Duration.milliseconds(20)
        try server.tool("tool", timeout: limit) { (_: Context) in try await forever("tool") }
        try server.resource("test://a", name: "a", timeout: limit) { _ in try await forever("resource") }
        try server.resource(template: "test://{a}/b", name: "b", timeout: limit) { _, _ in try await forever("template") }
        try server.prompt("prompt", timeout: limit) { (_: Context) in try await forever("prompt") }
        try server.completion(prompt: "prompt", timeout: limit) { _, _ in [try await forever("completion")] }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let tool = try? await client.callTool("tool")
            #expect(tool == nil || tool?.isError == true)
            await #expect(throws: McpError.self) { try await client.readResource("test://a") }
            await #expect(throws: McpError.self) { try await client.readResource("test://1/b") }
            await #expect(throws: McpError.self) { try await client.getPrompt("prompt") }
            await #expect(throws: McpError.self) {
                try await client.complete(prompt: "prompt", argument: "x", value: "")
            }
        }
        #expect(await cancelled.values.sorted() == ["completion", "prompt", "resource", "template", "tool"])
    }

    @Test func completionsTellHowManyThereAre() async throws {
        let server = try Server("cities", version: "1")
        try server.prompt("visit", arguments: [PromptArgument("city")]) { (_: JSONValue, _) in "Visit it." }
        try server.resource(template: "city://{name}", name: "city") { request, _ in request["name"] }
        try server.completion(prompt: "visit") { request, _ in
            CompletionValues(values: [request.argument.value + "aris"], total: 40, hasMore: true)
        }
        try server.completion(template: "city://{name}") { _, _ in CompletionValues(values: ["Rome"], total: 1) }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let found = try await client.complete(prompt: "visit", argument: "city", value: "P")
            #expect(found.values == ["Paris"] && found.total == 40 && found.hasMore)
            let other = try await client.complete(template: "city://{name}", argument: "name", value: "")
            #expect(other.values == ["Rome"] && other.total == 1 && !other.hasMore)

            #expect(try server.removeCompletion(prompt: "visit"))
            #expect(try !server.removeCompletion(prompt: "visit"))
            await #expect(throws: McpError.self) {
                try await client.complete(prompt: "visit", argument: "city", value: "P")
            }
            #expect(try server.removeCompletion(template: "city://{name}"))
        }
    }

    @Test func aCursorThatComesAgainEndsTheListWithAnError() async throws {
        // A server of the legacy era that gives the same cursor with every page.
        let script = #"""
            while IFS= read -r line; do
              id=${line#*'"id":'}
              id=${id%%[,\}]*}
              case $line in
              *'"initialize"'*)
                result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}' ;;
              *'"tools/list"'*)
                result='{"tools":[{"name":"t","inputSchema":{"type":"object"}}],"nextCursor":"again"}' ;;
              *) continue ;;
              esac
              printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
            done
            """#
        let client = try await Client(.command(["sh", "-c", script]), options: ConnectOptions(era: "legacy"))
        await #expect(throws: McpError.self) { try await client.listTools() }
        var seen: [String] = []
        do {
            for try await tool in client.tools { seen.append(tool.name) }
            Issue.record("the list ended without an error")
        } catch let error as McpError {
            #expect(error.kind == .protocol)
        }
        #expect(seen == ["t", "t"])
        await client.close()
    }

    @Test func listsTakeOptions() async throws {
        let server = try Server("kept", version: "1", options: ServerOptions(ttlMs: 600_000))
        try server.tool("old") { (_: Context) in "old" }
        try server.prompt("ask") { (_: Context) in "ask" }
        try server.resource("test://a", name: "a") { _ in "a" }
        try server.resource(template: "test://{b}/b", name: "b") { request, _ in request["b"] }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let fresh = RequestOptions(cache: false)
            #expect(try await client.listTools().map(\.name) == ["old"])
            try server.tool("new") { (_: Context) in "new" }
            #expect(try await client.listTools().map(\.name) == ["old"])
            #expect(try await client.listTools(options: fresh).map(\.name) == ["old", "new"])
            try server.removeTool("old")
            var names: [String] = []
            for try await tool in client.tools(options: fresh) { names.append(tool.name) }
            #expect(names == ["new"])
            #expect(try await client.tools.page(options: fresh).elements.count == 1)
            #expect(try await client.listPrompts(options: fresh).map(\.name) == ["ask"])
            #expect(try await client.listResources(options: fresh).map(\.name) == ["a"])
            #expect(try await client.listResourceTemplates(options: fresh).map(\.name) == ["b"])
        }
    }

    @Test func rootsThatCannotBeReplacedAreAnError() async throws {
        let server = try Server("rootless", version: "1")
        try await withClient(to: server) { (client: Client) async throws -> Void in
            #expect(await failure { try client.setRoots([]) }?.kind == .usage)
        }
        let other = try Server("rooted", version: "1")
        let client = try await Client(.server(other), handlers: ClientHandlers(roots: []))
        try client.setRoots([Root(uri: "file:///srv")])
        await client.close()
        await other.close()
    }

    @Test(arguments: Way.allCases) func listeningTellsWhatWasGranted(_ way: Way) async throws {
        let server = try Server("toolbox", version: "1")
        try server.tool("old") { (_: Context) in "old" }
        try await withClient(to: server, over: way) { (client: Client) async throws -> Void in
            let changes = try await client.listen(tools: true, prompts: true, resources: true)
            #expect(changes.granted.tools)
            #expect(!changes.granted.prompts && !changes.granted.resources && changes.granted.resourceURIs.isEmpty)
            try server.tool("new") { (_: Context) in "new" }
            for try await change in changes {
                #expect(change == .tools)
                break
            }
        }
    }

    @Test func resourcesAndPromptsReportProgress() async throws {
        let server = try Server("steps", version: "1")
        try server.resource("test://a", name: "a") { context in
            try context.progress(1, total: 2)
            return "a"
        }
        try server.prompt("ask") { (context: Context) in
            try context.progress(2, total: 2)
            return "ask"
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let heard = Collected<Double>()
            _ = try await client.readResource("test://a") { await heard.add($0.progress) }
            _ = try await client.getPrompt("ask") { await heard.add($0.progress) }
            #expect(await heard.values == [1, 2])
        }
    }

    @Test func whatHandlersThrowIsToldToTheServersAuthor() async throws {
        struct Secret: Error { let password = "s3cret" }
        struct Told: LocalizedError { let errorDescription: String? = "the disk is full" }
        let (errors, feed) = AsyncStream.makeStream(of: String.self)
        let server = try Server("failing", version: "1", description: "It fails.") { error, origin in
            feed.yield("\(origin.item) \(origin.name) \(type(of: error))")
        }
        try server.tool("secret") { (_: Context) -> String in throw Secret() }
        try server.tool("told") { (_: Context) -> String in throw Told() }
        try server.tool("meant") { (_: Context) -> String in throw ToolError("for the model") }
        try server.resource("test://a", name: "a") { (_: Context) -> String in throw McpError(.internalError, "meant") }
        try server.prompt("ask") { (_: Context) -> String in throw Secret() }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            #expect(client.serverInfo["serverInfo"]?["description"] == "It fails.")
            #expect(try await client.callTool("secret").text == "the tool secret failed")
            #expect(try await client.callTool("told").text == "the disk is full")
            #expect(try await client.callTool("meant").text == "for the model")
            await #expect(throws: McpError.self) { try await client.readResource("test://a") }
            await #expect(throws: McpError.self) { try await client.getPrompt("ask") }
        }
        feed.finish()
        var told: [String] = []
        for await error in errors { told.append(error) }
        #expect(told == ["tool secret Secret", "tool told Told", "prompt ask Secret"])
    }
}
