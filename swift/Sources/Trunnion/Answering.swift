import Foundation
import TrunnionBindings

/// The handlers of a client for requests of its server.
///
/// The presence of a handler declares its capability; `ConnectOptions.capabilities` adds others, and
/// overrides a capability that both name. If the server withdraws a request, the handler's task is cancelled.
/// An error in a handler refuses the request.
public struct ClientHandlers: Sendable {
    /// Elicits from the user: a form to fill in or a page to visit. Fields that an accepted form omits get
    /// its defaults.
    public var onElicit: (@Sendable (ElicitRequest) async throws -> ElicitResult)?
    /// The declared elicitation modes: `form`, `url`.
    public var elicitModes: Set<String>
    /// Samples the model.
    public var onSample: (@Sendable (CreateMessageRequest) async throws -> CreateMessageResult)?
    /// The places that servers may work in; nil declares none.
    public var roots: [Root]?
    /// Receives every line that a command writes to its standard error, from its start on. It must not block.
    /// Without it, `ConnectOptions.stderr` determines the destination, by default that of this process.
    public var onStderr: (@Sendable (String) -> Void)?

    public init(
        elicitModes: Set<String> = ["form"], roots: [Root]? = nil,
        onElicit: (@Sendable (ElicitRequest) async throws -> ElicitResult)? = nil,
        onSample: (@Sendable (CreateMessageRequest) async throws -> CreateMessageResult)? = nil,
        onStderr: (@Sendable (String) -> Void)? = nil
    ) {
        self.onElicit = onElicit
        self.elicitModes = elicitModes
        self.onSample = onSample
        self.roots = roots
        self.onStderr = onStderr
    }

    /// Returns the options with the capabilities of the handlers.
    func declared(in options: ConnectOptions) -> ConnectOptions {
        var options = options
        if let roots { options.roots = roots.map(\.json) }
        if onStderr != nil { options.stderr = "lines" }
        var capabilities: [String: JSONValue] = [:]
        if onElicit != nil {
            let modes = elicitModes.map { ($0, JSONValue.object([:])) }
            capabilities["elicitation"] = .object(Dictionary(uniqueKeysWithValues: modes))
        }
        if onSample != nil { capabilities["sampling"] = [:] }
        capabilities.merge(options.capabilities ?? [:]) { $1 }
        if !capabilities.isEmpty { options.capabilities = capabilities }
        return options
    }

    var answerer: Answerer? {
        guard onElicit != nil || onSample != nil else { return nil }
        return { kind, payload in
            do {
                let asked = try JSON.decode([String: JSONValue].self, from: payload)
                if kind == .elicit, let onElicit {
                    return Answer(outcome: .result, payload: try JSON.text(try await onElicit(ElicitRequest(json: asked)).json))
                }
                if kind == .sample, let onSample {
                    let result = try await onSample(CreateMessageRequest(json: asked))
                    return Answer(outcome: .result, payload: try JSON.text(result.json))
                }
                throw McpError(.methodNotFound, "this client does not answer that")
            } catch {
                var refusal: [String: JSONValue] = ["message": .string("\(error)")]
                if let error = error as? McpError {
                    refusal["message"] = .string(error.message)
                    refusal["code"] = .int(error.code)
                    refusal["data"] = error.data
                }
                return Answer(outcome: .error, payload: JSONValue.object(refusal).description)
            }
        }
    }
}

extension ElicitResult {
    /// The user accepted; the fields are those of a form.
    public static func accept(_ content: [String: JSONValue] = [:]) -> ElicitResult {
        ElicitResult(action: .accept, content: content)
    }
    /// The user declined.
    public static var decline: ElicitResult { ElicitResult(action: .decline) }
    /// The user cancelled without an answer.
    public static var cancel: ElicitResult { ElicitResult(action: .cancel) }
}

extension CreateMessageResult {
    /// A text from the model of this name.
    public init(text: String, model: String, stopReason: String? = "endTurn") {
        self.init(role: .assistant, content: OneOrMany([.text(text)]), model: model, stopReason: stopReason)
    }
}

/// A change that a client subscribes to.
public enum Change: Sendable, Hashable {
    /// The list of tools.
    case tools
    /// The list of prompts.
    case prompts
    /// The lists of resources and templates.
    case resources
    /// The resource at this URI.
    case resource(String)

    init?(_ notification: ServerNotification) {
        switch notification.event {
        case "tools_changed": self = .tools
        case "prompts_changed": self = .prompts
        case "resources_changed": self = .resources
        case "resource_updated":
            guard let uri = notification.params?["uri"]?.stringValue else { return nil }
            self = .resource(uri)
        default: return nil
        }
    }
}

/// The changes that a server has agreed to send.
public struct Granted: Sendable, Hashable, Decodable {
    /// True if the server notifies of changes of the list of tools.
    public var tools: Bool
    /// True if the server notifies of changes of the list of prompts.
    public var prompts: Bool
    /// True if the server notifies of changes of the lists of resources and templates.
    public var resources: Bool
    /// The resources with notifications of changed contents.
    public var resourceURIs: [String]

    private enum CodingKeys: String, CodingKey {
        case tools, prompts, resources
        case resourceURIs = "resourceUris"
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        tools = try fields.decodeIfPresent(Bool.self, forKey: .tools) ?? false
        prompts = try fields.decodeIfPresent(Bool.self, forKey: .prompts) ?? false
        resources = try fields.decodeIfPresent(Bool.self, forKey: .resources) ?? false
        resourceURIs = try fields.decodeIfPresent([String].self, forKey: .resourceURIs) ?? []
    }
}

/// A client's subscription to changes. Iterating ends when the server or the connection does, or when no
/// reader iterates any more, and throws the error that ended it.
public struct Changes: AsyncSequence, Sendable {
    public typealias Element = Change
    public typealias AsyncIterator = AsyncThrowingStream<Change, any Error>.AsyncIterator

    /// The changes that the server has agreed to send; they may be fewer than requested.
    public let granted: Granted
    let stream: AsyncThrowingStream<Change, any Error>

    public func makeAsyncIterator() -> AsyncIterator { stream.makeAsyncIterator() }
}

extension Client {
    /// Subscribes to changes. The sequence ends when the server or the connection does, or when no reader
    /// iterates any more; it throws the error that ended it. A reader that falls behind by more than 1024
    /// changes loses the oldest.
    /// - Parameter resourceURIs: resources to watch.
    /// - Returns: the subscription, once the server has confirmed it, with `granted`.
    public func listen(
        tools: Bool = false, prompts: Bool = false, resources: Bool = false, resourceURIs: [String] = []
    ) async throws -> Changes {
        let params: JSONValue = [
            "tools": .bool(tools), "prompts": .bool(prompts), "resources": .bool(resources),
            "resourceUris": .array(resourceURIs.map(JSONValue.string)),
        ]
        let (text, client, core) = (try JSON.text(params), handle, runtime.core)
        let (changes, feed) = AsyncThrowingStream.makeStream(
            of: Change.self, throwing: (any Error).self, bufferingPolicy: .bufferingNewest(1024))
        let (agreed, agree) = AsyncThrowingStream.makeStream(of: Granted.self, throwing: (any Error).self)
        let operation = try core.start(sink: { kind, payload in
            switch kind {
            case .notification:
                guard let told = try? JSON.decode(ServerNotification.self, from: payload) else { return }
                if told.event == "listening" {
                    if let granted = try? (told.params ?? [:]).decode(as: Granted.self) { agree.yield(granted) }
                    agree.finish()
                } else if let change = Change(told) {
                    feed.yield(change)
                }
            case .result:
                agree.finish()
                feed.finish()
            case .error:
                let error = McpError(payload: payload)
                agree.finish(throwing: error)
                feed.finish(throwing: error.kind == .cancelled ? nil : error)
            default: break
            }
        }) { try $0.request(client: client, op: Op.listen.rawValue, params: text, options: "{}") }
        feed.onTermination = { _ in core.giveUp(operation) }
        var granted: Granted?
        try await withTaskCancellationHandler {
            for try await agreement in agreed { granted = agreement }
        } onCancel: {
            core.giveUp(operation)
        }
        try Task.checkCancellation()
        guard let granted else { throw McpError(.protocol, "the server ended listening before it began") }
        return Changes(granted: granted, stream: changes)
    }

    /// Sets the minimum level of log messages from now on.
    public func setLogLevel(_ level: LogLevel) async throws {
        _ = try await request(.setLogLevel, ["level": JSONValue.string(level.rawValue)], options: RequestOptions())
    }

    /// Replaces the roots. Servers of the legacy era are notified.
    /// - Throws: `McpError` of kind `usage` if the client was made without roots.
    public func setRoots(_ roots: [Root]) throws {
        let params = JSONValue.object(["roots": .array(roots.map { .object($0.json) })]).description
        let areReplaced = try calling {
            try runtime.core.engine.notify(id: handle, event: "roots_changed", params: params)
        }
        if !areReplaced { throw McpError(.usage, "the client was made without roots: give it some, if with none in the list") }
    }
}
