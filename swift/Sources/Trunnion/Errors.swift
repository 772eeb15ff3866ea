import Foundation
import TrunnionBindings

/// A failure of the protocol, the connection or the engine.
///
/// A handler that throws one answers with that protocol error. `kind` names the failure and `code` is the
/// JSON-RPC code (negative, or the peer's own) or, for a local failure that is never sent, a small positive
/// number.
public struct McpError: Error, Sendable, Hashable {
    /// The kind of the failure.
    public var kind: Kind
    /// The JSON-RPC code, or the local one.
    public var code: Int
    /// One sentence for a person.
    public var message: String
    /// Further data from the peer.
    public var data: JSONValue?

    /// Creates an error of a kind, or with a custom code (kind `remote`).
    public init(_ kind: Kind, _ message: String, code: Int? = nil, data: JSONValue? = nil) {
        self.kind = kind
        self.code = code ?? kind.code
        self.message = message
        self.data = data
    }
}

extension McpError: LocalizedError, CustomStringConvertible {
    public var errorDescription: String? { message }
    public var description: String { "\(kind.rawValue) (\(code)): \(message)" }
}

/// A failure for the model to read: the tool's answer has `isError` and this text.
public struct ToolError: Error, Sendable, Hashable, LocalizedError, CustomStringConvertible {
    /// The text for the model.
    public var message: String

    public init(_ message: String) { self.message = message }

    public var errorDescription: String? { message }
    public var description: String { message }
}

extension McpError {
    init(_ error: EngineError) {
        switch error {
        case .Failed(let code, let kind, let message, let data):
            self.init(
                Kind(rawValue: kind) ?? .remote, message, code: Int(code),
                data: data.flatMap { try? JSON.decode(JSONValue.self, from: $0) })
        }
    }

    /// The payload of an error event.
    init(payload: String) {
        struct Payload: Decodable {
            var code: Int
            var kind: String
            var message: String
            var data: JSONValue?
        }
        do {
            let payload = try JSON.decode(Payload.self, from: payload)
            self.init(
                Kind(rawValue: payload.kind) ?? .remote, payload.message, code: payload.code, data: payload.data)
        } catch {
            self.init(.panic, "the engine reported a failure that cannot be read: \(payload)")
        }
    }

    /// The payload of an error completion.
    func completion() throws -> String {
        var fields: [String: JSONValue] = ["code": .int(code), "message": .string(message)]
        fields["data"] = data
        return try JSON.text(JSONValue.object(fields))
    }
}

/// Calls the engine, with its failures as `McpError`.
func calling<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let error as EngineError {
        throw McpError(error)
    } catch let error as McpError {
        throw error
    } catch {
        // An error of UniFFI itself is a caught panic.
        throw McpError(.panic, "the engine failed: \(error)")
    }
}
