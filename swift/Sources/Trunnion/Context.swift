import Foundation
import TrunnionBindings

/// What a handler knows of the call it answers, and what it can tell the caller meanwhile.
///
/// The handler runs in a task that is cancelled when the caller leaves, and when it runs again with answers (see `elicit`):
/// `Task.sleep` and friends throw then, and `Task.checkCancellation()` works as everywhere.
public struct Context: Sendable {
    let exchange: Exchange

    /// Whether the caller has left. What the handler answers is then dropped.
    public var isCancelled: Bool { Task.isCancelled }

    /// Report progress to the caller.
    /// - Parameters:
    ///   - progress: how far the work is; must grow from call to call.
    ///   - total: what `progress` will reach, if known.
    ///   - message: what is being done, for people.
    /// - Returns: whether it was sent; false when the caller did not ask for progress or has left. In a task it becomes the
    ///   task's status message.
    @discardableResult
    public func progress(_ progress: Double, total: Double? = nil, message: String? = nil) throws -> Bool {
        let payload = try JSON.text(ProgressUpdate(progress: progress, total: total, message: message))
        return try calling { try exchange.core.engine.progress(id: exchange.id, payload: payload) }
    }

    /// Send a log message with this call.
    /// - Returns: whether it was sent; false when the caller asked for graver ones only, or for none.
    @discardableResult
    public func log(_ level: LogLevel, _ data: JSONValue, logger: String? = nil) throws -> Bool {
        var fields: [String: JSONValue] = ["level": .string(level.rawValue), "data": data]
        fields["logger"] = logger.map(JSONValue.string)
        let payload = try JSON.text(JSONValue.object(fields))
        return try calling { try exchange.core.engine.log(id: exchange.id, payload: payload) }
    }

    /// Who asks, over what, and in which revision of the protocol.
    /// - Throws: `McpError` of kind `cancelled` when the call is over.
    public var request: RequestInfo {
        get throws {
            guard let text = try calling({ try exchange.core.engine.context(id: exchange.id) }) else {
                throw McpError(.cancelled, "the call is over")
            }
            return try JSON.decode(RequestInfo.self, from: text)
        }
    }
}

/// What is known of a call.
public struct RequestInfo: Codable, Sendable, Hashable {
    /// The caller's number or text for it.
    public var requestId: JSONValue
    /// `modern` or `legacy`.
    public var era: String
    /// The protocol's revision, a date.
    public var revision: String
    /// `stdio`, `http` or `memory`.
    public var transport: String
    /// Set when the caller wants progress.
    public var progressToken: JSONValue?
    /// The caller's name and version, if it told.
    public var clientInfo: JSONValue?
    /// What the caller can do.
    public var clientCapabilities: JSONValue?
    /// Metadata of the request.
    public var meta: JSONValue?
    /// The answers to what the option `asks` asked before the handler ran.
    public var answers: Answers?
    /// What `once` has kept.
    public var memory: [String: JSONValue]?
    /// What `checkpoint` has stored last.
    public var checkpoint: JSONValue?
    /// The task that the call is a run of.
    public var task: TaskRun?
    /// The verified claims of the caller's token.
    public var claims: Claims?
    /// Who calls, among all issuers.
    public var principal: String?
}
