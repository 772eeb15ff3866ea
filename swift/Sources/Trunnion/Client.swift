import Foundation
import TrunnionBindings

/// A connection to an MCP server.
///
///     let client = try await Client(.url("http://127.0.0.1:8000/mcp"))
///     let sum: AddOutput = try await client.callTool("add", ["a": 2, "b": 3]).decode()
///     await client.close()
///
/// All methods may be called concurrently. Cancelling the task of a call cancels the call at the server too,
/// and the call throws `CancellationError`. Failures throw `McpError`.
public final class Client: Sendable {
    /// The target of a client.
    public enum Target: Sendable {
        /// Streamable HTTP.
        case url(String)
        /// A program to start, with the protocol on its standard streams. It ends with the client.
        case command([String], environment: [String: String]? = nil, directory: String? = nil)
        /// A server of this program. Client and server share its engine.
        case server(Server)
    }

    /// The engine of the client.
    public let runtime: Runtime
    /// The server's description of itself from the handshake.
    public let serverInfo: JSONValue
    let handle: UInt64
    private let ownsRuntime: Bool
    private let hub: Hub
    /// Retained so that a server of this program lives as long as its clients.
    private let server: Server?

    /// Connects.
    /// - Parameters:
    ///   - handlers: the handlers for requests of the server.
    ///   - auth: sign-in for a server over HTTP that requires authorization; without it, a refusal is an
    ///     error.
    ///   - runtime: an engine to share; without one the client makes its own.
    /// - Throws: `McpError` of kind `transport`, `timeout`, `unsupported_version` and so on.
    public init(
        _ target: Target, options: ConnectOptions = ConnectOptions(), handlers: ClientHandlers = ClientHandlers(),
        auth: Auth? = nil, runtime: Runtime? = nil
    ) async throws {
        var server: Server?
        let description: JSONValue
        switch target {
        case .url(let url):
            description = ["url": .string(url)]
        case .command(let command, let environment, let directory):
            var fields: [String: JSONValue] = ["command": .array(command.map(JSONValue.string))]
            fields["env"] = environment.map { .object($0.mapValues(JSONValue.string)) }
            fields["cwd"] = directory.map(JSONValue.string)
            description = .object(fields)
        case .server(let local):
            if let runtime, runtime !== local.runtime {
                throw McpError(.usage, "an in-process client runs on the engine of its server")
            }
            server = local
            description = ["server": .int(Int(local.handle))]
        }
        let targetText = try JSON.text(description)
        var declared = handlers.declared(in: options)
        if let auth { declared.auth = try auth.option }
        let optionsText = try JSON.text(declared)
        let answerer = Auth.answerer(with: handlers.answerer, signingIn: auth?.answerer)
        let shared = server?.runtime ?? runtime
        let connected = try shared ?? Runtime()
        let hub = Hub(onStderr: handlers.onStderr)
        let handle = Locked(UInt64(0))
        let info = try await connected.core.run(client: hub.heard, answerer: answerer, handle: handle) {
            try $0.connect(target: targetText, options: optionsText)
        }
        self.handle = handle.withLock { $0 }
        self.hub = hub
        self.server = server
        self.runtime = connected
        ownsRuntime = shared == nil
        serverInfo = try JSON.decode(JSONValue.self, from: info)
    }

    deinit {
        // It throws only after a panic in the engine, when the connection has ended already.
        try? runtime.core.engine.clientClose(client: handle)
    }

    /// Disconnects. Pending calls fail with kind `closed`. Idempotent.
    public func close() async {
        // As in deinit.
        try? runtime.core.engine.clientClose(client: handle)
        await hub.whenClosed()
        if ownsRuntime { await runtime.close() }
    }

    /// The notifications of the server, from now on, until the connection ends. A reader that falls behind by
    /// more than 256 notifications loses the oldest ones.
    public var notifications: AsyncStream<ServerNotification> { hub.stream() }

    // MARK: Requests

    /// Sends one request to the server.
    func request(
        _ op: Op, _ params: some Encodable, options: RequestOptions,
        progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> String {
        var options = options
        guard let progress else {
            return try await send(op, JSON.text(params), JSON.text(options))
        }
        options.progress = true
        let (updates, feed) = AsyncStream.makeStream(of: ProgressUpdate.self, bufferingPolicy: .bufferingNewest(256))
        async let delivered: Void = {
            for await update in updates { await progress(update) }
        }()
        let result: Result<String, any Error>
        do {
            result = .success(
                try await send(op, JSON.text(params), JSON.text(options)) { kind, payload in
                    guard kind == .progress, let update = try? JSON.decode(ProgressUpdate.self, from: payload) else {
                        return
                    }
                    feed.yield(update)
                })
        } catch {
            result = .failure(error)
        }
        feed.finish()
        await delivered
        return try result.get()
    }

    private func send(_ op: Op, _ params: String, _ options: String, on event: EventSink? = nil) async throws -> String {
        let client = handle
        return try await runtime.core.run(on: event) {
            try $0.request(client: client, op: op.rawValue, params: params, options: options)
        }
    }

    func ask<T: Decodable>(
        _ op: Op, _ params: [String: JSONValue] = [:], options: RequestOptions,
        progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> T {
        let text = try await request(op, params, options: options, progress: progress)
        do {
            return try JSON.decode(T.self, from: text)
        } catch let error as DecodingError {
            throw McpError(.protocol, "the server's answer cannot be read: \(error.reason)")
        }
    }

    /// Requests the server's description of itself and its capabilities.
    public func discover(options: RequestOptions = RequestOptions()) async throws -> JSONValue {
        try await ask(.discover, options: options)
    }

    /// Calls a tool.
    /// - Parameters:
    ///   - arguments: any value that encodes as an object.
    ///   - progress: receives the progress reports of the call; all of them before the call returns. If it
    ///     falls behind by more than 256 reports, the oldest are dropped.
    /// - Returns: the tool's answer. A tool that failed answers with `isError`; it does not throw. If the
    ///   server makes a task of the call, the client follows it to its end: its status messages are progress,
    ///   and cancelling the call cancels it.
    public func callTool(
        _ name: String, _ arguments: some Encodable & Sendable, options: RequestOptions = RequestOptions(),
        progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> ToolResult {
        let arguments = try (arguments as? JSONValue) ?? JSONValue(encoding: arguments)
        return try await call(name, arguments, options, progress)
    }

    /// Calls a tool with arguments as a literal, or with none.
    public func callTool(
        _ name: String, _ arguments: JSONValue = [:], options: RequestOptions = RequestOptions(),
        progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> ToolResult {
        try await call(name, arguments, options, progress)
    }

    private func call(
        _ name: String, _ arguments: JSONValue, _ options: RequestOptions,
        _ progress: (@Sendable (ProgressUpdate) async -> Void)?
    ) async throws -> ToolResult {
        if options.task == true { throw McpError(.usage, "a call that does not wait for its result is startTask") }
        let params: [String: JSONValue] = ["name": .string(name), "arguments": arguments]
        return try await ask(.callTool, params, options: options, progress: progress)
    }

    /// Reads a resource. `progress` is that of `callTool`.
    public func readResource(
        _ uri: String, options: RequestOptions = RequestOptions(), progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> ReadResult {
        try await ask(.readResource, ["uri": .string(uri)], options: options, progress: progress)
    }

    /// Gets a prompt. `progress` is that of `callTool`.
    public func getPrompt(
        _ name: String, _ arguments: [String: String] = [:], options: RequestOptions = RequestOptions(),
        progress: (@Sendable (ProgressUpdate) async -> Void)? = nil
    ) async throws -> PromptResult {
        let params: [String: JSONValue] = [
            "name": .string(name), "arguments": .object(arguments.mapValues(JSONValue.string)),
        ]
        return try await ask(.getPrompt, params, options: options, progress: progress)
    }

    /// Requests the values of a prompt's argument that complete the typed text.
    public func complete(
        prompt name: String, argument: String, value: String, arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws -> CompletionResult {
        try await complete(["type": "ref/prompt", "name": .string(name)], argument, value, arguments, options)
    }

    /// Requests the values of a resource template's variable that complete the typed text.
    public func complete(
        template: String, argument: String, value: String, arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws -> CompletionResult {
        try await complete(["type": "ref/resource", "uri": .string(template)], argument, value, arguments, options)
    }

    private func complete(
        _ reference: JSONValue, _ argument: String, _ value: String, _ arguments: [String: String],
        _ options: RequestOptions
    ) async throws -> CompletionResult {
        var params: [String: JSONValue] = [
            "ref": reference, "argument": ["name": .string(argument), "value": .string(value)],
        ]
        if !arguments.isEmpty {
            params["context"] = ["arguments": .object(arguments.mapValues(JSONValue.string))]
        }
        return try await ask(.complete, params, options: options)
    }

    /// Pings the server.
    public func ping(options: RequestOptions = RequestOptions()) async throws {
        _ = try await request(.ping, [String: JSONValue](), options: options)
    }

    // MARK: Lists

    /// The server's tools, page by page as they are read.
    public var tools: Paged<Tool> { tools(options: RequestOptions()) }
    /// The server's tools; each page request uses these options.
    public func tools(options: RequestOptions) -> Paged<Tool> {
        Paged(client: self, op: .listTools, key: "tools", options: options)
    }
    /// All tools of the server.
    public func listTools(options: RequestOptions = RequestOptions()) async throws -> [Tool] {
        try await tools(options: options).all()
    }

    /// The server's resources, page by page as they are read.
    public var resources: Paged<Resource> { resources(options: RequestOptions()) }
    /// The server's resources; each page request uses these options.
    public func resources(options: RequestOptions) -> Paged<Resource> {
        Paged(client: self, op: .listResources, key: "resources", options: options)
    }
    /// All resources of the server.
    public func listResources(options: RequestOptions = RequestOptions()) async throws -> [Resource] {
        try await resources(options: options).all()
    }

    /// The server's resource templates, page by page as they are read.
    public var resourceTemplates: Paged<ResourceTemplate> { resourceTemplates(options: RequestOptions()) }
    /// The server's resource templates; each page request uses these options.
    public func resourceTemplates(options: RequestOptions) -> Paged<ResourceTemplate> {
        Paged(client: self, op: .listResourceTemplates, key: "resourceTemplates", options: options)
    }
    /// All resource templates of the server.
    public func listResourceTemplates(options: RequestOptions = RequestOptions()) async throws -> [ResourceTemplate] {
        try await resourceTemplates(options: options).all()
    }

    /// The server's prompts, page by page as they are read.
    public var prompts: Paged<Prompt> { prompts(options: RequestOptions()) }
    /// The server's prompts; each page request uses these options.
    public func prompts(options: RequestOptions) -> Paged<Prompt> {
        Paged(client: self, op: .listPrompts, key: "prompts", options: options)
    }
    /// All prompts of the server.
    public func listPrompts(options: RequestOptions = RequestOptions()) async throws -> [Prompt] {
        try await prompts(options: options).all()
    }
}

/// A list from the server, fetched page by page while it is iterated.
public struct Paged<Element: JSONModel>: AsyncSequence, Sendable {
    let client: Client
    let op: Op
    let key: String
    let options: RequestOptions

    /// Returns all elements of all pages, of which there are at most 1000. `totalMs` of the options limits
    /// all of them together. A list that does not end is an error, which has the entries so far in its
    /// `data`.
    public func all() async throws -> [Element] {
        var options = options
        options.all = true
        return try await page(options: options).elements
    }

    /// Returns one page. Pass nil for the first one, then the returned `next` until that is nil.
    /// - Parameter options: used instead of those of the list.
    public func page(
        after cursor: String? = nil, options: RequestOptions? = nil
    ) async throws -> (elements: [Element], next: String?) {
        var params: [String: JSONValue] = [:]
        params["cursor"] = cursor.map(JSONValue.string)
        let text = try await client.request(op, params, options: options ?? self.options)
        guard let result = try? JSON.decode(JSONValue.self, from: text), let list = result[key]?.arrayValue else {
            throw McpError(.protocol, "the server's answer has no list \"\(key)\"")
        }
        return (list.map { Element(json: $0.objectValue ?? [:]) }, result["nextCursor"]?.stringValue)
    }

    public func makeAsyncIterator() -> Iterator { Iterator(pages: self) }

    /// Reads the next page when the last one is exhausted.
    public struct Iterator: AsyncIteratorProtocol {
        let pages: Paged
        private var elements: ArraySlice<Element> = []
        private var next: String?
        private var isFirst = true
        private var seen: Set<String> = []
        private var failure: McpError?

        init(pages: Paged) { self.pages = pages }

        public mutating func next() async throws -> Element? {
            while elements.isEmpty {
                if let failure { throw failure }
                guard isFirst || next != nil else { return nil }
                isFirst = false
                let page = try await pages.page(after: next)
                elements = page.elements[...]
                next = page.next == "" ? nil : page.next
                if let next, !seen.insert(next).inserted {
                    // Thrown after the elements so far.
                    failure = McpError(.protocol, "the server's list has no end: it gave the cursor \"\(next)\" twice")
                }
            }
            return elements.removeFirst()
        }
    }
}

/// Distributes a client's notifications to its readers, and records the end of the connection.
private final class Hub: Sendable {
    private let state = Locked(State())
    private let onStderr: (@Sendable (String) -> Void)?

    init(onStderr: (@Sendable (String) -> Void)?) {
        self.onStderr = onStderr
    }

    private struct State {
        var readers: [Int: AsyncStream<ServerNotification>.Continuation] = [:]
        var lastReader = 0
        var isClosed = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    func heard(_ kind: EventKind, _ payload: String) {
        switch kind {
        case .notification:
            guard let notification = try? JSON.decode(ServerNotification.self, from: payload) else { return }
            if notification.event == "stderr", let onStderr, let line = notification.params?["line"]?.stringValue {
                onStderr(line)
            }
            state.withLock { $0.readers.values.forEach { $0.yield(notification) } }
        case .closed:
            let (readers, waiters) = state.withLock { state in
                state.isClosed = true
                defer {
                    state.readers = [:]
                    state.waiters = []
                }
                return (state.readers, state.waiters)
            }
            readers.values.forEach { $0.finish() }
            waiters.forEach { $0.resume() }
        default:
            break
        }
    }

    func stream() -> AsyncStream<ServerNotification> {
        AsyncStream(bufferingPolicy: .bufferingNewest(256)) { continuation in
            let reader = state.withLock { state in
                guard !state.isClosed else { return Int?.none }
                state.lastReader += 1
                state.readers[state.lastReader] = continuation
                return state.lastReader
            }
            guard let reader else { return continuation.finish() }
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { _ = $0.readers.removeValue(forKey: reader) }
            }
        }
    }

    func whenClosed() async {
        await withCheckedContinuation { continuation in
            let isClosed = state.withLock { state in
                if !state.isClosed { state.waiters.append(continuation) }
                return state.isClosed
            }
            if isClosed { continuation.resume() }
        }
    }
}
