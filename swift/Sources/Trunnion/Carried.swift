import Foundation
import TrunnionBindings

/// One HTTP header.
public struct HTTPHeader: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A request that another web server of the program has received.
public struct HTTPRequest: Sendable, Hashable {
    /// The method, such as `POST`.
    public var method: String
    /// Path and query, for example `/mcp`.
    public var target: String
    public var headers: [HTTPHeader]
    public var body: Data
    /// The address of the peer, if known, which `trustedProxies` are matched against.
    public var peer: String?

    public init(
        method: String, target: String, headers: [HTTPHeader] = [], body: Data = Data(), peer: String? = nil
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer
    }
}

/// The response to a request.
public struct HTTPResponse: Sendable {
    public var status: Int
    public var headers: [HTTPHeader]
    /// The body, chunk by chunk: send each as it arrives.
    public var body: HTTPBody
}

/// The body of a response. Releasing it before its end, or cancelling the task that reads it, notifies the
/// server that the caller has disconnected. A reader that is behind by more than 16 MiB when more arrives
/// gets an `McpError` of kind `limit`.
public struct HTTPBody: AsyncSequence, Sendable {
    let pieces: AsyncThrowingStream<Data, any Error>
    /// The number of unread bytes.
    let unread: Locked<Int>

    public struct AsyncIterator: AsyncIteratorProtocol {
        var pieces: AsyncThrowingStream<Data, any Error>.Iterator
        let unread: Locked<Int>

        public mutating func next() async throws -> Data? {
            guard let piece = try await pieces.next() else { return nil }
            unread.withLock { $0 -= piece.count }
            return piece
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(pieces: pieces.makeAsyncIterator(), unread: unread)
    }

    /// Returns all of it. (The body of a GET, and of a call that reports progress, lasts as long as that
    /// does.)
    public func all() async throws -> Data {
        try await reduce(into: Data()) { $0 += $1 }
    }
}

extension Server {
    /// Answers a request that another web server of the program has received: Streamable HTTP without a
    /// listener.
    /// - Throws: `McpError` of kind `usage` for an invalid request, `closed` if the server is closed;
    ///   `CancellationError`.
    public func handle(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await carrier().handle(request)
    }

    /// Returns an endpoint for another web server, with its own options. The server must outlive it.
    public func endpoint(options: ServeHTTPOptions = ServeHTTPOptions()) throws -> HTTPEndpoint {
        try HTTPEndpoint(core: runtime.core, server: handle, options: options)
    }
}

/// Streamable HTTP embedded in another web server. It ends with its server, or by `close`.
public final class HTTPEndpoint: Sendable {
    private let core: Core
    private let operation: UInt64

    init(core: Core, server: UInt64, options: ServeHTTPOptions) throws {
        var options = options
        options.carried = true
        let text = try JSON.text(options)
        self.core = core
        // Later requests report how it ended.
        operation = try core.start(sink: { _, _ in }) { try $0.serveHttp(server: server, options: text) }
    }

    deinit { close() }

    /// Refuses further requests; those in progress may finish. Idempotent.
    public func close() { core.giveUp(operation) }

    /// Answers a request. It returns with the head of the response; the body follows.
    public func handle(_ request: HTTPRequest) async throws -> HTTPResponse {
        var head: [String: JSONValue] = [
            "method": .string(request.method), "target": .string(request.target),
            "headers": .array(request.headers.map { [.string($0.name), .string($0.value)] }),
        ]
        head["peer"] = request.peer.map(JSONValue.string)
        let (text, body, endpoint) = (try JSON.text(head), request.body, operation)
        let response = Response(core: core)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                response.begin(continuation) { try $0.httpRequest(endpoint: endpoint, head: text, body: body) }
            }
        } onCancel: {
            response.call.cancel()
        }
    }

    /// The response to one request while it arrives.
    private final class Response: Sendable {
        /// The limit of unread bytes when more arrive.
        private static let limit = 16 << 20

        let call: Core.Call
        private let core: Core
        /// Returned with the head: a caller that releases it has disconnected.
        private let body: Locked<HTTPBody?>
        private let feed: AsyncThrowingStream<Data, any Error>.Continuation
        private let unread = Locked(0)
        private let waiting = Locked(CheckedContinuation<HTTPResponse, any Error>?.none)

        init(core: Core) {
            self.core = core
            let call = Core.Call(core: core)
            let (pieces, feed) = AsyncThrowingStream.makeStream(of: Data.self)
            feed.onTermination = { reason in
                if case .cancelled = reason { call.cancel() }
            }
            body = Locked(HTTPBody(pieces: pieces, unread: unread))
            self.call = call
            self.feed = feed
        }

        func begin(_ continuation: CheckedContinuation<HTTPResponse, any Error>, _ begin: (Engine) throws -> UInt64) {
            waiting.withLock { $0 = continuation }
            do {
                call.started(try core.start(sink: heard, begin))
            } catch {
                fail(error)
            }
        }

        private func heard(_ kind: EventKind, _ payload: String) {
            switch kind {
            case .httpHead:
                guard let body = body.withLock({ $0.take() }) else { return }
                take()?.resume(with: Result { try HTTPResponse(head: payload, body: body) })
            case .httpChunk:
                guard let piece = try? JSON.decode(String.self, from: payload) else { return }
                let bytes = Data(piece.utf8)
                let isBehind = unread.withLock { unread in
                    if unread > Self.limit { return true }
                    unread += bytes.count
                    return false
                }
                if isBehind {
                    fail(McpError(.limit, "more than \(Self.limit) bytes of a response wait to be sent"))
                    call.cancel()
                } else {
                    feed.yield(bytes)
                }
            case .error:
                let error = McpError(payload: payload)
                fail(error.kind == .cancelled ? CancellationError() : error)
            case .result:
                feed.finish()
                take()?.resume(throwing: McpError(.closed, "it was closed before it answered"))
            default:
                break
            }
        }

        private func fail(_ error: any Error) {
            feed.finish(throwing: error)
            take()?.resume(throwing: error)
        }

        private func take() -> CheckedContinuation<HTTPResponse, any Error>? {
            waiting.withLock { waiting in
                defer { waiting = nil }
                return waiting
            }
        }
    }
}

extension HTTPResponse {
    init(head: String, body: HTTPBody) throws {
        struct Head: Decodable {
            var status: Int
            var headers: [[String]]
        }
        let head = try JSON.decode(Head.self, from: head)
        status = head.status
        headers = head.headers.map { HTTPHeader($0.first ?? "", $0.last ?? "") }
        self.body = body
    }
}
