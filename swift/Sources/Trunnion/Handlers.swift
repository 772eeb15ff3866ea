import Foundation
import TrunnionBindings

// Conversion of typed closures to the handlers of items.

extension Server {
    // MARK: Tools

    /// Adds a tool.
    ///
    /// The input type is decoded from the arguments and determines the input schema (see `Schema`). The
    /// return type determines the answer: a `String` is one text item; `Content`, `[Content]` and
    /// `ToolResult` are used unchanged; a type that encodes as an object becomes structured content, with its
    /// own schema; any other value becomes text in JSON.
    ///
    /// Throw a `ToolError` for a failure that the model should read and an `McpError` to answer with a
    /// protocol error. For any other error the caller receives the `LocalizedError` description if there is
    /// one, else only the fact that the tool failed; the server's `onError` receives the error.
    ///
    /// - Parameters:
    ///   - timeout: the time limit, after which the handler's task is cancelled and the caller notified;
    ///     without, there is no limit.
    ///   - asks: the input requests to the client before the handler runs; see `Context.answers`.
    ///   - task: whether calls become tasks.
    ///   - resumable: if the process that works on a task dies, the handler runs again, with its checkpoint,
    ///     the stored values of `once` and the answers so far. Otherwise the task fails.
    ///   - taskTTL: the time for which tasks of this tool are stored; by default that of the server.
    ///   - taskConcurrency: the number of tasks of this tool that one process works on at the same time, at
    ///     least 1; the others wait.
    ///   - scopes: the scopes that a caller's token needs, all of them; otherwise the call is refused before
    ///     the handler runs.
    ///   - visibleTo: the visibility of the tool, which does not exist for other callers.
    ///   - options: the same by the engine's names, and all other options. Parameters take precedence.
    public func tool<Input: Decodable & Sendable, Output: Encodable & Sendable>(
        _ name: String, _ description: String? = nil, title: String? = nil, annotations: ToolAnnotations? = nil,
        inputSchema: Schema = .derived, outputSchema: Schema = .derived, extra: [String: JSONValue] = [:],
        timeout: Duration? = nil, asks: [String: Question] = [:], task: TaskSupport? = nil, resumable: Bool? = nil,
        taskTTL: Duration? = nil, taskConcurrency: Int? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        options: ToolOptions = ToolOptions(),
        handler: @escaping @Sendable (Input, Context) async throws -> Output
    ) throws {
        let schemas = try (input: Self.input(inputSchema, Input.self), output: Self.output(outputSchema, Output.self))
        var definition: OrderedJSON = .object(["name": .value(.string(name))])
        if let title { definition.append("title", .value(.string(title))) }
        if let description { definition.append("description", .value(.string(description))) }
        definition.append("inputSchema", schemas.input)
        if let output = schemas.output { definition.append("outputSchema", output) }
        if let annotations { definition.append("annotations", .value(try JSONValue(encoding: annotations))) }
        definition.append(extra)
        var options = options
        if let task { options.task = task.rawValue }
        options.resumable = resumable ?? options.resumable
        options.taskTtlMs = taskTTL?.wholeMilliseconds ?? options.taskTtlMs
        options.taskConcurrency = taskConcurrency ?? options.taskConcurrency
        let text = try Self.options(options, timeout: timeout, asks: asks, scopes, visibleTo)
        let attempt = Attempt(item: "tool", name: name, onError: onError)
        try add("tool", key: name, definition: definition, options: text) { exchange in
            await attempt.run("the tool \(name)") {
                let input: Input
                do {
                    input = try JSON.decode(Input.self, from: exchange.payload)
                } catch let error as DecodingError {
                    throw ToolError("the arguments do not fit: \(error.reason)")
                }
                return try Answer(tool: try await handler(input, Context(exchange: exchange)))
            }
        }
    }

    /// Adds a tool whose handler needs no context.
    public func tool<Input: Decodable & Sendable, Output: Encodable & Sendable>(
        _ name: String, _ description: String? = nil, title: String? = nil, annotations: ToolAnnotations? = nil,
        inputSchema: Schema = .derived, outputSchema: Schema = .derived, extra: [String: JSONValue] = [:],
        timeout: Duration? = nil, asks: [String: Question] = [:], task: TaskSupport? = nil, resumable: Bool? = nil,
        taskTTL: Duration? = nil, taskConcurrency: Int? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        options: ToolOptions = ToolOptions(),
        handler: @escaping @Sendable (Input) async throws -> Output
    ) throws {
        try tool(
            name, description, title: title, annotations: annotations, inputSchema: inputSchema,
            outputSchema: outputSchema, extra: extra, timeout: timeout, asks: asks, task: task,
            resumable: resumable, taskTTL: taskTTL, taskConcurrency: taskConcurrency, scopes: scopes,
            visibleTo: visibleTo, options: options
        ) { (input: Input, _: Context) in try await handler(input) }
    }

    /// Adds a tool without arguments.
    public func tool<Output: Encodable & Sendable>(
        _ name: String, _ description: String? = nil, title: String? = nil, annotations: ToolAnnotations? = nil,
        outputSchema: Schema = .derived, extra: [String: JSONValue] = [:], timeout: Duration? = nil,
        asks: [String: Question] = [:], task: TaskSupport? = nil, resumable: Bool? = nil,
        taskTTL: Duration? = nil, taskConcurrency: Int? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        options: ToolOptions = ToolOptions(), handler: @escaping @Sendable (Context) async throws -> Output
    ) throws {
        try tool(
            name, description, title: title, annotations: annotations, inputSchema: .none,
            outputSchema: outputSchema, extra: extra, timeout: timeout, asks: asks, task: task,
            resumable: resumable, taskTTL: taskTTL, taskConcurrency: taskConcurrency, scopes: scopes,
            visibleTo: visibleTo, options: options
        ) { (_: JSONValue, context: Context) in try await handler(context) }
    }

    private static func options(
        _ options: ToolOptions = ToolOptions(), timeout: Duration?, asks: [String: Question], _ scopes: [String]?,
        _ visibleTo: Visibility?
    ) throws -> String {
        var rest = options
        rest.timeoutMs = timeout?.limitInMilliseconds ?? rest.timeoutMs
        rest.scopes = scopes ?? rest.scopes
        rest.visibleTo = visibleTo?.json.objectValue ?? rest.visibleTo
        if asks.isEmpty { return try JSON.text(rest) }
        rest.asks = nil
        var all: OrderedJSON = .value(try JSONValue(encoding: rest))
        all.append("asks", Question.json(asks))
        return try all.text()
    }

    private static func input<T: Decodable>(_ schema: Schema, _ type: T.Type) throws -> OrderedJSON {
        switch schema {
        case .none: return .object(["type": .value("object")])
        case .json(let json): return .value(json)
        case .text(let text): return .raw(text)
        case .derived:
            let schema = type == JSONValue.self ? OrderedJSON.object(["type": .value("object")]) : try SchemaProbe.root(type)
            guard case .value(.string("object"))? = schema["type"] else {
                throw SchemaProbe.failure(type, "the arguments of a tool are an object")
            }
            return schema
        }
    }

    private static func output<T>(_ schema: Schema, _ type: T.Type) throws -> OrderedJSON? {
        switch schema {
        case .none: return nil
        case .json(let json): return .value(json)
        case .text(let text): return .raw(text)
        case .derived:
            guard let type = type as? any Decodable.Type, !(type is any JSONModel.Type), type != JSONValue.self else {
                return nil
            }
            let schema = try SchemaProbe.root(type)
            guard case .value(.string("object"))? = schema["type"] else { return nil }
            return schema
        }
    }

    // MARK: Resources

    /// Adds a resource at a fixed URI. The handler returns a `String`, `Data`, a `ReadResult`, or any
    /// encodable value, which becomes JSON. `timeout`, `asks`, `scopes` and `visibleTo` are those of a tool.
    public func resource<Output: Encodable & Sendable>(
        _ uri: String, name: String, title: String? = nil, description: String? = nil, mimeType: String? = nil,
        extra: [String: JSONValue] = [:], timeout: Duration? = nil, asks: [String: Question] = [:],
        scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (Context) async throws -> Output
    ) throws {
        let definition = Self.resource("uri", uri, name, title, description, mimeType, extra)
        let options = try Self.options(timeout: timeout, asks: asks, scopes, visibleTo)
        let attempt = Attempt(item: "resource", name: uri, onError: onError)
        try add("resource", key: uri, definition: definition, options: options) { exchange in
            await attempt.run("the resource") {
                try Answer(resource: try await handler(Context(exchange: exchange)))
            }
        }
    }

    /// Adds a family of resources by an RFC 6570 template such as `doc://{path}`. The handler gets the URI
    /// and the variables; its return types are those of a resource.
    public func resource<Output: Encodable & Sendable>(
        template: String, name: String, title: String? = nil, description: String? = nil, mimeType: String? = nil,
        extra: [String: JSONValue] = [:], timeout: Duration? = nil, asks: [String: Question] = [:],
        scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (ResourceRequest, Context) async throws -> Output
    ) throws {
        let definition = Self.resource("uriTemplate", template, name, title, description, mimeType, extra)
        let options = try Self.options(timeout: timeout, asks: asks, scopes, visibleTo)
        let attempt = Attempt(item: "resource", name: template, onError: onError)
        try add("resource_template", key: template, definition: definition, options: options) { exchange in
            await attempt.run("the resource") {
                let request = try JSON.decode(ResourceRequest.self, from: exchange.payload)
                return try Answer(resource: try await handler(request, Context(exchange: exchange)))
            }
        }
    }

    private static func resource(
        _ key: String, _ uri: String, _ name: String, _ title: String?, _ description: String?, _ mimeType: String?,
        _ extra: [String: JSONValue]
    ) -> OrderedJSON {
        var definition: OrderedJSON = .object([.init(name: key, value: .value(.string(uri)))])
        definition.append("name", .value(.string(name)))
        if let title { definition.append("title", .value(.string(title))) }
        if let description { definition.append("description", .value(.string(description))) }
        if let mimeType { definition.append("mimeType", .value(.string(mimeType))) }
        definition.append(extra)
        return definition
    }

    // MARK: Prompts

    /// Adds a prompt. The input type determines the arguments (all strings), unless `arguments` names them;
    /// the handler returns a `String` (one message of the user), a `PromptMessage`, `[PromptMessage]` or a
    /// `PromptResult`.
    public func prompt<Input: Decodable & Sendable, Output: Encodable & Sendable>(
        _ name: String, _ description: String? = nil, title: String? = nil, arguments: [PromptArgument]? = nil,
        extra: [String: JSONValue] = [:], timeout: Duration? = nil, asks: [String: Question] = [:],
        scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (Input, Context) async throws -> Output
    ) throws {
        var definition: OrderedJSON = .object(["name": .value(.string(name))])
        if let title { definition.append("title", .value(.string(title))) }
        if let description { definition.append("description", .value(.string(description))) }
        definition.append("arguments", .value((try arguments ?? Self.arguments(of: Input.self)).jsonValue))
        definition.append(extra)
        let options = try Self.options(timeout: timeout, asks: asks, scopes, visibleTo)
        let attempt = Attempt(item: "prompt", name: name, onError: onError)
        try add("prompt", key: name, definition: definition, options: options) { exchange in
            await attempt.run("the prompt \(name)") {
                let input: Input
                do {
                    input = try JSON.decode(Input.self, from: exchange.payload)
                } catch let error as DecodingError {
                    throw McpError(.invalidParams, "the arguments do not fit: \(error.reason)")
                }
                return try Answer(prompt: try await handler(input, Context(exchange: exchange)))
            }
        }
    }

    /// Adds a prompt without arguments.
    public func prompt<Output: Encodable & Sendable>(
        _ name: String, _ description: String? = nil, title: String? = nil, extra: [String: JSONValue] = [:],
        timeout: Duration? = nil, asks: [String: Question] = [:], scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (Context) async throws -> Output
    ) throws {
        try prompt(
            name, description, title: title, arguments: [], extra: extra, timeout: timeout, asks: asks, scopes: scopes,
            visibleTo: visibleTo
        ) {
            (_: JSONValue, context: Context) in try await handler(context)
        }
    }

    private static func arguments<T: Decodable>(of type: T.Type) throws -> [PromptArgument] {
        let schema = try SchemaProbe.root(type)
        guard case .object(let properties)? = schema["properties"] else {
            throw McpError(.usage, "\(type) has no properties; name the prompt's arguments")
        }
        var required: [String] = []
        if case .array(let names)? = schema["required"] {
            required = names.compactMap { if case .value(.string(let name)) = $0 { name } else { nil } }
        }
        return try properties.map { property in
            guard case .value(.string("string"))? = property.value["type"] else {
                throw McpError(.usage, "the argument \(property.name) of a prompt must be a string")
            }
            var description: String?
            if case .value(.string(let text))? = property.value["description"] { description = text }
            return PromptArgument(property.name, description, required: required.contains(property.name))
        }
    }

    // MARK: Completions

    /// Completes the arguments of a prompt: the handler returns the values that complete the typed text. They
    /// are visible to the callers that see the prompt; `timeout`, `scopes` and `visibleTo` are those of a
    /// tool.
    public func completion(
        prompt name: String, timeout: Duration? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (CompletionRequest, Context) async throws -> [String]
    ) throws {
        try completion(.prompt(name), timeout, scopes, visibleTo) { try Answer(values: try await handler($0, $1)) }
    }

    /// Completes the arguments of a prompt, and reports the total number of values.
    public func completion(
        prompt name: String, timeout: Duration? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (CompletionRequest, Context) async throws -> CompletionValues
    ) throws {
        try completion(.prompt(name), timeout, scopes, visibleTo) { try Answer(completion: try await handler($0, $1)) }
    }

    /// Completes the variables of a resource template.
    public func completion(
        template: String, timeout: Duration? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (CompletionRequest, Context) async throws -> [String]
    ) throws {
        try completion(.template(template), timeout, scopes, visibleTo) { try Answer(values: try await handler($0, $1)) }
    }

    /// Completes the variables of a resource template, and reports the total number of values.
    public func completion(
        template: String, timeout: Duration? = nil, scopes: [String]? = nil, visibleTo: Visibility? = nil,
        handler: @escaping @Sendable (CompletionRequest, Context) async throws -> CompletionValues
    ) throws {
        try completion(.template(template), timeout, scopes, visibleTo) { try Answer(completion: try await handler($0, $1)) }
    }

    private func completion(
        _ completed: Completed, _ timeout: Duration?, _ scopes: [String]?, _ visibleTo: Visibility?,
        _ handler: @escaping @Sendable (CompletionRequest, Context) async throws -> Answer
    ) throws {
        let options = try Self.options(timeout: timeout, asks: [:], scopes, visibleTo)
        let definition: OrderedJSON = .object(["ref": .value(completed.reference)])
        let attempt = Attempt(item: "completion", name: completed.name, onError: onError)
        try add("completion", key: completed.key, definition: definition, options: options) { exchange in
            await attempt.run("the completion") {
                let request = try JSON.decode(CompletionRequest.self, from: exchange.payload)
                return try await handler(request, Context(exchange: exchange))
            }
        }
    }
}

/// The owner of the completed arguments.
enum Completed {
    case prompt(String)
    case template(String)

    var name: String {
        switch self {
        case .prompt(let name), .template(let name): name
        }
    }

    var reference: JSONValue {
        switch self {
        case .prompt(let name): ["type": "ref/prompt", "name": .string(name)]
        case .template(let uri): ["type": "ref/resource", "uri": .string(uri)]
        }
    }

    /// The engine's key of the completion.
    var key: String {
        switch self {
        case .prompt(let name): "prompt \(name)"
        case .template(let uri): "resource \(uri)"
        }
    }
}

/// The request for a resource of a template.
public struct ResourceRequest: Codable, Sendable, Hashable {
    public var uri: String
    /// The template's variables.
    public var params: [String: JSONValue]

    /// A variable's text; empty when the URI has none.
    public subscript(_ name: String) -> String { params[name]?.stringValue ?? "" }
}

/// The value to complete.
public struct CompletionRequest: Codable, Sendable, Hashable {
    public struct Argument: Codable, Sendable, Hashable {
        public var name: String
        /// The text typed so far.
        public var value: String
    }
    public var argument: Argument
    /// The other arguments that are known already.
    public var arguments: [String: String]?
}

extension Answer {
    init(tool output: some Encodable) throws {
        switch output {
        case let text as String: self.init(outcome: .text, payload: text)
        case let result as ToolResult: self.init(outcome: .result, payload: try JSON.text(result))
        case let content as Content: try self.init(tool: ToolResult([content]))
        case let content as [Content]: try self.init(tool: ToolResult(content))
        default:
            let text = try JSON.text(output)
            self.init(outcome: text.hasPrefix("{") ? .value : .text, payload: text)
        }
    }

    init(resource output: some Encodable) throws {
        switch output {
        case let text as String: self.init(outcome: .text, payload: text)
        case let data as Data: self.init(outcome: .base64, payload: data.base64EncodedString())
        case let result as ReadResult: self.init(outcome: .result, payload: try JSON.text(result))
        default: self.init(outcome: .value, payload: try JSON.text(output))
        }
    }

    init(prompt output: some Encodable) throws {
        switch output {
        case let text as String: self.init(outcome: .text, payload: text)
        case let message as PromptMessage: try self.init(prompt: PromptResult([message]))
        case let messages as [PromptMessage]: try self.init(prompt: PromptResult(messages))
        default: self.init(outcome: .result, payload: try JSON.text(output))
        }
    }

    init(values: [String]) throws {
        self.init(outcome: .value, payload: try JSON.text(values))
    }

    init(completion: CompletionValues) throws {
        self.init(outcome: .result, payload: try JSON.text(["completion": JSONValue.object(completion.json)]))
    }
}

/// Runs one item's handler; an error is its answer too.
struct Attempt: Sendable {
    let origin: ErrorOrigin
    let onError: Server.OnError?

    init(item: String, name: String, onError: Server.OnError?) {
        origin = ErrorOrigin(item: item, name: name)
        self.onError = onError
    }

    func run(_ what: String, _ body: () async throws -> Answer) async -> Answer {
        do {
            return try await body()
        } catch let error as ToolError {
            return Answer(outcome: .toolError, payload: error.message)
        } catch let error as McpError {
            let payload = try? error.completion()
            return Answer(outcome: .error, payload: payload ?? #"{"message":"the error could not be written"}"#)
        } catch {
            // A handler that ends because its call is over has not failed.
            if !(error is CancellationError && Task.isCancelled) { onError?(error, origin) }
            if let described = (error as? any LocalizedError)?.errorDescription {
                return Answer(outcome: .toolError, payload: described)
            }
            // The text of an arbitrary error may contain private data.
            return Answer(outcome: .toolError, payload: "\(what) failed")
        }
    }
}

extension OrderedJSON {
    mutating func append(_ extra: [String: JSONValue]) {
        for (name, value) in extra.sorted(by: { $0.key < $1.key }) { append(name, .value(value)) }
    }
}

extension DecodingError {
    /// The location and the problem, without Swift's own words around them.
    var reason: String {
        let (context, key): (Context, (any CodingKey)?) =
            switch self {
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
                (context, nil)
            case .keyNotFound(let key, let context): (context, key)
            @unknown default: (Context(codingPath: [], debugDescription: "they cannot be decoded"), nil)
            }
        let path = (context.codingPath + (key.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    }
}
