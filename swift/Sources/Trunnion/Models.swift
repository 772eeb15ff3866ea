import Foundation

/// A type of the protocol: a JSON object with typed members. Members unknown to this version stay in `json`.
public protocol JSONModel: Codable, Sendable, Hashable {
    /// The object as received or as it will be sent.
    var json: [String: JSONValue] { get set }

    init(json: [String: JSONValue])
}

extension JSONModel {
    public init(from decoder: any Decoder) throws {
        self.init(json: try decoder.singleValueContainer().decode([String: JSONValue].self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(json)
    }

    /// Metadata beside the content, by key.
    public var meta: [String: JSONValue]? {
        get { json["_meta"]?.objectValue }
        set { json["_meta"] = newValue.map(JSONValue.object) }
    }

    func optionalMember<T: JSONField>(_ key: String) -> T? { json[key].flatMap(T.init(jsonValue:)) }
    func member<T: JSONField>(_ key: String) -> T { optionalMember(key) ?? .absent }
}

/// A word of the protocol. Some are known and have names; any other is retained.
public protocol JSONChoice: RawRepresentable, Codable, Sendable, Hashable, ExpressibleByStringLiteral
where RawValue == String {
    init(rawValue: String)
}

extension JSONChoice {
    public init(stringLiteral value: String) { self.init(rawValue: value) }
}

/// One item, or a list of them; the distinction is retained.
public enum OneOrMany<Item: JSONModel>: Sendable, Hashable, ExpressibleByArrayLiteral {
    case one(Item)
    case many([Item])

    public init(arrayLiteral elements: Item...) { self = .many(elements) }

    /// All of them.
    public var items: [Item] {
        switch self {
        case .one(let item): [item]
        case .many(let items): items
        }
    }
}

extension Content {
    /// Text.
    public static func text(_ text: String) -> Content { Content(TextContent(text: text)) }

    /// A picture, for example of type `image/png`.
    public static func image(_ data: Data, mimeType: String) -> Content {
        Content(ImageContent(data: data, mimeType: mimeType))
    }

    /// Sound, for example of type `audio/wav`.
    public static func audio(_ data: Data, mimeType: String) -> Content {
        Content(AudioContent(data: data, mimeType: mimeType))
    }

    /// A resource with its contents.
    public static func resource(_ contents: ResourceContents) -> Content {
        Content(EmbeddedResource(resource: contents))
    }

    /// A link to a resource that the reader may fetch.
    public static func link(_ uri: String, name: String, mimeType: String? = nil) -> Content {
        Content(ResourceLink(uri: uri, name: name, mimeType: mimeType))
    }

    /// `text`, `image`, `audio`, `resource`, `resource_link`, or a type of a later revision.
    public var type: String { member("type") }
    /// The text of a text item.
    public var text: String? { optionalMember("text") }
    /// The bytes of an image or audio item.
    public var data: Data? { optionalMember("data") }
    public var mimeType: String? { optionalMember("mimeType") }
    /// The contents of an embedded resource.
    public var resource: ResourceContents? { optionalMember("resource") }
    /// The address of a linked resource.
    public var uri: String? { optionalMember("uri") }
}

extension SamplingContent {
    /// Text.
    public static func text(_ text: String) -> SamplingContent { SamplingContent(TextContent(text: text)) }

    /// The text of a text item.
    public var text: String? { optionalMember("text") }
}

extension ResourceContents {
    public static func text(_ text: String, uri: String, mimeType: String? = nil) -> ResourceContents {
        ResourceContents(uri: uri, mimeType: mimeType, text: text)
    }

    public static func data(_ data: Data, uri: String, mimeType: String? = nil) -> ResourceContents {
        ResourceContents(uri: uri, mimeType: mimeType, data: data)
    }
}

extension PromptArgument {
    public init(_ name: String, _ description: String? = nil, required: Bool? = nil) {
        self.init(name: name, description: description, required: required)
    }
}

extension ToolResult {
    public init(_ content: [Content], structured: JSONValue? = nil, isError: Bool? = nil) {
        self.init(content: content, structuredContent: structured, isError: isError)
    }

    /// All text items, a line break between them.
    public var text: String { content.compactMap(\.text).joined(separator: "\n") }

    /// Decodes the structured content as a custom type.
    /// - Throws: `ToolError` if the tool failed, `DecodingError` if the answer does not fit.
    public func decode<T: Decodable>(as type: T.Type = T.self) throws -> T {
        if isError { throw ToolError(text) }
        return try (structuredContent ?? .null).decode(as: type)
    }
}

extension ReadResult {
    public init(_ contents: [ResourceContents]) { self.init(contents: contents) }

    /// The text of the first contents that have one.
    public var text: String? { contents.lazy.compactMap(\.text).first }
}

extension PromptMessage {
    public static func user(_ content: Content) -> PromptMessage { PromptMessage(role: .user, content: content) }
    public static func user(_ text: String) -> PromptMessage { user(.text(text)) }
    public static func assistant(_ content: Content) -> PromptMessage {
        PromptMessage(role: .assistant, content: content)
    }
    public static func assistant(_ text: String) -> PromptMessage { assistant(.text(text)) }
}

extension PromptResult {
    public init(_ messages: [PromptMessage], description: String? = nil) {
        self.init(messages: messages, description: description)
    }

    /// All text, a line break between messages.
    public var text: String { messages.compactMap(\.content.text).joined(separator: "\n") }
}

/// The result of completing an argument.
public struct CompletionResult: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    /// The values with the facts about them.
    public var completion: CompletionValues { member("completion") }
    public var values: [String] { completion.values }
    /// The total number of values, if the server reports it.
    public var total: Int? { completion.total }
    public var hasMore: Bool { completion.hasMore }
}

/// The severity of a log message, from RFC 5424.
public enum LogLevel: String, Codable, Sendable, Hashable, CaseIterable {
    case debug, info, notice, warning, error, critical, alert, emergency
}

/// A notification from a server to a client.
public struct ServerNotification: Codable, Sendable, Hashable {
    /// `log`, `tools_changed`, `resources_changed`, `prompts_changed`, `resource_updated`,
    /// `elicitation_complete`, or `task_changed` for a task that the client does not follow (its params are a
    /// `TaskState`).
    public var event: String
    public var params: JSONValue?
}

/// The numbers of live handles of a runtime: zero each when all is closed.
public struct LiveCounters: Codable, Sendable, Hashable {
    public var servers: Int
    public var clients: Int
    /// Calls that a handler has not answered yet.
    public var exchanges: Int
    /// Requests, connects and serves that have not ended yet.
    public var operations: Int
    public var connections: Int
    /// Sessions of clients of the legacy era, over HTTP.
    public var sessions: Int
}
