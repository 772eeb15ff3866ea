// Encoding of handler results as completions: the engine's short forms if they fit.

import type { Completion } from "./engine.js";
import { OUTCOME } from "./generated.js";
import { ReadResult, ToolResult } from "./results.js";
import type { ResourceContents } from "./types.js";

/** The result of a failed handler, with the reason for the model. */
export function failTool(message: string): Completion {
  return [OUTCOME.toolError, message];
}

/** The result of a tool without an output schema. */
export function completeTool(value: unknown): Completion {
  if (typeof value === "string") return [OUTCOME.text, value];
  if (isResult(value)) return [OUTCOME.result, json(value)];
  if (value === undefined) return [OUTCOME.result, '{"content":[]}'];
  if (Array.isArray(value) && value.every(isContent)) return [OUTCOME.result, json({ content: value })];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [OUTCOME.text, json(value)];
  return [OUTCOME.value, json(value)];
}

/** The result of a tool with an output schema. */
export function completeTypedTool(value: unknown): Completion {
  if (value instanceof ToolResult) return [OUTCOME.result, json(value)];
  return [OUTCOME.value, json(value)];
}

/** A `ToolResult`, or a plain object that could be nothing else. */
function isResult(value: unknown): boolean {
  if (value instanceof ToolResult) return true;
  if (typeof value !== "object" || value === null) return false;
  const { content, structuredContent, isError, _meta, ...others } = value as Record<string, unknown>;
  return Array.isArray(content) && content.every(isContent) && Object.keys(others).length === 0;
}

function isContent(item: unknown): boolean {
  return typeof item === "object" && item !== null && typeof (item as { type?: unknown }).type === "string";
}

/** The result of a resource handler. */
export function completeResource(value: unknown, { uri }: { uri: string }): Completion {
  if (typeof value === "string") return [OUTCOME.text, value];
  if (value instanceof Uint8Array) {
    return [OUTCOME.base64, Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")];
  }
  if (value instanceof ReadResult) return [OUTCOME.result, json(value)];
  if (Array.isArray(value) && value.every(isContents)) {
    return [OUTCOME.result, json({ contents: value.map((item) => ({ uri, ...item })) })];
  }
  if (isContents(value)) return [OUTCOME.result, json({ contents: [{ uri, ...value }] })];
  return [OUTCOME.value, json(value)];
}

function isContents(item: unknown): item is Omit<ResourceContents, "uri"> {
  if (typeof item !== "object" || item === null) return false;
  const { text, blob } = item as { text?: unknown; blob?: unknown };
  return typeof text === "string" || typeof blob === "string";
}

/** The result of a prompt handler. */
export function completePrompt(value: unknown): Completion {
  if (typeof value === "string") return [OUTCOME.text, value];
  if (Array.isArray(value)) return [OUTCOME.result, json({ messages: value })];
  if (typeof value !== "object" || value === null) throw new TypeError("the prompt's handler returned no messages");
  return [OUTCOME.result, json(value)];
}

/** The result of a completion handler. */
export function completeCompletion(value: unknown): Completion {
  if (Array.isArray(value)) return [OUTCOME.value, json(value)];
  if (typeof value !== "object" || value === null) throw new TypeError("the completion's handler returned no values");
  return [OUTCOME.result, json({ completion: value })];
}

/**
 * JSON text. A value without one (nothing, a function, a symbol, a `toJSON` that returns these) is an error
 * of the handler.
 */
export function json(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text !== undefined) return text;
  throw new TypeError(value === undefined ? "the handler returned nothing" : `this ${typeof value} has no JSON form`);
}
