// One of everything, for tests: everything_server --stdio | --http PORT

import Foundation
import Trunnion

struct AddInput: Codable, Described {
    var a: Double
    var b: Double
    static let descriptions = ["a": "The first number", "b": "The second number"]
}

struct AddOutput: Codable { var sum: Double }
struct EchoInput: Codable { var text: String }
struct RegionInput: Codable { var region: String }
struct MessageInput: Codable { var message: String }

struct SlowInput: Codable, Described {
    var steps: Int
    var delayMs: Int
    static let descriptions = ["steps": "How many steps", "delayMs": "How long each step takes, in milliseconds"]
}

struct PromptInput: Codable, Described {
    var arg1: String
    var arg2: String
    static let descriptions = ["arg1": "First test argument", "arg2": "Second test argument"]
}

struct ResourcePromptInput: Codable, Described {
    var resourceUri: String
    static let descriptions = ["resourceUri": "URI of the resource to embed"]
}

struct Crash: Error {}

/// A picture of one pixel.
let picture = Data(
    base64Encoded:
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
    ?? Data()

/// An eighth of a second of silence: 1,000 samples of 8 bits at 8 kHz in a RIFF envelope.
let silence: Data = {
    func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
    let samples = [UInt8](repeating: 128, count: 1000)
    var wave = Data("RIFF".utf8)
    wave += bytes(UInt32(36 + samples.count))
    wave += Array("WAVEfmt ".utf8) + bytes(UInt32(16)) + bytes(UInt16(1)) + bytes(UInt16(1))
    wave += bytes(UInt32(8000)) + bytes(UInt32(8000)) + bytes(UInt16(1)) + bytes(UInt16(8))
    wave += Array("data".utf8) + bytes(UInt32(samples.count)) + samples
    return wave
}()

@main
enum EverythingServer {
    static func main() async {
        let arguments = CommandLine.arguments.dropFirst()
        do {
            let server = try Server("everything-swift", version: "1.0.0")
            try addTools(to: server)
            try addContentTools(to: server)
            try addResources(to: server)
            try addPrompts(to: server)
            try addConversations(to: server)
            try addChanges(to: server)
            try addQuestions(to: server)
            try addTasks(to: server)
            switch (arguments.first, arguments.dropFirst().first.flatMap(Int.init)) {
            case ("--stdio", nil): try await server.serveStdio()
            case ("--http", let port?):
                try await server.serveHTTP(port: port, options: ServeHTTPOptions(ssePath: "/sse")).wait()
            default:
                FileHandle.standardError.write(Data("usage: everything_server --stdio | --http PORT\n".utf8))
                exit(2)
            }
            await server.close()
        } catch {
            FileHandle.standardError.write(Data("everything_server: \(error)\n".utf8))
            exit(1)
        }
    }

    static func addTools(to server: Server) throws {
        try server.tool("test_simple_text", "Answers with a fixed text") { (_: Context) in
            "This is a simple text response for testing."
        }
        try server.tool("add", "Adds two numbers") { (input: AddInput) in AddOutput(sum: input.a + input.b) }
        try server.tool("echo", "Answers with the text it was given") { (input: EchoInput) in input.text }
        try server.tool(
            "test_x_mcp_header", "Answers with the region, which proxies can read in the header Mcp-Param-Region",
            inputSchema: .json([
                "type": "object", "required": ["region"],
                "properties": ["region": ["type": "string", "x-mcp-header": "Region"]],
            ])
        ) { (input: RegionInput) in input.region }
        try server.tool("slow", "Takes its time and reports progress") { (input: SlowInput, context: Context) in
            for step in stride(from: 1, through: input.steps, by: 1) {
                try await Task.sleep(for: .milliseconds(input.delayMs))
                try context.progress(Double(step), total: Double(input.steps), message: "step \(step) of \(input.steps)")
            }
            return "done"
        }
        try server.tool("fail", "Fails with the message it was given") { (input: MessageInput) -> String in
            throw ToolError(input.message)
        }
        try server.tool("crash", "Fails unexpectedly") { (_: MessageInput) -> String in throw Crash() }
    }

    static func addContentTools(to server: Server) throws {
        try server.tool("test_image_content", "Answers with a picture") { (_: Context) in
            Content.image(picture, mimeType: "image/png")
        }
        try server.tool("test_audio_content", "Answers with sound") { (_: Context) in
            Content.audio(silence, mimeType: "audio/wav")
        }
        try server.tool("test_embedded_resource", "Answers with a resource") { (_: Context) in
            Content.resource(
                .text("This is an embedded resource.", uri: "test://embedded-resource", mimeType: "text/plain"))
        }
        try server.tool("test_multiple_content_types", "Answers with text, a picture and a resource") { (_: Context) in
            [
                Content.text("Multiple content types test:"),
                Content.image(picture, mimeType: "image/png"),
                Content.resource(
                    .text(#"{"test":"data"}"#, uri: "test://mixed-content-resource", mimeType: "application/json")),
            ]
        }
        try server.tool("test_error_handling", "Always fails") { (_: Context) -> String in
            throw ToolError("This tool intentionally returns an error for testing.")
        }
        try server.tool("test_tool_with_progress", "Reports progress") { (context: Context) in
            for progress in [0, 50, 100] {
                try context.progress(Double(progress), total: 100, message: "\(progress) of 100")
                try await Task.sleep(for: .milliseconds(50))
            }
            return "done"
        }
    }

    static func addResources(to server: Server) throws {
        try server.resource(
            "test://static-text", name: "static-text", description: "A fixed text", mimeType: "text/plain"
        ) { _ in "This is the content of the static text resource." }
        try server.resource(
            "test://static-binary", name: "static-binary", description: "A picture", mimeType: "image/png"
        ) { _ in picture }
        try server.resource(
            template: "test://template/{id}/data", name: "template", description: "Data of an id",
            mimeType: "application/json"
        ) { request, _ in
            #"{"id":"\#(request["id"])","templateTest":true,"data":"Data for ID: \#(request["id"])"}"#
        }
    }

    static func addPrompts(to server: Server) throws {
        try server.prompt("test_simple_prompt", "A prompt without arguments") { (_: Context) in
            "This is a simple prompt for testing."
        }
        try server.prompt("test_prompt_with_arguments", "A prompt with two arguments") { (input: PromptInput, _) in
            "Prompt with arguments: arg1='\(input.arg1)', arg2='\(input.arg2)'"
        }
        try server.prompt("test_prompt_with_embedded_resource", "A prompt with a resource") {
            (input: ResourcePromptInput, _) in
            [
                PromptMessage.user(
                    .resource(.text("Embedded resource content.", uri: input.resourceUri, mimeType: "text/plain"))),
                PromptMessage.user("Please process the embedded resource above."),
            ]
        }
        try server.prompt("test_prompt_with_image", "A prompt with a picture") { (_: Context) in
            [
                PromptMessage.user(.image(picture, mimeType: "image/png")),
                PromptMessage.user("Please analyze the image above."),
            ]
        }
        try server.completion(prompt: "test_prompt_with_arguments") { request, _ in
            guard request.argument.name == "arg1" else { return [] }
            return ["paris", "park", "party"].filter { $0.hasPrefix(request.argument.value) }
        }
    }
}
