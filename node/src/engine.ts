// One native engine on this thread's event loop: draining, dispatching, and process lifetime.

import { Cancellable, Context } from "./context.js";
import { McpError, ToolError } from "./errors.js";
import { ClosedError, UsageError, EVENT, OUTCOME, type EngineOptions as Generated } from "./generated.js";
import { type ErrorPayload, guarded, loadNative, type NativeEngine, toError } from "./native.js";

/**
 * The maximum of consecutive turns before the event loop continues, so that a busy peer starves nothing else.
 */
const MAX_ROUNDS = 16;
const NO_EVENTS = "[]";
/** Default of the option, in bytes. */
const MAX_MESSAGE_BYTES = 4 << 20;
const FOREVER_MS = 0x7fffffff;

/** Options of an engine. */
export interface EngineOptions extends Omit<Generated, "driver"> {
  /**
   * `hosted`: this thread's event loop does the I/O, the fastest for one process. `threaded`: the engine's
   * own threads do it. Default: `hosted` with libuv (Node on Linux and macOS), else `threaded`.
   */
  driver?: "hosted" | "threaded";
  /**
   * The method to wake the event loop. `poll`: libuv watches the engine's descriptor. `callback`: a
   * thread-safe function; needs the threaded driver. Default: `poll` with libuv, else `callback`.
   */
  wake?: "poll" | "callback";
}

/** Live-handle counters. */
export interface LiveCounters {
  servers: number;
  clients: number;
  exchanges: number;
  operations: number;
  connections: number;
  sessions: number;
}

/**
 * The handler of one registered tool, resource, prompt or completion; or of one kind of a client's input
 * requests.
 */
export interface Target<C extends Cancellable = Context> {
  /** Runs the user's handler. */
  invoke(payload: any, context: C): unknown;
  /** Encodes its value as a completion. */
  complete(value: any, payload: any): Completion;
  /** Encodes its failure with this message as a completion. */
  fail(message: string): Completion;
  /** The replacement for the message of an unexpected exception, as sent to the peer. */
  readonly masked?: string | undefined;
  /** Receives exceptions of a handler that are neither a McpError nor a ToolError. */
  report(error: unknown): void;
}

/** The answer to an exchange: an outcome and its payload, JSON or plain text by outcome. */
export type Completion = readonly [outcome: number, payload: string];

/** The waiter for the end of an operation. */
export interface Operation {
  /** It does not keep the process alive. */
  readonly idle?: boolean;
  resolve(payload: any): void;
  reject(error: McpError): void;
  progress?(payload: any): void;
  listening?(payload: any): void;
  notification?(payload: any): void;
  httpHead?(payload: any): void;
  httpChunk?(payload: string): void;
}

/** The receiver of a client's events and input requests, or of notifications to a server. */
export interface PeerListener {
  notification(payload: any): void;
  closed?(payload: any): void;
  elicit?: Target<Cancellable>;
  sample?: Target<Cancellable>;
  authorize?: Target<Cancellable>;
  credentials?: Target<Cancellable>;
  verifyToken?: Target<Cancellable>;
}

/**
 * An engine: its servers, clients and connections. Servers and clients share one engine per thread by
 * default; the options can name another engine, or engine options of their own.
 */
export class Engine {
  static #shared: Engine | undefined;

  /** @internal */
  readonly native: NativeEngine;
  /** Largest message, line or HTTP body, in bytes. */
  readonly maxMessageBytes: number;
  readonly #targets: (Target | undefined)[] = [undefined];
  readonly #freeTargets: number[] = [];
  readonly #operations = new Map<number, Operation>();
  readonly #listeners = new Map<number, PeerListener>();
  readonly #running = new Map<number, Cancellable>();
  /** Completions that wait for the next drain, as the inside of a JSON array. */
  #out = "";
  #inTurn = false;
  /** True if something waits for the next drain. */
  #dirty = false;
  #scheduled = false;
  #rounds = 0;
  #holds = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #polled: boolean;
  #closed = false;
  readonly #flush = (): void => {
    this.#scheduled = false;
    if (!this.#closed) this.#turn(this.#drain());
  };

  /** Makes an engine. Nothing runs until a server serves or a client connects. */
  constructor(options: EngineOptions = {}) {
    const { wake = hasLibuv() ? "poll" : "callback", ...rest } = options;
    const driver = rest.driver ?? (wake === "poll" ? "hosted" : "threaded");
    if (wake === "callback" && driver === "hosted") {
      throw new UsageError("the hosted driver needs libuv to watch its descriptor; use driver: \"threaded\" here");
    }
    const { Engine: NativeClass } = loadNative();
    this.maxMessageBytes = rest.maxMessageBytes ?? MAX_MESSAGE_BYTES;
    this.native = guarded(() => new NativeClass(JSON.stringify({ ...rest, driver })));
    this.#polled = wake === "poll" && this.native.watch((events) => this.#wake(events));
    if (!this.#polled) {
      if (driver === "hosted") throw new UsageError("this runtime cannot watch a descriptor; use driver: \"threaded\"");
      this.native.setWake(() => this.#wake(undefined));
    }
  }

  /** The engine that this thread's servers and clients share. */
  static shared(): Engine {
    if (Engine.#shared === undefined || Engine.#shared.#closed) Engine.#shared = new Engine();
    return Engine.#shared;
  }

  /** Live-handle counters; all zero when everything is closed. */
  live(): LiveCounters {
    return JSON.parse(this.native.live()) as LiveCounters;
  }

  /** True once closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Closes everything: final frames are sent, then the rest is cut off after `deadlineMs` milliseconds.
   * Pending calls fail with a `ClosedError`. Idempotent.
   */
  close(deadlineMs = 0): void {
    if (this.#closed) return;
    if (this.#dirty) this.#dispatch(this.#drain());
    this.native.close(deadlineMs);
    for (let events = this.#drain(); events !== NO_EVENTS; events = this.#drain()) this.#dispatch(events);
    this.#closed = true;
    this.native.unwatch();
    for (const operation of this.#operations.values()) operation.reject(new ClosedError("the engine was closed"));
    for (const context of this.#running.values()) context.cancel("the engine was closed");
    this.#operations.clear();
    this.#listeners.clear();
    this.#running.clear();
    this.#holds = 0;
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal Registers the handler of an item; returns its number. */
  addTarget(target: Target): number {
    const number = this.#freeTargets.pop() ?? this.#targets.length;
    this.#targets[number] = target;
    return number;
  }

  /** @internal */
  removeTarget(number: number): void {
    this.#targets[number] = undefined;
    this.#freeTargets.push(number);
  }

  /**
   * @internal Starts an operation and reports its end. The process stays alive until then, unless the
   * operation is an idle one.
   */
  operate(start: () => number, operation: Operation): number {
    const id = guarded(start);
    this.#operations.set(id, operation);
    if (operation.idle !== true) this.#hold();
    this.#kick();
    return id;
  }

  /** @internal Registers the receiver of notifications to a client or a server. */
  listen(peer: number, listener: PeerListener): void {
    this.#listeners.set(peer, listener);
  }

  /** @internal */
  unlisten(peer: number): void {
    this.#listeners.delete(peer);
  }

  /** @internal Progress and log messages go out with the next drain. */
  emit(what: "progress" | "log", id: number, payload: string): boolean {
    if (this.#closed) return false;
    const sent = guarded(() => this.native[what](id, payload));
    if (sent) this.#kick();
    return sent;
  }

  /** @internal Cancels an operation; its end follows. */
  cancel(id: number, reason: string): void {
    if (!this.#closed && this.native.cancel(id, reason)) this.#kick();
  }

  /** @internal Keeps the process alive until the returned function is called. */
  hold(): () => void {
    this.#hold();
    return () => this.#release();
  }

  /** @internal Runs a call that makes work for the engine. */
  call<T>(call: () => T): T {
    const value = guarded(call);
    this.#kick();
    return value;
  }

  #wake(events: string | undefined): void {
    this.#rounds = 0;
    this.#turn(events ?? this.#drain());
  }

  /** Dispatches events; sends the immediate answers; repeats with events that arrived meanwhile. */
  #turn(events: string): void {
    for (;;) {
      if (events !== NO_EVENTS) this.#dispatch(events);
      // A polled descriptor stays readable while there is more; a callback comes but once.
      if (this.#closed || (!this.#dirty && (this.#polled || events === NO_EVENTS))) return;
      if (++this.#rounds > MAX_ROUNDS) return this.#kick();
      events = this.#drain();
    }
  }

  /** Schedules one drain of everything queued: at the end of this turn, or after this tick's microtasks. */
  #kick(): void {
    this.#dirty = true;
    if (this.#scheduled || this.#inTurn || this.#closed) return;
    this.#scheduled = true;
    if (this.#rounds++ < MAX_ROUNDS) {
      process.nextTick(this.#flush);
    } else {
      setImmediate(() => {
        this.#rounds = 0;
        this.#flush();
      });
    }
  }

  #drain(): string {
    const completions = this.#out === "" ? NO_EVENTS : `[${this.#out}]`;
    this.#out = "";
    this.#dirty = false;
    return guarded(() => this.native.drainJson(completions));
  }

  #dispatch(text: string): void {
    const events = JSON.parse(text) as [number, number, number, any][];
    this.#inTurn = true;
    try {
      for (const [kind, id, target, payload] of events) this.#event(kind, id, target, payload);
    } finally {
      this.#inTurn = false;
    }
  }

  #event(kind: number, id: number, number: number, payload: any): void {
    switch (kind) {
      case EVENT.callTool:
      case EVENT.readResource:
      case EVENT.getPrompt:
      case EVENT.complete:
        return this.#serve(id, this.#targets[number], payload, new Context(this, id));
      case EVENT.elicit:
        return this.#serve(id, this.#listeners.get(number)?.elicit, payload, new Cancellable());
      case EVENT.sample:
        return this.#serve(id, this.#listeners.get(number)?.sample, payload, new Cancellable());
      case EVENT.authorize:
        return this.#serve(id, this.#listeners.get(number)?.authorize, payload, new Cancellable());
      case EVENT.credentials:
        return this.#serve(id, this.#listeners.get(number)?.credentials, payload, new Cancellable());
      case EVENT.verifyToken:
        return this.#serve(id, this.#listeners.get(number)?.verifyToken, payload, new Cancellable());
      case EVENT.cancelled:
        return this.#stop(id, payload?.reason);
      case EVENT.result:
        return this.#finish(id)?.resolve(payload);
      case EVENT.error:
        return this.#finish(id)?.reject(toError(payload as ErrorPayload));
      case EVENT.progress:
        return outside(() => this.#operations.get(id)?.progress?.(payload));
      case EVENT.listening:
        return this.#operations.get(id)?.listening?.(payload);
      case EVENT.notification:
        return outside(() => (this.#operations.get(id) ?? this.#listeners.get(id))?.notification?.(payload));
      case EVENT.closed: {
        const listener = this.#listeners.get(id);
        this.#listeners.delete(id);
        return outside(() => listener?.closed?.(payload));
      }
      case EVENT.httpHead:
        return outside(() => this.#operations.get(id)?.httpHead?.(payload));
      case EVENT.httpChunk:
        return outside(() => this.#operations.get(id)?.httpChunk?.(payload));
    }
  }

  #serve<C extends Cancellable>(id: number, target: Target<C> | undefined, payload: any, context: C): void {
    if (target === undefined) return this.#answer(id, OUTCOME.error, '{"message":"there is no handler for it"}');
    let value: unknown;
    try {
      value = target.invoke(payload, context);
      if (!isThenable(value)) {
        const [outcome, text] = target.complete(value, payload);
        return this.#answer(id, outcome, text);
      }
    } catch (error) {
      return this.#fail(id, target, error);
    }
    this.#running.set(id, context);
    // A promise stays itself; of any other thenable this makes one that settles once and never throws.
    Promise.resolve(value).then(
      (settled) => {
        if (!this.#running.delete(id)) return;
        try {
          const [outcome, text] = target.complete(settled, payload);
          this.#answer(id, outcome, text);
        } catch (error) {
          this.#fail(id, target, error);
        }
      },
      (error: unknown) => {
        if (this.#running.delete(id)) this.#fail(id, target, error);
      },
    );
  }

  #answer(id: number, outcome: number, payload: string): void {
    // A lone surrogate has no UTF-8: one bad answer must not fail its whole batch.
    const completion = `[${id},${outcome},${JSON.stringify(payload.toWellFormed())}]`;
    this.#out = this.#out === "" ? completion : `${this.#out},${completion}`;
    this.#kick();
  }

  /** A handler's failure affects its own call only; the peer gets the message at most, never the stack. */
  #fail(id: number, target: Pick<Target, "fail" | "masked" | "report">, error: unknown): void {
    if (error instanceof McpError) {
      const { code, message, data } = error;
      return this.#answer(id, OUTCOME.error, stringify({ code, message, data }) ?? stringify({ code, message })!);
    }
    const meant = error instanceof ToolError;
    const [outcome, text] = target.fail((meant ? undefined : target.masked) ?? messageOf(error));
    this.#answer(id, outcome, text);
    if (!meant) outside(() => target.report(error));
  }

  #stop(id: number, reason: string | undefined): void {
    const context = this.#running.get(id);
    this.#running.delete(id);
    outside(() => context?.cancel(reason));
  }

  #finish(id: number): Operation | undefined {
    const operation = this.#operations.get(id);
    if (operation !== undefined && this.#operations.delete(id) && operation.idle !== true) this.#release();
    return operation;
  }

  #hold(): void {
    if (this.#holds++ > 0) return;
    if (this.#polled) this.native.keepAlive(true);
    else this.#timer = setInterval(() => {}, FOREVER_MS);
  }

  #release(): void {
    if (--this.#holds > 0) return;
    if (this.#polled) this.native.keepAlive(false);
    else clearInterval(this.#timer);
  }
}

/** Runs a listener of the user's; an exception in it is an uncaught exception, not a failure of the batch. */
function outside(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** A thrown value may be anything: no error, or one whose message is no text. */
function messageOf(error: unknown): string {
  try {
    const message: unknown = error instanceof Error ? error.message : undefined;
    if (typeof message === "string" && message !== "") return message;
  } catch {
    // A getter of the user's.
  }
  return "the handler failed";
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** Detects Bun and Deno, which imitate Node's interface but not its loop. */
function hasLibuv(): boolean {
  const { versions, platform } = process;
  return versions["uv"] !== undefined && platform !== "win32" && !("bun" in versions) && !("deno" in versions);
}
