// The server: registration of tools, resources, prompts and completions, and serving them.

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

/** What a server is, and how it behaves. */
export interface ServerOptions extends Omit<GeneratedOptions, "auth" | "taskTtlMs">, EngineOptions {
  name: string;
  version: string;
  title?: string;
  /** What it is, for people. */
  description?: string;
  /** How to use this server, for the model. */
  instructions?: string;
  websiteUrl?: string;
  icons?: Icon[];
  /** The engine to use, instead of the one this thread's servers and clients share. */
  engine?: Engine;
  /**
   * Told of every exception of a handler that is neither a `ToolError` nor a `McpError`. The peer gets its message
   * only, or not even that (`maskErrors`). Default: written to stderr.
   */
  onError?: (error: unknown, origin: { item: string; name: string }) => void;
  /**
   * Hide the message of such exceptions from the peer: it learns only that the handler failed. `ToolError` and `McpError` are
   * meant for it and always shown. Default: false.
   */
  maskErrors?: boolean;
  /** Whom the server lets in over HTTP. Without, everybody. */
  auth?: ServerAuth;
  /** For how long a task is kept, from its creation on, in milliseconds; `null`: for ever. Default: a day. */
  taskTtlMs?: number | null;
  /** Told when a client's roots have changed; which client's, it does not say. */
  onRootsChanged?: () => void;
}

/** How to serve HTTP. */
export type ServeHttpOptions = Omit<GeneratedHttpOptions, "carried">;

/** How to serve HTTP that something else carries. */
export type CarriedHttpOptions = Omit<ServeHttpOptions, "host" | "port" | "unixSocket">;

/** How long the handler of an item may take, and who may use the item. */
export interface ItemOptions extends Access {
  /** The handler's `signal` aborts and the caller is told after this long, in milliseconds. Default: 0, no limit. */
  timeoutMs?: number;
  /** A schema is no definition: it goes into the option that it is for, such as `input`. */
  readonly "~standard"?: never;
}

/** What is asked before a handler runs; the answers are in its context. And what every item has. */
export interface Asks<Q = Questions> extends ItemOptions {
  asks?: Q;
}

/** What a tool is. */
export interface ToolDefinition<I = undefined, O = undefined, Q = Questions>
  extends Omit<GeneratedToolOptions, "asks" | "task" | keyof ItemOptions>,
    Asks<Q> {
  /**
   * Whether calls become tasks, which outlive the request, the connection and, with a store, the process. `optional`: for
   * clients that know of them. Default: `never`.
   */
  task?: "never" | "optional" | "required";
  title?: string;
  /** What it does and when to use it, for the model. */
  description?: string;
  /** Schema of the arguments. The engine refuses arguments that break it before the handler runs. */
  input?: I & PlainSchema<I>;
  /** Schema of the typed output. */
  output?: O & PlainSchema<O>;
  annotations?: ToolAnnotations;
  icons?: Icon[];
  _meta?: Record<string, unknown>;
}

/** What a tool handler may return. */
export type ToolReturn<O> = O extends Schema
  ? OutputOf<O> | ToolResult
  : string | ContentBlock[] | ToolResult | object | number | boolean | null | undefined | void;

/** What a resource is. */
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

/** What a resource handler may return: text, bytes, one or several contents, or a value that is sent as JSON. */
export type ResourceReturn =
  | string
  | Uint8Array
  | Omit<ResourceContents, "uri">
  | ResourceContents[]
  | ReadResult
  | object;

/** Arguments of a prompt by name. */
export type PromptArguments = Readonly<Record<string, Omit<PromptArgument, "name">>>;

/** What a prompt is. */
export interface PromptDefinition<A = PromptArguments, Q = Questions> extends Asks<Q> {
  title?: string;
  description?: string;
  /**
   * By name what each argument is, or a Standard Schema of an object. Arguments are texts: where the schema wants no text,
   * such as a number, it is given what the text is as JSON. It is checked before the handler runs, and gives it its types.
   */
  arguments?: A;
  icons?: Icon[];
  _meta?: Record<string, unknown>;
}

/** The arguments a prompt handler gets: what the schema gives, or texts; required ones are there, the others may be. */
export type PromptValues<A> =
  A extends StandardSchema<any, infer Output>
    ? Output
    : { [K in keyof A]: A[K] extends { required: true } ? string : string | undefined };

/** What a prompt handler may return: text (one user message), messages, or the whole result. */
export type PromptReturn = string | PromptMessage[] | PromptResult | { description?: string; messages: PromptMessage[] };

/** What completes: an argument of a prompt, or a variable of a resource template. */
export type CompletionRef = { prompt: string } | { resource: string };

/** What is to be completed. */
export interface CompletionRequest {
  /** The argument or variable. */
  name: string;
  /** What has been typed so far. */
  value: string;
  /** The other arguments, as far as they are known. */
  arguments: Readonly<Record<string, string>>;
}

/** A Streamable HTTP endpoint that is being served. */
export interface HttpServer extends AsyncDisposable {
  /** Where it is: `http://127.0.0.1:8000/mcp`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Settles when it has ended; rejects when it failed. */
  readonly ended: Promise<void>;
  /** Stop serving here; resolves when it has ended. */
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
   * Add a tool. The handler gets its arguments, checked against `input`, and a context. It returns text, content
   * items, a `ToolResult`, or (with `output`) the typed value; it throws a `ToolError` to tell the model why not.
   *
   * @throws McpError of kind `usage` when the name is taken or a schema cannot be used.
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
    // Those who come from the protocol's own names must not get a tool without a schema.
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
   * Add a resource (a URI) or a resource template (a URI with `{variables}`, RFC 6570). The handler of a template gets the
   * variables by name.
   *
   * @throws McpError of kind `usage` when it is there already or malformed.
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
   * Add a prompt.
   *
   * @throws McpError of kind `usage` when the name is taken.
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
   * Add suggestions for the arguments of a prompt or the variables of a resource template. Those who do not see that, do not
   * see these.
   *
   * @throws McpError of kind `usage` when there are some already.
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

  /** Remove what was added under that name, URI or template; of a completion, what completes that. False: there was none. */
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

  /** Tell those clients that listen to it that a resource has other contents now. */
  notifyResourceUpdated(uri: string | URL): void {
    const params = JSON.stringify({ uri: String(uri) });
    this.engine.call(() => this.engine.native.notify(this.handle, "resource_updated", params));
  }

  /**
   * Tell a client that what its user was asked to do at a page (`Context.elicitUrl` with an `elicitationId`) is done.
   *
   * Only the session that was asked is told, once, and only where its revision has that notification: 2025-11-25.
   * (2025-11-25, elicitation, "Completion Notifications for URL Mode Elicitation".) Later clients send their request
   * again when the user is back.
   */
  notifyElicitationComplete(elicitationId: string): void {
    const params = JSON.stringify({ elicitationId });
    this.engine.call(() => this.engine.native.notify(this.handle, "elicitation_complete", params));
  }

  /** Serve this process's standard streams. Resolves when the peer has closed them. */
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

  /** Serve Streamable HTTP. Resolves when it listens. Keeps the process alive until closed. */
  listen(options: ServeHttpOptions = {}): Promise<HttpServer> {
    return new Promise((resolve, reject) => {
      let finish!: () => void;
      let fail!: (error: McpError) => void;
      const ended = new Promise<void>((resolve, reject) => ([finish, fail] = [resolve, reject]));
      // Whoever does not look at `ended` hears of a failure to start from `listen` itself.
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
   * Answer a web-standard request, for `Bun.serve`, `Deno.serve`, Hono and the like; bound, so that it can be handed
   * on. The endpoint has the default options: `handler` makes one with others.
   */
  readonly fetch = async (request: Request, carrier?: Carrier): Promise<Response> => {
    if (this.#closing !== undefined) throw new ClosedError("the server is closed");
    this.#handler ??= this.handler();
    return this.#handler(request, carrier);
  };

  /**
   * What answers web-standard requests: Streamable HTTP over somebody else's web server. An endpoint that is reached
   * from outside needs `publicUrl` or `allowedHosts`. Aborting the request cancels its call.
   */
  handler(options: CarriedHttpOptions = {}): FetchHandler {
    const { endpoint, ended } = this.#carried(options);
    return fetchHandler(this.engine, endpoint, ended);
  }

  /**
   * What answers requests of Node's own HTTP server, as `(request, response) => void`: for `http.createServer`, Express
   * (`app.all("/mcp", server.node())`) and Fastify (`reply.hijack()`, then with `request.raw`, `reply.raw` and `request.body`).
   * An endpoint that is reached from outside needs `publicUrl` or `allowedHosts`. A caller who leaves cancels the call.
   */
  node(options: CarriedHttpOptions = {}): NodeHandler {
    const { endpoint, ended } = this.#carried(options);
    return nodeHandler(this.engine, endpoint, options.path ?? "/mcp", ended);
  }

  /** Serve HTTP that the host carries. */
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

  /** End everything that is served, and forget the server. Calls in flight fail. Idempotent. */
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

/** A schema in the place of the options would be taken for options without any. */
function refuseSchema(options: unknown, where: string, why: string): void {
  if (isStandardValue(options)) throw new UsageError(`${where}: ${why}`);
}

/** What the engine knows a completion by. */
function keyOf(ref: CompletionRef): string {
  return "prompt" in ref ? `prompt ${ref.prompt}` : `resource ${ref.resource}`;
}

/** The protocol's reference to what completes. */
export function wireRef(ref: CompletionRef): object {
  return "prompt" in ref ? { type: "ref/prompt", name: ref.prompt } : { type: "ref/resource", uri: ref.resource };
}

/** Part an options object: what belongs to `keys`, and the rest. */
export function split(options: object, keys: readonly string[]): [Record<string, any>, Record<string, any>] {
  const [mine, rest]: [Record<string, unknown>, Record<string, unknown>] = [{}, {}];
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined) (keys.includes(key) ? mine : rest)[key] = value;
  }
  return [mine, rest];
}

/** To be closed on purpose is no failure of a serve operation. */
function endOf(resolve: () => void, reject: (error: McpError) => void): (error: McpError) => void {
  return (error) => (error instanceof CancelledError || error instanceof ClosedError ? resolve() : reject(error));
}

/** The default of `onError`. */
export function printError(error: unknown, { item, name }: { item: string; name: string }): void {
  console.error(`trunnion: ${item} ${JSON.stringify(name)} threw:`, error);
}

/** Arguments that a refinement or transform of the user's schema refuses are told to the model, like the engine does. */
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

/** The answers of the declarative form are read before the handler runs. */
function answered(asks: Questions, invoke: Target["invoke"]): Target["invoke"] {
  return async (payload, context) => {
    await context.readAsks(asks);
    return invoke(payload, context);
  };
}
