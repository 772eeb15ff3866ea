import Foundation
import Testing

@testable import Trunnion

struct AddInput: Codable {
    var a: Double
    var b: Double
}
struct AddOutput: Codable, Equatable { var sum: Double }
struct TextInput: Codable { var text: String }

/// The connection between a test's client and its server.
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

/// Runs a test against a server and a client, then closes both and checks that nothing is left of them.
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

/// A program with pipes as its standard streams. No other program inherits their ends: it would keep them open, and two
/// programs that each hold an end of the other never see the end of their input.
final class Program: @unchecked Sendable {
    let process = Process()
    let input: FileHandle
    let output: FileHandle
    /// Empty when its standard error is that of the tests.
    let errors: FileHandle?

    /// Between the making of a pipe and its mark nothing is started.
    private static let starting = NSLock()

    init(_ executable: URL, _ arguments: [String] = [], withErrors: Bool = false) throws {
        Self.starting.lock()
        defer { Self.starting.unlock() }
        let (stdin, stdout) = (try Self.pipe(), try Self.pipe())
        let stderr = withErrors ? try Self.pipe() : nil
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = stdin.reading
        process.standardOutput = stdout.writing
        if let stderr { process.standardError = stderr.writing }
        (input, output, errors) = (stdin.writing, stdout.reading, stderr?.reading)
        try process.run()
        for end in [stdin.reading, stdout.writing, stderr?.writing] { try end?.close() }
    }

    /// Its first line, without the line end; what there is if it ends before.
    func firstLine() -> String {
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let more = output.availableData
            if more.isEmpty { break }
            line += more
        }
        return String(decoding: line, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    /// Closes its input and waits for its end.
    func end() {
        try? input.close()
        process.waitUntilExit()
    }

    private static func pipe() throws -> (reading: FileHandle, writing: FileHandle) {
        var ends: [Int32] = [-1, -1]
        guard Foundation.pipe(&ends) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (
            FileHandle(fileDescriptor: ends[0], closeOnDealloc: true),
            FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        )
    }
}
