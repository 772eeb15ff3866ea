// The client: connections, requests and notifications from the server.

import { authOf, type AuthOptions, type AuthTargets } from "./auth.js";
import { Changes, type ListenFilter } from "./changes.js";
import type { Cancellable } from "./context.js";
import { Engine, type EngineOptions, type Operation, type Target } from "./engine.js";
import type { McpError } from "./errors.js";
import {
  CancelledError,
  ClosedError,
  ProtocolError,
  type ConnectOptions as GeneratedOptions,
  OPTION_KEYS,
  OUTCOME,
  type Op,
  type RequestOptions as GeneratedRequestOptions,
  UsageError,
} from "./generated.js";
import { json } from "./completing.js";
import { type Ask, Task, type TaskState } from "./tasks.js";
import { PromptResult, ReadResult, ToolResult } from "./results.js";
import { type CompletionRef, printError, type Server, split, wireRef } from "./server.js";
import type {
  CompletionValues,
  CreateMessageRequest,
  CreateMessageResult,
  ElicitRequest,
  ElicitResult,
  LogLevel,
  Progress,
  Prompt,
  Resource,
  ResourceTemplate,
  Root,
  Tool,
} from "./types.js";

/** The target of a client: a URL, a command line, or a server of this process. */
export type ClientTarget =
  | string
  | URL
  | readonly string[]
  | { command: string; args?: readonly string[]; env?: Record<string, string>; cwd?: string }
  | Server;

/** Options of a connection. */
export interface ClientOptions
  extends Omit<GeneratedOptions, "clientInfo" | "headers" | "era" | "roots" | "logLevel" | "transport" | "auth" | "stderr">,
    EngineOptions {
  /**
   * The destination of a command's standard error. `inherit`: that of this process. `null`: discarded.
   * `lines`: the event `stderr` and `onStderr`. Default: `lines` with `onStderr`, else `inherit`.
   */
  stderr?: "inherit" | "null" | "lines";
  /** Receives every line that a command writes to its standard error, from its start on. */
  onStderr?: (line: string) => void;
  /** The client's name and version as sent to the server. */
  clientInfo?: { name: string; version: string; title?: string };
  /** HTTP headers added to every request. */
  headers?: Record<string, string>;
  /** `auto`: probe and fall back. `modern` or `legacy`: that era only. */
  era?: "auto" | "modern" | "legacy";
  /**
   * Transport of a URL. `auto`: Streamable HTTP, and HTTP+SSE for servers that refuse it. `http` or `sse`:
   * that one only.
   */
  transport?: "auto" | "http" | "sse";
  /** The minimum level of log messages. Default: the server's. */
  logLevel?: LogLevel;
  /** The places that servers may work in; the engine answers requests for them. `setRoots` replaces them. */
  roots?: readonly Root[];
  /**
   * Answers elicitations of the server. Declares the capability, for the `elicitModes`. The engine checks the
   * content of an accepted form and fills in the defaults of missing fields.
   */
  onElicit?: (request: ElicitRequest, question: AskedQuestion) => Awaitable<ElicitResult>;
  /** The elicitation modes of `onElicit`: forms, pages to visit, or both. Default: forms. */
  elicitModes?: readonly ("form" | "url")[];
  /** Answers sampling requests of the server. Declares the capability. */
  onSample?: (request: CreateMessageRequest, question: AskedQuestion) => Awaitable<CreateMessageResult>;
  /**
   * Sign-in configuration for servers over HTTP that require authorization (OAuth 2.1). Without it, a refusal
   * is an error.
   */
  auth?: AuthOptions;
  /**
   * Receives every exception of `onElicit`, `onSample`, and the callbacks of `auth` that is no `McpError`.
   * Default: written to stderr.
   */
  onError?: (error: unknown, origin: { item: string; name: string }) => void;
  /** The engine to use, instead of the one this thread's servers and clients share. */
  engine?: Engine;
  /** Cancels connecting. */
  signal?: AbortSignal;
}

type Awaitable<T> = T | Promise<T>;

/**
 * The context of an elicitation or sampling handler: `signal` aborts when the server withdraws the request.
 */
export type AskedQuestion = Pick<Cancellable, "signal" | "cancelled">;

/** Options of a request. */
export interface RequestOptions extends Omit<GeneratedRequestOptions, "progress" | "task" | "taskTtlMs" | "ask" | "all"> {
  /** Cancels the request: the client notifies the server, and the call fails with a `CancelledError`. */
  signal?: AbortSignal;
  /** Requests progress and receives the reports. */
  onProgress?: (progress: Progress) => void;
}

/** Options of a tool call. */
export interface CallOptions extends RequestOptions {
  /**
   * The time to live of a task, in milliseconds, that the client requests from a legacy server; modern
   * servers decide it.
   */
  taskTtlMs?: number;
}

/** The server's description of itself from the handshake. Further fields are retained. */
export interface ServerDescription {
  serverInfo?: { name: string; version: string; title?: string };
  capabilities?: Record<string, unknown>;
  instructions?: string;
  revision?: string;
  era?: string;
  [field: string]: unknown;
}

/** The events of a client, and the payloads of their listeners. */
export interface ClientEvents {
  log: { level: LogLevel; data: unknown; logger?: string };
  tools_changed: Record<string, unknown>;
  resources_changed: Record<string, unknown>;
  prompts_changed: Record<string, unknown>;
  resource_updated: { uri: string };
  /** The interaction at a page of a URL elicitation is complete (2025-11-25). */
  elicitation_complete: { elicitationId: string };
  /** A task has changed that no call and no handle of this client follows. */
  task_changed: TaskState;
  /**
   * A command has written a line to its standard error. `lost`: the number of earlier lines that were dropped
   * unread.
   */
  stderr: { line: string; lost?: number };
  /** The connection has closed. */
  closed: { reason?: string };
}

/**
 * A list from the server. Awaited, it is an array of all entries, of at most 1000 pages; iterated (`for
 * await`), its pages are fetched as needed. A list that does not end is an error; if the list was awaited,
 * the entries so far are in its `data`.
 */
export class Listing<T> implements AsyncIterable<T>, PromiseLike<T[]> {
  readonly #page: (cursor: string | undefined) => Promise<{ items: T[]; nextCursor?: string }>;
  readonly #all: () => Promise<T[]>;

  /** @internal */
  constructor(
    page: (cursor: string | undefined) => Promise<{ items: T[]; nextCursor?: string }>,
    all: () => Promise<T[]>,
  ) {
    this.#page = page;
    this.#all = all;
  }

  /** One page: the first, or the page at `cursor`. Without a `nextCursor` it is the last. */
  page(cursor?: string): Promise<{ items: T[]; nextCursor?: string }> {
    return this.#page(cursor);
  }

  /** The pages, one array each. */
  async *pages(): AsyncGenerator<T[], void, void> {
    let cursor: string | undefined;
    const seen = new Set<string>();
    for (;;) {
      const { items, nextCursor } = await this.#page(cursor);
      yield items;
      if (nextCursor === undefined || nextCursor === null || nextCursor === "") return;
      if (seen.has(nextCursor)) {
        throw new ProtocolError(`the server's list has no end: it gave the cursor ${JSON.stringify(nextCursor)} twice`);
      }
      seen.add((cursor = nextCursor));
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for await (const page of this.pages()) yield* page;
  }

  then<A = T[], B = never>(
    fulfilled?: ((items: T[]) => A | PromiseLike<A>) | null,
    rejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#all().then(fulfilled, rejected);
  }
}

/** Connects to a server. */
export function connect(target: ClientTarget, options: ClientOptions = {}): Promise<Client> {
  return new Client(target, options).connect();
}

/** A client of one server. An idle one does not keep the process alive. */
export class Client implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #ownsEngine: boolean;
  readonly #target: string;
  readonly #options: Record<string, any>;
  readonly #signal: AbortSignal | undefined;
  readonly #answerers: { elicit?: Target<Cancellable>; sample?: Target<Cancellable> } & AuthTargets;
  readonly #listeners = new Map<string, Set<(params: any) => void>>();
  /** The client's handle: while it is connecting, and once it is connected. */
  #attempt: number | undefined;
  #handle: number | undefined;
  #connecting: Promise<this> | undefined;
  #closing: Promise<void> | undefined;
  #closed: string | undefined;
  #onClosed: (() => void) | undefined;
  #server: ServerDescription = {};

  /** Connects on `connect()` or with the first request. */
  constructor(target: ClientTarget, options: ClientOptions = {}) {
    const { engine, signal, onElicit, elicitModes, onSample, auth, onError = printError, onStderr, ...rest } = options;
    const [engineOptions, connectOptions] = split(rest, [...OPTION_KEYS.engine, "wake"]);
    const signingIn = auth === undefined ? undefined : authOf(auth, onError);
    const given = engine ?? (isServer(target) ? target.engine : undefined);
    if (isServer(target) && given !== target.engine) {
      throw new UsageError("a client of a server in this process shares the server's engine; give it no other");
    }
    this.#ownsEngine = given === undefined && Object.keys(engineOptions).length > 0;
    this.#engine = given ?? (this.#ownsEngine ? new Engine(engineOptions) : Engine.shared());
    this.#target = JSON.stringify(targetOf(target));
    const declared = capabilitiesOf(options);
    if (Object.keys(declared).length > 0) {
      connectOptions["capabilities"] = { ...declared, ...connectOptions["capabilities"] };
    }
    if (signingIn !== undefined) connectOptions["auth"] = signingIn.wire;
    if (onStderr !== undefined) {
      connectOptions["stderr"] ??= "lines";
      this.on("stderr", ({ line }) => onStderr(line));
    }
    this.#options = connectOptions;
    this.#answerers = {
      ...signingIn?.targets,
      ...(onElicit === undefined ? {} : { elicit: answerer("onElicit", onElicit, onError) }),
      ...(onSample === undefined ? {} : { sample: answerer("onSample", onSample, onError) }),
    };
    this.#signal = signal;
  }

  /** Connects; returns the same promise each time. */
  connect(): Promise<this> {
    return (this.#connecting ??= this.#connect());
  }

  /** The server's description of itself; empty before connecting. */
  get server(): ServerDescription {
    return this.#server;
  }

  /** Requests the server's description of itself and its capabilities. */
  discover(options: RequestOptions = {}): Promise<ServerDescription> {
    return this.#request("discover", {}, options);
  }

  /** Every tool of the server. */
  listTools(options: RequestOptions = {}): Listing<Tool> {
    return this.#list("list_tools", "tools", options);
  }

  /** Every resource of the server. */
  listResources(options: RequestOptions = {}): Listing<Resource> {
    return this.#list("list_resources", "resources", options);
  }

  /** Every resource template of the server. */
  listResourceTemplates(options: RequestOptions = {}): Listing<ResourceTemplate> {
    return this.#list("list_resource_templates", "resourceTemplates", options);
  }

  /** Every prompt of the server. */
  listPrompts(options: RequestOptions = {}): Listing<Prompt> {
    return this.#list("list_prompts", "prompts", options);
  }

  /**
   * Calls a tool. A tool that failed is a result with `isError`; a call that failed throws. If the server
   * makes a task of the call, the engine follows it: the task's status messages are reported as progress, its
   * input requests go to `onElicit` and `onSample`.
   *
   * @throws McpError
   */
  async callTool<T = any>(name: string, args: object = {}, options: CallOptions = {}): Promise<ToolResult<T>> {
    return new ToolResult<T>(await this.#request("call_tool", { name, arguments: args }, options));
  }

  /**
   * Calls a tool and does not wait for its result. If the server answers at once, the task is complete
   * already. The client requests a task from a legacy server if the tool allows that. Time limits apply until
   * the task exists.
   *
   * @throws McpError
   */
  async startTask<T = any>(
    name: string,
    args: object = {},
    options: Omit<CallOptions, "onProgress"> = {},
  ): Promise<Task<T>> {
    const made = await this.#request("call_tool", { name, arguments: args }, { ...options, task: true });
    return new Task<T>(this.#ask, made);
  }

  /** A task by its stored id. Nothing is sent. */
  task<T = any>(id: string): Task<T> {
    return new Task<T>(this.#ask, id);
  }

  /**
   * Every task of this caller; legacy sessions only, since the modern era has no such request (kind
   * `method_not_found`).
   */
  listTasks(options: RequestOptions = {}): Listing<TaskState> {
    return this.#list("list_tasks", "tasks", options);
  }

  /**
   * Reads a resource.
   *
   * @throws McpError
   */
  async readResource(uri: string | URL, options: RequestOptions = {}): Promise<ReadResult> {
    return new ReadResult(await this.#request("read_resource", { uri: String(uri) }, options));
  }

  /**
   * Gets a prompt, filled in.
   *
   * @throws McpError
   */
  async getPrompt(
    name: string,
    args: Record<string, string> = {},
    options: RequestOptions = {},
  ): Promise<PromptResult> {
    return new PromptResult(await this.#request("get_prompt", { name, arguments: args }, options));
  }

  /**
   * Returns suggestions for an argument of a prompt or a variable of a resource template. `others`: the other
   * arguments.
   *
   * @throws McpError
   */
  async complete(
    ref: CompletionRef,
    argument: { name: string; value: string },
    others?: Record<string, string>,
    options: RequestOptions = {},
  ): Promise<CompletionValues> {
    const context = others === undefined ? undefined : { arguments: others };
    const { completion } = await this.#request("complete", { ref: wireRef(ref), argument, context }, options);
    return completion as CompletionValues;
  }

  /** Pings the server. */
  async ping(options: RequestOptions = {}): Promise<void> {
    await this.#request("ping", {}, options);
  }

  /**
   * Subscribes to changes at the server. The process stays alive meanwhile.
   *
   * @example for await (const change of client.listen({ tools: true })) console.log(change.event);
   */
  listen(filter: ListenFilter, { signal, ...options }: Pick<RequestOptions, "signal" | "meta"> = {}): Changes {
    const leaving = new AbortController();
    const either = signal === undefined ? leaving.signal : AbortSignal.any([signal, leaving.signal]);
    return new Changes(
      (tell) => this.#request("listen", filter, { ...options, signal: either }, tell),
      () => leaving.abort(),
      () => this.#closing !== undefined,
    );
  }

  /** Sets the minimum level of log messages that the server sends. */
  async setLogLevel(level: LogLevel, options: RequestOptions = {}): Promise<void> {
    await this.#request("set_log_level", { level }, options);
  }

  /** Replaces the roots of the options. False: the options had none, or the client is closed. */
  setRoots(roots: readonly Root[]): boolean {
    if (this.#attempt === undefined) {
      this.#options["roots"] = roots;
      return true;
    }
    const client = this.#attempt;
    if (this.#closed !== undefined || this.#engine.closed) return false;
    return this.#engine.call(() => this.#engine.native.notify(client, "roots_changed", JSON.stringify({ roots })));
  }

  /** Registers a listener for an event. Returns a function that removes it. */
  on<E extends keyof ClientEvents>(event: E, listener: (params: ClientEvents[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Disconnects. Calls in progress fail with a `ClosedError`. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #connect(): Promise<this> {
    if (this.#closing !== undefined) throw new ClosedError("the client is closed");
    const { native } = this.#engine;
    try {
      this.#server = await this.#operate(
        () => (this.#attempt = native.connect(this.#target, JSON.stringify(this.#options))),
        this.#signal,
        (id) =>
          this.#engine.listen(id, {
            notification: ({ event, params }) => this.#tell(event, params),
            closed: (payload) => this.#end(payload),
            ...this.#answerers,
          }),
      );
      this.#handle = this.#attempt;
      return this;
    } catch (error) {
      if (this.#ownsEngine) this.#engine.close();
      throw error;
    }
  }

  async #close(): Promise<void> {
    if (this.#connecting !== undefined) {
      if (this.#handle === undefined && this.#attempt !== undefined) {
        this.#engine.cancel(this.#attempt, "the client was closed");
      }
      await this.#connecting.catch(() => {});
    }
    const handle = this.#handle;
    if (handle !== undefined && this.#closed === undefined && !this.#engine.closed) {
      await new Promise<void>((resolve) => {
        const release = this.#engine.hold();
        this.#onClosed = () => (release(), resolve());
        this.#engine.call(() => this.#engine.native.clientClose(handle));
      });
    }
    if (this.#ownsEngine) this.#engine.close();
  }

  #tell(event: string, params: unknown): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(params);
  }

  #end(payload: { reason?: string }): void {
    this.#closed = payload?.reason ?? "closed";
    this.#onClosed?.();
    this.#tell("closed", payload ?? {});
  }

  #list<T>(op: Op, key: string, options: RequestOptions): Listing<T> {
    return new Listing<T>(
      async (cursor) => {
        const { [key]: items, nextCursor } = await this.#request(op, { cursor }, options);
        return { items, nextCursor };
      },
      async () => (await this.#request(op, {}, { ...options, all: true }))[key],
    );
  }

  readonly #ask: Ask = (op, params, options, tell) => this.#request(op, params, options, tell);

  async #request(
    op: Op,
    params: object,
    options: CallOptions & { task?: boolean; ask?: boolean; all?: boolean },
    notification?: (payload: any) => void,
  ): Promise<any> {
    if (this.#closed !== undefined || this.#closing !== undefined) {
      throw new ClosedError(this.#closed ?? "the client is closed");
    }
    if (this.#handle === undefined) await this.connect();
    const { signal, onProgress, ...rest } = options;
    const wire = onProgress === undefined ? rest : { ...rest, progress: true };
    return this.#operate(
      () => this.#engine.native.request(this.#handle!, op, JSON.stringify(params), JSON.stringify(wire)),
      signal,
      undefined,
      { progress: onProgress, notification },
    );
  }

  #operate(
    start: () => number,
    signal: AbortSignal | undefined,
    started?: (id: number) => void,
    hears: Pick<Operation, "progress" | "notification"> = {},
  ): Promise<any> {
    if (this.#engine.closed) return Promise.reject(new ClosedError("the engine is closed"));
    if (signal?.aborted) return Promise.reject(aborted(signal));
    return new Promise((resolve, reject) => {
      if (signal === undefined) {
        const id = this.#engine.operate(start, { resolve, reject, ...hears });
        started?.(id);
        return;
      }
      const abort = () => this.#engine.cancel(id, "aborted by the caller");
      const over = () => signal.removeEventListener("abort", abort);
      const id = this.#engine.operate(start, {
        resolve: (value) => (over(), resolve(value)),
        reject: (error) => (over(), reject(signal.aborted && error instanceof CancelledError ? aborted(signal) : error)),
        ...hears,
      });
      signal.addEventListener("abort", abort, { once: true });
      started?.(id);
    });
  }
}

/** The capabilities of the given handlers, as the protocol spells them. */
function capabilitiesOf({ onElicit, elicitModes = ["form"], onSample }: ClientOptions): Record<string, object> {
  const modes = elicitModes.includes("url") ? Object.fromEntries(elicitModes.map((mode) => [mode, {}])) : {};
  return {
    ...(onElicit === undefined ? {} : { elicitation: modes }),
    ...(onSample === undefined ? {} : { sampling: {} }),
  };
}

function answerer<R>(
  name: string,
  handler: (request: R, question: AskedQuestion) => unknown,
  onError: NonNullable<ClientOptions["onError"]>,
): Target<Cancellable> {
  return {
    invoke: handler,
    complete: (answer) => [OUTCOME.result, json(answer)],
    fail: (message) => [OUTCOME.error, JSON.stringify({ message })],
    report: (error) => onError(error, { item: "client", name }),
  };
}

function aborted(signal: AbortSignal): McpError {
  return new CancelledError("aborted by the caller", { cause: signal.reason });
}

function isServer(target: ClientTarget): target is Server {
  return typeof target === "object" && target !== null && "serveStdio" in target && "engine" in target;
}

function targetOf(target: ClientTarget): object {
  if (typeof target === "string" && target.includes("://")) return { url: target };
  if (typeof target !== "object" || target === null) throw new UsageError(notATarget(target));
  if (target instanceof URL) return { url: target.href };
  if (isServer(target)) return { server: target.handle };
  if ("command" in target) {
    const { command, args = [], env, cwd } = target;
    return { command: [command, ...args], env, cwd };
  }
  if (!Array.isArray(target)) throw new UsageError(notATarget(target));
  return { command: target };
}

function notATarget(target: unknown): string {
  return `${JSON.stringify(target)} is not a target: give a URL, a command as an array ["program", "argument"], or a Server`;
}
