// Tasks as clients use them: calls that a server answers later.

import type { RequestOptions } from "./client.js";
import { type Op, ProtocolError } from "./generated.js";
import { ToolResult } from "./results.js";
import type { CreateMessageResult, ElicitResult } from "./types.js";

/** States that may wait to be heard; older ones are left out. */
const MAX_WAITING = 64;
const FINAL: readonly string[] = ["completed", "failed", "cancelled"];

/**
 * Where a task is. `input_required`: it waits for answers. `completed`: there is a result; the tool itself may have failed.
 * `failed`: there is an error.
 */
export type TaskStatus = "working" | "input_required" | "completed" | "failed" | "cancelled";

/** A task at one moment, the same in every era. Further fields are kept. */
export interface TaskState {
  /** With it the task can be picked up by `client.task`, also in another process. Empty of a call that was answered at once. */
  taskId: string;
  status: TaskStatus;
  /** What the server says of that, for a person. */
  statusMessage?: string;
  /** ISO 8601. */
  createdAt?: string;
  /** ISO 8601. */
  lastUpdatedAt?: string;
  /** How long the server keeps it, from its creation on, in milliseconds. `null`: for ever. */
  ttlMs?: number | null;
  /** How often the server wants to be asked for it, in milliseconds. */
  pollIntervalMs?: number;
  /**
   * What it waits for, as the protocol's requests, by the keys of `Task.answer`. On legacy sessions what a task asks comes
   * as requests.
   */
  inputRequests?: Record<string, { method: string; params?: any }>;
  [field: string]: unknown;
}

/** The answer to one thing that a task asks. */
export type TaskAnswer = ElicitResult | CreateMessageResult | Record<string, unknown>;

/** How to ask about a task. */
export type TaskRequestOptions = Pick<RequestOptions, "signal" | "timeoutMs" | "totalMs" | "meta">;

type Told = { event: string; params: any };
type WireOptions = RequestOptions & { ask?: boolean };
/** @internal Makes a request of the client. */
export type Ask = (op: Op, params: object, options: WireOptions, tell?: (told: Told) => void) => Promise<any>;

/** A call that the server answers later: of `client.startTask` or `client.task`. Dropping it changes nothing at the server. */
export class Task<T = any> {
  /**
   * To pick it up later, by `client.task`; undefined: the server answered at once, there is nothing to pick up. Where nobody
   * signs in, who has it can see, answer and cancel the task.
   */
  readonly id: string | undefined;
  /** The state that the server made it in; undefined of one that was picked up or answered at once. */
  readonly created: TaskState | undefined;
  readonly #ask: Ask;
  readonly #result: any;

  /** @internal `made`: an id, or what a call became. */
  constructor(ask: Ask, made: string | { task?: TaskState; result?: object }) {
    this.#ask = ask;
    if (typeof made === "string") {
      this.id = made;
    } else if (typeof made?.task?.taskId === "string") {
      this.created = made.task;
      this.id = made.task.taskId;
    } else if (typeof made?.result === "object" && made.result !== null) {
      this.#result = made.result;
    } else {
      throw new ProtocolError("the call brought neither a task nor a result");
    }
  }

  /**
   * Where it is now.
   *
   * @throws McpError: kind `invalid_params` when the server does not know the id, or knows it no longer.
   */
  async status(options: TaskRequestOptions = {}): Promise<TaskState> {
    if (this.id === undefined) return this.#answered();
    return this.#ask("get_task", { taskId: this.id }, options);
  }

  /**
   * Its states from now on, up to and with the last. What it asks is in their `inputRequests`, and not put to the client's
   * handlers: `answer` it. Of what is not heard in time, only the newest 64 are kept. Leaving a `for await` ends watching.
   *
   * @example for await (const { status, statusMessage } of task.updates()) console.log(status, statusMessage);
   */
  async *updates({ signal }: Pick<RequestOptions, "signal"> = {}): AsyncGenerator<TaskState, void, void> {
    if (this.id === undefined) {
      yield this.#answered();
      return;
    }
    const leaving = new AbortController();
    const either = signal === undefined ? leaving.signal : AbortSignal.any([signal, leaving.signal]);
    const waiting: TaskState[] = [];
    let wake: (() => void) | undefined;
    let ended = false;
    let over = false;
    let failure: unknown;
    const tell = ({ event, params }: Told) => {
      if (event !== "task_changed") return;
      over ||= FINAL.includes(params.status);
      if (waiting.push(params) > MAX_WAITING) waiting.shift();
      wake?.();
    };
    const end = (error?: unknown) => {
      ended = true;
      // How a task has ended is in its last state.
      if (!over) failure = error;
      wake?.();
    };
    const done = this.#ask("task_result", { taskId: this.id }, { ask: false, signal: either }, tell).then(() => end(), end);
    try {
      for (;;) {
        for (let state = waiting.shift(); state !== undefined; state = waiting.shift()) yield state;
        if (ended) break;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if (failure !== undefined) throw failure;
    } finally {
      leaving.abort();
      await done;
    }
  }

  /**
   * Answer one thing that it asks; modern sessions only. `key`: its key in `inputRequests`; one that does not wait for an
   * answer is ignored by servers.
   *
   * @throws McpError
   */
  async answer(key: string, answer: TaskAnswer, options: TaskRequestOptions = {}): Promise<void> {
    if (this.id === undefined) return;
    await this.#ask("update_task", { taskId: this.id, inputResponses: { [key]: answer } }, options);
  }

  /** Say that it is not wanted any more. The server decides whether and when it ends. */
  async cancel(options: TaskRequestOptions = {}): Promise<void> {
    if (this.id !== undefined) await this.#ask("cancel_task", { taskId: this.id }, options);
  }

  /**
   * Wait for its result, as long as it takes; what it asks meanwhile is put to the client's handlers. Giving up the wait, by
   * `signal`, does not cancel the task.
   *
   * @throws McpError: as the call itself would have failed; kind `cancelled` if the task was cancelled.
   */
  async result({ signal }: Pick<RequestOptions, "signal"> = {}): Promise<ToolResult<T>> {
    if (this.id === undefined) return new ToolResult<T>(this.#result);
    return new ToolResult<T>(await this.#ask("task_result", { taskId: this.id }, signal === undefined ? {} : { signal }));
  }

  #answered(): TaskState {
    return { taskId: "", status: "completed", ttlMs: null, result: this.#result };
  }
}
