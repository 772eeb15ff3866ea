import Foundation
import Testing

@testable import Trunnion

/// Requests of the modern era, as a web server of the host's own would hand them on.
@Suite("HTTP that the host carries") struct CarriedTests {
    private func request(
        _ tool: String, host: String = "localhost", more: [String: JSONValue] = [:], meta: [String: JSONValue] = [:]
    ) throws -> HTTPRequest {
        var meta = meta
        meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28"
        meta["io.modelcontextprotocol/clientInfo"] = ["name": "raw", "version": "1"]
        meta["io.modelcontextprotocol/clientCapabilities"] = ["elicitation": ["form": [:]]]
        var params = more
        params["name"] = .string(tool)
        params["_meta"] = .object(meta)
        let body: JSONValue = ["jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": .object(params)]
        let headers = [
            HTTPHeader("Host", host), HTTPHeader("Content-Type", "application/json"),
            HTTPHeader("Accept", "application/json, text/event-stream"),
            HTTPHeader("MCP-Protocol-Version", "2026-07-28"), HTTPHeader("Mcp-Method", "tools/call"),
            HTTPHeader("Mcp-Name", tool),
        ]
        return HTTPRequest(method: "POST", target: "/mcp", headers: headers, body: Data(body.description.utf8))
    }

    /// The message that a response consists of.
    private func message(_ response: HTTPResponse) async throws -> JSONValue {
        try JSON.decode(JSONValue.self, from: String(decoding: await response.body.all(), as: UTF8.self))
    }

    struct Name: Codable { var name: String }

    /// A server whose tool asks for a name, after something that must be done once.
    private func asking(options: ServerOptions = ServerOptions(), done: Collected<Int>) throws -> Server {
        let server = try Server("asking", version: "1", options: options)
        try server.tool("greet", "Greets") { (context: Context) in
            let number = try await context.once("number") {
                await done.add(1)
                return await done.values.count
            }
            let answer = try await context.elicit("Who are you?", as: Name.self, key: "who")
            return "\(number): \(answer.fields?.name ?? answer.action.rawValue)"
        }
        return server
    }

    private func answered(_ asked: JSONValue) throws -> [String: JSONValue] {
        let result = try #require(asked["result"])
        #expect(result["resultType"] == "input_required")
        #expect(result["inputRequests"]?["who"]?["params"]?["requestedSchema"]?["required"] == ["name"])
        return [
            "requestState": try #require(result["requestState"]),
            "inputResponses": ["who": ["action": "accept", "content": ["name": "Ada"]]],
        ]
    }

    @Test func aRequestIsAnswered() async throws {
        let server = try Server("carried", version: "1")
        try server.tool("hello", "Greets") { (_: Context) in "hello" }
        let response = try await server.handle(request("hello"))
        #expect(response.status == 200)
        #expect(response.headers.contains { $0.name == "content-type" && $0.value == "application/json" })
        #expect(try await message(response)["result"]?["content"]?[0]?["text"] == "hello")
        var elsewhere = try request("hello")
        elsewhere.target = "/elsewhere"
        #expect(try await server.handle(elsewhere).status == 404)
        let foreign = try await server.handle(request("hello", host: "evil.example"))
        #expect(foreign.status == 403)
        await server.close()
        try expectNothingAlive(server.runtime)
        let late = await failure { try await server.handle(request("hello")) }
        #expect(late?.kind == .closed)
    }

    @Test func anEndpointHasOptionsOfItsOwn() async throws {
        let server = try Server("carried", version: "1")
        try server.tool("hello", "Greets") { (_: Context) in "hello" }
        let endpoint = try server.endpoint(options: ServeHTTPOptions(publicUrl: "https://tools.example/mcp"))
        #expect(try await endpoint.handle(request("hello", host: "tools.example")).status == 200)
        endpoint.close()
        endpoint.close()
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func aResponseComesPieceByPieceAndLeavingItCancelsTheHandler() async throws {
        let (cancelled, server) = (Signal(), try Server("carried", version: "1"))
        try server.tool("work", "Reports, then waits") { (context: Context) in
            try context.progress(1)
            do { try await Task.sleep(for: .seconds(600)) } catch { cancelled.fire() }
            return "late"
        }
        do {
            let response = try await server.handle(request("work", meta: ["progressToken": "p"]))
            #expect(response.headers.contains { $0.name == "content-type" && $0.value.hasPrefix("text/event-stream") })
            for try await piece in response.body where String(decoding: piece, as: UTF8.self).contains("progressToken") {
                break
            }
        }
        await cancelled.wait()
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func aBodyThatIsNotReadIsBoundedInBytes() async throws {
        let (cancelled, server) = (Signal(), try Server("carried", version: "1"))
        try server.tool("pour", "Reports more than fits") { (context: Context) in
            let text = String(repeating: "x", count: 1 << 20)
            var step = 0.0
            while !Task.isCancelled {
                step += 1
                try context.progress(step, message: text)
                await Task.yield()
            }
            cancelled.fire()
            return "late"
        }
        let response = try await server.handle(request("pour", meta: ["progressToken": "p"]))
        await cancelled.wait()
        var bytes = 0
        let error = await failure { for try await piece in response.body { bytes += piece.count } }
        #expect(error?.kind == .limit)
        #expect(error?.message.contains("16777216 bytes") == true)
        #expect(bytes > 16 << 20 && bytes < 18 << 20)
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func manySmallPiecesAreNoReasonToEnd() async throws {
        let (done, server) = (Signal(), try Server("carried", version: "1"))
        try server.tool("drip", "Reports often") { (context: Context) in
            for step in 1...3000 { try context.progress(Double(step)) }
            done.fire()
            return "all of it"
        }
        let response = try await server.handle(request("drip", meta: ["progressToken": "p"]))
        await done.wait()
        let text = String(decoding: try await response.body.all(), as: UTF8.self)
        #expect(text.contains("all of it"))
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func cancellingTheTaskCancelsTheHandler() async throws {
        let (begun, cancelled, server) = (Signal(), Signal(), try Server("carried", version: "1"))
        try server.tool("hang", "Waits") { (_: Context) in
            begun.fire()
            do { try await Task.sleep(for: .seconds(600)) } catch { cancelled.fire() }
            return "late"
        }
        let request = try request("hang")
        let call = Task { try await server.handle(request) }
        await begun.wait()
        call.cancel()
        await #expect(throws: CancellationError.self) { try await call.value }
        await cancelled.wait()
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func aRunThatAskedIsRunAgainWithTheAnswer() async throws {
        let done = Collected<Int>()
        let server = try asking(done: done)
        let asked = try await message(server.handle(request("greet")))
        let result = try await message(server.handle(request("greet", more: try answered(asked))))
        #expect(result["result"]?["content"]?[0]?["text"] == "1: Ada")
        #expect(await done.values.count == 1)
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func processesThatShareTheKeysGoOnForOneAnother() async throws {
        let keys = (1...3).map { Data(repeating: UInt8($0), count: 32).base64EncodedString() }
        let done = Collected<Int>()
        let first = try asking(options: ServerOptions(stateKeys: [keys[0]], stateTtlMs: 60_000), done: done)
        // The key is about to be replaced: the new one seals, the old one still opens.
        let second = try asking(options: ServerOptions(stateKeys: [keys[1], keys[0]]), done: done)
        let stranger = try asking(options: ServerOptions(stateKeys: [keys[2]]), done: done)
        let answers = try answered(try await message(first.handle(request("greet"))))
        let result = try await message(second.handle(request("greet", more: answers)))
        #expect(result["result"]?["content"]?[0]?["text"] == "1: Ada")
        #expect(try await message(stranger.handle(request("greet", more: answers)))["error"]?["code"] == -32602)
        #expect(await done.values.count == 1)
        for server in [first, second, stranger] {
            await server.close()
            try expectNothingAlive(server.runtime)
        }
    }

    @Test func questionsWithoutAKeyAreNamedByWhatTheyAsk() async throws {
        let server = try Server("carried", version: "1")
        try server.tool("twice", "Asks the same twice, then something else") { (context: Context) in
            let (again, other) = ("Once more?", Form(properties: ["name": FormField(TextField())]))
            async let first = context.elicit(again, form: other)
            async let second = context.elicit(again, form: other)
            async let third = context.elicit("And you?", form: other)
            return try await [first, second, third].map(\.action.rawValue).joined(separator: " ")
        }
        var (more, keys): ([String: JSONValue], Set<String>) = ([:], [])
        var result: JSONValue = [:]
        // They go out together, or in up to three rounds: tasks begin when they like.
        for _ in 1...4 {
            result = try #require(try await message(server.handle(request("twice", more: more)))["result"])
            guard result["resultType"] == "input_required" else { break }
            let asked = try #require(result["inputRequests"]?.objectValue).keys
            #expect(keys.isDisjoint(with: asked))
            keys.formUnion(asked)
            let answers = asked.map { ($0, ["action": "decline"] as JSONValue) }
            more = [
                "requestState": try #require(result["requestState"]),
                "inputResponses": .object(Dictionary(uniqueKeysWithValues: answers)),
            ]
        }
        #expect(result["content"]?[0]?["text"] == "decline decline decline")
        #expect(keys.count == 3)
        await server.close()
        try expectNothingAlive(server.runtime)
    }
}
