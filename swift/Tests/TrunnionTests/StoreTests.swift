import Foundation
import Testing
import Trunnion

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

@Suite("Stores") struct StoreTests {
    /// The status, the session and the text of an answer.
    func send(
        _ url: String, _ body: String?, session: String? = nil, method: String = "POST"
    ) async throws -> (Int, String?, String) {
        var request = URLRequest(url: URL(string: url)!)
        request.httpMethod = method
        request.httpBody = body.map { Data($0.utf8) }
        request.setValue("application/json", forHTTPHeaderField: "content-type")
        request.setValue("application/json, text/event-stream", forHTTPHeaderField: "accept")
        request.setValue("2025-11-25", forHTTPHeaderField: "mcp-protocol-version")
        if let session { request.setValue(session, forHTTPHeaderField: "mcp-session-id") }
        let (data, response) = try await URLSession.shared.data(for: request)
        let http = response as! HTTPURLResponse
        let id = http.value(forHTTPHeaderField: "mcp-session-id")
        return (http.statusCode, id, String(decoding: data, as: UTF8.self))
    }

    @Test func serversShareSessionsAndChanges() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let options = ServerOptions(store: folder.appendingPathComponent("store.db").path)
        let one = try Server("shared", version: "1", options: options)
        let other = try Server("shared", version: "1", options: options)
        for server in [one, other] {
            try server.tool("hello", "Says so") { (_: Context) in "hello" }
        }
        let first = try await one.serveHTTP()
        let second = try await other.serveHTTP()

        let initialize = """
            {"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",\
            "capabilities":{},"clientInfo":{"name":"test","version":"1"}}}
            """
        let call = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello"}}"#
        let (status, session, _) = try await send(first.url, initialize)
        #expect(status == 200 && session != nil)
        let answer = try await send(second.url, call, session: session)
        #expect(answer.0 == 200 && answer.2.contains("hello"))
        #expect(try await send(second.url, nil, session: session, method: "DELETE").0 == 204)
        while try await send(first.url, call, session: session).0 != 404 {}

        let client = try await Client(.url(first.url))
        let changes = try await client.listen(tools: true)
        try other.tool("new", "Is new") { (_: Context) in "new" }
        for try await change in changes {
            #expect(change == .tools)
            break
        }
        await client.close()
        try await first.close()
        try await second.close()
        await one.close()
        await other.close()
        try FileManager.default.removeItem(at: folder)
    }
}
