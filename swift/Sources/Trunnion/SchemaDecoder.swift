import Foundation

/// The decoder that records the values that a type requests. One for each type that is described.
final class ProbeDecoder: Decoder {
    let probe: SchemaProbe
    private let type: Any.Type
    private var single: OrderedJSON?
    private var properties: [OrderedJSON.Member] = []
    private var required: [String] = []
    private var isObject = false
    private var isArray = false

    let codingPath: [any CodingKey] = []
    let userInfo: [CodingUserInfoKey: Any] = [:]

    init(probe: SchemaProbe, type: Any.Type) {
        self.probe = probe
        self.type = type
    }

    func container<Key: CodingKey>(keyedBy _: Key.Type) -> KeyedDecodingContainer<Key> {
        isObject = true
        return KeyedDecodingContainer(ProbeKeyed<Key>(decoder: self))
    }

    func unkeyedContainer() -> any UnkeyedDecodingContainer {
        isArray = true
        return ProbeUnkeyed(decoder: self)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { ProbeSingle(decoder: self) }

    func note(_ schema: OrderedJSON) { single = single ?? schema }

    func note(_ name: String, _ schema: OrderedJSON, required isRequired: Bool) {
        guard !properties.contains(where: { $0.name == name }) else { return }
        properties.append(.init(name: name, value: schema))
        if isRequired { required.append(name) }
    }

    /// A value of a type, with its schema recorded by `note`.
    func value<T: Decodable>(_ type: T.Type, note: (OrderedJSON) -> Void) throws -> T {
        let description = try probe.describe(type)
        note(description.schema)
        guard let example = description.example else {
            throw SchemaProbe.failure(type, "it contains itself without an optional or an array between")
        }
        return example
    }

    /// Returns the schema of the detected kind of the type.
    func schema() throws -> OrderedJSON {
        if isArray {
            var schema: OrderedJSON = .object(["type": .value("array")])
            if let single { schema.append("items", single) }
            return schema
        }
        if !isObject, let single { return single }
        return try object()
    }

    private func object() throws -> OrderedJSON {
        var properties = properties
        if let described = type as? any Described.Type {
            for (name, text) in described.descriptions {
                guard let index = properties.firstIndex(where: { $0.name == name }) else {
                    throw McpError(.usage, "\(type) describes \"\(name)\", which is none of its properties")
                }
                properties[index].value.append("description", .value(.string(text)))
            }
        }
        var schema: OrderedJSON = .object(["type": .value("object")])
        schema.append("properties", .object(properties))
        if !required.isEmpty {
            schema.append("required", .array(required.map { .value(.string($0)) }))
        }
        return schema
    }
}

private struct ProbeKeyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let decoder: ProbeDecoder
    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { [] }

    func contains(_ key: Key) -> Bool { true }
    func decodeNil(forKey key: Key) -> Bool { false }

    private func value<T: Decodable>(_ key: Key) throws -> T {
        try decoder.value(T.self) { decoder.note(key.stringValue, $0, required: true) }
    }

    private func optional<T: Decodable>(_ type: T.Type, _ key: Key) throws -> T? {
        decoder.note(key.stringValue, try decoder.probe.describe(type).schema, required: false)
        return nil
    }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try value(key) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try value(key) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try value(key) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try value(key) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try value(key) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try value(key) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try value(key) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try value(key) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try value(key) }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try optional(type, key) }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try optional(type, key) }
    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? { try optional(type, key) }
    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? { try optional(type, key) }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try optional(type, key) }
    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? { try optional(type, key) }
    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? { try optional(type, key) }
    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? { try optional(type, key) }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? { try optional(type, key) }
    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? { try optional(type, key) }
    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? { try optional(type, key) }
    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? { try optional(type, key) }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? { try optional(type, key) }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? { try optional(type, key) }
    func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? { try optional(type, key) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws
        -> KeyedDecodingContainer<Nested>
    {
        throw nesting(key)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { throw nesting(key) }
    func superDecoder() -> any Decoder { decoder }
    func superDecoder(forKey key: Key) throws -> any Decoder { throw nesting(key) }

    /// A nested container is filled only after it was returned, so its schema is unknown here.
    private func nesting(_ key: Key) -> any Error {
        DecodingError.dataCorruptedError(
            forKey: key, in: self, debugDescription: "a nested container; make it a type of its own")
    }
}

private struct ProbeUnkeyed: UnkeyedDecodingContainer {
    let decoder: ProbeDecoder
    var codingPath: [any CodingKey] { [] }
    var count: Int? { nil }
    /// Ends a loop after its first element; a type that reads a fixed number continues.
    var isAtEnd: Bool { currentIndex > 0 }
    private(set) var currentIndex = 0

    init(decoder: ProbeDecoder) { self.decoder = decoder }

    mutating func decodeNil() -> Bool { false }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
        currentIndex += 1
        return try decoder.value(type, note: decoder.note)
    }

    mutating func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        throw nesting()
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { throw nesting() }
    mutating func superDecoder() throws -> any Decoder { throw nesting() }

    private func nesting() -> any Error {
        DecodingError.dataCorruptedError(
            in: self, debugDescription: "a nested container; make it a type of its own")
    }
}

private struct ProbeSingle: SingleValueDecodingContainer {
    let decoder: ProbeDecoder
    var codingPath: [any CodingKey] { [] }

    func decodeNil() -> Bool { false }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try decoder.value(type, note: decoder.note) }
}
