import Foundation
import TrunnionBindings

/// The context of a handler: facts about its call, and messages and input requests to the caller.
///
/// The handler runs in a task that is cancelled when the caller disconnects, and when it runs again with
/// answers (see `elicit`): `Task.sleep` and similar functions throw then, and `Task.checkCancellation()`
/// works as usual.
public struct Context: Sendable {
    let exchange: Exchange

    /// True if the caller has disconnected. The handler's answer is then dropped.
    public var isCancelled: Bool { Task.isCancelled }

    /// Reports progress to the caller.
    /// - Parameters:
    ///   - progress: the progress of the work; must grow from call to call.
    ///   - total: the final value of `progress`, if known.
    ///   - message: the current step, for people.
    /// - Returns: true if it was sent; false if the caller did not request progress or has disconnected. In a
    ///   task it becomes the task's status message.
    @discardableResult
    public func progress(_ progress: Double, total: Double? = nil, message: String? = nil) throws -> Bool {
        let payload = try JSON.text(ProgressUpdate(progress: progress, total: total, message: message))
        return try calling { try exchange.core.engine.progress(id: exchange.id, payload: payload) }
    }

    /// Sends a log message with this call.
    /// - Returns: true if it was sent; false if the caller requested only messages of a higher level, or
    ///   none.
    @discardableResult
    public func log(_ level: LogLevel, _ data: JSONValue, logger: String? = nil) throws -> Bool {
        var fields: [String: JSONValue] = ["level": .string(level.rawValue), "data": data]
        fields["logger"] = logger.map(JSONValue.string)
        let payload = try JSON.text(JSONValue.object(fields))
        return try calling { try exchange.core.engine.log(id: exchange.id, payload: payload) }
    }

    /// Returns facts about the call: the caller, the transport and the revision of the protocol.
    /// - Throws: `McpError` of kind `cancelled` if the call is over.
    public var request: RequestInfo {
        get throws {
            guard let text = try calling({ try exchange.core.engine.context(id: exchange.id) }) else {
                throw McpError(.cancelled, "the call is over")
            }
            return try JSON.decode(RequestInfo.self, from: text)
        }
    }
}

/// Facts about a call.
public struct RequestInfo: Codable, Sendable, Hashable {
    /// The caller's id of the call, a number or text.
    public var requestId: JSONValue
    /// `modern` or `legacy`.
    public var era: String
    /// The protocol's revision, a date.
    public var revision: String
    /// `stdio`, `http` or `memory`.
    public var transport: String
    /// Present if the caller requested progress.
    public var progressToken: JSONValue?
    /// The caller's name and version, if it sent them.
    public var clientInfo: JSONValue?
    /// The caller's capabilities.
    public var clientCapabilities: JSONValue?
    /// Metadata of the request.
    public var meta: JSONValue?
    /// The answers to the input requests of the option `asks`, from before the handler ran.
    public var answers: Answers?
    /// The values stored by `once`.
    public var memory: [String: JSONValue]?
    /// The last value stored by `checkpoint`.
    public var checkpoint: JSONValue?
    /// The task of the call.
    public var task: TaskRun?
    /// The verified claims of the caller's token.
    public var claims: Claims?
    /// The caller's identity, unique among all issuers.
    public var principal: String?
}
