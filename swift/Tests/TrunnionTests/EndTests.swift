import Foundation
import Testing

@testable import Trunnion

@Suite("How things end") struct EndTests {
    struct Unexpected: Error, CustomStringConvertible { let description = "secret of the house" }

    /// A server with a tool that waits to be cancelled, and reports its begin and its cancellation.
    private func hanging() throws -> (server: Server, begun: Signal, cancelled: Signal) {
        let (begun, cancelled) = (Signal(), Signal())
        let server = try Server("hanging", version: "1")
        try server.tool("hang", "Waits") { (context: Context) in
            begun.fire()
            try? await Task.sleep(for: .seconds(600))
            if context.isCancelled { cancelled.fire() }
            return "late"
        }
        try server.tool("echo", "Says it again") { (input: TextInput) in input.text }
        return (server, begun, cancelled)
    }

    @Test(arguments: Way.allCases) func cancellingATaskCancelsTheHandlersTask(_ way: Way) async throws {
        let (server, begun, cancelled) = try hanging()
        try await withClient(to: server, over: way) { (client: Client) async throws -> Void in
            let call = Task { try await client.callTool("hang") }
            await begun.wait()
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            await cancelled.wait()
            #expect(try await client.callTool("echo", ["text": "on"]).text == "on")
        }
    }

    @Test func aTaskCancelledBeforehandDoesNotCall() async throws {
        let (server, _, _) = try hanging()
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let go = Signal()
            let call = Task {
                await go.wait()
                return try await client.callTool("hang")
            }
            call.cancel()
            go.fire()
            await #expect(throws: CancellationError.self) { try await call.value }
        }
    }

    @Test func closingAClientFailsItsPendingCalls() async throws {
        let (server, begun, cancelled) = try hanging()
        let client = try await Client(.server(server))
        let call = Task { try await client.callTool("hang") }
        await begun.wait()
        await client.close()
        let error = await failure { try await call.value }
        #expect(error?.kind == .closed)
        await cancelled.wait()
        let late = await failure { try await client.callTool("echo", ["text": ""]) }
        #expect(late != nil)
        await server.close()
        try expectNothingAlive(server.runtime)
    }

    @Test func closingARuntimeEndsEverything() async throws {
        let (server, begun, cancelled) = try hanging()
        let listener = try await server.serveHTTP()
        let client = try await Client(.server(server))
        let notifications = client.notifications
        let call = Task { try await client.callTool("hang") }
        await begun.wait()
        await server.runtime.close(deadline: .zero)
        await #expect(throws: McpError.self) { try await call.value }
        await cancelled.wait()
        try await listener.wait()
        for await _ in notifications {}
        try expectNothingAlive(server.runtime)
        let error = await failure { try await Client(.server(server)) }
        #expect(error?.kind == .closed)
    }

    @Test func closingTwiceIsFine() async throws {
        let (server, _, _) = try hanging()
        let listener = try await server.serveHTTP()
        let client = try await Client(.url(listener.url))
        try await client.ping()
        await client.close()
        await client.close()
        try await listener.close()
        try await listener.close()
        await server.close()
        await server.close()
        await server.runtime.close()
        try expectNothingAlive(server.runtime)
        try expectNothingAlive(client.runtime)
    }

    @Test func anIdleClientMayBeForgotten() async throws {
        let (server, _, _) = try hanging()
        let runtime = server.runtime
        do {
            let client = try await Client(.server(server))
            try await client.ping()
        }
        await runtime.close()
        try expectNothingAlive(runtime)
    }

    @Test func aHandlerThatThrowsHarmsOnlyItsOwnCall() async throws {
        let server = try Server("throwing", version: "1")
        try server.tool("crash", "Throws") { (_: Context) -> String in throw Unexpected() }
        try server.tool("code", "Throws a protocol error") { (_: Context) -> String in
            throw McpError(.remote, "mine", code: -31999, data: ["why": "because"])
        }
        try server.tool("nan", "Answers with what JSON has not") { (_: Context) in AddOutput(sum: .nan) }
        try server.resource("test://bad", name: "bad") { _ -> String in throw Unexpected() }
        try server.prompt("bad", "Throws") { (_: Context) -> String in throw Unexpected() }
        try server.tool("echo", "Says it again") { (input: TextInput) in input.text }
        try await withClient(to: server, over: .http) { (client: Client) async throws -> Void in
            let crash = try await client.callTool("crash")
            #expect(crash.isError)
            #expect(!crash.text.contains("secret"))
            #expect(try await client.callTool("nan").isError)
            let coded = await failure { try await client.callTool("code") }
            #expect(coded?.code == -31999)
            #expect(coded?.kind == .remote)
            #expect(coded?.message == "mine")
            #expect(coded?.data == ["why": "because"])
            let bad = await failure { try await client.readResource("test://bad") }
            #expect(bad?.message.contains("secret") == false)
            await #expect(throws: McpError.self) { try await client.getPrompt("bad") }
            #expect(try await client.callTool("echo", ["text": "on"]).text == "on")
        }
    }

    @Test func manyCallsAtOnce() async throws {
        let (server, _, _) = try hanging()
        try await withClient(to: server, over: .http) { (client: Client) async throws -> Void in
            let texts = try await withThrowingTaskGroup(of: (Int, String).self) { group in
                for number in 0..<200 {
                    group.addTask {
                        (number, try await client.callTool("echo", ["text": .string("\(number)")]).text)
                    }
                }
                return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
            }
            #expect(texts == Dictionary(uniqueKeysWithValues: (0..<200).map { ($0, "\($0)") }))
        }
    }

    @Test func aServerThatIsNotThereIsATransportFailure() async throws {
        let listener = try await Server("gone", version: "1").serveHTTP()
        let url = listener.url
        try await listener.close()
        let error = await failure { try await Client(.url(url)) }
        #expect(error?.kind == .transport)
        await #expect(throws: McpError.self) { try await Client(.command(["no-such-program-anywhere"])) }
    }

    @Test func closingAClientEndsItsProgram() async throws {
        let client = try await Client(.command(everythingServer()))
        let begun = Signal()
        let call = Task {
            try await client.callTool("slow", ["steps": 100_000, "delayMs": 1]) { _ in begun.fire() }
        }
        await begun.wait()
        await client.close()
        let error = await failure { try await call.value }
        #expect(error?.kind == .closed)
        try expectNothingAlive(client.runtime)
    }

    @Test func aServerThatDiesFailsAllItsCallsAtOnce() async throws {
        // The shell prints its process id and then becomes the server.
        let told = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: told) }
        let script = #"echo $$ >"$0" && exec "$@""#
        let client = try await Client(.command(["/bin/sh", "-c", script, told.path] + everythingServer()))
        let begun = [Signal(), Signal(), Signal()]
        let calls = begun.map { signal in
            Task {
                try await client.callTool("slow", ["steps": 100_000, "delayMs": 1]) { _ in signal.fire() }
            }
        }
        for signal in begun { await signal.wait() }
        let text = try String(contentsOf: told, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        kill(try #require(Int32(text)), SIGKILL)
        for call in calls {
            let error = await failure { try await call.value }
            #expect(error?.kind == .closed || error?.kind == .transport)
        }
        let late = await failure { try await client.callTool("add", ["a": 1, "b": 2]) }
        #expect(late?.kind == .closed)
        await client.close()
        try expectNothingAlive(client.runtime)
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["idle", "pending"])
    func aProgramMayEndWithItsClientOpen(_ state: String) async throws {
        let program = try Program(URL(fileURLWithPath: try example("exit_program")), [state] + (try everythingServer()))
        #expect(program.firstLine() == "over")
        program.process.waitUntilExit()
        #expect(program.process.terminationReason == .exit && program.process.terminationStatus == 0)
    }

    @Test func aHandlerMayCloseItsOwnRuntime() async throws {
        let server = try Server("closing", version: "1")
        let runtime = server.runtime
        try server.tool("close", "Closes the engine it runs on") { (_: Context) in
            await runtime.close(deadline: .zero)
            return "late"
        }
        let client = try await Client(.server(server))
        await #expect(throws: McpError.self) { try await client.callTool("close") }
        await client.close()
        await server.close()
        try expectNothingAlive(runtime)
    }

    @Test func aToolHasATimeLimit() async throws {
        let server = try Server("limited", version: "1")
        let cancelled = Signal()
        try server.tool("hang", "Waits", options: ToolOptions(timeoutMs: 1)) { (context: Context) in
            try? await Task.sleep(for: .seconds(600))
            if context.isCancelled { cancelled.fire() }
            return "late"
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            #expect(try await client.callTool("hang").isError)
            await cancelled.wait()
        }
    }

    @Test func aPortInUseIsRefused() async throws {
        let first = try Server("first", version: "1")
        let listener = try await first.serveHTTP()
        let second = try Server("second", version: "1")
        await #expect(throws: McpError.self) { try await second.serveHTTP(port: listener.port) }
        await first.close()
        await second.close()
        try expectNothingAlive(first.runtime)
        try expectNothingAlive(second.runtime)
    }

    @Test func closingReturnsOnlyWhenNothingIsToldAnyMore() async throws {
        let (runtime, entered, release, told) = (try Runtime(), Signal(), DispatchSemaphore(value: 0), Locked(false))
        let server = try Server("end", version: "1", runtime: runtime)
        let target = #"{"server":\#(server.handle)}"#
        _ = try await runtime.core.run(client: { kind, _ in
            guard kind == .closed else { return }
            entered.fire()
            release.wait()
            told.withLock { $0 = true }
        }) { try $0.connect(target: target, options: "{}") }
        let first = Task { await runtime.close(deadline: .zero) }
        await entered.wait()
        // The engine is closed, and its thread is telling the client.
        let second = Task {
            await runtime.close(deadline: .zero)
            return told.withLock { $0 }
        }
        for _ in 1...100 { await Task.yield() }
        release.signal()
        #expect(await second.value)
        await first.value
    }
}
