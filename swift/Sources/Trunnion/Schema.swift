import Foundation

/// A type with its own JSON Schema, for cases that deriving it from `Decodable` does not cover.
public protocol SchemaProviding: Decodable {
    /// The JSON Schema of this type.
    static var jsonSchema: JSONValue { get }

    /// Any valid value, needed when the type is a property of another and cannot be decoded from zeros.
    static var schemaExample: Self? { get }
}

extension SchemaProviding {
    public static var schemaExample: Self? { nil }
}

/// A type that describes its properties to the model. Keys are the names in JSON.
public protocol Described {
    static var descriptions: [String: String] { get }
}

/// The source of the schema of a tool's input or output.
public enum Schema: Sendable {
    /// From the Swift type: the keys that its `init(from:)` reads.
    case derived
    /// Given as JSON.
    case json(JSONValue)
    /// Given as JSON text, used unchanged.
    case text(String)
    /// No schema. For an input this is the schema that accepts any object.
    case none

    /// Returns the JSON Schema of a type, as a tool that takes it would publish it.
    ///
    /// Structs become objects, optionals are not required, enums list their cases (they need `CaseIterable`
    /// and a raw value), arrays, sets and dictionaries follow their elements; `Date`, `URL`, `UUID` and
    /// `Data` are strings of that format. `Described` adds descriptions, `SchemaProviding` overrides
    /// everything.
    /// - Throws: `McpError` of kind `usage` that names the type which cannot be derived.
    public static func derive<T: Decodable>(from type: T.Type) throws -> String {
        try SchemaProbe.root(type).text()
    }
}

/// One derivation: decodes the type from a decoder that records the requested keys and answers with zeros.
final class SchemaProbe {
    private var inProgress: [ObjectIdentifier] = []
    private var recursive: Set<ObjectIdentifier> = []
    private var definitions: [OrderedJSON.Member] = []

    static func root<T: Decodable>(_ type: T.Type) throws -> OrderedJSON {
        let probe = SchemaProbe()
        var schema = try probe.describe(type).schema
        if !probe.definitions.isEmpty {
            schema.append("$defs", .object(probe.definitions))
        }
        return schema
    }

    struct Description<T> {
        var schema: OrderedJSON
        /// nil: the type is being described further up, so no value of it can be made yet.
        var example: T?
    }

    func describe<T: Decodable>(_ type: T.Type) throws -> Description<T> {
        if let provider = type as? any SchemaProviding.Type {
            return Description(schema: .value(provider.jsonSchema), example: try provided(provider) as? T)
        }
        if let known = type as? any KnownSchema.Type {
            let (schema, example) = try known.describe(with: self)
            return Description(schema: schema, example: example as? T)
        }
        if let cases = type as? any CaseIterable.Type {
            let (schema, example) = try enumeration(cases)
            return Description(schema: schema, example: example as? T)
        }
        return try structure(type)
    }

    private func provided<T: SchemaProviding>(_ type: T.Type) throws -> Any? {
        if let example = type.schemaExample { return example }
        do {
            return try T(from: ProbeDecoder(probe: self, type: type))
        } catch {
            throw Self.failure(type, "it needs a schemaExample, since decoding one from zeros failed: \(error)")
        }
    }

    private func enumeration<T: CaseIterable>(_ type: T.Type) throws -> (OrderedJSON, Any) {
        var values: [OrderedJSON] = []
        var kind = "string"
        for value in type.allCases {
            switch (value as? any RawRepresentable)?.rawValue as Any {
            case let raw as String: values.append(.value(.string(raw)))
            case let raw as any BinaryInteger:
                kind = "integer"
                values.append(.value(.int(Int(raw))))
            default: throw Self.failure(type, "its cases have no String or integer raw value")
            }
        }
        guard let example = type.allCases.first else { throw Self.failure(type, "it has no cases") }
        return (.object(["type": .value(.string(kind)), "enum": .array(values)]), example)
    }

    private func structure<T: Decodable>(_ type: T.Type) throws -> Description<T> {
        let identity = ObjectIdentifier(type)
        let name = String(describing: type)
        let reference: OrderedJSON = .object([
            "$ref": .value(.string(inProgress.first == identity ? "#" : "#/$defs/\(name)"))
        ])
        if inProgress.contains(identity) {
            recursive.insert(identity)
            return Description(schema: reference, example: nil)
        }
        let isRoot = inProgress.isEmpty
        inProgress.append(identity)
        defer { inProgress.removeLast() }

        let decoder = ProbeDecoder(probe: self, type: type)
        let example: T
        do {
            example = try T(from: decoder)
        } catch let error as McpError {
            throw error
        } catch {
            throw Self.failure(type, "decoding one from zeros failed: \(error)")
        }
        let schema = try decoder.schema()
        if recursive.contains(identity), !isRoot {
            definitions.append(.init(name: name, value: schema))
            return Description(schema: reference, example: example)
        }
        return Description(schema: schema, example: example)
    }

    static func failure(_ type: Any.Type, _ why: String) -> McpError {
        McpError(
            .usage,
            "no JSON Schema can be derived for \(type): \(why). Make it SchemaProviding (an enum: CaseIterable), or give the schema by hand"
        )
    }
}

/// A type of the standard library or Foundation whose schema is known.
private protocol KnownSchema {
    static func describe(with probe: SchemaProbe) throws -> (OrderedJSON, Any)
}

private func plain(_ type: String, format: String? = nil) -> OrderedJSON {
    var schema: OrderedJSON = .object(["type": .value(.string(type))])
    if let format { schema.append("format", .value(.string(format))) }
    return schema
}

extension KnownSchema where Self: FixedWidthInteger {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) {
        var schema = plain("integer")
        if !isSigned { schema.append("minimum", .value(0)) }
        return (schema, Self.zero)
    }
}

extension Int: KnownSchema {}
extension Int8: KnownSchema {}
extension Int16: KnownSchema {}
extension Int32: KnownSchema {}
extension Int64: KnownSchema {}
extension UInt: KnownSchema {}
extension UInt8: KnownSchema {}
extension UInt16: KnownSchema {}
extension UInt32: KnownSchema {}
extension UInt64: KnownSchema {}

extension Bool: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("boolean"), false) }
}
extension String: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("string"), "") }
}
extension Double: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("number"), 0.0) }
}
extension Float: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("number"), Float(0)) }
}
extension Decimal: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("number"), Decimal(0)) }
}
extension Date: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) {
        (plain("string", format: "date-time"), Date(timeIntervalSince1970: 0))
    }
}
extension UUID: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (plain("string", format: "uuid"), UUID()) }
}
extension URL: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) {
        (plain("string", format: "uri"), URL(fileURLWithPath: "/"))
    }
}
extension Data: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) {
        var schema = plain("string")
        schema.append("contentEncoding", .value("base64"))
        return (schema, Data())
    }
}
extension JSONValue: KnownSchema {
    static func describe(with probe: SchemaProbe) -> (OrderedJSON, Any) { (.object([]), JSONValue.null) }
}
extension Optional: KnownSchema where Wrapped: Decodable {
    static func describe(with probe: SchemaProbe) throws -> (OrderedJSON, Any) {
        (try probe.describe(Wrapped.self).schema, Wrapped?.none as Any)
    }
}
extension Array: KnownSchema where Element: Decodable {
    static func describe(with probe: SchemaProbe) throws -> (OrderedJSON, Any) {
        var schema = plain("array")
        schema.append("items", try probe.describe(Element.self).schema)
        return (schema, [Element]())
    }
}
extension Set: KnownSchema where Element: Decodable {
    static func describe(with probe: SchemaProbe) throws -> (OrderedJSON, Any) {
        var schema = plain("array")
        schema.append("items", try probe.describe(Element.self).schema)
        schema.append("uniqueItems", .value(true))
        return (schema, Set<Element>())
    }
}
extension Dictionary: KnownSchema where Key == String, Value: Decodable {
    static func describe(with probe: SchemaProbe) throws -> (OrderedJSON, Any) {
        var schema = plain("object")
        schema.append("additionalProperties", try probe.describe(Value.self).schema)
        return (schema, [String: Value]())
    }
}
