import Foundation
import Trunnion

// task_server STORE: works on tasks until it is killed. Its tool `work` stores its progress and then waits
// for its process to die; run again, it returns the state that it has found.
@main enum TaskServer {
    static func main() async throws {
        let options = ServerOptions(store: CommandLine.arguments[1], taskPollMs: 20, taskLeaseMs: 500)
        let server = try Server("task_server", version: "1", options: options)
        try server.tool("work", "Works", task: .required, resumable: true) { (context: Context) in
            let first = try await context.once("first") { ProcessInfo.processInfo.processIdentifier }
            let run = try context.task?.run ?? 0
            guard let page: Int = try context.lastCheckpoint() else {
                try await context.checkpoint(7)
                try context.progress(7, message: "page 7")
                try await Task.sleep(for: .seconds(3600))
                return "nobody has killed it"
            }
            return "run \(run), page \(page), begun by \(first)"
        }
        let listener = try await server.serveHTTP()
        FileHandle.standardOutput.write(Data("\(listener.url)\n".utf8))
        try await listener.wait()
    }
}
