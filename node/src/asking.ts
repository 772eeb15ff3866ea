// Questions to the client: what they are, and their answers as a handler gets them.

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

/** What a person did with a form: accepted, with content as the schema says, or not. */
export type Elicited<T = Record<string, unknown>> =
  | { action: "accept"; content: T; _meta?: Record<string, unknown> }
  | { action: "decline" | "cancel"; content?: undefined; _meta?: Record<string, unknown> };

/** What may be said of a question to the client's model, besides the messages and the most tokens. */
export type SampleOptions = Omit<CreateMessageRequest, "messages" | "maxTokens">;

/** Options of a URL elicitation. */
export interface ElicitUrlOptions {
  /**
   * Names the visit for `Server.notifyElicitationComplete`: unique in the server, and the same in every run of the
   * handler. By default the engine makes one up where the revision wants it (2025-11-25).
   */
  elicitationId?: string;
}

/** Questions by key. */
export type Questions = Readonly<Record<string, Question<any>>>;

/** The answers to questions, by the same keys. */
export type AnswersOf<Q> = { [K in keyof Q]: Q[K] extends Question<infer Answer> ? Answer : never };

/** One question to the client; its answer is an `Answer`. */
export class Question<Answer> {
  readonly #op: string;
  readonly #params: object | undefined;
  /** What the handler gets of the client's answer. */
  readonly read: (answer: any) => Answer | Promise<Answer>;

  private constructor(op: string, params: object | undefined, read: (answer: any) => Answer | Promise<Answer>) {
    this.#op = op;
    this.#params = params;
    this.read = read;
  }

  /**
   * Ask the person to fill in a form. `schema`: an object of strings, numbers, booleans and choices. With a Standard
   * Schema its `validate` runs over the content of an accepted form.
   *
   * @throws McpError of kind `usage` when the schema cannot be written as JSON Schema.
   */
  static elicit<const S extends Schema>(message: string, schema: S): Question<Elicited<OutputOf<S>>> {
    const params = { message, requestedSchema: formOf(schema, `elicit ${JSON.stringify(message)}`) };
    return new Question("elicit", params, (answer: ElicitResult) => {
      if (answer.action !== "accept" || !isStandard(schema)) return answer as Elicited<OutputOf<S>>;
      return validated(schema, answer as Elicited<any>, message);
    });
  }

  /** Ask the person to visit a page; what happens there does not go through the client. */
  static elicitUrl(message: string, url: string | URL, { elicitationId }: ElicitUrlOptions = {}): Question<ElicitResult> {
    return new Question("elicit", { mode: "url", message, url: String(url), elicitationId }, (answer) => answer);
  }

  /** Ask the client's model. `messages`: the conversation so far, or one text of the user. */
  static sample(
    messages: string | readonly SamplingMessage[],
    maxTokens: number,
    options: SampleOptions = {},
  ): Question<CreateMessageResult> {
    const conversation =
      typeof messages === "string" ? [{ role: "user", content: { type: "text", text: messages } }] : messages;
    return new Question("sample", { messages: conversation, maxTokens, ...options }, (answer) => answer);
  }

  /** Ask which places the client lets the server work in. */
  static listRoots(): Question<Root[]> {
    return new Question("list_roots", undefined, ({ roots }) => roots);
  }

  /** The question as the engine takes it. */
  toJSON(): object {
    return { op: this.#op, params: this.#params };
  }
}

/** What handlers get of the client's answers. */
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

/** What the fields of a form may say; the rest of a library's JSON Schema is checked here, when the answer comes. */
const FIELD_KEYS = new Set([
  ...["type", "title", "description", "default", "enum", "enumNames", "oneOf", "items", "format"],
  ...["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"],
]);
const FORMATS = new Set(["email", "uri", "date", "date-time"]);

/** The form of a schema. A plain JSON Schema is taken as it is. */
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
  // Some libraries leave out the type of a choice.
  const choice = field["type"] === undefined && Array.isArray(field["enum"]);
  return { ...(choice ? { type: "string" } : {}), ...Object.fromEntries(kept) };
}
