import Foundation
import Testing

@testable import Trunnion

/// The golden transcripts, played to a Swift server over its standard streams: see tests/vectors/README.md.
@Suite("Golden transcripts") struct VectorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var file: String
        var name: String
        var server: JSONValue
        var steps: [JSONValue]
        var testDescription: String { "\(file): \(name)" }
    }

    static let cases: [Case] = {
        let folder = Surface.repository.appendingPathComponent("tests/vectors")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".json") }.sorted().flatMap { file -> [Case] in
            let text = try? String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
            let json = text.flatMap { try? JSON.decode(JSONValue.self, from: $0) }
            return (json?["cases"]?.arrayValue ?? []).filter { $0["virtual"] != true }.map {
                Case(
                    file: file, name: $0["name"]?.stringValue ?? "?", server: $0["server"] ?? [:],
                    steps: $0["steps"]?.arrayValue ?? [])
            }
        }
    }()

    @Test func thereAreTranscripts() { #expect(Self.cases.count > 20) }

    @Test(.timeLimit(.minutes(1)), arguments: cases) func transcript(_ transcript: Case) async throws {
        let peer = try Peer(command: [try example("vector_server"), transcript.server.description])
        for step in transcript.steps {
            if let message = step["send"] {
                try peer.send(message.stringValue ?? message.description)
            } else if let repeated = step["repeat"] {
                let text = repeated[0]?.stringValue ?? ""
                let around = step["around"]
                let middle = String(repeating: text, count: repeated[1]?.intValue ?? 0)
                try peer.send((around?[0]?.stringValue ?? "") + middle + (around?[1]?.stringValue ?? ""))
            } else if let pattern = step["expect"] {
                let line = try #require(await peer.nextMessage(), "the server fell silent before \(pattern)")
                let message = try JSON.decode(JSONValue.self, from: line)
                #expect(pattern.fits(message), "\(pattern) does not fit \(message)")
            } else if let handler = step["handler"]?.stringValue, step["is"] == "cancelled" {
                #expect(await peer.tells("\(handler) cancelled"))
            } else {
                Issue.record("an unknown step: \(step)")
            }
        }
        #expect(await peer.finish() == 0)
    }
}

extension JSONValue {
    /// Reports whether a message fits this pattern.
    fileprivate func fits(_ message: JSONValue?) -> Bool {
        switch (self, message) {
        case ("*", .some): true
        case (.object(let members), .some(let message)):
            if let part = members["contains"]?.stringValue, members.count == 1 {
                message.stringValue?.contains(part) == true
            } else {
                message.objectValue != nil
                    && members.allSatisfy { name, pattern in
                        if name == "absent", let names = pattern.arrayValue {
                            return names.allSatisfy { $0.stringValue.map { message[$0] == nil } ?? false }
                        }
                        return pattern.fits(message[name])
                    }
            }
        case (.array(let patterns), .array(let messages)?):
            patterns.count == messages.count && zip(patterns, messages).allSatisfy { $0.fits($1) }
        case (.int, .some(let message)), (.double, .some(let message)): doubleValue == message.doubleValue
        default: self == message
        }
    }
}

/// A program that is driven line by line.
private final class Peer: Sendable {
    private let program: Program
    private let messages: Lines
    private let remarks: Lines

    init(command: [String]) throws {
        // A server that has ended must fail the test, not the process.
        signal(SIGPIPE, SIG_IGN)
        program = try Program(URL(fileURLWithPath: command[0]), Array(command.dropFirst()), withErrors: true)
        messages = Lines(of: program.output)
        remarks = Lines(of: try #require(program.errors))
    }

    func send(_ line: String) throws { try program.input.write(contentsOf: Data((line + "\n").utf8)) }

    func nextMessage() async -> String? { await messages.next() }

    func tells(_ remark: String) async -> Bool {
        while let line = await remarks.next() {
            if line == remark { return true }
        }
        return false
    }

    /// Closes its input and waits for its end.
    func finish() async -> Int32 {
        try? program.input.close()
        while await messages.next() != nil {}
        program.end()
        return program.process.terminationStatus
    }

    /// The lines of a stream, read by a thread of their own.
    private final class Lines: Sendable {
        private let stream: AsyncStream<String>

        init(of handle: FileHandle) {
            let (stream, feed) = AsyncStream.makeStream(of: String.self)
            self.stream = stream
            Thread.detachNewThread {
                var rest = Data()
                while case let data = handle.availableData, !data.isEmpty {
                    rest += data
                    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                        feed.yield(String(decoding: rest[rest.startIndex..<end], as: UTF8.self))
                        rest = rest[(end + 1)...]
                    }
                }
                feed.finish()
            }
        }

        func next() async -> String? {
            for await line in stream { return line }
            return nil
        }
    }
}
