import Foundation
import Testing

import Trunnion

// The code of docs/swift.md, compiled and run. The last test sees that the guide shows nothing else.

struct ConvertInput: Codable { var files: [String] }
struct AppConfig: Codable { var theme: String }
struct SummariseInput: Codable {
    var path: String
    var language: String?
}

@Suite("The guide") struct GuideTests {
    @Test func theGuideWorksAsWritten() async throws {
        struct AddInput: Codable, Described {
            var a: Double
            var b: Double
            static let descriptions = ["a": "The first number", "b": "The second number"]
        }
        struct AddOutput: Codable { var sum: Double }

        let server = try Server("calculator", version: "1.0.0")
        try server.tool("add", "Adds two numbers") { (input: AddInput) in
            AddOutput(sum: input.a + input.b)
        }

        let schema: Schema = .json(["type": "object", "properties": ["query": ["type": "string", "minLength": 1]]])
        try server.tool("search", "Finds documents", inputSchema: schema) { (arguments: JSONValue) in
            "looked for \(arguments["query"]?.stringValue ?? "")"
        }

        try server.tool("convert", "Converts files") { (input: ConvertInput, context: Context) in
            for (done, file) in input.files.enumerated() {
                try Task.checkCancellation()
                try context.progress(Double(done), total: Double(input.files.count), message: file)
            }
            return "converted \(input.files.count) files"
        }

        try server.resource("config://app", name: "config", mimeType: "application/json") { _ in
            AppConfig(theme: "dark")
        }
        try server.resource(template: "doc://{path}", name: "document") { request, _ in
            "the text of \(request["path"])"
        }
        try server.prompt("summarise", "Summarises a document") { (input: SummariseInput, _) in
            "Summarise \(input.path) in \(input.language ?? "English")."
        }
        try server.completion(prompt: "summarise") { request, _ in
            ["English", "Esperanto"].filter { $0.hasPrefix(request.argument.value) }
        }

        let listener = try await server.serveHTTP()
        try await tour(of: listener)
        try await listener.close()
        await server.close()

        func tour(of listener: HTTPListener) async throws {
            let client = try await Client(.url(listener.url))
            let sum: AddOutput = try await client.callTool("add", AddInput(a: 2, b: 3)).decode()
            for try await tool in client.tools { print(tool.name, tool.description ?? "") }
            let text = try await client.readResource("doc://readme.md").text
            let prompt = try await client.getPrompt("summarise", ["path": "readme.md"])
            await client.close()
            #expect(sum.sum == 5)
            #expect(text == "the text of readme.md")
            #expect(prompt.text == "Summarise readme.md in English.")
            try await failures(of: Client(.url(listener.url)))
        }

        func failures(of client: Client) async throws {
            let call = Task {
                try await client.callTool("convert", ["files": ["a", "b"]]) { update in
                    print(update.progress, update.total ?? 0, update.message ?? "")
                }
            }
            call.cancel()
            _ = await call.result
            do {
                _ = try await client.callTool("nope")
            } catch let error as McpError where error.kind == .invalidParams {
                print(error.code, error.message)
            }
            await client.close()
        }
    }

    /// Compiled only: it would serve for ever.
    func serving(_ server: Server) async throws {
        let listener = try await server.serveHTTP(port: 8000)
        print(listener.url)
        try await listener.wait()
    }

    @Test func theGuideShowsOnlyWhatIsCompiledHere() throws {
        let own = try String(contentsOfFile: #filePath, encoding: .utf8)
        let guide = try String(
            contentsOf: Surface.repository.appendingPathComponent("docs/swift.md"), encoding: .utf8)
        let code = own.lines.joined(separator: "\n")
        let blocks = guide.components(separatedBy: "```swift\n").dropFirst().map { $0.components(separatedBy: "```")[0] }
        #expect(blocks.count > 5)
        for block in blocks {
            #expect(code.contains(block.lines.joined(separator: "\n")), "\(block)")
        }
    }
}

extension String {
    /// Its lines without indentation, up to the last that is not empty.
    fileprivate var lines: [String] {
        trimmingCharacters(in: .newlines).components(separatedBy: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    }
}
