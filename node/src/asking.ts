// Elicitation, sampling and roots requests to the client, and their answers in the form that a handler
// receives.

import { InvalidParamsError } from "./generated.js";
import { describeIssues, isStandard, type OutputOf, type Schema, toJsonSchema } from "./schema.js";
import type {
  CreateMessageRequest,
  CreateMessageResult,
  ElicitResult,
  Form,
  Root,
  SamplingMessage,
} from "./types.js";

/** The result of a form: accepted, with content that fits the schema, or declined or cancelled. */
export type Elicited<T = Record<string, unknown>> =
  | { action: "accept"; content: T; _meta?: Record<string, unknown> }
  | { action: "decline" | "cancel"; content?: undefined; _meta?: Record<string, unknown> };

/** Options of a sampling request, besides the messages and the maximum number of tokens. */
export type SampleOptions = Omit<CreateMessageRequest, "messages" | "maxTokens">;

/** Options of a URL elicitation. */
export interface ElicitUrlOptions {
  /**
   * A name for the visit in `Server.notifyElicitationComplete`: unique in the server, and the same in every
   * run of the handler. By default the engine generates one if the revision requires it (2025-11-25).
   */
  elicitationId?: string;
}

/** Input requests by key. */
export type Questions = Readonly<Record<string, Question<any>>>;

/** The answers to input requests, by the same keys. */
export type AnswersOf<Q> = { [K in keyof Q]: Q[K] extends Question<infer Answer> ? Answer : never };

/** One input request to the client; its answer is an `Answer`. */
export class Question<Answer> {
  readonly #op: string;
  readonly #params: object | undefined;
  /** Converts the client's answer to the form that the handler receives. */
  readonly read: (answer: any) => Answer | Promise<Answer>;

  private constructor(op: string, params: object | undefined, read: (answer: any) => Answer | Promise<Answer>) {
    this.#op = op;
    this.#params = params;
    this.read = read;
  }

  /**
   * Elicits a form from the user. `schema`: an object of strings, numbers, booleans and choices. With a
   * Standard Schema its `validate` runs over the content of an accepted form.
   *
   * @throws McpError of kind `usage` if the schema cannot be written as JSON Schema.
   */
  static elicit<const S extends Schema>(message: string, schema: S): Question<Elicited<OutputOf<S>>> {
    const params = { message, requestedSchema: formOf(schema, `elicit ${JSON.stringify(message)}`) };
    return new Question("elicit", params, (answer: ElicitResult) => {
      if (answer.action !== "accept" || !isStandard(schema)) return answer as Elicited<OutputOf<S>>;
      return validated(schema, answer as Elicited<any>, message);
    });
  }

  /** Elicits a visit to a page; the interaction there does not pass through the client. */
  static elicitUrl(message: string, url: string | URL, { elicitationId }: ElicitUrlOptions = {}): Question<ElicitResult> {
    return new Question("elicit", { mode: "url", message, url: String(url), elicitationId }, (answer) => answer);
  }

  /** Samples the client's model. `messages`: the conversation so far, or one text of the user. */
  static sample(
    messages: string | readonly SamplingMessage[],
    maxTokens: number,
    options: SampleOptions = {},
  ): Question<CreateMessageResult> {
    const conversation =
      typeof messages === "string" ? [{ role: "user", content: { type: "text", text: messages } }] : messages;
    return new Question("sample", { messages: conversation, maxTokens, ...options }, (answer) => answer);
  }

  /** Lists the client's roots: the places that the server may work in. */
  static listRoots(): Question<Root[]> {
    return new Question("list_roots", undefined, ({ roots }) => roots);
  }

  /** The input request in the engine's form. */
  toJSON(): object {
    return { op: this.#op, params: this.#params };
  }
}

/** The answers of the client in the form that handlers receive. */
export async function readAnswers<Q extends Questions>(
  questions: Q,
  answers: Readonly<Record<string, unknown>>,
): Promise<AnswersOf<Q>> {
  const read: Record<string, unknown> = {};
  for (const [key, question] of Object.entries(questions)) read[key] = await question.read(answers[key]);
  return read as AnswersOf<Q>;
}

async function validated(schema: Schema, answer: Elicited<any>, message: string): Promise<any> {
  if (!isStandard(schema)) return answer;
  const result = await schema["~standard"].validate(answer.content);
  if (result.issues === undefined) return { ...answer, content: result.value };
  throw new InvalidParamsError(`the answer to ${JSON.stringify(message)} is wrong: ${describeIssues(result.issues)}`);
}

/**
 * The keywords that fields of a form may have; the rest of a library's JSON Schema is checked here when the
 * answer arrives.
 */
const FIELD_KEYS = new Set([
  ...["type", "title", "description", "default", "enum", "enumNames", "oneOf", "items", "format"],
  ...["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"],
]);
const FORMATS = new Set(["email", "uri", "date", "date-time"]);

/** The form of a schema. A plain JSON Schema is used unchanged. */
function formOf(schema: Schema, where: string): Form {
  const json = toJsonSchema(schema, "input", where) as unknown as Form;
  if (!isStandard(schema)) return json;
  const properties = Object.fromEntries(
    Object.entries(json.properties ?? {}).map(([name, field]) => [name, fieldOf({ ...field })]),
  ) as Form["properties"];
  return { type: json.type, properties, ...(json.required === undefined ? {} : { required: json.required }) };
}

function fieldOf(field: Record<string, unknown>): object {
  const kept = Object.entries(field).filter(
    ([key, value]) => FIELD_KEYS.has(key) && (key !== "format" || FORMATS.has(value as string)),
  );
  // Some libraries omit the type of a choice.
  const choice = field["type"] === undefined && Array.isArray(field["enum"]);
  return { ...(choice ? { type: "string" } : {}), ...Object.fromEntries(kept) };
}
