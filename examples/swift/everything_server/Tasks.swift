// Calls that become tasks.

import Foundation
import Trunnion

struct WorkInput: Codable, Described {
    var seconds: Double
    var label: String?
    static let descriptions = ["seconds": "How long it takes"]
}
struct FileInput: Codable { var filename: String }
struct Confirmed: Codable { var confirm: Bool }

extension EverythingServer {
    static func addTasks(to server: Server) throws {
        try server.tool("greet", "Says hello") { (input: Name) in "Hello, \(input.name)!" }
        try server.tool(
            "slow_compute", "Takes a while, and says how far it is", task: .optional, resumable: true
        ) { (input: WorkInput, context: Context) in
            let done: Int = try context.lastCheckpoint() ?? 0
            for step in done..<10 {
                try await Task.sleep(for: .seconds(min(max(input.seconds / 10, 0), 60)))
                try context.progress(Double(step + 1), total: 10)
                try await context.checkpoint(step + 1)
            }
            return "\(input.label ?? "it") took \(input.seconds) s"
        }
        try server.tool("failing_job", "Fails after a second", task: .required) { (_: Context) -> String in
            try await Task.sleep(for: .seconds(1))
            throw ToolError("the job has failed")
        }
        try server.tool("protocol_error_job", "Ends with a protocol error", task: .optional) { (_: Context) -> String in
            throw McpError(.internalError, "the job has met an error of the protocol")
        }
        try server.tool("confirm_delete", "Asks the user before something is deleted", task: .optional) {
            (input: FileInput, context: Context) in
            let answer = try await context.elicit("Delete \(input.filename)?", as: Confirmed.self)
            return answer.fields?.confirm == true ? "\(input.filename) is deleted" : "\(input.filename) stays"
        }
        try server.tool("multi_input", "Asks the user two things at once", task: .optional) { (context: Context) in
            let answers = try await context.ask([
                "first": .elicit("Who is first?", as: Name.self), "second": .elicit("Who is second?", as: Name.self),
            ])
            let names = try ["first", "second"].map { key in
                let name: Name? = try answers.elicitation(key).decode()
                return "\(key): \(name?.name ?? "nobody")"
            }
            return names.joined(separator: ", ")
        }
        try server.tool(
            "test_tool_with_task", "Asks for a name, then greets in a task",
            asks: ["user_name": .elicit("What is your name?", as: Name.self)], task: .optional
        ) { (context: Context) in
            let name: Name? = try context.answers.elicitation("user_name").decode()
            return "Hello, \(name?.name ?? "stranger")!"
        }
    }
}
