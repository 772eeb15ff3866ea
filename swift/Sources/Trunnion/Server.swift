import Foundation
import TrunnionBindings

/// An MCP server: tools, resources, prompts and completions, served over standard streams, HTTP or
/// in-process.
///
///     struct AddInput: Codable { var a: Double; var b: Double }
///     struct AddOutput: Codable { var sum: Double }
///
///     let server = try Server("calculator", version: "1.0.0")
///     try server.tool("add", "Adds two numbers") { (input: AddInput, _: Context) in
///         AddOutput(sum: input.a + input.b)
///     }
///     try await server.serveStdio()
///
/// Handlers run concurrently, each in its own task. Registering throws `McpError` of kind `usage` for a
/// duplicate name, a bad schema or an unknown option. Items may be added and removed while the server runs.
public final class Server: Sendable {
    /// The engine of the server.
    public let runtime: Runtime
    let handle: UInt64
    private let ownsRuntime: Bool
    let onError: OnError?
    private let targets = Locked([Item: UInt64]())
    private let carried = Locked(HTTPEndpoint?.none)

    private struct Item: Hashable {
        var kind: String
        var key: String
    }

    /// Receives the errors of handlers.
    public typealias OnError = @Sendable (_ error: any Error, _ origin: ErrorOrigin) -> Void

    /// - Parameters:
    ///   - name: the server's name for programs.
    ///   - version: the server's own version.
    ///   - title: the name for people.
    ///   - description: the description of the server, for people.
    ///   - instructions: instructions for a model on using the server.
    ///   - websiteURL: a page with more information, for people.
    ///   - extra: further fields of the definition as the protocol spells them, such as `icons`.
    ///   - auth: server authorization over HTTP; without, every request is accepted.
    ///   - runtime: an engine to share; without one the server makes its own.
    ///   - onError: receives errors of handlers that are neither a `ToolError` nor an `McpError`, and all
    ///     errors of the verifier of `auth`, for your log: callers receive little of them. It is called in
    ///     the task of the handler, and must not block.
    public init(
        _ name: String, version: String, title: String? = nil, description: String? = nil, instructions: String? = nil,
        websiteURL: String? = nil, extra: [String: JSONValue] = [:], options: ServerOptions = ServerOptions(),
        auth: ServerAuth? = nil, runtime: Runtime? = nil, onError: OnError? = nil
    ) throws {
        var definition = try JSONValue(encoding: options).objectValue ?? [:]
        definition.merge(extra) { $1 }
        definition["name"] = .string(name)
        definition["version"] = .string(version)
        definition["title"] = title.map(JSONValue.string) ?? definition["title"]
        definition["description"] = description.map(JSONValue.string) ?? definition["description"]
        definition["instructions"] = instructions.map(JSONValue.string) ?? definition["instructions"]
        definition["websiteUrl"] = websiteURL.map(JSONValue.string) ?? definition["websiteUrl"]
        if let auth { definition["auth"] = try auth.option }
        let text = try JSON.text(definition)
        let engineRuntime = try runtime ?? Runtime()
        handle = try calling { try engineRuntime.core.engine.serverNew(definition: text) }
        self.runtime = engineRuntime
        ownsRuntime = runtime == nil
        self.onError = onError
        if let verifier = auth?.answerer(onError) { engineRuntime.core.addVerifier(handle, verifier) }
    }

    deinit {
        forget()
    }

    // MARK: Serving

    /// Serves the process's standard streams until the peer closes them. Meanwhile, the program's own writes
    /// to standard output go to standard error. Cancelling the task stops serving.
    public func serveStdio() async throws {
        let handle = handle
        _ = try await runtime.core.run { try $0.serveStdio(server: handle, options: "{}") }
    }

    /// Serves Streamable HTTP.
    ///
    /// It continues until the returned handle or the server is closed; the handle keeps the server alive.
    /// - Throws: `McpError` if the address cannot be bound.
    public func serveHTTP(
        host: String? = nil, port: Int? = nil, options: ServeHTTPOptions = ServeHTTPOptions()
    ) async throws -> HTTPListener {
        var options = options
        options.host = host ?? options.host
        options.port = port ?? options.port
        return try await HTTPListener(server: self, options: try JSON.text(options))
    }

    /// Ends all serving. Requests in progress may finish within the deadline; then the engine is closed
    /// unless it is shared. Idempotent.
    public func close(deadline: Duration = .seconds(5)) async {
        forget()
        guard ownsRuntime else { return }
        await runtime.core.idle(within: deadline)
        await runtime.close(deadline: deadline)
    }

    /// Returns the endpoint behind `handle`, created at the first request.
    func carrier() throws -> HTTPEndpoint {
        try carried.withLock { carried in
            if let carried { return carried }
            let made = try endpoint()
            carried = made
            return made
        }
    }

    private func forget() {
        runtime.core.removeServer(handle)
        // It throws only after a panic in the engine, when nothing is served any more.
        try? runtime.core.engine.serverClose(server: handle)
        runtime.core.removeHandlers(targets.withLock { targets in
            defer { targets = [:] }
            return Array(targets.values)
        })
    }

    // MARK: Changes

    /// Notifies the subscribers of a resource that it has changed. Added or removed tools, resources and
    /// prompts need no call: the clients are notified automatically.
    public func notifyResourceUpdated(_ uri: String) throws {
        let params = try JSON.text(["uri": uri])
        _ = try calling {
            try runtime.core.engine.notify(id: handle, event: "resource_updated", params: params)
        }
    }

    /// Notifies a client that the interaction at a page (`Context.elicit(_:url:elicitationId:key:)`) is
    /// complete. Only the session that received the elicitation is notified, once, and only if its revision
    /// has that notification: 2025-11-25 (elicitation, "Completion Notifications for URL Mode Elicitation").
    /// Later clients retry their request when the user is back.
    public func notifyElicitationComplete(_ elicitationId: String) throws {
        let params = try JSON.text(["elicitationId": elicitationId])
        _ = try calling {
            try runtime.core.engine.notify(id: handle, event: "elicitation_complete", params: params)
        }
    }

    /// Registers a handler for changes of a client's roots (clients of the legacy era send them). Each call
    /// replaces the previous handler.
    public func onRootsChanged(_ handler: @escaping @Sendable () async -> Void) {
        runtime.core.addServer(handle) { _, _ in
            Task.detached { await handler() }
        }
    }

    // MARK: Registering

    /// Adds an item to the engine and its handler to the core.
    func add(
        _ kind: String, key: String, definition: OrderedJSON, options: String = "{}", handler: @escaping Handler
    ) throws {
        let core = runtime.core
        let definition = try definition.text()
        let target = core.addHandler(handler)
        do {
            try calling {
                try core.engine.serverAdd(
                    server: handle, item: kind, definition: definition, options: options, target: target)
            }
        } catch {
            core.removeHandlers([target])
            throw error
        }
        targets.withLock { $0[Item(kind: kind, key: key)] = target }
    }

    private func remove(_ kind: String, _ key: String) throws -> Bool {
        let removed = try calling { try runtime.core.engine.serverRemove(server: handle, item: kind, key: key) }
        if removed, let target = targets.withLock({ $0.removeValue(forKey: Item(kind: kind, key: key)) }) {
            runtime.core.removeHandlers([target])
        }
        return removed
    }

    /// Removes a tool. False: no such tool.
    @discardableResult
    public func removeTool(_ name: String) throws -> Bool { try remove("tool", name) }

    /// Removes a resource. False: no resource at that URI.
    @discardableResult
    public func removeResource(_ uri: String) throws -> Bool { try remove("resource", uri) }

    /// Removes a resource template. False: no such template.
    @discardableResult
    public func removeResource(template: String) throws -> Bool { try remove("resource_template", template) }

    /// Removes a prompt. False: no such prompt.
    @discardableResult
    public func removePrompt(_ name: String) throws -> Bool { try remove("prompt", name) }

    /// Removes the completion of a prompt's arguments. False: there was none.
    @discardableResult
    public func removeCompletion(prompt name: String) throws -> Bool {
        try remove("completion", Completed.prompt(name).key)
    }

    /// Removes the completion of a resource template's variables. False: there was none.
    @discardableResult
    public func removeCompletion(template: String) throws -> Bool {
        try remove("completion", Completed.template(template).key)
    }
}

/// The origin of an error.
public struct ErrorOrigin: Sendable, Hashable {
    /// `tool`, `resource`, `prompt` or `completion`; `server` for the verifier.
    public var item: String
    /// The item's name, URI or template; `verifier`.
    public var name: String
}

/// A server's HTTP endpoint.
public final class HTTPListener: Sendable {
    /// The address of the endpoint, for example `http://127.0.0.1:8000/mcp`.
    public let url: String
    public let host: String
    public let port: Int

    private let server: Server
    private let operation: UInt64
    private let state: Locked<State>

    private struct State {
        var listening: CheckedContinuation<Address, any Error>?
        var end: Result<Void, any Error>?
        var waiters: [CheckedContinuation<Void, any Error>] = []
        var isClosing = false
    }

    private struct Address: Decodable {
        var url: String
        var host: String
        var port: Int
    }

    init(server: Server, options: String) async throws {
        let state = Locked(State())
        let operation = Locked(UInt64(0))
        let address = try await withCheckedThrowingContinuation { continuation in
            state.withLock { $0.listening = continuation }
            do {
                let id = try server.runtime.core.start(sink: { Self.heard($0, $1, state) }) {
                    try $0.serveHttp(server: server.handle, options: options)
                }
                operation.withLock { $0 = id }
            } catch {
                state.withLock { $0.listening = nil }
                continuation.resume(throwing: error)
            }
        }
        self.server = server
        self.state = state
        self.operation = operation.withLock { $0 }
        url = address.url
        host = address.host
        port = address.port
    }

    private static func heard(_ kind: EventKind, _ payload: String, _ state: Locked<State>) {
        let listening = state.withLock { state in
            defer { state.listening = nil }
            return state.listening
        }
        switch kind {
        case .listening:
            listening?.resume(with: Result { try JSON.decode(Address.self, from: payload) })
        case .result, .error:
            let error = kind == .error ? McpError(payload: payload) : nil
            listening?.resume(throwing: error ?? McpError(.closed, "it was closed before it listened"))
            let (end, waiters) = state.withLock { state in
                let isWanted = error == nil || state.isClosing || error?.kind == .closed
                let end: Result<Void, any Error> = if let error, !isWanted { .failure(error) } else { .success(()) }
                state.end = end
                defer { state.waiters = [] }
                return (end, state.waiters)
            }
            waiters.forEach { $0.resume(with: end) }
        default:
            break
        }
    }

    /// Waits until it has ended; cancelling the task closes it.
    /// - Throws: `McpError` if it ended by a failure.
    public func wait() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let end = state.withLock { state in
                    if state.end == nil { state.waiters.append(continuation) }
                    return state.end
                }
                if let end { continuation.resume(with: end) }
            }
        } onCancel: {
            stop()
        }
    }

    /// Stops listening and waits until that is done. Idempotent.
    public func close() async throws {
        stop()
        try await wait()
    }

    private func stop() {
        let isFirst = state.withLock { state in
            defer { state.isClosing = true }
            return !state.isClosing && state.end == nil
        }
        if isFirst { server.runtime.core.giveUp(operation) }
    }
}
