import Foundation
import TrunnionBindings

// The server's side of tasks: calls that become tasks.

/// The task mode of a tool: the caller of a task gets an id at once, and fetches the result when it is
/// available, even after its connection, or the server's process, has ended.
public enum TaskSupport: String, Sendable, Hashable, Codable, CaseIterable {
    /// Calls never become tasks.
    case never
    /// Calls of clients that support tasks become tasks; others are answered in their request.
    case optional
    /// All calls become tasks; clients that do not support tasks are refused.
    case required
}

/// The task of a call, which is one run of it.
public struct TaskRun: Codable, Sendable, Hashable {
    /// The task's id. On a server without authorization, it is all that is needed to poll, answer and cancel
    /// the task: do not log it.
    public var id: String
    /// The number of this run of the handler, from 1. A later run starts when the process of the previous one
    /// has died.
    public var run: Int

    private enum CodingKeys: String, CodingKey {
        case id = "taskId"
        case run
    }
}

extension Context {
    /// The task of this call; nil without a task.
    public var task: TaskRun? {
        get throws { try request.task }
    }

    /// Stores the progress of the work. When the process dies and the handler of a `resumable` tool runs
    /// again, it finds the last checkpoint in `lastCheckpoint`. In a task it is stored when this returns.
    /// Outside of a task it is retained for this run only.
    /// - Throws: `McpError` of kind `limit` if it is too large, `CancellationError` if the call is over.
    public func checkpoint(_ value: some Encodable & Sendable) async throws {
        try await keep("checkpoint", .object(["value": .raw(try JSON.text(value))]))
    }

    /// Returns the last value stored by `checkpoint`, in this run or an earlier one of the task; nil without
    /// one.
    /// - Throws: `McpError` of kind `internal_error` if it does not fit the type.
    public func lastCheckpoint<T: Decodable>(as type: T.Type = T.self) throws -> T? {
        do {
            return try request.checkpoint?.decode(as: type)
        } catch let error as DecodingError {
            throw McpError(.internalError, "the checkpoint does not fit \(type): \(error.reason)")
        }
    }

    /// Stores something with the call, and waits until that is done.
    func keep(_ op: String, _ params: OrderedJSON) async throws {
        let (id, text) = (exchange.id, try params.text())
        do {
            _ = try await exchange.core.run { try $0.request(client: id, op: op, params: text, options: "{}") }
        } catch let error as McpError where error.kind == .cancelled {
            throw CancellationError()
        }
    }
}
