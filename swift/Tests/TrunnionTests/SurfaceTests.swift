import Foundation
import Testing
import TrunnionBindings

@testable import Trunnion

/// The tables of bindings/surface.toml, as far as this test needs them.
struct Surface {
    /// The entries of an array of tables, with their keys as written.
    let tables: [String: [[String: String]]]

    static let repository = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    init() throws {
        let file = Self.repository.appendingPathComponent("bindings/surface.toml")
        var tables: [String: [[String: String]]] = [:]
        var current: String?
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("[[") {
                let name = String(line.dropFirst(2).prefix { $0 != "]" })
                tables[name, default: []].append([:])
                current = name
            } else if line.hasPrefix("[") {
                current = nil
            } else if let current, !line.hasPrefix("#"), let equals = line.range(of: " = ") {
                let value = line[equals.upperBound...].trimmingCharacters(in: CharacterSet(charactersIn: "\"'"))
                let last = tables[current, default: []].endIndex - 1
                tables[current]?[last][String(line[..<equals.lowerBound])] = value
            }
        }
        self.tables = tables
    }

    subscript(_ table: String) -> [[String: String]] { tables[table] ?? [] }
}

@Suite("The surface") struct SurfaceTests {
    let surface: Surface
    init() throws { surface = try Surface() }

    private func camel(_ name: String) -> String {
        let words = name.split(separator: "_").map(String.init)
        return ([words[0]] + words.dropFirst().map(\.capitalized)).joined()
    }

    @Test func eventsAndOutcomesHaveTheirNumbers() {
        #expect(
            Dictionary(uniqueKeysWithValues: EventKind.allCases.map { ("\($0)", String($0.rawValue)) })
                == Dictionary(uniqueKeysWithValues: surface["event"].map { (camel($0["name"]!), $0["value"]!) }))
        #expect(
            Dictionary(uniqueKeysWithValues: Outcome.allCases.map { ("\($0)", String($0.rawValue)) })
                == Dictionary(uniqueKeysWithValues: surface["outcome"].map { (camel($0["name"]!), $0["value"]!) }))
    }

    @Test func everyRequestHasItsName() {
        #expect(Op.allCases.map(\.rawValue) == surface["op"].map { $0["name"]! })
    }

    @Test func everyErrorHasItsKindAndCode() {
        #expect(McpError.Kind.allCases.map(\.rawValue) == surface["error"].map { $0["kind"]! })
        #expect(McpError.Kind.allCases.map { String($0.code) } == surface["error"].map { $0["code"]! })
    }

    @Test func everyOptionHasItsKey() {
        let types: [String: Any] = [
            "engine": EngineOptions(), "server": ServerOptions(), "tool": ToolOptions(),
            "serve_http": ServeHTTPOptions(), "connect": ConnectOptions(), "auth": AuthOptions(),
            "request": RequestOptions(),
        ]
        #expect(Set(types.keys) == Set(surface["option"].map { $0["scope"]! }))
        for (scope, options) in types {
            let keys = Mirror(reflecting: options).children.compactMap(\.label)
            #expect(keys == surface["option"].filter { $0["scope"] == scope }.map { $0["key"]! }, "\(scope)")
        }
    }

    /// Each function is one of the native class, under its Swift name; `set_wake` would be Rust calling Swift,
    /// which this binding does not do, and waiting is `wait`.
    @Test func everyFunctionIsBound() throws {
        let file = Surface.repository.appendingPathComponent("swift/Sources/TrunnionBindings/TrunnionBindings.swift")
        let source = try String(contentsOf: file, encoding: .utf8)
        for function in surface["function"] {
            let name = function["name"]!
            switch name {
            case "set_wake": #expect(!source.contains("func setWake("))
            case "engine_new": #expect(source.contains("public convenience init(options: String)throws"))
            default: #expect(source.contains("func \(camel(name))("), "\(name)")
            }
        }
    }
}
