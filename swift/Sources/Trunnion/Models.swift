import Foundation

/// A type of the protocol: a JSON object with typed accessors. What this version does not know stays in `json`.
public protocol JSONModel: Codable, Sendable, Hashable {
    /// The object as it was or will be on the wire.
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

    func text(_ key: String) -> String { json[key]?.stringValue ?? "" }
    func list<T: JSONModel>(_ key: String) -> [T] {
        (json[key]?.arrayValue ?? []).map { T(json: $0.objectValue ?? [:]) }
    }
}

extension Sequence where Element: JSONModel {
    var jsonValue: JSONValue { .array(map { .object($0.json) }) }
}

/// A tool as a server lists it.
public struct Tool: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public var name: String { text("name") }
    public var title: String? { json["title"]?.stringValue }
    public var description: String? { json["description"]?.stringValue }
    /// The JSON Schema of the arguments.
    public var inputSchema: JSONValue { json["inputSchema"] ?? [:] }
    /// The JSON Schema of the structured content, if the tool tells.
    public var outputSchema: JSONValue? { json["outputSchema"] }
    public var annotations: ToolAnnotations? { json["annotations"].flatMap { try? $0.decode() } }
}

/// Hints on what a tool does. None of them is a promise.
public struct ToolAnnotations: Codable, Sendable, Hashable {
    public var title: String?
    /// It changes nothing.
    public var readOnlyHint: Bool?
    /// It may destroy something.
    public var destructiveHint: Bool?
    /// Calling it twice with the same arguments is the same as once.
    public var idempotentHint: Bool?
    /// It deals with the world outside.
    public var openWorldHint: Bool?

    public init(
        title: String? = nil, readOnlyHint: Bool? = nil, destructiveHint: Bool? = nil,
        idempotentHint: Bool? = nil, openWorldHint: Bool? = nil
    ) {
        self.title = title
        self.readOnlyHint = readOnlyHint
        self.destructiveHint = destructiveHint
        self.idempotentHint = idempotentHint
        self.openWorldHint = openWorldHint
    }
}

/// A resource as a server lists it.
public struct Resource: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public var uri: String { text("uri") }
    public var name: String { text("name") }
    public var title: String? { json["title"]?.stringValue }
    public var description: String? { json["description"]?.stringValue }
    public var mimeType: String? { json["mimeType"]?.stringValue }
    /// In bytes.
    public var size: Int? { json["size"]?.intValue }
}

/// A family of resources as a server lists it.
public struct ResourceTemplate: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    /// RFC 6570, for example `doc://{path}`.
    public var uriTemplate: String { text("uriTemplate") }
    public var name: String { text("name") }
    public var title: String? { json["title"]?.stringValue }
    public var description: String? { json["description"]?.stringValue }
    public var mimeType: String? { json["mimeType"]?.stringValue }
}

/// A prompt as a server lists it.
public struct Prompt: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public var name: String { text("name") }
    public var title: String? { json["title"]?.stringValue }
    public var description: String? { json["description"]?.stringValue }
    public var arguments: [PromptArgument] { list("arguments") }
}

/// One argument of a prompt.
public struct PromptArgument: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(_ name: String, _ description: String? = nil, required: Bool? = nil) {
        json = ["name": .string(name)]
        json["description"] = description.map(JSONValue.string)
        json["required"] = required.map(JSONValue.bool)
    }

    public var name: String { text("name") }
    public var description: String? { json["description"]?.stringValue }
    public var required: Bool { json["required"]?.boolValue ?? false }
}

/// One piece of what a tool answers or a prompt says.
public struct Content: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    /// Text.
    public static func text(_ text: String) -> Content {
        Content(json: ["type": "text", "text": .string(text)])
    }

    /// A picture, for example of type `image/png`.
    public static func image(_ data: Data, mimeType: String) -> Content {
        Content(json: [
            "type": "image", "data": .string(data.base64EncodedString()), "mimeType": .string(mimeType),
        ])
    }

    /// Sound, for example of type `audio/wav`.
    public static func audio(_ data: Data, mimeType: String) -> Content {
        Content(json: [
            "type": "audio", "data": .string(data.base64EncodedString()), "mimeType": .string(mimeType),
        ])
    }

    /// A resource with its contents.
    public static func resource(_ contents: ResourceContents) -> Content {
        Content(json: ["type": "resource", "resource": .object(contents.json)])
    }

    /// A resource to be read by whoever wants it.
    public static func link(_ uri: String, name: String, mimeType: String? = nil) -> Content {
        var json: [String: JSONValue] = ["type": "resource_link", "uri": .string(uri), "name": .string(name)]
        json["mimeType"] = mimeType.map(JSONValue.string)
        return Content(json: json)
    }

    /// `text`, `image`, `audio`, `resource`, `resource_link`, or what a later revision adds.
    public var type: String { text("type") }
    /// The text of a text item.
    public var text: String? { json["text"]?.stringValue }
    /// The bytes of an image or audio item.
    public var data: Data? { json["data"]?.stringValue.flatMap { Data(base64Encoded: $0) } }
    public var mimeType: String? { json["mimeType"]?.stringValue }
    /// The contents of an embedded resource.
    public var resource: ResourceContents? { json["resource"]?.objectValue.map(ResourceContents.init(json:)) }
    /// The address of a linked resource.
    public var uri: String? { json["uri"]?.stringValue }
}

/// The contents of a resource: text or bytes.
public struct ResourceContents: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public static func text(_ text: String, uri: String, mimeType: String? = nil) -> ResourceContents {
        ResourceContents(uri: uri, mimeType: mimeType, field: "text", value: text)
    }

    public static func data(_ data: Data, uri: String, mimeType: String? = nil) -> ResourceContents {
        ResourceContents(uri: uri, mimeType: mimeType, field: "blob", value: data.base64EncodedString())
    }

    private init(uri: String, mimeType: String?, field: String, value: String) {
        json = ["uri": .string(uri), field: .string(value)]
        json["mimeType"] = mimeType.map(JSONValue.string)
    }

    public var uri: String { text("uri") }
    public var mimeType: String? { json["mimeType"]?.stringValue }
    public var text: String? { json["text"]?.stringValue }
    public var data: Data? { json["blob"]?.stringValue.flatMap { Data(base64Encoded: $0) } }
}

/// What a tool answers.
public struct ToolResult: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(_ content: [Content], structured: JSONValue? = nil, isError: Bool? = nil) {
        json = ["content": content.jsonValue]
        json["structuredContent"] = structured
        json["isError"] = isError.map(JSONValue.bool)
    }

    public var content: [Content] { list("content") }
    public var structuredContent: JSONValue? { json["structuredContent"] }
    /// The tool failed; `text` says why.
    public var isError: Bool { json["isError"]?.boolValue ?? false }
    /// All text items, a line break between them.
    public var text: String { content.compactMap(\.text).joined(separator: "\n") }

    /// The structured content as a type of your own.
    /// - Throws: `ToolError` when the tool failed, `DecodingError` when the answer does not fit.
    public func decode<T: Decodable>(as type: T.Type = T.self) throws -> T {
        if isError { throw ToolError(text) }
        return try (structuredContent ?? .null).decode(as: type)
    }
}

/// What reading a resource gives.
public struct ReadResult: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(_ contents: [ResourceContents]) { json = ["contents": contents.jsonValue] }

    public var contents: [ResourceContents] { list("contents") }
    /// The text of the first contents that have one.
    public var text: String? { contents.lazy.compactMap(\.text).first }
}

/// One message of a prompt.
public struct PromptMessage: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(role: String, _ content: Content) {
        json = ["role": .string(role), "content": .object(content.json)]
    }

    public static func user(_ content: Content) -> PromptMessage { PromptMessage(role: "user", content) }
    public static func user(_ text: String) -> PromptMessage { user(.text(text)) }
    public static func assistant(_ content: Content) -> PromptMessage { PromptMessage(role: "assistant", content) }
    public static func assistant(_ text: String) -> PromptMessage { assistant(.text(text)) }

    public var role: String { text("role") }
    public var content: Content { Content(json: json["content"]?.objectValue ?? [:]) }
}

/// What a prompt gives.
public struct PromptResult: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    public init(_ messages: [PromptMessage], description: String? = nil) {
        json = ["messages": messages.jsonValue]
        json["description"] = description.map(JSONValue.string)
    }

    public var description: String? { json["description"]?.stringValue }
    public var messages: [PromptMessage] { list("messages") }
    /// All text, a line break between messages.
    public var text: String { messages.compactMap(\.content.text).joined(separator: "\n") }
}

/// What completing an argument gives.
public struct CompletionResult: JSONModel {
    public var json: [String: JSONValue]
    public init(json: [String: JSONValue]) { self.json = json }

    private var completion: JSONValue { json["completion"] ?? [:] }
    public var values: [String] { (completion["values"]?.arrayValue ?? []).compactMap(\.stringValue) }
    /// How many there are in all, if the server tells.
    public var total: Int? { completion["total"]?.intValue }
    public var hasMore: Bool { completion["hasMore"]?.boolValue ?? false }
}

/// How far a call has come.
public struct ProgressUpdate: Codable, Sendable, Hashable {
    public var progress: Double
    public var total: Double?
    public var message: String?

    public init(progress: Double, total: Double? = nil, message: String? = nil) {
        self.progress = progress
        self.total = total
        self.message = message
    }
}

/// How bad it is, from RFC 5424.
public enum LogLevel: String, Codable, Sendable, Hashable, CaseIterable {
    case debug, info, notice, warning, error, critical, alert, emergency
}

/// What a server tells a client on its own account.
public struct ServerNotification: Codable, Sendable, Hashable {
    /// `log`, `tools_changed`, `resources_changed`, `prompts_changed` or `resource_updated`.
    public var event: String
    public var params: JSONValue?
}

/// How many handles of a runtime are alive: zero each when all is closed.
public struct LiveCounters: Codable, Sendable, Hashable {
    public var servers: Int
    public var clients: Int
    /// Calls that a handler has not answered yet.
    public var exchanges: Int
    /// Requests, connects and serves that have not ended yet.
    public var operations: Int
    public var connections: Int
}
