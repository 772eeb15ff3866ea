import Foundation
import Testing

@testable import Trunnion

/// Model types against tests/vectors/models.json, and against the official examples if MCP_SPEC_DIR has them.
@Suite("Models") struct ModelTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var type: String
        var json: JSONValue
        var testDescription: String { "\(type): \(json)" }
    }

    static let types: [String: any JSONModel.Type] = [
        "AudioContent": AudioContent.self,
        "BlobResourceContents": ResourceContents.self,
        "BooleanSchema": BooleanField.self,
        "CallToolResult": ToolResult.self,
        "CompletionValues": CompletionValues.self,
        "ContentBlock": Content.self,
        "CreateMessageRequestParams": CreateMessageRequest.self,
        "CreateMessageResult": CreateMessageResult.self,
        "ElicitRequestFormParams": ElicitForm.self,
        "ElicitRequestParams": ElicitRequest.self,
        "ElicitRequestURLParams": ElicitUrl.self,
        "ElicitResult": ElicitResult.self,
        "EmbeddedResource": EmbeddedResource.self,
        "GetPromptResult": PromptResult.self,
        "Icon": Icon.self,
        "ImageContent": ImageContent.self,
        "Implementation": Implementation.self,
        "LegacyTitledEnumSchema": NamedChoiceField.self,
        "ModelPreferences": ModelPreferences.self,
        "NumberSchema": NumberField.self,
        "PrimitiveSchemaDefinition": FormField.self,
        "Progress": ProgressUpdate.self,
        "Prompt": Prompt.self,
        "ReadResourceResult": ReadResult.self,
        "Resource": Resource.self,
        "ResourceContents": ResourceContents.self,
        "ResourceLink": ResourceLink.self,
        "ResourceTemplate": ResourceTemplate.self,
        "Root": Root.self,
        "SamplingMessage": SamplingMessage.self,
        "StringSchema": TextField.self,
        "TextContent": TextContent.self,
        "TextResourceContents": ResourceContents.self,
        "TitledMultiSelectEnumSchema": TitledChoicesField.self,
        "TitledSingleSelectEnumSchema": TitledChoiceField.self,
        "Tool": Tool.self,
        "ToolChoice": ToolChoice.self,
        "ToolResultContent": ToolResultContent.self,
        "ToolUseContent": ToolUseContent.self,
        "UntitledMultiSelectEnumSchema": ChoicesField.self,
        "UntitledSingleSelectEnumSchema": ChoiceField.self,
    ]

    static let vectors: [String: [JSONValue]] = {
        let file = Surface.repository.appendingPathComponent("tests/vectors/models.json")
        return (try? json(of: file)["models"]?.decode()) ?? [:]
    }()

    static let examples: [Example] = {
        var found = vectors.flatMap { type, values in values.map { Example(type: type, json: $0) } }
        guard let folder = ProcessInfo.processInfo.environment["MCP_SPEC_DIR"] else { return found }
        for type in types.keys {
            let place = URL(fileURLWithPath: folder).appendingPathComponent("2026-07-28/examples/\(type)")
            for name in (try? FileManager.default.contentsOfDirectory(atPath: place.path)) ?? [] {
                let value = try? json(of: place.appendingPathComponent(name))
                found.append(Example(type: type, json: value ?? .null))
            }
        }
        return found
    }()

    static func json(of file: URL) throws -> JSONValue {
        try JSON.decode(JSONValue.self, from: String(contentsOf: file, encoding: .utf8))
    }

    static func vector<T: JSONModel>(_ type: String, _ index: Int = 0) throws -> T {
        try #require(vectors[type]?[index]).decode()
    }

    @Test func thereAreExamples() { #expect(Self.examples.count > 60) }

    @Test(arguments: examples) func isWrittenAsItWasRead(_ example: Example) throws {
        let type = try #require(Self.types[example.type])
        let model = try JSON.decode(type, from: example.json.description)
        #expect(try JSONValue(encoding: model) == example.json)
    }

    @Test func membersAreTyped() throws {
        let tool: Tool = try Self.vector("Tool")
        #expect(tool.name == "t" && tool.annotations?.readOnlyHint == true)
        #expect(tool.icons.map(\.sizes) == [["48x48", "any"]])
        #expect(tool.json["later"] == [.null])
        let audio: AudioContent = try Self.vector("AudioContent")
        #expect(audio.data == Data("RIFF".utf8))
        let prompt: Prompt = try Self.vector("Prompt")
        #expect(prompt.arguments.map(\.required) == [false, false])
        let asked: CreateMessageRequest = try Self.vector("CreateMessageRequestParams")
        #expect(asked.maxTokens == 100 && asked.includeContext == .thisServer && asked.toolChoice?.mode == .required)
        #expect(asked.messages.map(\.content.items.count) == [1, 5, 1, 0])
        #expect(asked.messages[0].role == .user && asked.tools.first?.name == "t")
        let answer: ElicitResult = try Self.vector("ElicitResult")
        #expect(answer.action == .accept && answer.content?["b"] == true)
    }

    @Test func typesAreToldApart() throws {
        let form: ElicitForm = try Self.vector("ElicitRequestFormParams")
        let fields = form.requestedSchema.properties
        guard case .text(let text) = fields["z"]?.kind, case .number(let number) = fields["i"]?.kind,
            case .boolean = fields["b"]?.kind, case .choice = fields["u"]?.kind,
            case .namedChoice(let named) = fields["l"]?.kind, case .titledChoice(let titled) = fields["t"]?.kind,
            case .choices(let many) = fields["m"]?.kind, case .titledChoices = fields["tm"]?.kind,
            case .other = fields["new"]?.kind
        else {
            Issue.record("a field is of another kind")
            return
        }
        #expect(text.minLength == 1 && text.default == "x" && number.kind == .integer && number.default == -3)
        #expect(named.enumNames == ["A", "B"] && titled.oneOf.map(\.title) == ["A", "B"])
        #expect(many.items.values == ["a", "b"])
        let requests = try (0..<4).map { try Self.vector("ElicitRequestParams", $0) as ElicitRequest }
        guard case .form = requests[0].kind, case .url(let page) = requests[1].kind, case .form = requests[2].kind,
            case .other = requests[3].kind
        else {
            Issue.record("a question is of another kind")
            return
        }
        #expect(page.url == "https://example.com/x")
        guard case .toolUse(let use) = SamplingContent(ToolUseContent(id: "u", name: "t", input: ["a": 1])).kind else {
            Issue.record("not the use of a tool")
            return
        }
        #expect(use.input == ["a": 1])
    }

    @Test func modelsAreMadeFromMembers() throws {
        var request = CreateMessageRequest(
            messages: [SamplingMessage(role: .user, content: .one(.text("hi")))], maxTokens: 10,
            modelPreferences: ModelPreferences(hints: [ModelHint(name: "small")], speedPriority: 1))
        request.systemPrompt = "s"
        request.json["later"] = 1
        #expect(
            try JSONValue(encoding: request) == [
                "messages": [["role": "user", "content": ["type": "text", "text": "hi"]]], "maxTokens": 10,
                "modelPreferences": ["hints": [["name": "small"]], "speedPriority": 1], "systemPrompt": "s",
                "later": 1,
            ])
        let form = Form(
            properties: ["age": FormField(NumberField(kind: .integer, minimum: 0))], required: ["age"])
        #expect(
            try JSONValue(encoding: ElicitForm(message: "m", requestedSchema: form)) == [
                "message": "m",
                "requestedSchema": [
                    "type": "object", "properties": ["age": ["type": "integer", "minimum": 0]], "required": ["age"],
                ],
            ])
    }
}
