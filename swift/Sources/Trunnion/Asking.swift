import Foundation
import TrunnionBindings

/// A question to the client: to the person who uses it, to its model, or about its roots.
public struct Question: Sendable {
    let op: String
    let params: OrderedJSON

    /// The person fills in a form. Its fields keep no order; those of a type do.
    public static func elicit(_ message: String, form: Form) -> Question {
        elicit(message, schema: .value(form.jsonValue))
    }

    /// The person fills in a form with the fields of a type: strings, numbers, truth values and enums.
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

    /// The person visits a page. What happens there does not go through the client.
    /// - Parameter elicitationId: names the visit for `Server.notifyElicitationComplete`: unique in the server, and the
    ///   same in every run of the handler. Without one the engine makes one up where the revision wants it (2025-11-25).
    public static func elicit(_ message: String, url: String, elicitationId: String? = nil) -> Question {
        var params: [String: JSONValue] = ["mode": "url", "message": .string(message), "url": .string(url)]
        params["elicitationId"] = elicitationId.map { .string($0) }
        return Question(op: "elicit", params: .value(.object(params)))
    }

    /// The client's model goes on with a conversation.
    public static func sample(_ request: CreateMessageRequest) -> Question {
        Question(op: "sample", params: .value(request.jsonValue))
    }

    /// The client's model answers a text of the user's.
    public static func sample(_ text: String, maxTokens: Int) -> Question {
        sample(CreateMessageRequest(messages: [.user(text)], maxTokens: maxTokens))
    }

    /// The client tells its roots.
    public static let roots = Question(op: "list_roots", params: .object([]))

    private static func elicit(_ message: String, schema: OrderedJSON) -> Question {
        let params: OrderedJSON = .object([
            "mode": .value("form"), "message": .value(.string(message)), "requestedSchema": schema,
        ])
        return Question(op: "elicit", params: params)
    }

    /// What the engine takes.
    var json: OrderedJSON { .object(["op": .value(.string(op)), "params": params]) }

    static func json(_ questions: [String: Question]) -> OrderedJSON {
        .object(questions.sorted { $0.key < $1.key }.map { OrderedJSON.Member(name: $0.key, value: $0.value.json) })
    }
}

/// The answers to questions, by the keys of these.
public struct Answers: Codable, Sendable, Hashable {
    /// As they came.
    public var json: [String: JSONValue]

    public init(json: [String: JSONValue]) { self.json = json }

    public init(from decoder: any Decoder) throws {
        self.init(json: try decoder.singleValueContainer().decode([String: JSONValue].self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(json)
    }

    /// What the person did with a question.
    /// - Throws: `McpError` of kind `usage` when nothing was asked under that key.
    public func elicitation(_ key: String) throws -> ElicitResult { try answer(key) }

    /// What the model said.
    /// - Throws: `McpError` of kind `usage` when nothing was asked under that key.
    public func sample(_ key: String) throws -> CreateMessageResult { try answer(key) }

    /// The client's roots.
    /// - Throws: `McpError` of kind `usage` when nothing was asked under that key.
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

/// What the person did with a form, its fields as a type of your own.
public struct Elicited<Fields: Decodable & Sendable>: Sendable {
    /// Whether the form was accepted, declined or put away.
    public var action: ElicitAction
    /// The fields of an accepted form.
    public var fields: Fields?
}

extension ElicitResult {
    /// The fields of an accepted form as a type of your own; nil when it was not accepted.
    /// - Throws: `DecodingError` when they do not fit.
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
    /// A single item stands for itself, as revisions before 2025-11-25 want it.
    init(_ items: [Item]) { self = items.count == 1 ? .one(items[0]) : .many(items) }
}

// Asking from a handler.
//
// A client of the legacy era is asked while the handler waits. A client of the modern era cannot be: the request is
// answered with the questions, the handler's task is cancelled, and when the client comes back with the answers the
// handler runs again from its start. So what comes before a question must bear to be done again; `once` is for the rest.
extension Context {
    /// Ask the person to fill in a form.
    /// - Parameter key: what the answer is found under when the handler is run again. Without one it is made of the
    ///   question itself, and of how often that was asked before in this run.
    /// - Throws: `McpError` of kind `missing_capability` when the client cannot be asked this; `CancellationError` when
    ///   this run ends here. In both cases let it through.
    public func elicit(_ message: String, form: Form, key: String? = nil) async throws -> ElicitResult {
        try await ask(.elicit(message, form: form), key: key) { try $0.elicitation($1) }
    }

    /// Ask the person to fill in a form with the fields of a type: strings, numbers, truth values and enums.
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

    /// Ask the person to visit a page.
    /// - Parameter elicitationId: as of `Question.elicit(_:url:elicitationId:)`.
    public func elicit(
        _ message: String, url: String, elicitationId: String? = nil, key: String? = nil
    ) async throws -> ElicitResult {
        try await ask(.elicit(message, url: url, elicitationId: elicitationId), key: key) { try $0.elicitation($1) }
    }

    /// Have the client's model go on with a conversation.
    /// - Parameters:
    ///   - tools: what the model may use; only for clients with the capability `sampling.tools`.
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

    /// Have the client's model answer a text of the user's.
    public func sample(_ text: String, maxTokens: Int, key: String? = nil) async throws -> CreateMessageResult {
        try await sample([.user(text)], maxTokens: maxTokens, key: key)
    }

    /// The client's roots.
    public func listRoots(key: String? = nil) async throws -> [Root] {
        try await ask(.roots, key: key) { try $0.roots($1) }
    }

    /// Ask several things together. The client gets them at once, which questions asked beside each other in tasks
    /// of their own do not ensure.
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

    /// Run something once, also when the handler is run again: what it returned is kept with the call and returned
    /// from then on. In a task it is stored, where it outlives the process, when this returns.
    /// - Parameter key: names it within this call.
    /// - Throws: what `body` throws, which is not kept; `McpError` of kind `limit` when the call keeps too much.
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

    /// The answers to what the option `asks` asked before the handler ran.
    public var answers: Answers {
        get throws { try request.answers ?? Answers(json: [:]) }
    }

    /// Close the response stream of this call; the call goes on, and the client comes back for the rest. That spares a
    /// connection while the work takes long.
    /// - Returns: false where there is no such stream, as everywhere but over HTTP in the legacy era.
    @discardableResult
    public func closeStream() throws -> Bool {
        try calling { try exchange.core.engine.closeStream(id: exchange.id) }
    }

    private func ask<T>(_ question: Question, key: String?, _ read: (Answers, String) throws -> T) async throws -> T {
        let key = try key ?? exchange.core.key(for: question.json.text(), in: exchange.id)
        return try read(await ask([key: question]), key)
    }
}

/// A name for a question that is the same in every run, whatever the order in which tasks ask theirs.
/// - Parameter before: how often the same was asked before in this run.
func questionKey(_ question: String, before: Int) -> String {
    // FNV-1a: Swift's own hashes differ from process to process, and the next run may come in another one.
    let hash = question.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    let name = "q" + String(hash, radix: 16)
    return before == 0 ? name : "\(name).\(before + 1)"
}
