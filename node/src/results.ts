// Results of tools, resources and prompts: sent by the server, received by the client.

import type { CallToolResult, ContentBlock, GetPromptResult, PromptMessage, ReadResourceResult, ResourceContents } from "./types.js";

/** The fields of a tool's result. */
export type ToolResultFields = Partial<Pick<CallToolResult, "content" | "structuredContent" | "isError" | "_meta">>;

/** The whole result of a tool. A handler returns one if content or typed output alone does not suffice. */
export class ToolResult<T = any> {
  content: ContentBlock[];
  declare structuredContent?: T;
  isError: boolean;
  declare _meta?: Record<string, unknown>;

  constructor(fields: Omit<ToolResultFields, "structuredContent"> & { structuredContent?: T }) {
    Object.assign(this, fields);
    this.content = fields.content ?? [];
    this.isError = fields.isError ?? false;
  }

  /** The text items, joined by line ends. */
  get text(): string {
    return textOf(this.content);
  }
}

/** The result of reading a resource. */
export class ReadResult {
  contents: ResourceContents[] = [];
  declare _meta?: Record<string, unknown>;

  constructor(fields: Pick<ReadResourceResult, "contents" | "_meta">) {
    Object.assign(this, fields);
  }

  /** The text contents, joined by line ends. */
  get text(): string {
    return this.contents.flatMap(({ text }) => text ?? []).join("\n");
  }

  /** The bytes of all contents: decoded blobs, and texts as UTF-8. */
  get bytes(): Uint8Array {
    return Buffer.concat(
      this.contents.map(({ text, blob }) => (blob === undefined ? Buffer.from(text ?? "") : Buffer.from(blob, "base64"))),
    );
  }
}

/** A filled-in prompt. */
export class PromptResult {
  declare description?: string;
  messages: PromptMessage[] = [];
  declare _meta?: Record<string, unknown>;

  constructor(fields: Pick<GetPromptResult, "messages" | "description" | "_meta">) {
    Object.assign(this, fields);
  }

  /** The text items of all messages, joined by line ends. */
  get text(): string {
    return textOf(this.messages.map(({ content }) => content));
  }
}

function textOf(content: ContentBlock[]): string {
  return content.flatMap((item) => (item.type === "text" ? item.text : [])).join("\n");
}
