// Errors: the base of the generated family, and the error a tool shows to the model.

import type { ErrorKind } from "./generated.js";

const BRAND: unique symbol = Symbol.for("trunnion.McpError");
const TOOL_BRAND: unique symbol = Symbol.for("trunnion.ToolError");

/** The fields of an error besides its message. */
export interface McpErrorInit {
  /** JSON-RPC code (negative, or the peer's own), or a local code (1 and up). */
  code?: number;
  /** Stable machine-readable name. */
  kind?: ErrorKind;
  /** The error's data: any JSON value. */
  data?: unknown;
  /** The cause of the error. */
  cause?: unknown;
}

/**
 * A failure of the protocol, the connection or the engine. Its subclasses are one per kind:
 * `InvalidParamsError`, `TimeoutError`, `ClosedError`, ….
 *
 * Thrown by a handler it becomes a protocol error with its code, message and data. `instanceof` goes by kind,
 * so it also holds between two copies of this package.
 */
export class McpError extends Error {
  /** The kind of a subclass; undefined on the base. */
  static readonly kind: ErrorKind | undefined = undefined;
  /** The code of a subclass. */
  static readonly code: number = -32603;

  /** JSON-RPC code (negative, or the peer's own), or a local code (1 and up). */
  readonly code: number;
  /** Stable machine-readable name, for example `invalid_params`. */
  readonly kind: ErrorKind;
  /** The error's data, if any. */
  readonly data: unknown;

  constructor(message: string, init: McpErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    const type = new.target;
    this.kind = init.kind ?? type.kind ?? (init.code === undefined ? "internal_error" : "remote");
    this.code = init.code ?? type.code;
    this.data = init.data;
    Object.defineProperty(this, "name", { value: type.name, configurable: true, writable: true });
    Object.defineProperty(this, BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null || !(BRAND in value)) return false;
    if (this === McpError) return true;
    return Object.hasOwn(this, "kind")
      ? (value as { kind?: unknown }).kind === this.kind
      : Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

/**
 * An error of a tool: the call succeeds as a request, and its result reports the reason to the model
 * (`isError: true` with this message). In a resource, prompt or completion it is a protocol error.
 */
export class ToolError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    Object.defineProperty(this, "name", { value: new.target.name, configurable: true, writable: true });
    Object.defineProperty(this, TOOL_BRAND, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null || !(TOOL_BRAND in value)) return false;
    return this === ToolError || Function.prototype[Symbol.hasInstance].call(this, value);
  }
}
