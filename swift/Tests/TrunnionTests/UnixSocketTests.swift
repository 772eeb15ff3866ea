import Foundation
import Testing
import Trunnion

@Suite("Unix sockets") struct UnixSocketTests {
    @Test func aSocketInPlaceOfHostAndPort() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        let server = try Server("unix", version: "1")
        try server.tool("ok", "Says so") { (_: Context) in "ok" }
        let listener = try await server.serveHTTP(options: ServeHTTPOptions(unixSocket: path))
        #expect(listener.url.hasPrefix("http+unix://"))
        let client = try await Client(.url(listener.url))
        #expect(try await client.callTool("ok").text == "ok")
        await client.close()
        try await listener.close()
        await server.close()
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
