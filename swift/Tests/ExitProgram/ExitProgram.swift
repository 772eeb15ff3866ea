import Foundation
import Trunnion

// exit_program idle|pending SERVER…: connects to a server program and ends while the client is idle or a call is in
// flight, without closing anything.
@main enum ExitProgram {
    static func main() async throws {
        let arguments = CommandLine.arguments
        let client = try await Client(.command(Array(arguments[2...])))
        if arguments[1] == "pending" {
            let (begun, signal) = AsyncStream.makeStream(of: Void.self)
            let call = Task {
                try await client.callTool("slow", ["steps": 100_000, "delayMs": 1]) { _ in signal.finish() }
            }
            for await _ in begun {}
            _ = call
        } else {
            try await client.ping()
        }
        withExtendedLifetime(client) { print("over") }
    }
}
