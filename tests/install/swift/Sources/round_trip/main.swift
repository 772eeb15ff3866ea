// A server and a client of the released Swift package, over standard streams and HTTP.
import Trunnion

struct Input: Codable {
    var a: Double
    var b: Double
}
struct Output: Codable { var sum: Double }

let server = try Server("installed", version: "1.0.0")
try server.tool("add", "Adds two numbers") { (input: Input) in Output(sum: input.a + input.b) }

func check(_ target: Client.Target, _ transport: String) async throws {
    let client = try await Client(target)
    let output: Output = try await client.callTool("add", Input(a: 19, b: 23)).decode()
    precondition(output.sum == 42, "\(output)")
    await client.close()
    print(transport, "ok")
}

if CommandLine.arguments.contains("--serve") {
    try await server.serveStdio()
} else {
    try await check(.command([CommandLine.arguments[0], "--serve"]), "stdio")
    let listener = try await server.serveHTTP(port: 0)
    try await check(.url(listener.url), "http")
}
