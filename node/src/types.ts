// The model: objects of the protocol as JSON carries them. Fields that are not listed are kept.

/** Severity of a log message, least severe first. */
export type LogLevel = "debug" | "info" | "notice" | "warning" | "error" | "critical" | "alert" | "emergency";

/** Who a content item or resource is for, and how much it matters (0 to 1). */
export interface Annotations {
  audience?: ("user" | "assistant")[];
  priority?: number;
  lastModified?: string;
}

/** An icon of a server, tool, resource or prompt. */
export interface Icon {
  src: string;
  mimeType?: string;
  sizes?: string[];
  theme?: "light" | "dark";
}

interface Meta {
  _meta?: Record<string, unknown>;
}

export interface TextContent extends Meta {
  type: "text";
  text: string;
  annotations?: Annotations;
}

/** `data` is base64. */
export interface ImageContent extends Meta {
  type: "image";
  data: string;
  mimeType: string;
  annotations?: Annotations;
}

/** `data` is base64. */
export interface AudioContent extends Meta {
  type: "audio";
  data: string;
  mimeType: string;
  annotations?: Annotations;
}

/** Contents of a resource: text, or base64 in `blob`. */
export interface ResourceContents extends Meta {
  uri: string;
  mimeType?: string;
  text?: string;
  blob?: string;
}

export interface EmbeddedResource extends Meta {
  type: "resource";
  resource: ResourceContents;
  annotations?: Annotations;
}

export interface ResourceLink extends Meta, Omit<Resource, "_meta"> {
  type: "resource_link";
}

/** One item of a result or message. */
export type ContentBlock = TextContent | ImageContent | AudioContent | EmbeddedResource | ResourceLink;

/** Hints about a tool's behaviour; not to be trusted from an untrusted server. */
export interface ToolAnnotations {
  title?: string;
  readOnlyHint?: boolean;
  destructiveHint?: boolean;
  idempotentHint?: boolean;
  openWorldHint?: boolean;
}

/** JSON Schema 2020-12 as a plain object. */
export type JsonObject = Readonly<Record<string, unknown>>;

export interface Tool extends Meta {
  name: string;
  title?: string;
  description?: string;
  inputSchema: JsonObject;
  outputSchema?: JsonObject;
  annotations?: ToolAnnotations;
  icons?: Icon[];
}

export interface Resource extends Meta {
  uri: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  size?: number;
  annotations?: Annotations;
  icons?: Icon[];
}

export interface ResourceTemplate extends Meta {
  uriTemplate: string;
  name: string;
  title?: string;
  description?: string;
  mimeType?: string;
  annotations?: Annotations;
  icons?: Icon[];
}

export interface PromptArgument {
  name: string;
  title?: string;
  description?: string;
  required?: boolean;
}

export interface Prompt extends Meta {
  name: string;
  title?: string;
  description?: string;
  arguments?: PromptArgument[];
  icons?: Icon[];
}

export interface PromptMessage {
  role: "user" | "assistant";
  content: ContentBlock;
}

/** Progress of a request: `progress` grows, `total` is in the same unit. */
export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}

/** Suggestions for one argument: at most 100 values. */
export interface CompletionValues {
  values: string[];
  total?: number;
  hasMore?: boolean;
}
