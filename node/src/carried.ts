// Streamable HTTP embedded in a web-standard server: requests in, responses out.

import type { Engine } from "./engine.js";
import type { McpError } from "./errors.js";
import { CancelledError, ClosedError, LimitError } from "./generated.js";

/** The limit of unread response bytes when more arrives. */
export const MAX_UNREAD = 16 << 20;
/** Status codes of responses that have no body, not even an empty one. */
const NO_BODY = new Set([204, 205, 304]);

/** Facts about a request that the web server knows in addition to the request. */
export interface Carrier {
  /** The address of the peer that has connected, for `trustedProxies`. */
  peer?: string;
}

/** Answers web-standard requests. */
export interface FetchHandler extends AsyncDisposable {
  (request: Request, carrier?: Carrier): Promise<Response>;
  /** Stops answering; resolves when the requests in progress have ended. */
  close(): Promise<void>;
}

/** Makes a handler of an embedded endpoint. `ended` settles when the endpoint has ended. */
export function fetchHandler(engine: Engine, endpoint: number, ended: Promise<void>): FetchHandler {
  const close = () => {
    engine.cancel(endpoint, "closed");
    return ended.finally(engine.hold());
  };
  const handler = (request: Request, carrier: Carrier = {}) => carry(engine, endpoint, request, carrier);
  return Object.assign(handler, { close, [Symbol.asyncDispose]: close });
}

async function carry(
  engine: Engine,
  endpoint: number,
  request: Request,
  { peer }: Carrier,
): Promise<Response> {
  const head = headOf(request, peer);
  const body = await bodyOf(request, engine.maxMessageBytes);
  const { signal } = request;
  if (signal.aborted) throw left(signal);
  if (engine.closed) throw new ClosedError("the engine is closed");
  return new Promise((resolve, reject) => {
    const answer = new Answer(resolve, reject, () => engine.cancel(id, "the caller has left"));
    const abort = () => answer.abort(left(signal));
    const over = () => signal.removeEventListener("abort", abort);
    const id = engine.operate(() => engine.native.httpRequest(endpoint, head, body), {
      httpHead: ({ status, headers }) => answer.begin(status, headers),
      httpChunk: (text) => answer.write(text),
      resolve: () => (over(), answer.end()),
      reject: (error) => (over(), answer.fail(error)),
    });
    signal.addEventListener("abort", abort, { once: true });
  });
}

/** A response that is being sent to the web server. */
class Answer {
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;
  readonly #leave: () => void;
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;
  #over = false;

  constructor(resolve: (response: Response) => void, reject: (error: Error) => void, leave: () => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#leave = leave;
  }

  begin(status: number, headers: [string, string][]): void {
    const body = new ReadableStream<Uint8Array>(
      { start: (controller) => void (this.#body = controller), cancel: () => this.#left() },
      new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD }),
    );
    this.#resolve(new Response(NO_BODY.has(status) ? null : body, { status, headers }));
  }

  write(text: string): void {
    if (this.#over || this.#body === undefined) return;
    // One large chunk is allowed; more data while the reader is idle is not.
    if (this.#body.desiredSize! <= 0) return this.abort(new LimitError(`${MAX_UNREAD} bytes of the response are unread`));
    this.#body.enqueue(encoder.encode(text));
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#body?.close();
  }

  fail(error: McpError): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#body === undefined) this.#reject(error);
    else this.#body.error(error);
  }

  /** Ends the work: the caller has disconnected, or does not read. */
  abort(error: McpError): void {
    if (this.#over) return;
    this.fail(error);
    this.#leave();
  }

  #left(): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave();
  }
}

const encoder = new TextEncoder();

function left(signal: AbortSignal): CancelledError {
  return new CancelledError("the caller has left", { cause: signal.reason });
}

function headOf({ method, url, headers }: Request, peer: string | undefined): string {
  const { host, pathname, search } = new URL(url);
  const all = [...headers];
  // Servers of web-standard requests have the host in the URL only.
  if (!headers.has("host")) all.push(["host", host]);
  return JSON.stringify({ method, target: pathname + search, headers: all, peer });
}

/** The body, or enough of it for the engine to see that it is too large. */
async function bodyOf({ body }: Request, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream.
  for await (const piece of (body ?? []) as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    length += piece.length;
    if (length > maxBytes) break;
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
