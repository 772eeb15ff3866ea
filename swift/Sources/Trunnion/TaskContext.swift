import Foundation
import TrunnionBindings

// Calls that become tasks, as a server sees them.

/// Whether calls of a tool become tasks: the caller gets an id at once, and fetches the result when it is there, even after its
/// connection, or the server's process, is gone.
public enum TaskSupport: String, Sendable, Hashable, Codable, CaseIterable {
    /// They never do.
    case never
    /// They do for clients that know of tasks; others are answered in their request.
    case optional
    /// They all do; clients that do not know of tasks are refused.
    case required
}

/// The task that a call is a run of.
public struct TaskRun: Codable, Sendable, Hashable {
    /// The task's id. Where nobody signs in, it is all that is needed to see, answer and cancel the task: keep it out of logs.
    public var id: String
    /// Which run of its handler this is, from 1. Later ones come where the process of the last one has died.
    public var run: Int

    private enum CodingKeys: String, CodingKey {
        case id = "taskId"
        case run
    }
}

extension Context {
    /// The task that this call is a run of; nil where it is none.
    public var task: TaskRun? {
        get throws { try request.task }
    }

    /// Store where the work has come to. When the process dies and the handler of a `resumable` tool runs again, it finds the
    /// last checkpoint in `lastCheckpoint`. In a task it is stored when this returns. Outside of a task it is kept for this run only.
    /// - Throws: `McpError` of kind `limit` when it is too large, `CancellationError` when the call is over.
    public func checkpoint(_ value: some Encodable & Sendable) async throws {
        try await keep("checkpoint", .object(["value": .raw(try JSON.text(value))]))
    }

    /// What `checkpoint` has stored last, in this run or an earlier one of the task; nil where that is nothing.
    /// - Throws: `McpError` of kind `internal_error` when it does not fit the type.
    public func lastCheckpoint<T: Decodable>(as type: T.Type = T.self) throws -> T? {
        do {
            return try request.checkpoint?.decode(as: type)
        } catch let error as DecodingError {
            throw McpError(.internalError, "the checkpoint does not fit \(type): \(error.reason)")
        }
    }

    /// Store something with the call, and wait until that is done.
    func keep(_ op: String, _ params: OrderedJSON) async throws {
        let (id, text) = (exchange.id, try params.text())
        do {
            _ = try await exchange.core.run { try $0.request(client: id, op: op, params: text, options: "{}") }
        } catch let error as McpError where error.kind == .cancelled {
            throw CancellationError()
        }
    }
}
