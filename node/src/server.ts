// The server: registration of tools, resources, prompts and completions, and the transports.

import type { Questions } from "./asking.js";
import { type Carrier, type FetchHandler, fetchHandler } from "./carried.js";
import {
  completeCompletion,
  completePrompt,
  completeResource,
  completeTool,
  completeTypedTool,
  failTool,
} from "./completing.js";
import { type Context } from "./context.js";
import { Engine, type EngineOptions, type Target } from "./engine.js";
import { McpError } from "./errors.js";
import {
  CancelledError,
  ClosedError,
  OPTION_KEYS,
  type ServeHttpOptions as GeneratedHttpOptions,
  type ServerOptions as GeneratedOptions,
  type ToolOptions as GeneratedToolOptions,
  UsageError,
} from "./generated.js";
import { type Access, guardOf, type ServerAuth } from "./guard.js";
import { type NodeHandler, nodeHandler } from "./incoming.js";
import { promptArguments, promptReader } from "./prompts.js";
import { type PromptResult, type ReadResult, ToolResult } from "./results.js";
import {
  describeIssues,
  isStandard,
  isStandardValue,
  type OutputOf,
  type PlainSchema,
  type Schema,
  type StandardResult,
  type StandardSchema,
  toJsonSchema,
} from "./schema.js";
import type { TemplateVariables } from "./template.js";
import type {
  Annotations,
  CompletionValues,
  ContentBlock,
  Icon,
  PromptArgument,
  PromptMessage,
  ResourceContents,
  ToolAnnotations,
} from "./types.js";

type Awaitable<T> = T | Promise<T>;

/** The definition and options of a server. */
export interface ServerOptions extends Omit<GeneratedOptions, "auth" | "taskTtlMs">, EngineOptions {
  name: string;
  version: string;
  title?: string;
  /** The description of the server, for people. */
  description?: string;
  /** Instructions for the model on using this server. */
  instructions?: string;
  websiteUrl?: string;
  icons?: Icon[];
  /** The engine to use, instead of the one this thread's servers and clients share. */
  engine?: Engine;
  /**
   * Receives every exception of a handler that is neither a `ToolError` nor a `McpError`. The peer receives
   * its message only, or not even that (`maskErrors`). Default: written to stderr.
   */
  onError?: (error: unknown, origin: { item: string; name: string }) => void;
  /**
   * Hides the message of such exceptions from the peer, which is notified only that the handler failed.
   * `ToolError` and `McpError` are meant for the peer and always shown. Default: false.
   */
  maskErrors?: boolean;
  /** Server authorization over HTTP. Without it, every request is accepted. */
  auth?: ServerAuth;
  /** The lifetime of a task from its creation, in milliseconds; `null`: indefinitely. Default: a day. */
  taskTtlMs?: number | null;
  /** Called when the roots of a client have changed; it does not identify the client. */
  onRootsChanged?: () => void;
}

/** Options of serving HTTP. */
export type ServeHttpOptions = Omit<GeneratedHttpOptions, "carried">;

/** Options of HTTP that is embedded in another web server. */
export type CarriedHttpOptions = Omit<ServeHttpOptions, "host" | "port" | "unixSocket">;

/** The time limit and access rules of an item. */
export interface ItemOptions extends Access {
  /**
   * The time limit in milliseconds, after which the handler's `signal` aborts and the caller gets an error.
   * Default: 0, no limit.
   */
  timeoutMs?: number;
  /** Excludes schemas: a schema belongs in the option that it is for, such as `input`. */
  readonly "~standard"?: never;
}

/**
 * Input requests before the handler runs, whose answers are in its context, and the options of every item.
 */
export interface Asks<Q = Questions> extends ItemOptions {
  asks?: Q;
}

/** The definition of a tool. */
export interface ToolDefinition<I = undefined, O = undefined, Q = Questions>
  extends Omit<GeneratedToolOptions, "asks" | "task" | keyof ItemOptions>,
    Asks<Q> {
  /**
   * The task mode; tasks outlive the request, the connection and, with a store, the process. `optional`: for
   * clients that support tasks. Default: `never`.
   */
  task?: "never" | "optional" | "required";
  title?: string;
  /** A description of its purpose and use, for the model. */
  description?: string;
  /** Schema of the arguments. The engine refuses arguments that break it before the handler runs. */
  input?: I & PlainSchema<I>;
  /** Schema of the typed output. */
  output?: O & PlainSchema<O>;
  annotations?: ToolAnnotations;
  icons?: Icon[];
  _meta?: Record<string, unknown>;
}

/** The return types of a tool handler. */
export type ToolReturn<O> = O extends Schema
  ? OutputOf<O> | ToolResult
  : string | ContentBlock[] | ToolResult | object | number | boolean | null | undefined | void;

/** The definition of a resource. */
export interface ResourceDefinition<Q = Questions> extends Asks<Q> {
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  size?: number;
  annotations?: Annotations;
  icons?: Icon[];
  _meta?: Record<string, unknown>;
}

/**
 * The return types of a resource handler: text, bytes, one or several contents, or a value that is sent as
 * JSON.
 */
export type ResourceReturn =
  | string
  | Uint8Array
  | Omit<ResourceContents, "uri">
  | ResourceContents[]
  | ReadResult
  | object;

/** Arguments of a prompt by name. */
export type PromptArguments = Readonly<Record<string, Omit<PromptArgument, "name">>>;

/** The definition of a prompt. */
export interface PromptDefinition<A = PromptArguments, Q = Questions> extends Asks<Q> {
  title?: string;
  description?: string;
  /**
   * The definition of each argument by name, or a Standard Schema of an object. Arguments are texts: if the
   * schema accepts no text but, for example, a number, it receives the value of the text as JSON. The values
   * are checked before the handler runs; the schema determines the handler's types.
   */
  arguments?: A;
  icons?: Icon[];
  _meta?: Record<string, unknown>;
}

/**
 * The arguments of a prompt handler: the schema's output, or texts; required ones are present, others are
 * optional.
 */
export type PromptValues<A> =
  A extends StandardSchema<any, infer Output>
    ? Output
    : { [K in keyof A]: A[K] extends { required: true } ? string : string | undefined };

/** The return types of a prompt handler: text (one user message), messages, or the whole result. */
export type PromptReturn = string | PromptMessage[] | PromptResult | { description?: string; messages: PromptMessage[] };

/** The target of a completion: an argument of a prompt, or a variable of a resource template. */
export type CompletionRef = { prompt: string } | { resource: string };

/** The value to complete. */
export interface CompletionRequest {
  /** The argument or variable. */
  name: string;
  /** The text typed so far. */
  value: string;
  /** The other arguments, as far as they are known. */
  arguments: Readonly<Record<string, string>>;
}

/** A Streamable HTTP endpoint that is being served. */
export interface HttpServer extends AsyncDisposable {
  /** The URL of the endpoint: `http://127.0.0.1:8000/mcp`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Settles when serving has ended; rejects if it failed. */
  readonly ended: Promise<void>;
  /** Stops serving here; resolves when that is done. */
  close(): Promise<void>;
}

/** A server: tools, resources, prompts and completions, served on any number of transports. */
export class Server implements AsyncDisposable {
  /** @internal */
  readonly engine: Engine;
  /** @internal */
  readonly handle: number;
  readonly #ownsEngine: boolean;
  readonly #onError: NonNullable<ServerOptions["onError"]>;
  readonly #mask: boolean;
  readonly #targets = new Map<string, number>();
  readonly #serving = new Set<Promise<void>>();
  #handler: FetchHandler | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ServerOptions) {
    if (typeof options !== "object" || options === null) {
      throw new UsageError('a server is made of an object: new Server({ name: "shop", version: "1.0.0" })');
    }
    const { engine, onError = printError, maskErrors = false, onRootsChanged, auth, ...rest } = options;
    const [engineOptions, definition] = split(rest, [...OPTION_KEYS.engine, "wake"]);
    this.#ownsEngine = engine === undefined && Object.keys(engineOptions).length > 0;
    this.engine = engine ?? (this.#ownsEngine ? new Engine(engineOptions) : Engine.shared());
    this.#onError = onError;
    this.#mask = maskErrors;
    const guard = auth === undefined ? undefined : guardOf(auth, onError);
    if (guard !== undefined) definition["auth"] = guard.wire;
    this.handle = this.engine.call(() => this.engine.native.serverNew(JSON.stringify(definition)));
    this.engine.listen(this.handle, {
      notification: ({ event }) => (event === "roots_changed" ? onRootsChanged?.() : undefined),
      ...(guard?.target === undefined ? {} : { verifyToken: guard.target }),
    });
  }

  /**
   * Adds a tool. The handler gets its arguments, checked against `input`, and a context. It returns text,
   * content items, a `ToolResult`, or (with `output`) the typed value; it throws a `ToolError` to report a
   * failure to the model.
   *
   * @throws McpError of kind `usage` if the name is in use or a schema is unusable.
   */
  tool<
    const I extends Schema | undefined = undefined,
    const O extends Schema | undefined = undefined,
    const Q extends Questions = {},
  >(
    name: string,
    definition: ToolDefinition<I, O, Q>,
    handler: (args: OutputOf<I>, context: Context<Q>) => Awaitable<ToolReturn<O>>,
  ): this {
    const where = `tool ${JSON.stringify(name)}`;
    refuseSchema(definition, where, "a schema goes into { input: … }");
    const { input, output, asks, ...others } = definition;
    const [options, rest] = split(others, OPTION_KEYS.tool);
    // A definition with the protocol's own names must not become a tool without a schema.
    for (const [wrong, right] of [["inputSchema", "input"], ["outputSchema", "output"]] as const) {
      if (wrong in rest) throw new UsageError(`${where}: the option is ${right}, not ${wrong}`);
    }
    const json = {
      name,
      ...rest,
      inputSchema: input === undefined ? { type: "object" } : toJsonSchema(input, "input", where),
      outputSchema: output === undefined ? undefined : toJsonSchema(output, "output", where),
    };
    const run = handler as (args: any, context: Context<any>) => unknown;
    return this.#add("tool", name, json, { ...options, asks }, handler, {
      invoke:
        input !== undefined && isStandard(input)
          ? (args, context) => validated(input["~standard"].validate(args), (value) => run(value, context))
          : run,
      complete: output === undefined ? completeTool : completeTypedTool,
    });
  }

  /**
   * Adds a resource (a URI) or a resource template (a URI with `{variables}`, RFC 6570). The handler of a
   * template gets the variables by name.
   *
   * @throws McpError of kind `usage` if it exists already or is malformed.
   */
  resource<const U extends string, const Q extends Questions = {}>(
    uri: U,
    options: ResourceDefinition<Q>,
    handler: (uri: string, params: TemplateVariables<U>, context: Context<Q>) => Awaitable<ResourceReturn>,
  ): this {
    refuseSchema(options, `resource ${JSON.stringify(uri)}`, "a resource takes no schema, but { name: … }");
    const { asks, timeoutMs, scopes, visibleTo, ...definition } = options;
    const [item, json] = uri.includes("{")
      ? ["resource_template", { uriTemplate: uri, ...definition }]
      : ["resource", { uri, ...definition }];
    return this.#add(item, uri, json, { asks, timeoutMs, scopes, visibleTo }, handler, {
      invoke: ({ uri, params }, context: Context<any>) => handler(uri, params ?? {}, context),
      complete: completeResource,
    });
  }

  /**
   * Adds a prompt.
   *
   * @throws McpError of kind `usage` if the name is in use.
   */
  prompt<const A extends PromptArguments | StandardSchema<any, any> = {}, const Q extends Questions = {}>(
    name: string,
    options: PromptDefinition<A, Q>,
    handler: (args: PromptValues<A>, context: Context<Q>) => Awaitable<PromptReturn>,
  ): this {
    const where = `prompt ${JSON.stringify(name)}`;
    refuseSchema(options, where, "a schema goes into { arguments: … }");
    const { asks, timeoutMs, scopes, visibleTo, arguments: described, ...definition } = options;
    const json = { name, ...definition, arguments: promptArguments(described, where) };
    const run = handler as (args: any, context: Context<any>) => unknown;
    const read = promptReader(described, where);
    return this.#add("prompt", name, json, { asks, timeoutMs, scopes, visibleTo }, handler, {
      invoke: read === undefined ? run : async (args, context) => run(await read(args), context),
      complete: completePrompt,
    });
  }

  /**
   * Adds suggestions for the arguments of a prompt or the variables of a resource template. They are visible
   * to the callers that see the prompt or the template.
   *
   * @throws McpError of kind `usage` if there are some already.
   */
  completion(
    ref: CompletionRef,
    handler: (request: CompletionRequest, context: Context) => Awaitable<string[] | CompletionValues>,
    options: ItemOptions = {},
  ): this {
    refuseSchema(options, `completion ${JSON.stringify(keyOf(ref))}`, "a completion takes no schema");
    const { timeoutMs, scopes, visibleTo } = options;
    return this.#add("completion", keyOf(ref), { ref: wireRef(ref) }, { timeoutMs, scopes, visibleTo }, handler, {
      name: "prompt" in ref ? ref.prompt : ref.resource,
      invoke: ({ argument, arguments: others }, context) =>
        handler({ name: argument.name, value: argument.value, arguments: others ?? {} }, context),
      complete: completeCompletion,
    });
  }

  /** Removes an item by its name, URI or template; a completion, by its target. False: no such item. */
  remove(item: "tool" | "resource" | "prompt", key: string): boolean;
  remove(item: "completion", ref: CompletionRef): boolean;
  remove(item: string, named: string | CompletionRef): boolean {
    const key = typeof named === "string" ? named : keyOf(named);
    const kind = item === "resource" && key.includes("{") ? "resource_template" : item;
    const removed = this.engine.call(() => this.engine.native.serverRemove(this.handle, kind, key));
    const target = this.#targets.get(`${kind} ${key}`);
    if (target !== undefined) {
      this.#targets.delete(`${kind} ${key}`);
      this.engine.removeTarget(target);
    }
    return removed;
  }

  /** Notifies the clients that are subscribed to a resource that its contents have changed. */
  notifyResourceUpdated(uri: string | URL): void {
    const params = JSON.stringify({ uri: String(uri) });
    this.engine.call(() => this.engine.native.notify(this.handle, "resource_updated", params));
  }

  /**
   * Notifies a client that the interaction at a page (`Context.elicitUrl` with an `elicitationId`) is
   * complete.
   *
   * Only the session that received the elicitation is notified, once, and only if its revision has that
   * notification: 2025-11-25. (2025-11-25, elicitation, "Completion Notifications for URL Mode Elicitation".)
   * Later clients retry their request when the user is back.
   */
  notifyElicitationComplete(elicitationId: string): void {
    const params = JSON.stringify({ elicitationId });
    this.engine.call(() => this.engine.native.notify(this.handle, "elicitation_complete", params));
  }

  /** Serves this process's standard streams. Resolves when the peer has closed them. */
  serveStdio(): Promise<void> {
    return this.#track(
      new Promise((resolve, reject) => {
        this.engine.operate(() => this.engine.native.serveStdio(this.handle, "{}"), {
          resolve: () => resolve(),
          reject: endOf(resolve, reject),
        });
      }),
    );
  }

  /** Serves Streamable HTTP. Resolves when it listens. Keeps the process alive until closed. */
  listen(options: ServeHttpOptions = {}): Promise<HttpServer> {
    return new Promise((resolve, reject) => {
      let finish!: () => void;
      let fail!: (error: McpError) => void;
      const ended = new Promise<void>((resolve, reject) => ([finish, fail] = [resolve, reject]));
      // A caller that ignores `ended` gets a start failure from `listen` itself.
      ended.catch(() => {});
      const id = this.engine.operate(
        () => this.engine.native.serveHttp(this.handle, JSON.stringify(options)),
        {
          resolve: () => finish(),
          reject: (error) => {
            reject(error);
            endOf(finish, fail)(error);
          },
          listening: ({ url, host, port }) => {
            const close = () => {
              this.engine.cancel(id, "closed");
              return ended;
            };
            resolve({ url, host, port, ended, close, [Symbol.asyncDispose]: close });
          },
        },
      );
      this.#track(ended);
    });
  }

  /**
   * Answers a web-standard request, for `Bun.serve`, `Deno.serve`, Hono and the like; bound, so that it can
   * be passed as a function. The endpoint has the default options: `handler` makes one with others.
   */
  readonly fetch = async (request: Request, carrier?: Carrier): Promise<Response> => {
    if (this.#closing !== undefined) throw new ClosedError("the server is closed");
    this.#handler ??= this.handler();
    return this.#handler(request, carrier);
  };

  /**
   * Returns a handler of web-standard requests: Streamable HTTP embedded in another web server. An endpoint
   * that is reachable from outside needs `publicUrl` or `allowedHosts`. Aborting the request cancels its
   * call.
   */
  handler(options: CarriedHttpOptions = {}): FetchHandler {
    const { endpoint, ended } = this.#carried(options);
    return fetchHandler(this.engine, endpoint, ended);
  }

  /**
   * Returns a handler for requests of Node's own HTTP server, as `(request, response) => void`: for
   * `http.createServer`, Express (`app.all("/mcp", server.node())`) and Fastify (`reply.hijack()`, then with
   * `request.raw`, `reply.raw` and `request.body`). An endpoint that is reachable from outside needs
   * `publicUrl` or `allowedHosts`. A caller that disconnects cancels the call.
   */
  node(options: CarriedHttpOptions = {}): NodeHandler {
    const { endpoint, ended } = this.#carried(options);
    return nodeHandler(this.engine, endpoint, options.path ?? "/mcp", ended);
  }

  /** Serves HTTP that is embedded in another web server. */
  #carried(options: CarriedHttpOptions): { endpoint: number; ended: Promise<void> } {
    let finish!: () => void;
    let fail!: (error: McpError) => void;
    const ended = new Promise<void>((resolve, reject) => ([finish, fail] = [resolve, reject]));
    const json = JSON.stringify({ ...options, carried: true });
    const endpoint = this.engine.operate(() => this.engine.native.serveHttp(this.handle, json), {
      idle: true,
      resolve: () => finish(),
      reject: endOf(finish, fail),
    });
    this.#track(ended);
    return { endpoint, ended };
  }

  /** Ends all serving and removes the server from the engine. Calls in progress fail. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (!this.engine.closed) this.engine.call(() => this.engine.native.serverClose(this.handle));
    const release = this.engine.hold();
    await Promise.allSettled(this.#serving);
    release();
    for (const target of this.#targets.values()) this.engine.removeTarget(target);
    this.#targets.clear();
    this.engine.unlisten(this.handle);
    if (this.#ownsEngine) this.engine.close();
  }

  #add(
    item: string,
    key: string,
    definition: object,
    options: Asks,
    handler: unknown,
    { name = key, ...serve }: Pick<Target, "invoke" | "complete"> & { name?: string },
  ): this {
    if (this.#closing !== undefined) throw new ClosedError("the server is closed");
    if (typeof handler !== "function") throw new UsageError(`${item} ${JSON.stringify(name)}: the handler is no function`);
    const report = (error: unknown) => this.#onError(error, { item, name });
    const masked = this.#mask ? `${name} failed` : undefined;
    const { asks } = options;
    const invoke = asks === undefined ? serve.invoke : answered(asks, serve.invoke);
    const target = this.engine.addTarget({ complete: serve.complete, invoke, fail: failTool, masked, report });
    try {
      this.engine.call(() =>
        this.engine.native.serverAdd(this.handle, item, JSON.stringify(definition), JSON.stringify(options), target),
      );
    } catch (error) {
      this.engine.removeTarget(target);
      throw error;
    }
    this.#targets.set(`${item} ${key}`, target);
    return this;
  }

  #track(serving: Promise<void>): Promise<void> {
    const settled = serving.then(
      () => void this.#serving.delete(settled),
      () => void this.#serving.delete(settled),
    );
    this.#serving.add(settled);
    return serving;
  }
}

/** Rejects a schema instead of the options, which would be read as options without any entries. */
function refuseSchema(options: unknown, where: string, why: string): void {
  if (isStandardValue(options)) throw new UsageError(`${where}: ${why}`);
}

/** The engine's key of a completion. */
function keyOf(ref: CompletionRef): string {
  return "prompt" in ref ? `prompt ${ref.prompt}` : `resource ${ref.resource}`;
}

/** The protocol's reference to the target of a completion. */
export function wireRef(ref: CompletionRef): object {
  return "prompt" in ref ? { type: "ref/prompt", name: ref.prompt } : { type: "ref/resource", uri: ref.resource };
}

/** Splits an options object: the entries in `keys`, and the rest. */
export function split(options: object, keys: readonly string[]): [Record<string, any>, Record<string, any>] {
  const [mine, rest]: [Record<string, unknown>, Record<string, unknown>] = [{}, {}];
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined) (keys.includes(key) ? mine : rest)[key] = value;
  }
  return [mine, rest];
}

/** Ends a serve operation. A close on purpose resolves, because it is no failure. */
function endOf(resolve: () => void, reject: (error: McpError) => void): (error: McpError) => void {
  return (error) => (error instanceof CancelledError || error instanceof ClosedError ? resolve() : reject(error));
}

/** The default of `onError`. */
export function printError(error: unknown, { item, name }: { item: string; name: string }): void {
  console.error(`trunnion: ${item} ${JSON.stringify(name)} threw:`, error);
}

/**
 * Reports arguments that a refinement or transform of the user's schema refuses to the model, as the engine
 * does.
 */
function validated(
  result: StandardResult<unknown> | Promise<StandardResult<unknown>>,
  run: (value: unknown) => unknown,
): unknown {
  if (result instanceof Promise) return result.then((settled) => validated(settled, run));
  if (result.issues === undefined) return run(result.value);
  return new ToolResult({
    content: [{ type: "text", text: `invalid arguments: ${describeIssues(result.issues)}` }],
    isError: true,
  });
}

/** Reads the answers of the declarative form before the handler runs. */
function answered(asks: Questions, invoke: Target["invoke"]): Target["invoke"] {
  return async (payload, context) => {
    await context.readAsks(asks);
    return invoke(payload, context);
  };
}
