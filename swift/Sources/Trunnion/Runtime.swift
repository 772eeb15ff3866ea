import Foundation
import TrunnionBindings

/// One engine and the thread that waits for its events.
///
/// Every `Server` and `Client` makes one by default; a program with many can share one among them. It ends
/// with `close()`, or when the last server and client that use it are released.
public final class Runtime: Sendable {
    let core: Core

    /// - Throws: `McpError` of kind `usage` for a bad option.
    public init(_ options: EngineOptions = EngineOptions()) throws {
        let text = try JSON.text(options)
        core = Core(engine: try calling { try Engine(options: text) })
        core.startPump()
    }

    /// Stops everything: requests in progress are refused, pending calls fail with kind `closed`, handlers
    /// are cancelled, and connections have until the deadline to send their last bytes. Idempotent.
    /// (`Server.close` lets its handlers finish first.)
    public func close(deadline: Duration = .seconds(5)) async {
        await core.close(deadline: deadline)
    }

    /// The numbers of live handles.
    public var live: LiveCounters {
        get throws { try JSON.decode(LiveCounters.self, from: try calling { try core.engine.live() }) }
    }

    /// The engine's version.
    public static var version: String {
        get throws { try calling { try TrunnionBindings.version() } }
    }

    deinit {
        core.closeInBackground(deadline: .zero)
    }
}

/// The answer of a handler.
struct Answer: Sendable {
    var outcome: Outcome
    var payload: String
}

/// One call of a handler.
struct Exchange: Sendable {
    let core: Core
    let id: UInt64
    let payload: String
}

typealias Handler = @Sendable (Exchange) async -> Answer
/// Answers the requests to a client.
typealias Answerer = @Sendable (EventKind, String) async -> Answer
typealias EventSink = @Sendable (EventKind, String) -> Void

/// The engine, its registered items and its operations. Kept alive by its own thread until closed.
final class Core: Sendable {
    let engine: Engine
    private let state = Locked(State())

    private struct State {
        var operations: [UInt64: EventSink] = [:]
        var clients: [UInt64: EventSink] = [:]
        var servers: [UInt64: EventSink] = [:]
        /// The handlers of clients' requests, by client, and the token checks of servers, by server.
        var answerers: [UInt64: Answerer] = [:]
        var handlers: [UInt64: Handler] = [:]
        var running: [UInt64: Task<Void, Never>] = [:]
        /// The number of repetitions of each input request, by exchange.
        var asked: [UInt64: [String: Int]] = [:]
        var lastTarget: UInt64 = 0
        /// True if no operation can start any more.
        var hasEnded = false
        /// True if everybody has been notified of the end: there are no further callbacks.
        var isOver = false
        var whenEnded: [CheckedContinuation<Void, Never>] = []
        var whenIdle: [AsyncStream<Void>.Continuation] = []

        /// The continuations that wait for idleness.
        mutating func ifIdle() -> [AsyncStream<Void>.Continuation] {
            guard operations.isEmpty, running.isEmpty else { return [] }
            defer { whenIdle = [] }
            return whenIdle
        }
    }

    init(engine: Engine) { self.engine = engine }

    // MARK: Handlers

    func addHandler(_ handler: @escaping Handler) -> UInt64 {
        state.withLock { state in
            state.lastTarget += 1
            state.handlers[state.lastTarget] = handler
            return state.lastTarget
        }
    }

    func removeHandlers(_ targets: some Sequence<UInt64>) {
        state.withLock { state in
            for target in targets { state.handlers[target] = nil }
        }
    }

    /// Registers the receiver of notifications to a server from its clients.
    func addServer(_ id: UInt64, sink: @escaping EventSink) {
        state.withLock { $0.servers[id] = sink }
    }

    /// Checks the tokens of a server's callers.
    func addVerifier(_ id: UInt64, _ verifier: @escaping Answerer) {
        state.withLock { $0.answerers[id] = verifier }
    }

    func removeServer(_ id: UInt64) {
        state.withLock { state in
            state.servers[id] = nil
            state.answerers[id] = nil
        }
    }

    /// Returns the key of an input request without a given key.
    func key(for question: String, in exchange: UInt64) -> String {
        let before = state.withLock { state in
            // Nothing is stored for a call that is over: it would never be removed.
            guard state.running[exchange] != nil else { return 0 }
            let before = state.asked[exchange, default: [:]][question, default: 0]
            state.asked[exchange, default: [:]][question] = before + 1
            return before
        }
        return questionKey(question, before: before)
    }

    // MARK: Operations

    /// Begins an operation. Its sink receives every event of it, on the thread of this core, and must not
    /// block.
    @discardableResult
    func start(
        sink: @escaping EventSink, client: EventSink? = nil, answerer: Answerer? = nil,
        _ begin: (Engine) throws -> UInt64
    ) throws -> UInt64 {
        // Under the lock, so that no event of the operation can be delivered before its sink is known.
        try state.withLock { state in
            if state.hasEnded { throw McpError(.closed, "the runtime is closed") }
            let id = try calling { try begin(engine) }
            state.operations[id] = sink
            if let client { state.clients[id] = client }
            if let answerer { state.answerers[id] = answerer }
            return id
        }
    }

    /// Runs an operation to its end, or until the task is cancelled.
    /// - Returns: the payload of its result.
    func run(
        on event: EventSink? = nil, client: EventSink? = nil, answerer: Answerer? = nil, handle: Locked<UInt64>? = nil,
        _ begin: @escaping @Sendable (Engine) throws -> UInt64
    ) async throws -> String {
        let call = Call(core: self)
        return try await withTaskCancellationHandler {
            do {
                return try await withCheckedThrowingContinuation { continuation in
                    do {
                        let id = try start(sink: { kind, payload in
                            switch kind {
                            case .result: continuation.resume(returning: payload)
                            case .error: continuation.resume(throwing: McpError(payload: payload))
                            default: event?(kind, payload)
                            }
                        }, client: client, answerer: answerer, begin)
                        handle?.withLock { $0 = id }
                        call.started(id)
                    } catch {
                        continuation.resume(throwing: error)
                    }
                }
            } catch let error as McpError where error.kind == .cancelled && call.isCancelled {
                throw CancellationError()
            }
        } onCancel: {
            call.cancel()
        }
    }

    /// Cancels its operation when the task is cancelled, also if that happens before the operation has a
    /// number.
    final class Call: Sendable {
        private let core: Core
        private let state = Locked((id: UInt64?.none, isCancelled: false))

        init(core: Core) { self.core = core }

        var isCancelled: Bool { state.withLock { $0.isCancelled } }

        func started(_ id: UInt64) {
            let isCancelled = state.withLock { state in
                state.id = id
                return state.isCancelled
            }
            if isCancelled { core.giveUp(id) }
        }

        func cancel() {
            let id = state.withLock { state in
                state.isCancelled = true
                return state.id
            }
            if let id { core.giveUp(id) }
        }
    }

    func giveUp(_ id: UInt64) {
        // It throws only after a panic in the engine, when there is nothing left to cancel.
        _ = try? engine.cancel(id: id, reason: "cancelled by the caller")
    }

    // MARK: Events

    func startPump() {
        let thread = Thread { [self] in pump() }
        thread.name = "trunnion"
        thread.start()
    }

    private func pump() {
        do {
            // Without a time limit, waiting fails only when the engine is closed and nothing is left.
            while try engine.wait(timeoutMs: -1) {
                try engine.drain(completions: []).forEach(dispatch)
            }
            end(McpError(.closed, "the runtime is closed"))
        } catch {
            end((error as? EngineError).map(McpError.init) ?? McpError(.panic, "the engine failed: \(error)"))
        }
    }

    private func dispatch(_ event: Event) {
        guard let kind = EventKind(rawValue: event.kind) else { return }
        switch kind {
        case .callTool, .readResource, .getPrompt, .complete:
            launch(event)
        case .elicit, .sample, .authorize, .credentials, .verifyToken:
            launchQuestion(kind, event)
        case .cancelled:
            state.withLock { $0.running[event.id] }?.cancel()
        case .result, .error:
            let (sink, idle) = state.withLock { state in
                // A connect that failed leaves no client.
                if kind == .error {
                    state.clients[event.id] = nil
                    state.answerers[event.id] = nil
                }
                let sink = state.operations.removeValue(forKey: event.id)
                return (sink, state.ifIdle())
            }
            sink?(kind, event.payload)
            idle.forEach { $0.finish() }
        case .progress, .listening, .httpHead, .httpChunk:
            state.withLock { $0.operations[event.id] }?(kind, event.payload)
        case .notification:
            // Numbers are never used twice, so it is one of them.
            let sink = state.withLock { state in
                state.clients[event.id] ?? state.operations[event.id] ?? state.servers[event.id]
            }
            sink?(kind, event.payload)
        case .closed:
            let sink = state.withLock { state in
                state.answerers[event.id] = nil
                return state.clients.removeValue(forKey: event.id)
            }
            sink?(kind, event.payload)
        }
    }

    private func launch(_ event: Event) {
        let exchange = Exchange(core: self, id: event.id, payload: event.payload)
        let isKnown = state.withLock { state in
            guard let handler = state.handlers[event.target] else { return false }
            // The task's own end takes this lock too, so it cannot be removed before it is entered.
            state.running[event.id] = Task.detached {
                let answer = await handler(exchange)
                self.finish(event.id, answer)
            }
            return true
        }
        if !isKnown {
            finish(event.id, Answer(outcome: .error, payload: #"{"message":"it was removed from the server"}"#))
        }
    }

    /// Handles a request to a client, from its server or from the engine for sign-in; or a token check of a
    /// server.
    private func launchQuestion(_ kind: EventKind, _ event: Event) {
        let (id, payload) = (event.id, event.payload)
        let isKnown = state.withLock { state in
            guard let answerer = state.answerers[event.target] else { return false }
            state.running[id] = Task.detached {
                let answer = await answerer(kind, payload)
                self.finish(id, answer)
            }
            return true
        }
        if !isKnown {
            finish(id, Answer(outcome: .error, payload: #"{"message":"nobody here answers questions"}"#))
        }
    }

    private func finish(_ id: UInt64, _ answer: Answer) {
        // It throws only after a panic in the engine, when there is no peer left to answer.
        _ = try? engine.complete(id: id, outcome: answer.outcome.rawValue, payload: answer.payload)
        let idle = state.withLock { state in
            state.running[id] = nil
            state.asked[id] = nil
            return state.ifIdle()
        }
        idle.forEach { $0.finish() }
    }

    // MARK: The end

    func close(deadline: Duration) async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.isOver { state.whenEnded.append(continuation) }
                return state.isOver
            }
            if isOver {
                continuation.resume()
            } else {
                closeInBackground(deadline: deadline)
            }
        }
    }

    func closeInBackground(deadline: Duration) {
        if state.withLock({ $0.hasEnded }) { return }
        let milliseconds = UInt64(max(0, deadline / .milliseconds(1)))
        // It blocks until the deadline, which a task must not.
        DispatchQueue.global().async { [self] in
            // It throws only after a panic in the engine: then everything has stopped.
            try? engine.close(deadlineMs: milliseconds)
        }
    }

    /// Waits until no handler runs and no operation is open, but no longer than the limit.
    func idle(within limit: Duration) async {
        let (idle, signal) = AsyncStream.makeStream(of: Void.self)
        let isIdle = state.withLock { state in
            state.whenIdle.append(signal)
            return state.ifIdle()
        }
        isIdle.forEach { $0.finish() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in idle {} }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    private func end(_ error: McpError) {
        let left = state.withLock { state in
            let left = state
            state = State()
            state.hasEnded = true
            state.whenEnded = left.whenEnded
            return left
        }
        left.running.values.forEach { $0.cancel() }
        var fields: [String: JSONValue] = [
            "code": .int(error.code), "kind": .string(error.kind.rawValue), "message": .string(error.message),
        ]
        fields["data"] = error.data
        let payload = JSONValue.object(fields).description
        left.operations.values.forEach { $0(.error, payload) }
        left.clients.values.forEach { $0(.closed, "{}") }
        left.whenIdle.forEach { $0.finish() }
        // Last: the caller of close may rely on receiving nothing more.
        let closers = state.withLock { state in
            state.isOver = true
            defer { state.whenEnded = [] }
            return state.whenEnded
        }
        closers.forEach { $0.resume() }
    }
}
