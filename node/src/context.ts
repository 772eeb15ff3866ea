// What a handler knows of the request it serves, and what it can say while it works.

import type { Engine } from "./engine.js";
import { CancelledError, ClosedError } from "./generated.js";
import type { LogLevel } from "./types.js";

/** What is known of a request. */
export interface RequestInfo {
  /** The request's id on the wire. */
  requestId: string | number;
  /** `modern` (2026-07-28 and later) or `legacy`. */
  era: string;
  /** The protocol revision, for example `2026-07-28`. */
  revision: string;
  /** `stdio`, `http`, …. */
  transport: string;
  /** Present when the caller asked for progress. */
  progressToken?: string | number;
  /** Who calls, as far as it said. */
  clientInfo?: { name: string; version: string; title?: string };
  /** What the caller can do. */
  clientCapabilities?: Record<string, unknown>;
  /** The request's `_meta`. */
  meta?: Record<string, unknown>;
}

/** Given to every handler; belongs to one request. */
export class Context {
  readonly #engine: Engine;
  readonly #id: number;
  #cancelled = false;
  #reason: string | undefined;
  #controller: AbortController | undefined;
  #request: RequestInfo | undefined;

  /** @internal */
  constructor(engine: Engine, id: number) {
    this.#engine = engine;
    this.#id = id;
  }

  /**
   * Report progress. `progress` must grow from call to call; `total` is in the same unit, if it is known.
   * False: the caller did not ask for progress, or the request is over.
   */
  progress(progress: number, total?: number, message?: string): boolean {
    return this.#engine.emit("progress", this.#id, JSON.stringify({ progress, total, message }));
  }

  /**
   * Send a log message with this request. `data`: any JSON value. False: below the level the caller asked for,
   * or the request is over.
   */
  log(level: LogLevel, data: unknown, logger?: string): boolean {
    return this.#engine.emit("log", this.#id, JSON.stringify({ level, data: data ?? null, logger }));
  }

  /** Aborts when the caller cancels, leaves, or the time limit of the tool passes. Made when first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#abort();
    }
    return this.#controller.signal;
  }

  /** True once the caller no longer waits for an answer. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** What is known of the request. Throws a `ClosedError` when first asked for after the request is over. */
  get request(): RequestInfo {
    if (this.#request === undefined) {
      const text = this.#engine.closed ? null : this.#engine.native.context(this.#id);
      if (text === null) throw new ClosedError("the request is over");
      this.#request = JSON.parse(text) as RequestInfo;
    }
    return this.#request;
  }

  /** @internal */
  cancel(reason: string | undefined): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#reason = reason;
    if (this.#controller !== undefined) this.#abort();
  }

  #abort(): void {
    this.#controller!.abort(new CancelledError(this.#reason ?? "the request was cancelled"));
  }
}
