import Foundation
import Testing

@testable import Trunnion

struct AddInput: Codable {
    var a: Double
    var b: Double
}
struct AddOutput: Codable, Equatable { var sum: Double }
struct TextInput: Codable { var text: String }

/// How a test's client reaches its server.
enum Way: String, CaseIterable, CustomTestStringConvertible {
    case inProcess, http
    var testDescription: String { rawValue }
}

/// Something that happens once and can be waited for.
final class Signal: Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    func fire() { continuation.finish() }
    func wait() async { for await _ in stream {} }
}

/// Collects values across tasks.
actor Collected<Value: Sendable> {
    private(set) var values: [Value] = []
    func add(_ value: Value) { values.append(value) }
}

/// Run a test against a server and a client, then close both and see that nothing is left of them.
func withClient(
    to server: Server, over way: Way = .inProcess, options: ConnectOptions = ConnectOptions(),
    _ body: (Client) async throws -> Void
) async throws {
    switch way {
    case .inProcess:
        let client = try await Client(.server(server), options: options)
        try await body(client)
        await client.close()
    case .http:
        let listener = try await server.serveHTTP()
        let client = try await Client(.url(listener.url), options: options)
        try await body(client)
        await client.close()
        try await listener.close()
    }
    await server.close()
    try expectNothingAlive(server.runtime)
}

func expectNothingAlive(_ runtime: Runtime, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(
        try runtime.live
            == LiveCounters(servers: 0, clients: 0, exchanges: 0, operations: 0, connections: 0, sessions: 0),
        sourceLocation: sourceLocation)
}

/// A program of this package, built beside the tests.
func example(_ name: String) throws -> String {
    let beside = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    let candidates = [beside, Surface.repository.appendingPathComponent(".build/debug")].map {
        $0.appendingPathComponent(name).path
    }
    return try #require(candidates.first(where: FileManager.default.isExecutableFile), "\(name) is not built")
}

func everythingServer() throws -> [String] { [try example("everything_server"), "--stdio"] }

/// The error that the body fails with; it is an issue when it does not.
func failure<T>(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> T
) async -> McpError? {
    do {
        _ = try await body()
        Issue.record("it did not fail", sourceLocation: sourceLocation)
    } catch let error as McpError {
        return error
    } catch {
        Issue.record("it failed with \(error)", sourceLocation: sourceLocation)
    }
    return nil
}
