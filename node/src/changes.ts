// The client's subscription to changes at the server, as an async iterator.

import { CancelledError, ClosedError, LimitError } from "./generated.js";
import type { McpError } from "./errors.js";

/** The limit of unread changes; the same change is queued once. */
const MAX_WAITING = 1024;

/** The changes to subscribe to. */
export interface ListenFilter {
  /** Changes of the list of tools. */
  tools?: boolean;
  /** Changes of the list of prompts. */
  prompts?: boolean;
  /** Changes of the list of resources. */
  resources?: boolean;
  /** Changes of the contents of these resources. */
  resourceUris?: readonly string[];
}

/** A change at the server. */
export type Change =
  | { readonly event: "tools_changed" | "prompts_changed" | "resources_changed" }
  | { readonly event: "resource_updated"; readonly uri: string };

/**
 * Changes at the server, from now on, until the server ends the subscription or `close()` is called. Leaving
 * a `for await` closes it. A change that is repeated before it was read is delivered once.
 */
export class Changes implements AsyncIterable<Change>, AsyncDisposable {
  /** Resolves to the granted changes when the server confirms the subscription; rejects if it refuses. */
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

  /**
   * @internal `listen` starts it and resolves at its end; `leave` ends it; `leaving`: the whole client is
   * closing.
   */
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

  /** Ends the subscription and the iteration. */
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
    // Closing on purpose is not a failure.
    const wanted = (this.#closed && error instanceof CancelledError) || (this.#leaving() && error instanceof ClosedError);
    if (!wanted) this.#failure ??= error;
    this.#wake?.();
  }
}
