// The native module: its types, and its errors as classes.

import native from "../native/loader.cjs";
import type { McpError } from "./errors.js";
import { ERROR_CLASSES, type ErrorKind } from "./generated.js";

/** The engine of `bindings/surface.toml`, in strings and numbers. */
export interface NativeEngine {
  fd(): number;
  watch(callback: (events: string) => void): boolean;
  unwatch(): void;
  keepAlive(on: boolean): void;
  drainJson(completions: string): string;
  wait(timeoutMs: number): boolean;
  setWake(callback: () => void): void;
  complete(id: number, outcome: number, payload: string): boolean;
  progress(id: number, payload: string): boolean;
  log(id: number, payload: string): boolean;
  remember(id: number, key: string, value: string): boolean;
  closeStream(id: number): boolean;
  context(id: number): string | null;
  cancel(id: number, reason: string): boolean;
  close(deadlineMs: number): void;
  live(): string;
  serverNew(definition: string): number;
  serverAdd(server: number, item: string, definition: string, options: string, target: number): void;
  serverRemove(server: number, item: string, key: string): boolean;
  serveStdio(server: number, options: string): number;
  serveHttp(server: number, options: string): number;
  httpRequest(endpoint: number, head: string, body: Uint8Array): number;
  notify(id: number, event: string, params: string): boolean;
  serverClose(server: number): void;
  connect(target: string, options: string): number;
  request(client: number, op: string, params: string, options: string): number;
  clientClose(client: number): void;
}

/** The exports of the native module. */
export interface Native {
  Engine: new (options: string) => NativeEngine;
  version(): string;
}

/** Loads the native module. Throws an error that names the missing file and the remedy. */
export function loadNative(): Native {
  return native.load() as Native;
}

/** An error as the engine reports it: the payload of an event, or the exception of a native function. */
export interface ErrorPayload {
  code: number;
  kind: string;
  message: string;
  data?: unknown;
}

/** Converts the engine's report to an error of the matching class. */
export function toError(payload: ErrorPayload, cause?: unknown): McpError {
  const kind = (payload.kind in ERROR_CLASSES ? payload.kind : "remote") as ErrorKind;
  return new ERROR_CLASSES[kind](payload.message, { code: payload.code, kind, data: payload.data, cause });
}

/** Calls the engine; an exception becomes an error of the matching class. */
export function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    const error = thrown as Partial<ErrorPayload> & { data?: string };
    if (typeof error?.kind !== "string" || typeof error.code !== "number") throw thrown;
    const data = error.data === undefined || error.data === null ? undefined : JSON.parse(error.data);
    throw toError({ code: error.code, kind: error.kind, message: error.message ?? "", data });
  }
}
