// Streamable HTTP embedded in Node's own server: `(request, response)` of node:http, Express and Fastify.

import { MAX_UNREAD } from "./carried.js";
import type { Engine } from "./engine.js";
import { McpError } from "./errors.js";

/** The part of `http.IncomingMessage` that is used, with the additions of Express. */
export interface NodeRequest extends AsyncIterable<any> {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly rawHeaders: readonly string[];
  readonly socket: { readonly remoteAddress?: string | undefined };
  iterator?(options: { destroyOnReturn: boolean }): AsyncIterable<any>;
  resume(): unknown;
}

/** The part of `http.ServerResponse` that is used. */
export interface NodeResponse {
  readonly headersSent: boolean;
  readonly writableLength: number;
  on(event: "close", listener: () => void): unknown;
  writeHead(status: number, headers: string[]): unknown;
  flushHeaders(): void;
  write(text: string): unknown;
  end(text?: string): unknown;
  destroy(): unknown;
}

/** Answers requests of Node's HTTP server. */
export interface NodeHandler extends AsyncDisposable {
  /**
   * `body`: the body, if it has been read already: bytes, a text, or the value of its JSON. Otherwise the
   * `request.body` of a body parser is used, else the request is read. Express's `next`, a function, is not
   * called.
   */
  (request: NodeRequest, response: NodeResponse, body?: unknown): void;
  /** Stops answering; resolves when the requests in progress have ended. */
  close(): Promise<void>;
}

/** Makes a handler of an embedded endpoint. `path`: the endpoint's. `ended` settles when it has ended. */
export function nodeHandler(engine: Engine, endpoint: number, path: string, ended: Promise<void>): NodeHandler {
  const close = () => {
    engine.cancel(endpoint, "closed");
    return ended.finally(engine.hold());
  };
  const handler = (request: NodeRequest, response: NodeResponse, body?: unknown) => {
    carry(engine, endpoint, path, request, response, body).catch((error: unknown) => refuse(response, error));
  };
  return Object.assign(handler, { close, [Symbol.asyncDispose]: close });
}

async function carry(
  engine: Engine,
  endpoint: number,
  path: string,
  request: NodeRequest,
  response: NodeResponse,
  given: unknown,
): Promise<void> {
  let over = false;
  let id: number | undefined;
  response.on("close", () => {
    if (!over && id !== undefined) engine.cancel(id, "the caller has left");
    over = true;
  });
  const head = headOf(request, path);
  const { body, whole } = await bodyOf(request, given, engine.maxMessageBytes);
  if (over) return;
  if (engine.closed) return refuse(response, undefined);
  id = engine.operate(() => engine.native.httpRequest(endpoint, head, body), {
    httpHead: ({ status, headers }: { status: number; headers: [string, string][] }) => {
      if (over) return;
      // Unread bytes of the request would block the next one.
      response.writeHead(status, [...headers.flat(), ...(whole ? [] : ["connection", "close"])]);
      response.flushHeaders();
    },
    httpChunk: (text: string) => {
      if (over) return;
      // One large chunk is allowed; more data while the reader is idle is not.
      if (response.writableLength > MAX_UNREAD) response.destroy();
      else response.write(text);
    },
    resolve: () => {
      if (!over) response.end();
      over = true;
      if (!whole) request.resume();
    },
    reject: (error) => {
      if (!over) refuse(response, error);
      over = true;
    },
  });
}

/** Refuses a request that cannot be answered as it should be. */
function refuse(response: NodeResponse, error: unknown): void {
  if (response.headersSent || !(error === undefined || error instanceof McpError)) return void response.destroy();
  const status = error === undefined || error.kind === "closed" || error.kind === "cancelled" ? 503 : 400;
  response.writeHead(status, ["content-type", "text/plain; charset=utf-8"]);
  response.end(status === 503 ? "the server is closing" : error?.message);
}

function headOf(request: NodeRequest, path: string): string {
  const { method, url = "/", rawHeaders, socket } = request;
  const headers: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i]!, rawHeaders[i + 1]!];
    // HTTP/2 has the host under a different name.
    if (!name.startsWith(":")) headers.push([name, value]);
    else if (name === ":authority") headers.push(["host", value]);
  }
  return JSON.stringify({ method, target: targetOf(request, url, path), headers, peer: socket.remoteAddress });
}

/** The path and query. Express strips the mount path of a handler: the mount path is the endpoint. */
function targetOf(request: NodeRequest, url: string, path: string): string {
  const mounted = (request as { baseUrl?: unknown }).baseUrl;
  const query = url.indexOf("?");
  const own = query < 0 ? url : url.slice(0, query);
  if (typeof mounted !== "string" || mounted === "" || (own !== "/" && own !== "")) return url;
  return path + (query < 0 ? "" : url.slice(query));
}

/** The body, or enough of it for the engine to see that it is too large. */
async function bodyOf(
  request: NodeRequest,
  given: unknown,
  maxBytes: number,
): Promise<{ body: Uint8Array; whole: boolean }> {
  if (request.method !== "POST") return { body: new Uint8Array(), whole: true };
  const parsed = given === undefined || typeof given === "function" ? (request as { body?: unknown }).body : given;
  if (parsed instanceof Uint8Array) return { body: parsed, whole: true };
  if (parsed !== undefined && parsed !== null) {
    return { body: Buffer.from(typeof parsed === "string" ? parsed : JSON.stringify(parsed)), whole: true };
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  // If reading ends early, the connection must stay open for the answer.
  for await (const piece of request.iterator?.({ destroyOnReturn: false }) ?? request) {
    pieces.push(piece);
    length += piece.length;
    if (length > maxBytes) break;
  }
  return { body: pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), whole: length <= maxBytes };
}
