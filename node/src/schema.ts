// Schemas: plain JSON Schema, or any library that implements Standard Schema and exports JSON Schema.

import { UsageError } from "./generated.js";
import type { JsonObject } from "./types.js";

/** The part of the Standard Schema interface that is used here (version 1). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
      options?: any,
    ) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The result of `validate`: a value, or issues. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One issue of a value. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A plain JSON Schema with the TypeScript type of its values; made by `jsonSchema`. */
export interface TypedJsonSchema<T> extends JsonObject {
  readonly [TYPE]?: T;
}
declare const TYPE: unique symbol;

/**
 * A schema: Standard Schema (zod 4.2+, arktype 2.1.28+, valibot with `toStandardJsonSchema`), or JSON Schema.
 */
export type Schema = StandardSchema<any, any> | JsonObject;

/** The type of a handler's value for a schema. A plain JSON Schema has no TypeScript type: `any`. */
export type OutputOf<S> =
  S extends StandardSchema<any, infer Output>
    ? Output
    : S extends TypedJsonSchema<infer T>
      ? unknown extends T
        ? any
        : T
      : any;

/** A plain JSON Schema whose members are not schemas of a library: `{ a: z.string() }` does not qualify. */
export type PlainSchema<S> = S extends StandardSchema<any, any>
  ? unknown
  : { readonly [K in keyof S]: S[K] extends { readonly "~standard": object } ? never : S[K] };

/** Returns a plain JSON Schema with the TypeScript type of its values. */
export function jsonSchema<T>(schema: JsonObject): TypedJsonSchema<T> {
  return schema as TypedJsonSchema<T>;
}

/** True for a Standard Schema. */
export function isStandard(schema: Schema): schema is StandardSchema {
  return "~standard" in schema && typeof schema["~standard"] === "object";
}

/** True for a Standard Schema, whatever else it may be. */
export function isStandardValue(value: unknown): boolean {
  return (typeof value === "object" || typeof value === "function") && value !== null && isStandard(value as Schema);
}

/** The JSON Schema of a schema, as sent to clients. `side`: before or after its transforms and defaults. */
export function toJsonSchema(schema: Schema, side: "input" | "output", where: string): JsonObject {
  if (!isStandard(schema)) {
    if (!("type" in schema) && Object.values(schema).some(isStandardValue)) {
      throw new UsageError(`${where}: ${side} is one schema, not an object of schemas; with zod: z.object({ … })`);
    }
    return schema as JsonObject;
  }
  const standard = schema["~standard"] as StandardSchema["~standard"] & {
    jsonSchema?: Record<"input" | "output", (options: { target: string }) => JsonObject>;
  };
  const own = schema as { toJSONSchema?(options?: object): JsonObject; toJsonSchema?(): JsonObject };
  try {
    if (standard.jsonSchema !== undefined) return standard.jsonSchema[side]({ target: "draft-2020-12" });
    if (typeof own.toJSONSchema === "function") return own.toJSONSchema({ io: side });
    if (typeof own.toJsonSchema === "function") return own.toJsonSchema();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`${where}: the ${standard.vendor} schema cannot be written as JSON Schema: ${why}`, { cause });
  }
  throw new UsageError(
    `${where}: this ${standard.vendor} schema cannot be written as JSON Schema. ` +
      (standard.vendor === "valibot"
        ? "Wrap it in toStandardJsonSchema() of @valibot/to-json-schema."
        : "Use a version that implements Standard JSON Schema (zod 4.2, arktype 2.1.28), or give a JSON Schema."),
  );
}

/** The issues as one line for the model: `a.b: message; c: message`. */
export function describeIssues(issues: readonly StandardIssue[]): string {
  return issues
    .map(({ path, message }) => {
      const keys = path?.map((part) => String(typeof part === "object" ? part.key : part)) ?? [];
      return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
    })
    .join("; ");
}
