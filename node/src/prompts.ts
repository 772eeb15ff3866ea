// The arguments of prompts: their definitions, and the conversion of received texts by a schema.

import { InvalidParamsError, UsageError } from "./generated.js";
import { describeIssues, isStandardValue, type StandardSchema, toJsonSchema } from "./schema.js";
import type { JsonObject, PromptArgument } from "./types.js";

type Described = Readonly<Record<string, Omit<PromptArgument, "name">>> | StandardSchema<any, any>;

/** The arguments as the protocol lists them; undefined: none. */
export function promptArguments(described: Described | undefined, where: string): PromptArgument[] | undefined {
  if (described === undefined) return undefined;
  if (!isStandardValue(described)) {
    for (const [name, argument] of Object.entries(described)) {
      if (!isStandardValue(argument)) continue;
      throw new UsageError(`${where}: arguments is one schema, not an object of schemas (${name}); with zod: z.object({ … })`);
    }
    const all = Object.entries(described).map(([name, argument]) => ({ name, ...argument }));
    return all.length === 0 ? undefined : all;
  }
  const json = toJsonSchema(described, "input", where);
  const required = new Set((json["required"] ?? []) as string[]);
  return Object.entries(propertiesOf(json, where)).map(([name, { title, description }]) => ({
    name,
    ...(typeof title === "string" ? { title } : {}),
    ...(typeof description === "string" ? { description } : {}),
    required: required.has(name),
  }));
}

/** Returns the conversion of received texts to a handler's arguments; undefined: unchanged. */
export function promptReader(
  described: Described | undefined,
  where: string,
): ((texts: Record<string, string>) => Promise<unknown>) | undefined {
  if (described === undefined || !isStandardValue(described)) return undefined;
  const schema = described as StandardSchema;
  const properties = propertiesOf(toJsonSchema(schema, "input", where), where);
  return async (texts) => {
    const values = Object.entries(texts).map(([name, text]) => [name, valueOf(text, properties[name])] as const);
    const result = await schema["~standard"].validate(Object.fromEntries(values));
    if (result.issues === undefined) return result.value;
    throw new InvalidParamsError(`${where}: ${describeIssues(result.issues)}`);
  };
}

function propertiesOf(json: JsonObject, where: string): Record<string, JsonObject> {
  const properties = json["properties"];
  if (json["type"] === "object" && properties !== undefined) return properties as Record<string, JsonObject>;
  throw new UsageError(`${where}: arguments is the schema of an object with properties; with zod: z.object({ … })`);
}

/** The text, or its value as JSON if its schema accepts no text. The schema rejects text that is no JSON. */
function valueOf(text: string, schema: JsonObject | undefined): unknown {
  if (schema === undefined || takesText(schema)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function takesText(schema: JsonObject): boolean {
  const { type, enum: choices, const: only } = schema as { type?: unknown; enum?: unknown[]; const?: unknown };
  if (type !== undefined) return Array.isArray(type) ? type.includes("string") : type === "string";
  if (choices !== undefined) return choices.some((choice) => typeof choice === "string");
  if (only !== undefined) return typeof only === "string";
  const branches = (schema["anyOf"] ?? schema["oneOf"]) as JsonObject[] | undefined;
  return branches === undefined || branches.some(takesText);
}
