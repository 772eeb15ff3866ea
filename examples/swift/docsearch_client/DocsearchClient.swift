// Searches a docsearch server: docsearch_client URL search QUERY
// Prints one line of JSON, {"hits": […]}.

import Foundation
import Trunnion

struct Search: Codable { var query: String }

@main
enum DocsearchClient {
    static func main() async {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, arguments[2] == "search" else {
            FileHandle.standardError.write(Data("usage: docsearch_client URL search QUERY\n".utf8))
            exit(2)
        }
        do {
            let client = try await Client(.url(arguments[1]))
            let found: JSONValue = try await client.callTool("search", Search(query: arguments[3])).decode()
            print(JSONValue.object(["hits": found["hits"] ?? []]))
            await client.close()
        } catch {
            FileHandle.standardError.write(Data("docsearch_client: \(error)\n".utf8))
            exit(1)
        }
    }
}
