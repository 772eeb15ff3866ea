import Foundation
import TrunnionBindings

// The client's side of tasks: calls that a server answers later.

/// The status of a task.
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

    /// It was cancelled.
    public static let cancelled = TaskStatus(rawValue: "cancelled")

    /// True if the task has ended and does not change any more.
    public var isFinal: Bool { self == .completed || self == .failed || self == .cancelled }
}

/// A task at one moment, the same in every revision.
public struct TaskState: JSONModel, JSONField {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    /// The task's id, which `Client.task(_:)` accepts, also in another process. Empty for a call that was
    /// answered at once.
    public var taskId: String { member("taskId") }
    /// The status of the task.
    public var status: TaskStatus { member("status") }
    /// The server's description of the status, for a person.
    public var statusMessage: String? { optionalMember("statusMessage") }
    /// ISO 8601.
    public var createdAt: String? { optionalMember("createdAt") }
    /// ISO 8601.
    public var lastUpdatedAt: String? { optionalMember("lastUpdatedAt") }
    /// The time for which the server stores it, from its creation, in milliseconds. Nil: indefinitely.
    public var ttlMs: Int? { optionalMember("ttlMs") }
    /// The interval at which the server wants to be polled, in milliseconds.
    public var pollIntervalMs: Int? { optionalMember("pollIntervalMs") }
    /// The input requests that it waits for, by the keys of `TaskHandle.answer(_:_:)`: `{method, params}`.
    /// Empty on legacy sessions, on which the input requests of a task arrive as requests.
    public var inputRequests: [String: JSONValue] { member("inputRequests") }

    static func completed(_ result: ToolResult) -> TaskState {
        TaskState(json: ["taskId": "", "status": TaskStatus.completed.jsonValue, "result": .object(result.json)])
    }
}

/// A call that the server answers later. Releasing it changes nothing at the server.
///
///     let task = try await client.startTask("index", ["path": "/srv/docs"])
///     for try await state in task.updates() { print(state.status, state.statusMessage ?? "") }
///     print(try await task.result().text)
public struct TaskHandle: Sendable {
    /// The outcome of the call.
    enum Made: Sendable {
        case task(id: String, created: TaskState?)
        case result(ToolResult)
    }

    let client: Client
    let made: Made

    /// The id to store for `Client.task(_:)`. Nil: the server answered at once, there is no task.
    public var id: String? {
        if case .task(let id, _) = made { id } else { nil }
    }

    /// The state at creation; nil for a task that was opened by id, or answered at once.
    public var created: TaskState? {
        if case .task(_, let created) = made { created } else { nil }
    }

    /// Polls the current state. A call that was answered at once is a completed task with an empty id.
    /// - Throws: `McpError` of kind `invalid_params` if the id is unknown to the server or has expired.
    public func status() async throws -> TaskState {
        switch made {
        case .result(let result): .completed(result)
        case .task(let id, _): try await client.ask(.getTask, ["taskId": .string(id)], options: RequestOptions())
        }
    }

    /// The states from now on, up to and including the last. Input requests are in `inputRequests`, and not
    /// sent to the client's handlers: `answer` them. A reader that falls behind by more than 64 states loses
    /// the oldest. Releasing the sequence ends watching.
    /// - Throws: while iterating, the `McpError` that prevented the last state from being received.
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
                    // The last state contains the task's outcome.
                    feed.finish(throwing: isOver.withLock { $0 } ? nil : McpError(payload: payload))
                default: break
                }
            }) { try $0.request(client: handle, op: Op.taskResult.rawValue, params: params, options: options) }
            // The client lives as long as a reader watches.
            feed.onTermination = { [client] _ in client.runtime.core.giveUp(operation) }
        } catch {
            feed.finish(throwing: error)
        }
        return states
    }

    /// Answers one input request: the result of the request under that key, such as an `ElicitResult`.
    /// Servers ignore keys that do not wait for an answer. Modern sessions only.
    public func answer(_ key: String, _ answer: some Encodable & Sendable) async throws {
        guard let id else { return }
        let answer = try (answer as? JSONValue) ?? JSONValue(encoding: answer)
        let params: JSONValue = ["taskId": .string(id), "inputResponses": .object([key: answer])]
        _ = try await client.request(.updateTask, params, options: RequestOptions())
    }

    /// Requests cancellation. The server decides if and when the task ends.
    public func cancel() async throws {
        guard let id else { return }
        _ = try await client.request(.cancelTask, ["taskId": id], options: RequestOptions())
    }

    /// Waits for the result without a limit; input requests meanwhile go to the client's handlers. Cancelling
    /// the Swift task that waits does not cancel the task at the server.
    /// - Throws: as the call itself would have; `McpError` of kind `cancelled` if the task was cancelled.
    public func result() async throws -> ToolResult {
        switch made {
        case .result(let result): result
        case .task(let id, _): try await client.ask(.taskResult, ["taskId": .string(id)], options: RequestOptions())
        }
    }
}

extension Client {
    /// Calls a tool, and does not wait for its result: returns a handle of the task that the server makes of
    /// the call. If the server answers at once, the handle is complete already. The client requests a task
    /// from a legacy server if the tool allows that.
    /// - Parameters:
    ///   - arguments: any value that encodes as an object.
    ///   - taskTTL: the time to live that the client requests from a legacy server; newer servers decide it.
    ///   - options: time limits hold until the server has made the task.
    public func startTask(
        _ name: String, _ arguments: some Encodable & Sendable, taskTTL: Duration? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws -> TaskHandle {
        let arguments = try (arguments as? JSONValue) ?? JSONValue(encoding: arguments)
        return try await startTask(named: name, arguments, taskTTL, options)
    }

    /// Calls a tool as a task, with arguments as a literal, or with none.
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

    /// A task by its stored id (`TaskHandle.id`). Nothing is sent.
    public func task(_ id: String) -> TaskHandle { TaskHandle(client: self, made: .task(id: id, created: nil)) }

    /// The caller's tasks, page by page as they are read. Legacy sessions only: newer servers have no such
    /// request, and it throws `McpError` of kind `method_not_found`.
    public var tasks: Paged<TaskState> { tasks(options: RequestOptions()) }
    /// The caller's tasks; each page request uses these options. Legacy sessions only, see `tasks`.
    public func tasks(options: RequestOptions) -> Paged<TaskState> {
        Paged(client: self, op: .listTasks, key: "tasks", options: options)
    }

    /// All tasks of the caller. Legacy sessions only, see `tasks`.
    public func listTasks(options: RequestOptions = RequestOptions()) async throws -> [TaskState] {
        try await tasks(options: options).all()
    }
}

extension Duration {
    /// The duration in whole milliseconds, not negative.
    var wholeMilliseconds: Int { Swift.max(0, Int(self / .milliseconds(1))) }

    /// The duration as a time limit. Zero means no limit, so a duration below a millisecond becomes one.
    var limitInMilliseconds: Int { self > .zero ? Swift.max(1, wholeMilliseconds) : 0 }
}
