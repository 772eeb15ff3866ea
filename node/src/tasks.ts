// The client's side of tasks: calls that a server answers later.

import type { RequestOptions } from "./client.js";
import { type Op, ProtocolError } from "./generated.js";
import { ToolResult } from "./results.js";
import type { CreateMessageResult, ElicitResult } from "./types.js";

/** The limit of unread states; older ones are dropped. */
const MAX_WAITING = 64;
const FINAL: readonly string[] = ["completed", "failed", "cancelled"];

/**
 * The status of a task. `input_required`: it waits for answers. `completed`: there is a result; the tool
 * itself may have failed. `failed`: there is an error.
 */
export type TaskStatus = "working" | "input_required" | "completed" | "failed" | "cancelled";

/** A task at one moment, the same in every era. Further fields are retained. */
export interface TaskState {
  /**
   * The task's id, which `client.task` accepts, also in another process. Empty for a call that was answered
   * at once.
   */
  taskId: string;
  status: TaskStatus;
  /** The server's description of the status, for a person. */
  statusMessage?: string;
  /** ISO 8601. */
  createdAt?: string;
  /** ISO 8601. */
  lastUpdatedAt?: string;
  /** The time for which the server stores it, from its creation, in milliseconds. `null`: indefinitely. */
  ttlMs?: number | null;
  /** The interval at which the server wants to be polled, in milliseconds. */
  pollIntervalMs?: number;
  /**
   * The input requests that it waits for, as the protocol's requests, by the keys of `Task.answer`. On legacy
   * sessions the input requests of a task arrive as requests.
   */
  inputRequests?: Record<string, { method: string; params?: any }>;
  [field: string]: unknown;
}

/** The answer to one input request of a task. */
export type TaskAnswer = ElicitResult | CreateMessageResult | Record<string, unknown>;

/** Options of a request about a task. */
export type TaskRequestOptions = Pick<RequestOptions, "signal" | "timeoutMs" | "totalMs" | "meta">;

type Told = { event: string; params: any };
type WireOptions = RequestOptions & { ask?: boolean };
/** @internal Sends a request of the client. */
export type Ask = (op: Op, params: object, options: WireOptions, tell?: (told: Told) => void) => Promise<any>;

/**
 * A call that the server answers later: from `client.startTask` or `client.task`. Dropping it changes nothing
 * at the server.
 */
export class Task<T = any> {
  /**
   * The id to store for `client.task`; undefined: the server answered at once, there is no task. On a server
   * without authorization, anyone who has the id can poll, answer and cancel the task.
   */
  readonly id: string | undefined;
  /** The state at creation; undefined for a task that was opened by id or answered at once. */
  readonly created: TaskState | undefined;
  readonly #ask: Ask;
  readonly #result: any;

  /** @internal `made`: an id, or the outcome of a call. */
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
   * Polls the current state.
   *
   * @throws McpError: kind `invalid_params` if the id is unknown to the server or has expired.
   */
  async status(options: TaskRequestOptions = {}): Promise<TaskState> {
    if (this.id === undefined) return this.#answered();
    return this.#ask("get_task", { taskId: this.id }, options);
  }

  /**
   * The states from now on, up to and including the last. Input requests are in their `inputRequests` and not
   * sent to the client's handlers: `answer` them. Of unread states, only the newest 64 are retained. Leaving
   * a `for await` ends watching.
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
      // The last state contains the task's outcome.
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
   * Answers one input request; modern sessions only. `key`: its key in `inputRequests`; servers ignore a key
   * that does not wait for an answer.
   *
   * @throws McpError
   */
  async answer(key: string, answer: TaskAnswer, options: TaskRequestOptions = {}): Promise<void> {
    if (this.id === undefined) return;
    await this.#ask("update_task", { taskId: this.id, inputResponses: { [key]: answer } }, options);
  }

  /** Requests cancellation. The server decides if and when the task ends. */
  async cancel(options: TaskRequestOptions = {}): Promise<void> {
    if (this.id !== undefined) await this.#ask("cancel_task", { taskId: this.id }, options);
  }

  /**
   * Waits for the result without a limit; input requests meanwhile go to the client's handlers. Cancelling
   * the wait, by `signal`, does not cancel the task.
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
