// What a client listens to: changes at the server, one after the other.

import { CancelledError, ClosedError, LimitError } from "./generated.js";
import type { McpError } from "./errors.js";

/** Changes that may wait to be heard; the same change waits once. */
const MAX_WAITING = 1024;

/** What to listen to. */
export interface ListenFilter {
  /** That tools have come or gone. */
  tools?: boolean;
  /** That prompts have come or gone. */
  prompts?: boolean;
  /** That resources have come or gone. */
  resources?: boolean;
  /** That these resources have other contents now. */
  resourceUris?: readonly string[];
}

/** Something has changed at the server. */
export type Change =
  | { readonly event: "tools_changed" | "prompts_changed" | "resources_changed" }
  | { readonly event: "resource_updated"; readonly uri: string };

/**
 * Changes at the server, from now on, until the server ends it or `close()`. Leaving a `for await` closes it. A change
 * that comes again before it was heard comes once.
 */
export class Changes implements AsyncIterable<Change>, AsyncDisposable {
  /** Resolves when the server listens, to what it has granted; rejects when it does not. */
  readonly ready: Promise<ListenFilter>;
  readonly #leave: () => void;
  readonly #leaving: () => boolean;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<string, Change>();
  #granted!: (filter: ListenFilter) => void;
  #over = false;
  #closed = false;
  #failure: McpError | undefined;
  #wake: (() => void) | undefined;

  /** @internal `listen` starts it and resolves at its end; `leave` ends it; `leaving`: the whole client is. */
  constructor(
    listen: (tell: (told: { event: string; params: any }) => void) => Promise<unknown>,
    leave: () => void,
    leaving: () => boolean,
  ) {
    this.#leave = leave;
    this.#leaving = leaving;
    const granted = new Promise<ListenFilter>((resolve) => (this.#granted = resolve));
    const ended = listen((told) => this.#hear(told));
    const refused = ended.then(() => Promise.reject(new ClosedError("the server has ended it")));
    this.ready = Promise.race([granted, refused]);
    this.ready.catch(() => {});
    this.#ended = ended.then(
      () => this.#end(undefined),
      (error: McpError) => this.#end(error),
    );
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Change, void, void> {
    try {
      for (;;) {
        for (const [key, change] of this.#waiting) {
          this.#waiting.delete(key);
          yield change;
        }
        if (this.#over) break;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      await this.close();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Stop listening; iterating ends. */
  close(): Promise<void> {
    this.#closed = true;
    if (!this.#over) this.#leave();
    return this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hear({ event, params }: { event: string; params: any }): void {
    if (event === "listening") return this.#granted(params);
    const uri: string | undefined = params?.uri;
    const change = (event === "resource_updated" ? { event, uri } : { event }) as Change;
    this.#waiting.set(`${event} ${uri ?? ""}`, change);
    if (this.#waiting.size > MAX_WAITING) {
      this.#waiting.clear();
      this.#failure = new LimitError(`${MAX_WAITING} changes wait to be heard`);
      this.#leave();
    }
    this.#wake?.();
  }

  #end(error: McpError | undefined): void {
    this.#over = true;
    // To be closed on purpose is no failure.
    const wanted = (this.#closed && error instanceof CancelledError) || (this.#leaving() && error instanceof ClosedError);
    if (!wanted) this.#failure ??= error;
    this.#wake?.();
  }
}
