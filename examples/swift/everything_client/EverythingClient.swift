// A tour of an everything server: everything_client URL | stdio:COMMAND LINE
// It prints one line of JSON with the results.

import Foundation
import Trunnion

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

@main
enum EverythingClient {
    static func main() async {
        do {
            guard CommandLine.arguments.count > 1, let target = CommandLine.arguments.last else {
                throw McpError(.usage, "usage: everything_client URL | stdio:COMMAND LINE")
            }
            let client = try await connect(to: target)
            switch ProcessInfo.processInfo.environment["MCP_CONFORMANCE_SCENARIO"] {
            case nil: print(try await tour(client))
            case let scenario?: try await conform(client, to: scenario)
            }
            await client.close()
        } catch {
            FileHandle.standardError.write(Data("everything_client: \(error)\n".utf8))
            exit(1)
        }
    }

    /// The context that a scenario passes to its client.
    static var context: JSONValue {
        let context = ProcessInfo.processInfo.environment["MCP_CONFORMANCE_CONTEXT"] ?? "{}"
        return (try? JSONDecoder().decode(JSONValue.self, from: Data(context.utf8))) ?? [:]
    }

    /// The authorization for the server of a scenario, as its users would configure it.
    static func auth(for scenario: String) -> Auth {
        let context = context
        func of(_ name: String) -> String { context[name]?.stringValue ?? "" }
        func user(_ options: AuthOptions) -> Auth {
            .authorizationCode(redirectURI: "http://localhost:3000/callback", options: options, redirect: agree)
        }
        // The suite says of few clients where they belong, and runs servers of its own.
        let trusting = AuthOptions(trustFirstIssuer: true)
        switch scenario {
        case "auth/client-credentials-basic":
            return .clientCredentials(clientId: of("client_id"), clientSecret: of("client_secret"), options: trusting)
        case "auth/client-credentials-jwt":
            return .clientCredentials(clientId: of("client_id"), signingKey: of("private_key_pem"), options: trusting)
        case "auth/wif-jwt-bearer":
            return .jwtBearer(clientId: of("client_id"), assertion: of("valid_jwt"), options: trusting)
        case "auth/enterprise-managed-authorization":
            let provider = IdentityProvider(
                tokenEndpoint: of("idp_token_endpoint"), issuer: of("idp_issuer"), clientId: of("idp_client_id"))
            return .enterprise(
                clientId: of("client_id"), provider: provider, subject: of("idp_id_token"),
                options: AuthOptions(clientSecret: of("client_secret"), trustFirstIssuer: true))
        case "auth/pre-registration":
            return user(
                AuthOptions(
                    clientId: of("client_id"), clientSecret: of("client_secret"),
                    issuer: context["issuer"]?.stringValue, trustFirstIssuer: context["issuer"] == nil))
        case "auth/dpop", "auth/dpop-nonce":
            return user(AuthOptions(dpop: true))
        default:
            return user(AuthOptions(clientMetadataUrl: "https://conformance-test.local/client-metadata.json"))
        }
    }

    /// The suite's user agrees at once: its page is a redirect to the callback.
    @Sendable static func agree(_ page: String) async throws -> String {
        final class Stay: NSObject, URLSessionTaskDelegate {
            func urlSession(
                _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
                newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
            ) {
                completionHandler(nil)
            }
        }
        let session = URLSession(configuration: .ephemeral, delegate: Stay(), delegateQueue: nil)
        defer { session.finishTasksAndInvalidate() }
        let (_, response) = try await session.data(from: URL(string: page)!)
        guard let callback = (response as? HTTPURLResponse)?.value(forHTTPHeaderField: "location") else {
            throw McpError(.protocol, "the page leads nowhere")
        }
        return callback
    }

    /// Plays a scenario of the conformance suite.
    static func conform(_ client: Client, to scenario: String) async throws {
        let tools = try await client.listTools()
        var calls: [(name: String, arguments: JSONValue)] = []
        switch scenario {
        case "initialize", "request-metadata", "json-schema-ref-no-deref": break
        case "elicitation-sep1034-client-defaults": calls = [("test_client_elicitation_defaults", [:])]
        case "sse-retry": calls = [("test_reconnection", [:])]
        case "sep-2322-client-request-state":
            let names = ["test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"]
            calls = names.map { ($0, [:]) }
        case "tools_call": calls = [("add_numbers", ["a": 5, "b": 3])]
        case "http-custom-headers":
            calls = (context["toolCalls"]?.arrayValue ?? []).map { call in
                (call["name"]?.stringValue ?? "", call["arguments"] ?? [:])
            }
        case "json-schema-2020-12-preservation":
            let difficult = tools.first { $0.name == "json_schema_2020_12_tool" }
            calls = [("json_schema_echo", ["schema": difficult?.inputSchema ?? [:]])]
        case "http-invalid-tool-headers", "http-standard-headers":
            calls = tools.map { ($0.name, [:]) }
        case _ where scenario.hasPrefix("auth/"): calls = tools.prefix(1).map { ($0.name, [:]) }
        default: throw McpError(.usage, "the scenario \(scenario) is not known")
        }
        if scenario == "http-standard-headers" {
            for resource in try await client.listResources() { _ = try await client.readResource(resource.uri) }
            for prompt in try await client.listPrompts() { _ = try await client.getPrompt(prompt.name) }
        }
        for call in calls { _ = try await client.callTool(call.name, call.arguments) }
    }

    static func connect(to target: String) async throws -> Client {
        let options = ConnectOptions(
            clientInfo: ["name": "everything-client-swift", "version": "1.0.0"],
            era: ProcessInfo.processInfo.environment["MCP_INTEROP_ERA"],
            transport: ProcessInfo.processInfo.environment["MCP_INTEROP_TRANSPORT"],
            revision: ProcessInfo.processInfo.environment["MCP_INTEROP_REVISION"]
        )
        // Questions of the suite's servers. Fields that a form leaves open get their defaults.
        let handlers =
            ProcessInfo.processInfo.environment["MCP_CONFORMANCE_SCENARIO"] == nil
            ? ClientHandlers()
            : ClientHandlers(
                roots: [Root(uri: "file:///workspace", name: "workspace")],
                onElicit: { _ in .accept() },
                onSample: { _ in CreateMessageResult(text: "This is a test response.", model: "test-model") })
        guard target.hasPrefix("stdio:") else {
            let scenario = ProcessInfo.processInfo.environment["MCP_CONFORMANCE_SCENARIO"] ?? ""
            let auth = scenario.hasPrefix("auth/") ? auth(for: scenario) : nil
            return try await Client(.url(target), options: options, handlers: handlers, auth: auth)
        }
        let command = target.dropFirst("stdio:".count).split(separator: " ").map(String.init)
        return try await Client(.command(command), options: options)
    }

    static func tour(_ client: Client) async throws -> JSONValue {
        var met: [String: JSONValue] = [:]
        met["revision"] = client.serverInfo["revision"]
        let names = Set(try await client.listTools().map(\.name))
        met["tools"] = .bool(names.isSuperset(of: ["add", "echo", "slow", "fail"]))
        let added = try await client.callTool("add", ["a": 2, "b": 3])
        // Before 2025-06-18 there is only the text.
        let sum = try added.structuredContent ?? JSONDecoder().decode(JSONValue.self, from: Data(added.text.utf8))
        met["sum"] = sum["sum"]
        met["echo"] = .string(try await client.callTool("echo", ["text": "héllo ✓ 😀\n\"q\""]).text)

        let steps = Steps()
        let slow = try await client.callTool("slow", ["steps": 3, "delayMs": 5]) { await steps.add($0.progress) }
        met["slow"] = .string(slow.text)
        met["progress"] = .array(await steps.values)

        let fail = try await client.callTool("fail", ["message": "boom"])
        met["fail"] = fail.isError ? .string(fail.text) : nil
        met["unknown"] = try await failure { try await client.callTool("nope") }
        met["invalid"] = try await failure { try await client.callTool("add", ["a": "x"]) }
        met["cancel"] = try await cancelAfterFirstProgress(client)

        met["resource"] = try await client.readResource("test://static-text").text.map(JSONValue.string)
        met["template"] = try await client.readResource("test://template/42/data").text.map(JSONValue.string)
        let prompt = try await client.getPrompt("test_prompt_with_arguments", ["arg1": "hello", "arg2": "world"])
        met["prompt"] = .string(prompt.text)
        let completion = try await client.complete(prompt: "test_prompt_with_arguments", argument: "arg1", value: "pa")
        met["completion"] = .array(completion.values.map(JSONValue.string))
        met["after"] = .string(try await client.callTool("echo", ["text": "still here"]).text)
        return .object(met)
    }

    /// The error of a call that cannot succeed: `isError`, or the error's code.
    static func failure(of call: () async throws -> ToolResult) async throws -> JSONValue {
        do {
            return try await call().isError ? "isError" : "success"
        } catch let error as McpError {
            return .int(error.code)
        }
    }

    static func cancelAfterFirstProgress(_ client: Client) async throws -> JSONValue {
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let call = Task {
            defer { begin.finish() }
            return try await client.callTool("slow", ["steps": 100_000, "delayMs": 1]) { _ in begin.yield() }
        }
        for await _ in begun { break }
        call.cancel()
        do {
            return .string("answered: \(try await call.value.text)")
        } catch is CancellationError {
            return "cancelled"
        }
    }

    actor Steps {
        private(set) var values: [JSONValue] = []
        func add(_ step: Double) { values.append(Int(exactly: step).map(JSONValue.int) ?? .double(step)) }
    }
}
