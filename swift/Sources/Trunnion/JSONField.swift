import Foundation

/// A type that a member of a `JSONModel` can have.
protocol JSONField {
    /// Creates a value; nil if the JSON is of another kind.
    init?(jsonValue: JSONValue)

    var jsonValue: JSONValue { get }

    /// The substitute for a required member that is missing or of another kind.
    static var absent: Self { get }
}

extension JSONField where Self: JSONModel {
    init?(jsonValue: JSONValue) {
        guard let json = jsonValue.objectValue else { return nil }
        self.init(json: json)
    }

    var jsonValue: JSONValue { .object(json) }
    static var absent: Self { Self(json: [:]) }
}

extension JSONField where Self: JSONChoice {
    init?(jsonValue: JSONValue) {
        guard let word = jsonValue.stringValue else { return nil }
        self.init(rawValue: word)
    }

    var jsonValue: JSONValue { .string(rawValue) }
    static var absent: Self { Self(rawValue: "") }
}

extension JSONValue: JSONField {
    init?(jsonValue: JSONValue) { self = jsonValue }
    var jsonValue: JSONValue { self }
    static var absent: JSONValue { [:] }
}

extension String: JSONField {
    init?(jsonValue: JSONValue) {
        guard let value = jsonValue.stringValue else { return nil }
        self = value
    }

    var jsonValue: JSONValue { .string(self) }
    static var absent: String { "" }
}

extension Bool: JSONField {
    init?(jsonValue: JSONValue) {
        guard let value = jsonValue.boolValue else { return nil }
        self = value
    }

    var jsonValue: JSONValue { .bool(self) }
    static var absent: Bool { false }
}

extension Int: JSONField {
    init?(jsonValue: JSONValue) {
        guard let value = jsonValue.intValue else { return nil }
        self = value
    }

    var jsonValue: JSONValue { .int(self) }
    static var absent: Int { 0 }
}

extension Double: JSONField {
    init?(jsonValue: JSONValue) {
        guard let value = jsonValue.doubleValue else { return nil }
        self = value
    }

    /// A whole number is written and compared as one: JSON has no other difference.
    var jsonValue: JSONValue { Int(exactly: self).map(JSONValue.int) ?? .double(self) }
    static var absent: Double { 0 }
}

/// Bytes are Base64 in JSON.
extension Data: JSONField {
    init?(jsonValue: JSONValue) {
        guard let text = jsonValue.stringValue else { return nil }
        self.init(base64Encoded: text)
    }

    var jsonValue: JSONValue { .string(base64EncodedString()) }
    static var absent: Data { Data() }
}

/// Elements of another kind are skipped.
extension Array: JSONField where Element: JSONField {
    init?(jsonValue: JSONValue) {
        guard let array = jsonValue.arrayValue else { return nil }
        self = array.compactMap(Element.init(jsonValue:))
    }

    var jsonValue: JSONValue { .array(map(\.jsonValue)) }
    static var absent: [Element] { [] }
}

/// Members of another kind are skipped.
extension Dictionary: JSONField where Key == String, Value: JSONField {
    init?(jsonValue: JSONValue) {
        guard let object = jsonValue.objectValue else { return nil }
        self = object.compactMapValues(Value.init(jsonValue:))
    }

    var jsonValue: JSONValue { .object(mapValues(\.jsonValue)) }
    static var absent: [String: Value] { [:] }
}

extension OneOrMany: JSONField where Item: JSONField {
    init?(jsonValue: JSONValue) {
        if let items = [Item](jsonValue: jsonValue) {
            self = .many(items)
        } else if let item = Item(jsonValue: jsonValue) {
            self = .one(item)
        } else {
            return nil
        }
    }

    var jsonValue: JSONValue {
        switch self {
        case .one(let item): item.jsonValue
        case .many(let items): items.jsonValue
        }
    }

    static var absent: OneOrMany { .many([]) }
}
