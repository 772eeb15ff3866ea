// The server of the golden transcripts (tests/vectors/README.md), on standard streams.
// Its one argument is the definition and options of the server as JSON.

import Foundation
import Trunnion

struct AddInput: Codable {
    var a: Double
    var b: Double
}
struct AddOutput: Codable { var sum: Double }
struct TextInput: Codable { var text: String }
struct MessageInput: Codable { var message: String }
struct StepsInput: Codable { var n: Int }
struct VisitInput: Codable { var id: String }
struct GreetInput: Codable { var name: String }

@main
enum VectorServer {
    static func main() async throws {
        let text = CommandLine.arguments.dropFirst().first ?? "{}"
        var definition = try JSONDecoder().decode([String: JSONValue].self, from: Data(text.utf8))
        let name = definition.removeValue(forKey: "name")?.stringValue ?? "vectors"
        let version = definition.removeValue(forKey: "version")?.stringValue ?? "1.0.0"
        let server = try Server(name, version: version, extra: definition)

        try server.tool("add", outputSchema: .none) { (input: AddInput) in AddOutput(sum: input.a + input.b) }
        try server.tool("echo") { (input: TextInput) in input.text }
        try server.tool("fail") { (input: MessageInput) -> String in throw ToolError(input.message) }
        try server.tool("steps") { (input: StepsInput, context: Context) in
            for step in 1...input.n { try context.progress(Double(step), total: Double(input.n)) }
            return "done"
        }
        try server.tool("hang") { (_: Context) -> String in
            do {
                while true { try await Task.sleep(for: .seconds(3600)) }
            } catch {
                FileHandle.standardError.write(Data("hang cancelled\n".utf8))
                throw error
            }
        }
        try server.tool("visit") { (input: VisitInput, context: Context) in
            let page = "https://example.com/sign-in"
            let answer = try await context.elicit("Sign in", url: page, elicitationId: input.id)
            try server.notifyElicitationComplete(input.id)
            return answer.action.rawValue
        }
        try server.resource("test://text", name: "text", mimeType: "text/plain") { _ in "hello" }
        try server.resource(template: "test://item/{id}", name: "item") { request, _ in "item \(request["id"])" }
        try server.prompt("greet") { (input: GreetInput, _) in "Greet \(input.name)" }
        try server.completion(prompt: "greet") { request, _ in
            ["ada", "alan", "grace"].filter { $0.hasPrefix(request.argument.value) }
        }
        try await server.serveStdio()
        await server.close()
    }
}
