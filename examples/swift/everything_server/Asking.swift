// Tools of the everything server that elicit or sample, and others that need a conversation.

import Foundation
import Trunnion

struct PromptText: Codable { var prompt: String }
struct Name: Codable, Described {
    var name: String
    static let descriptions = ["name": "Your name"]
}
struct Confirmation: Codable { var ok: Bool }
struct Color: Codable { var color: String }
struct PromptContext: Codable { var context: String }

let contact = Form(
    properties: ["username": FormField(TextField()), "email": FormField(TextField(format: "email"))],
    required: ["username", "email"])

let details = Form(properties: [
    "name": FormField(TextField(default: "John Doe")),
    "age": FormField(NumberField(kind: .integer, default: 30)),
    "score": FormField(NumberField(kind: .number, default: 95.5)),
    "status": FormField(ChoiceField(values: ["active", "inactive", "pending"], default: "active")),
    "verified": FormField(BooleanField(default: true)),
])

let choices: Form = {
    let options = ["option1", "option2", "option3"]
    let titled = ["First", "Second", "Third"].enumerated().map { TitledValue(value: "value\($0 + 1)", title: $1) }
    let named = NamedChoiceField(values: ["opt1", "opt2", "opt3"], enumNames: ["One", "Two", "Three"])
    return Form(properties: [
        "untitledSingle": FormField(ChoiceField(values: options)),
        "titledSingle": FormField(TitledChoiceField(oneOf: titled)),
        "legacyEnum": FormField(named),
        "untitledMulti": FormField(ChoicesField(items: Choices(values: options))),
        "titledMulti": FormField(TitledChoicesField(items: TitledChoices(anyOf: titled))),
    ])
}()

let manyKeywords: JSONValue = [
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": [
        "address": [
            "$anchor": "addressDef", "type": "object",
            "properties": ["street": ["type": "string"], "city": ["type": "string"]],
        ]
    ],
    "properties": [
        "name": ["type": "string"],
        "address": ["$ref": "#/$defs/address"],
        "contactMethod": ["type": "string", "enum": ["phone", "email"]],
        "phone": ["type": "string"],
        "email": ["type": "string"],
    ],
    "allOf": [["anyOf": [["required": ["phone"]], ["required": ["email"]]]]],
    "if": ["properties": ["contactMethod": ["const": "phone"]], "required": ["contactMethod"]],
    "then": ["required": ["phone"]],
    "else": ["required": ["email"]],
    "additionalProperties": false,
]

extension EverythingServer {
    static func addConversations(to server: Server) throws {
        try server.tool("test_tool_with_logging", "Logs while it works") { (context: Context) in
            for message in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                try context.log(.info, .string(message))
                try await Task.sleep(for: .milliseconds(50))
            }
            return "done"
        }
        try server.tool("test_logging_tool", "Logs for those who ask for it") { (context: Context) in
            try context.log(.info, "This is a log message.")
            return "done"
        }
        try server.tool("test_sampling", "Asks the client's model") { (input: PromptText, context: Context) in
            "LLM response: \(try await context.sample(input.prompt, maxTokens: 100).text)"
        }
        try server.tool("test_missing_capability", "Needs the client's model") { (context: Context) in
            try await context.sample("Say hello.", maxTokens: 10).text
        }
        try server.tool("test_elicitation", "Asks the person") { (input: MessageInput, context: Context) in
            said(try await context.elicit(input.message, form: contact))
        }
        try server.tool("test_elicitation_sep1034_defaults", "Asks with defaults") { (context: Context) in
            said(try await context.elicit("Please check your details.", form: details))
        }
        try server.tool("test_elicitation_sep1330_enums", "Asks with choices of every form") { (context: Context) in
            said(try await context.elicit("Please choose.", form: choices))
        }
        try server.tool("test_streaming_elicitation", "Asks the person, whoever streams") { (context: Context) in
            try await greeting(context)
        }
        try server.tool("test_reconnection", "Lets its stream go and answers the one that comes back") {
            (context: Context) in
            try context.closeStream()
            try await Task.sleep(for: .milliseconds(100))
            return "Reconnection test completed successfully."
        }
        try server.tool(
            "json_schema_2020_12_tool", "Has a schema of many keywords", inputSchema: .json(manyKeywords)
        ) { (arguments: JSONValue) in arguments.description }
    }

    static func addChanges(to server: Server) throws {
        // They hold the server weakly: it holds them.
        try server.tool("test_trigger_tool_change", "Changes the list of tools") { [weak server] (_: Context) in
            try server?.tool("test_dynamic_tool", "Is here for a moment") { (_: Context) in "here" }
            try server?.removeTool("test_dynamic_tool")
            return "changed"
        }
        try server.tool("test_trigger_prompt_change", "Changes the list of prompts") { [weak server] (_: Context) in
            try server?.prompt("test_dynamic_prompt", "Is here for a moment") { (_: Context) in "here" }
            try server?.removePrompt("test_dynamic_prompt")
            return "changed"
        }
        try server.resource(
            "test://watched-resource", name: "watched-resource", description: "Something to subscribe to",
            mimeType: "text/plain"
        ) { _ in "This is the content of the watched resource." }
    }

    static func addQuestions(to server: Server) throws {
        try server.tool("test_input_required_result_elicitation", "Asks for a name") { (context: Context) in
            try await greeting(context, key: "user_name")
        }
        try server.tool("test_input_required_result_sampling", "Asks the client's model") { (context: Context) in
            try await context.sample("What is the capital of France?", maxTokens: 100).text
        }
        try server.tool("test_input_required_result_list_roots", "Asks for the roots") { (context: Context) in
            try await context.listRoots().map(\.uri).joined(separator: "\n")
        }
        try server.tool("test_input_required_result_request_state", "Asks, and keeps something meanwhile") {
            (context: Context) in
            let begun = try await context.once("begun") { "state-ok" }
            let answer = try await context.elicit("Please confirm.", as: Confirmation.self)
            return "\(begun): \(answer.fields?.ok == true ? "confirmed" : "not confirmed")"
        }
        try server.tool(
            "test_input_required_result_multiple_inputs", "Asks several things at once, before it begins",
            asks: [
                "user_name": .elicit("What is your name?", as: Name.self),
                "greeting": .sample("Write a greeting.", maxTokens: 50),
                "client_roots": .roots,
            ]
        ) { (context: Context) in
            let answers = try context.answers
            let name: Name? = try answers.elicitation("user_name").decode()
            let roots = try answers.roots("client_roots")
            return "\(try answers.sample("greeting").text) \(name?.name ?? "nobody"), \(roots.count) roots"
        }
        try server.tool("test_input_required_result_multi_round", "Asks one thing after the other") {
            (context: Context) in
            let greeting = try await greeting(context)
            let color = try await context.elicit("What is your favourite colour?", as: Color.self)
            return "\(greeting) You like \(color.fields?.color ?? "none")."
        }
        try server.tool("test_input_required_result_tampered_state", "Asks, with state that nobody may change") {
            (context: Context) in
            try await context.elicit("Please confirm.", as: Confirmation.self).action.rawValue
        }
        try server.tool("test_input_required_result_capabilities", "Asks what the client can answer") {
            (context: Context) in
            if try context.request.clientCapabilities?["elicitation"] != nil { return try await greeting(context) }
            return try await context.sample("Make up a name.", maxTokens: 50).text
        }
        try server.prompt("test_input_required_result_prompt", "A prompt that asks for its context") {
            (context: Context) in
            let answer = try await context.elicit("What is it about?", as: PromptContext.self)
            return "Please help with \(answer.fields?.context ?? "nothing")."
        }
    }

    private static func greeting(_ context: Context, key: String? = nil) async throws -> String {
        let answer = try await context.elicit("What is your name?", as: Name.self, key: key)
        return answer.fields.map { "Hello, \($0.name)!" } ?? "Never mind (\(answer.action.rawValue))."
    }

    private static func said(_ answer: ElicitResult) -> String {
        "User response: action=\(answer.action.rawValue), content=\(JSONValue.object(answer.content ?? [:]))"
    }
}
