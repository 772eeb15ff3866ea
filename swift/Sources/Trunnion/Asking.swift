import Foundation
import TrunnionBindings

/// An input request to the client: an elicitation of the user, a sampling of the model, or a request for the
/// roots.
public struct Question: Sendable {
    let op: String
    let params: OrderedJSON

    /// The user fills in a form. Its fields have no order; those of a type have one.
    public static func elicit(_ message: String, form: Form) -> Question {
        elicit(message, schema: .value(form.jsonValue))
    }

    /// The user fills in a form with the fields of a type: strings, numbers, truth values and enums.
    /// - Throws: `McpError` of kind `usage` when no schema can be derived from the type.
    public static func elicit<T: Decodable>(
        _ message: String, as type: T.Type, schema: Schema = .derived
    ) throws -> Question {
        switch schema {
        case .derived: elicit(message, schema: try SchemaProbe.root(type))
        case .json(let json): elicit(message, schema: .value(json))
        case .text(let text): elicit(message, schema: .raw(text))
        case .none: throw McpError(.usage, "a form needs a schema")
        }
    }

    /// The user visits a page. The interaction there does not pass through the client.
    /// - Parameter elicitationId: a name for the visit in `Server.notifyElicitationComplete`: unique in the
    ///   server, and the same in every run of the handler. By default the engine generates one if the
    ///   revision requires it (2025-11-25).
    public static func elicit(_ message: String, url: String, elicitationId: String? = nil) -> Question {
        var params: [String: JSONValue] = ["mode": "url", "message": .string(message), "url": .string(url)]
        params["elicitationId"] = elicitationId.map { .string($0) }
        return Question(op: "elicit", params: .value(.object(params)))
    }

    /// The client's model continues a conversation.
    public static func sample(_ request: CreateMessageRequest) -> Question {
        Question(op: "sample", params: .value(request.jsonValue))
    }

    /// The client's model answers a text of the user.
    public static func sample(_ text: String, maxTokens: Int) -> Question {
        sample(CreateMessageRequest(messages: [.user(text)], maxTokens: maxTokens))
    }

    /// The client lists its roots.
    public static let roots = Question(op: "list_roots", params: .object([]))

    private static func elicit(_ message: String, schema: OrderedJSON) -> Question {
        let params: OrderedJSON = .object([
            "mode": .value("form"), "message": .value(.string(message)), "requestedSchema": schema,
        ])
        return Question(op: "elicit", params: params)
    }

    /// The engine's form of the input request.
    var json: OrderedJSON { .object(["op": .value(.string(op)), "params": params]) }

    static func json(_ questions: [String: Question]) -> OrderedJSON {
        .object(questions.sorted { $0.key < $1.key }.map { OrderedJSON.Member(name: $0.key, value: $0.value.json) })
    }
}

/// The answers to input requests, by their keys.
public struct Answers: Codable, Sendable, Hashable {
    /// The answers as received.
    public var json: [String: JSONValue]

    public init(json: [String: JSONValue]) { self.json = json }

    public init(from decoder: any Decoder) throws {
        self.init(json: try decoder.singleValueContainer().decode([String: JSONValue].self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(json)
    }

    /// Returns the result of an elicitation.
    /// - Throws: `McpError` of kind `usage` if there was no request under that key.
    public func elicitation(_ key: String) throws -> ElicitResult { try answer(key) }

    /// Returns the answer of the model.
    /// - Throws: `McpError` of kind `usage` if there was no request under that key.
    public func sample(_ key: String) throws -> CreateMessageResult { try answer(key) }

    /// Returns the client's roots.
    /// - Throws: `McpError` of kind `usage` if there was no request under that key.
    public func roots(_ key: String) throws -> [Root] {
        guard let answer = json[key] else { throw Self.missing(key) }
        return answer["roots"].flatMap([Root].init(jsonValue:)) ?? []
    }

    private func answer<T: JSONField>(_ key: String) throws -> T {
        guard let answer = json[key].flatMap(T.init(jsonValue:)) else { throw Self.missing(key) }
        return answer
    }

    private static func missing(_ key: String) -> McpError { McpError(.usage, "nothing was asked under the key \(key)") }
}

/// The result of a form, with its fields as a custom type.
public struct Elicited<Fields: Decodable & Sendable>: Sendable {
    /// The action: the form was accepted, declined or cancelled.
    public var action: ElicitAction
    /// The fields of an accepted form.
    public var fields: Fields?
}

extension ElicitResult {
    /// Returns the fields of an accepted form as a custom type; nil if it was not accepted.
    /// - Throws: `DecodingError` if they do not fit.
    public func decode<T: Decodable>(as type: T.Type = T.self) throws -> T? {
        guard action == .accept else { return nil }
        return try JSONValue.object(content ?? [:]).decode(as: type)
    }
}

extension SamplingMessage {
    public static func user(_ text: String) -> SamplingMessage { user([.text(text)]) }
    public static func user(_ content: [SamplingContent]) -> SamplingMessage {
        SamplingMessage(role: .user, content: OneOrMany(content))
    }
    public static func assistant(_ text: String) -> SamplingMessage { assistant([.text(text)]) }
    public static func assistant(_ content: [SamplingContent]) -> SamplingMessage {
        SamplingMessage(role: .assistant, content: OneOrMany(content))
    }
}

extension CreateMessageResult {
    /// All text, a line break between the items.
    public var text: String { content.items.compactMap(\.text).joined(separator: "\n") }
}

extension OneOrMany {
    /// A single item is not wrapped in an array, as revisions before 2025-11-25 require.
    init(_ items: [Item]) { self = items.count == 1 ? .one(items[0]) : .many(items) }
}

// Input requests from a handler.
//
// A client of the legacy era gets the request while the handler waits. A client of the modern era cannot: the
// server answers the request with the input requests, the handler's task is cancelled, and when the client
// retries with the answers the handler runs again from its start. So the code before an input request must be
// repeatable; `once` is for everything else.
extension Context {
    /// Elicits a form from the user.
    /// - Parameter key: the key of the answer when the handler runs again. By default it is derived from the
    ///   input request itself, and from the number of identical earlier requests in this run.
    /// - Throws: `McpError` of kind `missing_capability` if the client does not support the request;
    ///   `CancellationError` if this run ends here. Rethrow both.
    public func elicit(_ message: String, form: Form, key: String? = nil) async throws -> ElicitResult {
        try await ask(.elicit(message, form: form), key: key) { try $0.elicitation($1) }
    }

    /// Elicits a form with the fields of a type from the user: strings, numbers, truth values and enums.
    public func elicit<T: Decodable & Sendable>(
        _ message: String, as type: T.Type, schema: Schema = .derived, key: String? = nil
    ) async throws -> Elicited<T> {
        let result = try await ask(.elicit(message, as: type, schema: schema), key: key) { try $0.elicitation($1) }
        do {
            return Elicited(action: result.action, fields: try result.decode(as: type))
        } catch let error as DecodingError {
            throw McpError(.protocol, "the answer does not fit the form: \(error.reason)")
        }
    }

    /// Elicits a visit to a page.
    /// - Parameter elicitationId: as of `Question.elicit(_:url:elicitationId:)`.
    public func elicit(
        _ message: String, url: String, elicitationId: String? = nil, key: String? = nil
    ) async throws -> ElicitResult {
        try await ask(.elicit(message, url: url, elicitationId: elicitationId), key: key) { try $0.elicitation($1) }
    }

    /// Samples the client's model with a conversation.
    /// - Parameters:
    ///   - tools: the tools that the model may use; only for clients with the capability `sampling.tools`.
    ///   - metadata: for the model's provider, in its own format.
    public func sample(
        _ messages: [SamplingMessage], maxTokens: Int, modelPreferences: ModelPreferences? = nil,
        systemPrompt: String? = nil, includeContext: IncludeContext? = nil, temperature: Double? = nil,
        stopSequences: [String]? = nil, metadata: [String: JSONValue]? = nil, tools: [Tool]? = nil,
        toolChoice: ToolChoice? = nil, key: String? = nil
    ) async throws -> CreateMessageResult {
        let request = CreateMessageRequest(
            messages: messages, maxTokens: maxTokens, modelPreferences: modelPreferences, systemPrompt: systemPrompt,
            includeContext: includeContext, temperature: temperature, stopSequences: stopSequences,
            metadata: metadata, tools: tools, toolChoice: toolChoice)
        return try await ask(.sample(request), key: key) { try $0.sample($1) }
    }

    /// Samples the client's model with a text of the user.
    public func sample(_ text: String, maxTokens: Int, key: String? = nil) async throws -> CreateMessageResult {
        try await sample([.user(text)], maxTokens: maxTokens, key: key)
    }

    /// Lists the client's roots.
    public func listRoots(key: String? = nil) async throws -> [Root] {
        try await ask(.roots, key: key) { try $0.roots($1) }
    }

    /// Sends several input requests together. The client gets them at once, which separate requests in
    /// parallel tasks do not ensure.
    public func ask(_ questions: [String: Question]) async throws -> Answers {
        let (exchange, asked) = (exchange.id, try Question.json(questions).text())
        do {
            let answers = try await self.exchange.core.run {
                try $0.request(client: exchange, op: "ask", params: asked, options: "{}")
            }
            return try JSON.decode(Answers.self, from: answers)
        } catch let error as McpError where error.kind == .cancelled {
            throw CancellationError()
        }
    }

    /// Runs something once, also if the handler runs again: the returned value is stored with the call, and
    /// later runs get it. In a task the value outlives the process, and is stored when this returns.
    /// - Parameter key: a name within this call.
    /// - Throws: the error of `body`, which is not stored; `McpError` of kind `limit` if the call stores too
    ///   much.
    public func once<T: Codable & Sendable>(_ key: String, _ body: () async throws -> T) async throws -> T {
        let now = try request
        if let known = now.memory?[key] { return try known.decode() }
        let value = try await body()
        let text = try JSON.text(value)
        if now.task != nil {
            try await keep("store", .object(["key": .value(.string(key)), "value": .raw(text)]))
            return value
        }
        if !(try calling { try exchange.core.engine.remember(id: exchange.id, key: key, value: text) }) {
            throw CancellationError()
        }
        return value
    }

    /// The answers to the input requests of the option `asks`, from before the handler ran.
    public var answers: Answers {
        get throws { try request.answers ?? Answers(json: [:]) }
    }

    /// Closes the response stream of this call; the call continues, and the client reconnects for the rest.
    /// That saves a connection during long work.
    /// - Returns: false if there is no such stream; only calls over HTTP in the legacy era have one.
    @discardableResult
    public func closeStream() throws -> Bool {
        try calling { try exchange.core.engine.closeStream(id: exchange.id) }
    }

    private func ask<T>(_ question: Question, key: String?, _ read: (Answers, String) throws -> T) async throws -> T {
        let key = try key ?? exchange.core.key(for: question.json.text(), in: exchange.id)
        return try read(await ask([key: question]), key)
    }
}

/// Returns a key for an input request that is the same in every run, independent of the order in which tasks
/// send theirs.
/// - Parameter before: the number of identical earlier requests in this run.
func questionKey(_ question: String, before: Int) -> String {
    // FNV-1a: Swift's own hashes differ from process to process, and the next run may be in another one.
    let hash = question.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    let name = "q" + String(hash, radix: 16)
    return before == 0 ? name : "\(name).\(before + 1)"
}
