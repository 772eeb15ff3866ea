// The context of a handler: facts about its request, and messages and input requests to the client.

import { type AnswersOf, type Elicited, type ElicitUrlOptions, Question, type Questions, readAnswers, type SampleOptions } from "./asking.js";
import type { Engine } from "./engine.js";
import { CancelledError, ClosedError } from "./generated.js";
import type { Claims } from "./guard.js";
import type { OutputOf, Schema } from "./schema.js";
import type { CreateMessageResult, ElicitResult, LogLevel, Root, SamplingMessage } from "./types.js";

/** Facts about a request. */
export interface RequestInfo {
  /** The request's id on the wire. */
  requestId: string | number;
  /** `modern` (2026-07-28 and later) or `legacy`. */
  era: string;
  /** The protocol revision, for example `2026-07-28`. */
  revision: string;
  /** `stdio`, `http`, …. */
  transport: string;
  /** Present if the caller requested progress. */
  progressToken?: string | number;
  /** The caller's name and version, if it sent them. */
  clientInfo?: { name: string; version: string; title?: string };
  /** The caller's capabilities. */
  clientCapabilities?: Record<string, unknown>;
  /** The request's `_meta`. */
  meta?: Record<string, unknown>;
}

/** One run of a handler on behalf of a task. */
export interface TaskRun {
  /**
   * The task's id. On a server without authorization, anyone who has the id can poll, answer and cancel the
   * task: do not log it.
   */
  id: string;
  /** The number of this run of the handler, from 1; the processes of earlier runs have died. */
  run: number;
}

/** The engine's facts about a request. */
interface Described extends RequestInfo {
  answers?: Record<string, unknown>;
  memory?: Record<string, unknown>;
  checkpoint?: unknown;
  task?: { taskId: string; run: number };
  claims?: Claims;
  principal?: string;
}

/** The key of an input request; by default its ordinal in this run of the handler: `q1`, `q2`, …. */
export interface KeyOption {
  key?: string;
}

/** An operation that runs until it has ended or is cancelled. */
export class Cancellable {
  #cancelled = false;
  #reason: string | undefined;
  #controller: AbortController | undefined;

  /** Aborts when the answer is no longer needed. Created on first use. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort(this.over());
    }
    return this.#controller.signal;
  }

  /** True once no caller waits for an answer. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** @internal */
  cancel(reason: string | undefined): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#reason = reason;
    this.#controller?.abort(this.over());
  }

  /** @internal */
  over(): CancelledError {
    return new CancelledError(this.#reason ?? "the request was cancelled");
  }
}

/**
 * The context that every handler receives; belongs to one request. Its `signal` aborts when the caller
 * cancels or disconnects, or the time limit passes.
 */
export class Context<Q extends Questions = Questions> extends Cancellable {
  readonly #engine: Engine;
  readonly #id: number;
  #described: Described | undefined;
  #answers: AnswersOf<Q> | undefined;
  /** The values that `once` has begun in this run. */
  #begun: Map<string, Promise<unknown>> | undefined;
  #asked = 0;
  /** The last checkpoint of this run, as JSON. */
  #checkpoint: string | undefined;

  /** @internal */
  constructor(engine: Engine, id: number) {
    super();
    this.#engine = engine;
    this.#id = id;
  }

  /**
   * Reports progress. `progress` must grow from call to call; `total` is in the same unit, if it is known.
   * False: the caller did not request progress, or the request is over.
   */
  progress(progress: number, total?: number, message?: string): boolean {
    return this.#engine.emit("progress", this.#id, JSON.stringify({ progress, total, message }));
  }

  /**
   * Sends a log message with this request. `data`: any JSON value. False: the request is over, or too many
   * messages are queued for a caller that does not read.
   */
  log(level: LogLevel, data: unknown, logger?: string): boolean {
    return this.#engine.emit("log", this.#id, JSON.stringify({ level, data: data ?? null, logger }));
  }

  /**
   * Elicits a form from the user; see `Question.elicit`.
   *
   * In revisions from 2026-07-28 on, an unanswered input request ends this run: the promise rejects with a
   * `CancelledError`, and the handler runs again from its start when the client has the answer. Effects that
   * must not be repeated go into `once`.
   *
   * @throws McpError: kind `missing_capability` if the client does not support it.
   */
  elicit<const S extends Schema>(message: string, schema: S, { key }: KeyOption = {}): Promise<Elicited<OutputOf<S>>> {
    return this.#one(key, () => Question.elicit(message, schema));
  }

  /** Elicits a visit to a page. As `elicit` otherwise. */
  elicitUrl(
    message: string,
    url: string | URL,
    { key, ...options }: ElicitUrlOptions & KeyOption = {},
  ): Promise<ElicitResult> {
    return this.#one(key, () => Question.elicitUrl(message, url, options));
  }

  /** Samples the client's model; see `Question.sample`. As `elicit` otherwise. */
  sample(
    messages: string | readonly SamplingMessage[],
    maxTokens: number,
    { key, ...options }: SampleOptions & KeyOption = {},
  ): Promise<CreateMessageResult> {
    return this.#one(key, () => Question.sample(messages, maxTokens, options));
  }

  /** Lists the client's roots: the places that the server may work in. As `elicit` otherwise. */
  listRoots({ key }: KeyOption = {}): Promise<Root[]> {
    return this.#one(key, () => Question.listRoots());
  }

  /**
   * Sends several input requests together; the answers have the keys of the requests. As `elicit` otherwise.
   */
  ask<const K extends Questions>(questions: K): Promise<AnswersOf<K>> {
    return unheard(this.#ask(questions));
  }

  /**
   * Runs `effect` once for this request, however often the handler runs: later runs get the returned value in
   * its JSON form. The stored value passes through the client, sealed; in a task it is in the store, and
   * outlives the process once the promise is fulfilled. An effect that fails is not stored.
   *
   * @throws McpError: kind `limit` if too much is stored.
   */
  once<T>(key: string, effect: () => T | Promise<T>): Promise<T> {
    const all = (this.#begun ??= new Map());
    const begun = all.get(key);
    if (begun !== undefined) return begun;
    const done = this.#once(key, effect);
    all.set(key, done);
    done.catch(() => all.delete(key));
    return done;
  }

  /**
   * Stores the progress of the work; replaces the last checkpoint. In a task it outlives the process once the
   * promise is fulfilled: a tool that is `resumable` finds it as `lastCheckpoint` when it runs again.
   * `value`: any JSON value.
   *
   * @throws McpError: kind `limit` if too much is stored (256 KiB); if the store failed.
   */
  checkpoint(value: unknown): Promise<void> {
    return unheard(this.#mark(value));
  }

  /** The value of the last checkpoint of this call, as JSON has it; undefined: there is none. */
  get lastCheckpoint(): any {
    return this.#checkpoint === undefined ? this.#describe().checkpoint : JSON.parse(this.#checkpoint);
  }

  /** The task of this run; undefined: the client waits for the call. */
  get task(): TaskRun | undefined {
    const { task } = this.#describe();
    return task === undefined ? undefined : { id: task.taskId, run: task.run };
  }

  /**
   * The verified claims of the caller's token; undefined: the server checks no tokens, or the caller is local
   * (standard streams, or the same process).
   */
  get claims(): Claims | undefined {
    return this.#describe().claims;
  }

  /** The caller's identity, as one text that is unique among all issuers; undefined if `claims` is. */
  get principal(): string | undefined {
    return this.#describe().principal;
  }

  /** The client's answers to the `asks` of this tool, prompt or resource, from before the handler ran. */
  get answers(): AnswersOf<Q> {
    return (this.#answers ??= (this.#describe().answers ?? {}) as AnswersOf<Q>);
  }

  /**
   * Closes the response stream of a legacy HTTP request: the call continues, and the client reconnects for
   * the rest. False: there is no such stream.
   */
  closeStream(): boolean {
    return !this.#engine.closed && this.#engine.call(() => this.#engine.native.closeStream(this.#id));
  }

  /** Facts about the request. Throws a `ClosedError` on first use after the request is over. */
  get request(): RequestInfo {
    const { answers, memory, checkpoint, task, claims, principal, ...request } = this.#describe();
    return request;
  }

  /** @internal Reads the answers to the `asks` of the item. */
  async readAsks(asks: Questions): Promise<void> {
    this.#answers = (await readAnswers(asks, this.#describe().answers ?? {})) as AnswersOf<Q>;
  }

  #describe(): Described {
    if (this.#described === undefined) {
      const text = this.#engine.closed ? null : this.#engine.native.context(this.#id);
      if (text === null) throw new ClosedError("the request is over");
      this.#described = JSON.parse(text) as Described;
    }
    return this.#described;
  }

  #one<Answer>(key: string | undefined, question: () => Question<Answer>): Promise<Answer> {
    const name = key ?? `q${++this.#asked}`;
    return unheard(
      (async () => {
        const { [name]: answer } = await this.#ask({ [name]: question() });
        return answer as Answer;
      })(),
    );
  }

  async #ask<K extends Questions>(questions: K): Promise<AnswersOf<K>> {
    return readAnswers(questions, await this.#operate("ask", JSON.stringify(questions)));
  }

  async #operate(op: "ask" | "store" | "checkpoint", params: string): Promise<any> {
    if (this.cancelled) throw this.over();
    if (this.#engine.closed) throw new ClosedError("the engine is closed");
    return new Promise((resolve, reject) => {
      this.#engine.operate(() => this.#engine.native.request(this.#id, op, params, "{}"), { resolve, reject });
    });
  }

  async #mark(value: unknown): Promise<void> {
    const text = jsonOf(value, "checkpoint");
    await this.#operate("checkpoint", `{"value":${text}}`);
    this.#checkpoint = text;
  }

  async #once<T>(key: string, effect: () => T | Promise<T>): Promise<T> {
    if (this.cancelled) throw this.over();
    const { memory, task } = this.#describe();
    if (memory !== undefined && Object.hasOwn(memory, key)) return memory[key] as T;
    const text = jsonOf(await effect(), `once ${JSON.stringify(key)}`);
    if (task !== undefined) await this.#operate("store", `{"key":${JSON.stringify(key)},"value":${text}}`);
    else if (!this.#engine.closed) this.#engine.call(() => this.#engine.native.remember(this.#id, key, text));
    // As a later run will see it.
    return JSON.parse(text) as T;
  }
}

function jsonOf(value: unknown, where: string): string {
  const text = JSON.stringify(value ?? null) as string | undefined;
  if (text === undefined) throw new TypeError(`${where}: this value has no JSON form`);
  return text;
}

/**
 * Marks the promise as handled: a request whose answer is unused because the run has ended is no unhandled
 * rejection.
 */
function unheard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
