import Foundation

/// Any JSON value, for arguments and results of unknown shape.
///
/// Literals are supported: `["city": "Paris", "days": 3, "exact": true]`.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Creates the JSON form of any encodable value.
    /// - Throws: `EncodingError` if the value has no JSON form, such as a NaN.
    public init(encoding value: some Encodable) throws {
        self = try JSON.decode(JSONValue.self, from: JSON.text(value))
    }

    /// Decodes this value as a custom type.
    /// - Throws: `DecodingError` if it does not fit.
    public func decode<T: Decodable>(as type: T.Type = T.self) throws -> T {
        try JSON.decode(type, from: JSON.text(self))
    }

    /// The member of an object; nil when there is none, or this is no object.
    public subscript(key: String) -> JSONValue? { objectValue?[key] }

    /// The element of an array; nil when there is none, or this is no array.
    public subscript(index: Int) -> JSONValue? {
        guard let array = arrayValue, array.indices.contains(index) else { return nil }
        return array[index]
    }

    /// The text, if this is a string.
    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The truth value, if this is one.
    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The whole number, if this is one.
    public var intValue: Int? {
        switch self {
        case .int(let value): value
        case .double(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The number, if this is one.
    public var doubleValue: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// The elements, if this is an array.
    public var arrayValue: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The members, if this is an object.
    public var objectValue: [String: JSONValue]? {
        if case .object(let value) = self { value } else { nil }
    }
}

extension JSONValue: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode([String: JSONValue].self) {
            self = .object(value)
        } else {
            self = .array(try container.decode([JSONValue].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}

extension JSONValue: CustomStringConvertible {
    /// The JSON text, keys sorted.
    public var description: String { (try? JSON.text(self)) ?? "null" }
}

/// The JSON text reader and writer of this module.
enum JSON {
    static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func decode<T: Decodable>(_ type: T.Type, from text: String) throws -> T {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try decoder.decode(type, from: Data(text.utf8))
    }
}

/// JSON that keeps the order of its members: schemas read best in the order of the Swift declaration.
indirect enum OrderedJSON: Sendable {
    case value(JSONValue)
    case array([OrderedJSON])
    case object([Member])
    /// Text that is JSON already.
    case raw(String)

    struct Member: Sendable {
        var name: String
        var value: OrderedJSON
    }

    static func object(_ members: KeyValuePairs<String, OrderedJSON>) -> OrderedJSON {
        .object(members.map { Member(name: $0.key, value: $0.value) })
    }

    subscript(name: String) -> OrderedJSON? {
        switch self {
        case .object(let members): members.first { $0.name == name }?.value
        case .value(let value): value[name].map(OrderedJSON.value)
        case .array, .raw: nil
        }
    }

    mutating func append(_ name: String, _ value: OrderedJSON) {
        switch self {
        case .object(var members):
            members.append(Member(name: name, value: value))
            self = .object(members)
        case .value(.object(let fields)):
            let members = fields.sorted { $0.key < $1.key }.map { Member(name: $0.key, value: .value($0.value)) }
            self = .object(members + [Member(name: name, value: value)])
        case .value, .array, .raw:
            break
        }
    }

    func text() throws -> String {
        switch self {
        case .value(let value):
            try JSON.text(value)
        case .raw(let text):
            text
        case .array(let elements):
            "[" + (try elements.map { try $0.text() }.joined(separator: ",")) + "]"
        case .object(let members):
            "{" + (try members.map { try JSON.text($0.name) + ":" + $0.value.text() }.joined(separator: ",")) + "}"
        }
    }
}
