import Foundation
import Testing
import Trunnion

private struct Sure: Codable { var sure: Bool }

private let quick = ServerOptions(taskPollMs: 5)

/// A server that prints its URL on its first line of output.
private final class ServerProgram {
    let url: String
    private let program: Program
    var process: Process { program.process }

    init(_ name: String, _ arguments: [String]) throws {
        program = try Program(URL(fileURLWithPath: try example(name)), arguments)
        url = program.firstLine()
    }

    func kill() {
        #if os(Windows)
            process.terminate()
        #else
            Foundation.kill(process.processIdentifier, SIGKILL)
        #endif
        process.waitUntilExit()
    }

    deinit { if process.isRunning { kill() } }
}

@Suite("Tasks") struct TaskTests {
    private func states(_ task: TaskHandle) async throws -> [TaskState] {
        try await task.updates().reduce(into: []) { $0.append($1) }
    }

    @Test(arguments: Way.allCases) func aCallFollowsItsTask(_ way: Way) async throws {
        let server = try Server("tasks", version: "1", options: quick)
        let ids = Collected<String>()
        let (told, seen) = (Signal(), Signal())
        try server.tool("index", "Indexes", task: .required) { (input: TextInput, context: Context) async throws -> String in
            await ids.add(try context.task?.id ?? "none")
            try context.progress(1, total: 2, message: "half of \(input.text)")
            told.fire()
            await seen.wait()
            return "indexed \(input.text)"
        }
        try await withClient(to: server, over: way) { (client: Client) async throws -> Void in
            let result = try await client.callTool("index", TextInput(text: "a")) { update in
                if update.message == "half of a (1 of 2)" { seen.fire() }
            }
            #expect(result.text == "indexed a")
        }
        #expect(await ids.values.count == 1)
        #expect(await ids.values.first != "none")
    }

    @Test(arguments: Way.allCases) func aHandleOfATask(_ way: Way) async throws {
        let server = try Server("tasks", version: "1", options: quick)
        try server.tool("drop", "Drops a table", task: .optional, taskTTL: .seconds(60)) {
            (input: TextInput, context: Context) in
            let answer = try await context.elicit("Drop \(input.text)?", as: Sure.self, key: "sure")
            return answer.fields?.sure == true ? "dropped \(input.text)" : "kept"
        }
        // Declared, so that it is asked; without a handler, it is answered by hand.
        let options = ConnectOptions(capabilities: ["elicitation": ["form": [:]]])
        try await withClient(to: server, over: way, options: options) { (client: Client) async throws -> Void in
            let task = try await client.startTask("drop", ["text": "users"])
            let id = try #require(task.id)
            #expect(task.created?.taskId == id && task.created?.ttlMs == 60_000)
            var (asked, last) = (0, TaskState?.none)
            for try await state in task.updates() {
                if let request = state.inputRequests["sure"], asked == 0 {
                    asked += 1
                    #expect(state.status == .inputRequired)
                    #expect(request["params"]?["message"] == "Drop users?")
                    try await task.answer("sure", ElicitResult.accept(["sure": true]))
                }
                last = state
            }
            #expect(asked == 1 && last?.status == .completed)
            #expect(try await task.result().text == "dropped users")
            // By its id, as from another process.
            let again = client.task(id)
            #expect(again.created == nil)
            #expect(try await again.status().status == .completed)
            #expect(try await states(again).map(\.status) == [.completed])
            #expect(try await again.result().text == "dropped users")
            #expect(await failure { try await client.task("unknown").status() }?.kind == .invalidParams)
            #expect(await failure { try await client.listTasks() }?.kind == .methodNotFound)
        }
    }

    @Test func whatATaskAsksGoesToTheHandlers() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        try server.tool("drop", "Drops a table", task: .required) { (context: Context) in
            try await context.elicit("Drop it?", as: Sure.self).fields?.sure == true ? "dropped" : "kept"
        }
        let handlers = ClientHandlers(onElicit: { _ in .accept(["sure": true]) })
        let client = try await Client(.server(server), handlers: handlers)
        #expect(try await client.callTool("drop").text == "dropped")
        #expect(try await client.startTask("drop").result().text == "dropped")
        await client.close()
        await server.close()
    }

    @Test func cancellingReachesTheHandler() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        let begun = Collected<Signal>()
        let (first, second) = (Signal(), Signal())
        let ended = [Signal(), Signal()]
        try server.tool("hang", "Waits", task: .optional) { (context: Context) in
            await begun.add(first)
            let mine = await begun.values.count
            (mine == 1 ? first : second).fire()
            do {
                try await Task.sleep(for: .seconds(3600))
            } catch {
                ended[mine - 1].fire()
                throw error
            }
            return "late"
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let task = try await client.startTask("hang")
            await first.wait()
            try await task.cancel()
            await ended[0].wait()
            #expect(try await states(task).last?.status == .cancelled)
            #expect(await failure { try await task.result() }?.kind == .cancelled)
            // A cancelled call cancels its task.
            let call = Task { try await client.callTool("hang") }
            await second.wait()
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            await ended[1].wait()
        }
    }

    @Test func notWaitingCancelsNothing() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        let (begun, go) = (Signal(), Signal())
        try server.tool("wait", "Waits", task: .optional) { (_: Context) in
            begun.fire()
            await go.wait()
            return "done"
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let task = try await client.startTask("wait")
            await begun.wait()
            let waiting = Task { try await task.result() }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            for try await _ in task.updates() { break }
            go.fire()
            #expect(try await task.result().text == "done")
        }
    }

    @Test func whatIsAnsweredAtOnceIsATaskToo() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        try server.tool("echo", "Says it again") { (input: TextInput, context: Context) async throws -> String in
            #expect(try context.task == nil)
            // Without a task it is stored for this run.
            #expect(try context.lastCheckpoint(as: [Int].self) == nil)
            try await context.checkpoint([1, 2])
            #expect(try context.lastCheckpoint() == [1, 2])
            #expect(throws: McpError.self) { try context.lastCheckpoint(as: String.self) }
            return input.text
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let task = try await client.startTask("echo", TextInput(text: "a"))
            #expect(task.id == nil && task.created == nil)
            #expect(try await task.status().status == .completed)
            #expect(try await states(task).map(\.status) == [.completed])
            try await task.answer("nothing", ElicitResult.decline)
            try await task.cancel()
            #expect(try await task.result().text == "a")
            let error = await failure { try await client.callTool("echo", options: RequestOptions(task: true)) }
            #expect(error?.kind == .usage)
        }
    }

    @Test func failuresAreThoseOfTheCall() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        try server.tool("fail", "Fails", task: .required) { (_: Context) -> String in throw ToolError("no luck") }
        try server.tool("break", "Breaks", task: .required) { (_: Context) -> String in
            throw McpError(.invalidParams, "no such page", data: ["page": 3])
        }
        try await withClient(to: server) { (client: Client) async throws -> Void in
            let failed = try await client.startTask("fail").result()
            #expect(failed.isError && failed.text == "no luck")
            let broken = try await client.startTask("break")
            #expect(try await states(broken).last?.status == .failed)
            let error = await failure { try await broken.result() }
            #expect(error?.kind == .invalidParams && error?.message == "no such page" && error?.data?["page"] == 3)
        }
    }

    @Test func whoeverKnowsNoTasksGetsNone() async throws {
        let server = try Server("tasks", version: "1", options: quick)
        try server.tool("can", "Can", task: .optional) { (context: Context) in try context.task == nil ? "call" : "task" }
        try server.tool("must", "Must", task: .required) { (_: Context) in "task" }
        try await withClient(to: server, options: ConnectOptions(tasks: false)) { (client: Client) async throws -> Void in
            #expect(try await client.callTool("can").text == "call")
            #expect(await failure { try await client.callTool("must") }?.kind == .missingCapability)
        }
    }

    @Test func olderSessionsHaveTasks() async throws {
        let server = try Server("tasks", version: "1", extra: ["taskTtlMs": nil], options: quick)
        try server.tool("work", "Works", task: .optional) { (context: Context) in
            try context.task == nil ? "call" : "task"
        }
        try await withClient(to: server, over: .http, options: ConnectOptions(era: "legacy")) { (client: Client) async throws -> Void in
            #expect(try await client.callTool("work").text == "call")
            let task = try await client.startTask("work", taskTTL: .seconds(30))
            #expect(task.created?.ttlMs == 30_000)
            #expect(try await task.result().text == "task")
            #expect(try await client.startTask("work").created.map(\.ttlMs) == .some(nil))
            #expect(try await client.listTasks().contains { $0.taskId == task.id && $0.status == .completed })
        }
    }

    @Test func optionsThatAreWrong() throws {
        let server = try Server("tasks", version: "1")
        func wrong(_ add: () throws -> Void) {
            #expect { try add() } throws: { ($0 as? McpError)?.kind == .usage }
        }
        wrong { try server.tool("a", resumable: true) { (_: Context) in "" } }
        wrong { try server.tool("a", task: .required, taskConcurrency: 0) { (_: Context) in "" } }
        wrong { try server.tool("a", options: ToolOptions(task: "sometimes")) { (_: Context) in "" } }
        wrong { _ = try Server("tasks", version: "1", options: ServerOptions(taskLeaseMs: 0)) }
        try server.tool("a", task: .required, taskConcurrency: 2) { (_: Context) in "" }
    }

    @Test func aTaskOutlivesItsProcess() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let store = folder.appendingPathComponent("tasks.db").path
        let first = try ServerProgram("task_server", [store])
        let client = try await Client(.url(first.url))
        let task = try await client.startTask("work")
        let id = try #require(task.id)
        for try await state in task.updates() where state.statusMessage == "page 7" { break }
        let pid = first.process.processIdentifier
        first.kill()
        await client.close()

        let second = try ServerProgram("task_server", [store])
        let other = try await Client(.url(second.url))
        #expect(try await other.task(id).result().text == "run 2, page 7, begun by \(pid)")
        await other.close()
        second.kill()
        try FileManager.default.removeItem(at: folder)
    }
}
