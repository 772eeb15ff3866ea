import Foundation
import TrunnionBindings

// Calls that a server answers later, as a client sees them.

/// Where a task is.
public struct TaskStatus: JSONChoice, JSONField {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The server works on it.
    public static let working = TaskStatus(rawValue: "working")

    /// It waits for answers.
    public static let inputRequired = TaskStatus(rawValue: "input_required")

    /// There is a result; the tool itself may have failed.
    public static let completed = TaskStatus(rawValue: "completed")

    /// There is an error.
    public static let failed = TaskStatus(rawValue: "failed")

    /// It was given up.
    public static let cancelled = TaskStatus(rawValue: "cancelled")

    /// It will not change any more.
    public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

/// A task at one moment, the same in every revision.
public struct TaskState: JSONModel, JSONField {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    /// Its id; with it the task can be picked up by `Client.task(_:)`, also in another process. Empty for a call that was answered
    /// at once.
    public var taskId: String { member("taskId") }
    /// Where it is.
    public var status: TaskStatus { member("status") }
    /// What the server says of that, for a person.
    public var statusMessage: String? { optionalMember("statusMessage") }
    /// ISO 8601.
    public var createdAt: String? { optionalMember("createdAt") }
    /// ISO 8601.
    public var lastUpdatedAt: String? { optionalMember("lastUpdatedAt") }
    /// How long the server keeps it, from its creation, in milliseconds. Nil: for ever.
    public var ttlMs: Int? { optionalMember("ttlMs") }
    /// How often the server wants to be asked for it, in milliseconds.
    public var pollIntervalMs: Int? { optionalMember("pollIntervalMs") }
    /// What it waits for, by the keys of `TaskHandle.answer(_:_:)`: `{method, params}`. Empty on legacy sessions, where what a
    /// task asks comes as requests.
    public var inputRequests: [String: JSONValue] { member("inputRequests") }

    static func completed(_ result: ToolResult) -> TaskState {
        TaskState(json: ["taskId": "", "status": TaskStatus.completed.jsonValue, "result": .object(result.json)])
    }
}

/// A call that the server answers later. Letting go of it changes nothing at the server.
///
///     let task = try await client.startTask("index", ["path": "/srv/docs"])
///     for try await state in task.updates() { print(state.status, state.statusMessage ?? "") }
///     print(try await task.result().text)
public struct TaskHandle: Sendable {
    /// What the call became.
    enum Made: Sendable {
        case task(id: String, created: TaskState?)
        case result(ToolResult)
    }

    let client: Client
    let made: Made

    /// To pick it up later, by `Client.task(_:)`. Nil: the server answered at once, there is nothing to pick up.
    public var id: String? {
        if case .task(let id, _) = made { id } else { nil }
    }

    /// As the server made it; nil for one that was picked up, or answered at once.
    public var created: TaskState? {
        if case .task(_, let created) = made { created } else { nil }
    }

    /// Where it is now. A call that was answered at once is a completed task with an empty id.
    /// - Throws: `McpError` of kind `invalid_params` when the server does not know the id, or knows it no longer.
    public func status() async throws -> TaskState {
        switch made {
        case .result(let result): .completed(result)
        case .task(let id, _): try await client.ask(.getTask, ["taskId": .string(id)], options: RequestOptions())
        }
    }

    /// Its states from now on, up to and with the last. What it asks is in `inputRequests`, and not put to the client's handlers:
    /// `answer` it. A reader that falls behind by more than 64 states loses the oldest. Letting go of the sequence ends watching.
    /// - Throws: while iterating, the `McpError` that kept the last state from being seen.
    public func updates() -> AsyncThrowingStream<TaskState, any Error> {
        let (states, feed) = AsyncThrowingStream.makeStream(
            of: TaskState.self, throwing: (any Error).self, bufferingPolicy: .bufferingNewest(64))
        guard case .task(let id, _) = made else {
            if case .result(let result) = made { feed.yield(.completed(result)) }
            feed.finish()
            return states
        }
        let isOver = Locked(false)
        do {
            let params = try JSON.text(["taskId": id])
            let options = try JSON.text(RequestOptions(ask: false))
            let (core, handle) = (client.runtime.core, client.handle)
            let operation = try core.start(sink: { kind, payload in
                switch kind {
                case .notification:
                    guard let told = try? JSON.decode(ServerNotification.self, from: payload),
                        let state = told.params.flatMap(TaskState.init(jsonValue:))
                    else { return }
                    if state.status.isFinal { isOver.withLock { $0 = true } }
                    feed.yield(state)
                case .result:
                    feed.finish()
                case .error:
                    // How a task has ended is in its last state.
                    feed.finish(throwing: isOver.withLock { $0 } ? nil : McpError(payload: payload))
                default: break
                }
            }) { try $0.request(client: handle, op: Op.taskResult.rawValue, params: params, options: options) }
            // The client lives as long as somebody watches.
            feed.onTermination = { [client] _ in client.runtime.core.giveUp(operation) }
        } catch {
            feed.finish(throwing: error)
        }
        return states
    }

    /// Answer one thing that it asks: the result of the request under that key, such as an `ElicitResult`. Keys that do not wait
    /// for an answer are ignored by servers. Modern sessions only.
    public func answer(_ key: String, _ answer: some Encodable & Sendable) async throws {
        guard let id else { return }
        let answer = try (answer as? JSONValue) ?? JSONValue(encoding: answer)
        let params: JSONValue = ["taskId": .string(id), "inputResponses": .object([key: answer])]
        _ = try await client.request(.updateTask, params, options: RequestOptions())
    }

    /// Say that it is not wanted any more. The server decides whether and when it ends.
    public func cancel() async throws {
        guard let id else { return }
        _ = try await client.request(.cancelTask, ["taskId": id], options: RequestOptions())
    }

    /// Wait for its result, as long as it takes; what it asks meanwhile is put to the client's handlers. Cancelling the Swift task
    /// that waits does not cancel the task at the server.
    /// - Throws: as the call itself would have; `McpError` of kind `cancelled` if the task was cancelled.
    public func result() async throws -> ToolResult {
        switch made {
        case .result(let result): result
        case .task(let id, _): try await client.ask(.taskResult, ["taskId": .string(id)], options: RequestOptions())
        }
    }
}

extension Client {
    /// Call a tool, and do not wait for its result: get a handle of the task that the server makes of the call. Where the server
    /// answers at once, the handle is complete already. A legacy server is asked for a task where its tool allows that.
    /// - Parameters:
    ///   - arguments: any value that encodes as an object.
    ///   - taskTTL: how long a legacy server is asked to keep the task; newer ones decide that themselves.
    ///   - options: time limits hold until the server has made the task.
    public func startTask(
        _ name: String, _ arguments: some Encodable & Sendable, taskTTL: Duration? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws -> TaskHandle {
        let arguments = try (arguments as? JSONValue) ?? JSONValue(encoding: arguments)
        return try await startTask(named: name, arguments, taskTTL, options)
    }

    /// Call a tool as a task, with arguments as a literal, or with none.
    public func startTask(
        _ name: String, _ arguments: JSONValue = [:], taskTTL: Duration? = nil, options: RequestOptions = RequestOptions()
    ) async throws -> TaskHandle {
        try await startTask(named: name, arguments, taskTTL, options)
    }

    private func startTask(
        named name: String, _ arguments: JSONValue, _ taskTTL: Duration?, _ options: RequestOptions
    ) async throws -> TaskHandle {
        var options = options
        options.task = true
        if let taskTTL { options.taskTtlMs = taskTTL.wholeMilliseconds }
        let params: JSONValue = ["name": .string(name), "arguments": arguments]
        let made = try JSON.decode(JSONValue.self, from: try await request(.callTool, params, options: options))
        if let state = made["task"].flatMap(TaskState.init(jsonValue:)) {
            return TaskHandle(client: self, made: .task(id: state.taskId, created: state))
        }
        guard let result = made["result"].flatMap(ToolResult.init(jsonValue:)) else {
            throw McpError(.protocol, "the call brought neither a task nor a result")
        }
        return TaskHandle(client: self, made: .result(result))
    }

    /// A task by the id that was saved of it (`TaskHandle.id`). Nothing is sent.
    public func task(_ id: String) -> TaskHandle { TaskHandle(client: self, made: .task(id: id, created: nil)) }

    /// The caller's tasks, page by page as they are read. Legacy sessions only: newer servers have no such request, there it throws
    /// `McpError` of kind `method_not_found`.
    public var tasks: Paged<TaskState> { tasks(options: RequestOptions()) }
    /// The caller's tasks, each page asked for with these options. Legacy sessions only, see `tasks`.
    public func tasks(options: RequestOptions) -> Paged<TaskState> {
        Paged(client: self, op: .listTasks, key: "tasks", options: options)
    }

    /// All tasks of the caller. Legacy sessions only, see `tasks`.
    public func listTasks(options: RequestOptions = RequestOptions()) async throws -> [TaskState] {
        try await tasks(options: options).all()
    }
}

extension Duration {
    /// In whole milliseconds, none of them negative.
    var wholeMilliseconds: Int { Swift.max(0, Int(self / .milliseconds(1))) }

    /// As a time limit. Zero means none, so what is shorter than a millisecond is one.
    var limitInMilliseconds: Int { self > .zero ? Swift.max(1, wholeMilliseconds) : 0 }
}
