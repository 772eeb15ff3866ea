// The server that benchmarks measure: bench_server --stdio | --http PORT
// BENCH_TOOLS names a JSON file with further tools, BENCH_BIG the text of the resource bench://big.

import Foundation
import Trunnion

struct EchoInput: Codable { var text: String }
struct AddInput: Codable {
    var a: Double
    var b: Double
}
struct AddOutput: Codable { var sum: Double }

struct ToolFile: Decodable {
    var name: String
    var description: String
    var inputSchema: JSONValue
}

@main
enum BenchServer {
    static func main() async {
        let arguments = CommandLine.arguments.dropFirst()
        do {
            let server = try makeServer(environment: ProcessInfo.processInfo.environment)
            switch (arguments.first, arguments.dropFirst().first.flatMap(Int.init)) {
            case ("--stdio", nil): try await server.serveStdio()
            case ("--http", let port?): try await server.serveHTTP(port: port).wait()
            default:
                FileHandle.standardError.write(Data("usage: bench_server --stdio | --http PORT\n".utf8))
                exit(2)
            }
            await server.close()
        } catch {
            FileHandle.standardError.write(Data("bench_server: \(error)\n".utf8))
            exit(1)
        }
    }

    static func makeServer(environment: [String: String]) throws -> Server {
        let server = try Server("bench-swift", version: "1.0.0")
        try server.tool("echo", "Answers with the text it was given") { (input: EchoInput) in input.text }
        try server.tool("add", "Adds two numbers") { (input: AddInput) in AddOutput(sum: input.a + input.b) }
        if let path = environment["BENCH_TOOLS"] {
            let file = try Data(contentsOf: URL(fileURLWithPath: path))
            for tool in try JSONDecoder().decode([ToolFile].self, from: file) {
                try server.tool(tool.name, tool.description, inputSchema: .json(tool.inputSchema)) { (_: JSONValue) in
                    "ok"
                }
            }
        }
        if let path = environment["BENCH_BIG"] {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try server.resource("bench://big", name: "big", mimeType: "text/plain") { _ in text }
        }
        return server
    }
}
