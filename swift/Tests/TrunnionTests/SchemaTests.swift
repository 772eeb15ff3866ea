import Foundation
import Testing

@testable import Trunnion

@Suite("Schemas from Codable types") struct SchemaTests {
    enum Unit: String, Codable, CaseIterable { case metric, imperial }
    enum Level: Int, Codable, CaseIterable { case low = 1, high = 2 }
    enum Opaque: String, Codable { case only }

    struct Place: Codable {
        var city: String
        var zip: String?
    }

    struct Forecast: Codable, Described {
        var place: Place
        var unit: Unit
        var level: Level?
        var days: Int
        var chances: [Double]
        var labels: [String: Bool]
        var tags: Set<String>
        var when: Date
        var link: URL?
        var id: UUID
        var raw: Data
        var more: JSONValue?
        static let descriptions = ["days": "How many days ahead", "place": "Where"]
    }

    private func derive<T: Decodable>(_ type: T.Type) throws -> JSONValue {
        try JSON.decode(JSONValue.self, from: Schema.derive(from: type))
    }

    @Test func aStructBecomesAnObject() throws {
        let schema = try derive(Forecast.self)
        #expect(schema["type"] == "object")
        #expect(
            schema["required"] == ["place", "unit", "days", "chances", "labels", "tags", "when", "id", "raw"])
        let properties = try #require(schema["properties"])
        #expect(
            properties["place"] == [
                "type": "object", "required": ["city"], "description": "Where",
                "properties": ["city": ["type": "string"], "zip": ["type": "string"]],
            ])
        #expect(properties["unit"] == ["type": "string", "enum": ["metric", "imperial"]])
        #expect(properties["level"] == ["type": "integer", "enum": [1, 2]])
        #expect(properties["days"] == ["type": "integer", "description": "How many days ahead"])
        #expect(properties["chances"] == ["type": "array", "items": ["type": "number"]])
        #expect(properties["labels"] == ["type": "object", "additionalProperties": ["type": "boolean"]])
        #expect(properties["tags"] == ["type": "array", "items": ["type": "string"], "uniqueItems": true])
        #expect(properties["when"] == ["type": "string", "format": "date-time"])
        #expect(properties["link"] == ["type": "string", "format": "uri"])
        #expect(properties["id"] == ["type": "string", "format": "uuid"])
        #expect(properties["raw"] == ["type": "string", "contentEncoding": "base64"])
        #expect(properties["more"] == [:])
    }

    @Test func propertiesKeepTheOrderOfTheirDeclaration() throws {
        struct Ordered: Codable {
            var zebra: Int
            var apple: Int
            var mango: Int?
        }
        #expect(
            try Schema.derive(from: Ordered.self)
                == #"{"type":"object","properties":{"zebra":{"type":"integer"},"apple":{"type":"integer"},"#
                + #""mango":{"type":"integer"}},"required":["zebra","apple"]}"#)
    }

    @Test func codingKeysAndCustomDecodingAreFollowed() throws {
        struct Custom: Decodable {
            var limit: Int
            enum CodingKeys: String, CodingKey { case limit = "max_results" }
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                limit = try container.decodeIfPresent(Int.self, forKey: .limit) ?? 10
            }
        }
        #expect(try derive(Custom.self) == ["type": "object", "properties": ["max_results": ["type": "integer"]]])
    }

    @Test func recursiveTypesUseReferences() throws {
        final class Tree: Codable {
            var name: String
            var children: [Tree]
        }
        struct Forest: Codable { var trees: [Tree] }
        #expect(try derive(Tree.self)["properties"]?["children"]?["items"] == ["$ref": "#"])
        let forest = try derive(Forest.self)
        #expect(forest["properties"]?["trees"]?["items"] == ["$ref": "#/$defs/Tree"])
        #expect(forest["$defs"]?["Tree"]?["properties"]?["children"]?["items"] == ["$ref": "#/$defs/Tree"])
    }

    @Test func aTypeMayTellItsOwnSchema() throws {
        struct Percent: Codable, SchemaProviding {
            var value: Int
            static let jsonSchema: JSONValue = ["type": "integer", "minimum": 0, "maximum": 100]
            static let schemaExample: Percent? = Percent(value: 1)
            init(value: Int) { self.value = value }
            init(from decoder: any Decoder) throws {
                value = try decoder.singleValueContainer().decode(Int.self)
                guard (1...100).contains(value) else { throw CancellationError() }
            }
        }
        struct Input: Codable { var share: Percent }
        #expect(
            try derive(Input.self)["properties"]?["share"] == ["type": "integer", "minimum": 0, "maximum": 100])
    }

    @Test func whatCannotBeDerivedIsNamed() async {
        struct Input: Codable { var choice: Opaque }
        let error = await failure { try Schema.derive(from: Input.self) }
        #expect(error?.kind == .usage)
        #expect(error?.message.contains("Opaque") == true)
        #expect(error?.message.contains("CaseIterable") == true)
    }

    @Test func aDescriptionOfNothingIsRefused() async {
        struct Input: Codable, Described {
            var city: String
            static let descriptions = ["town": "Where"]
        }
        let error = await failure { try Schema.derive(from: Input.self) }
        #expect(error?.message.contains("town") == true)
    }
}

@Suite("JSON values") struct JSONValueTests {
    @Test func textGoesThereAndBack() throws {
        let value: JSONValue = [
            "null": nil, "yes": true, "whole": 42, "half": 0.5, "text": "a/b \"q\" ✓ 😀", "list": [1, "two", [:]],
        ]
        #expect(try JSON.decode(JSONValue.self, from: value.description) == value)
        #expect(value["text"]?.stringValue == "a/b \"q\" ✓ 😀")
        #expect(value["list"]?[1] == "two")
        #expect(value["list"]?[7] == nil)
        #expect(value["whole"]?.doubleValue == 42)
    }

    @Test func unknownFieldsOfModelsAreKept() throws {
        let text = #"{"description":"d","inputSchema":{"type":"object"},"name":"n","novel":{"a":[1]}}"#
        let tool = try JSON.decode(Tool.self, from: text)
        #expect(tool.name == "n")
        #expect(try JSON.text(tool) == text)
    }
}
