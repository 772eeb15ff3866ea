// How a client gets in where a server wants authorization (OAuth 2.1): options, and what the engine asks of them.

import { randomUUID } from "node:crypto";

import type { AskedQuestion } from "./client.js";
import { json } from "./completing.js";
import type { Cancellable } from "./context.js";
import type { Target } from "./engine.js";
import { type AuthOptions as Generated, OUTCOME, UsageError } from "./generated.js";

type Awaitable<T> = T | Promise<T>;

/** How a client proves itself at a token endpoint. */
export type ClientAuthMethod = "none" | "client_secret_post" | "client_secret_basic" | "private_key_jwt";

/** What is kept of one server: JSON that holds secrets. */
export interface CredentialRecord {
  /** Grows with every change. */
  version: number;
  [member: string]: unknown;
}

/**
 * What keeps the credentials of servers, one record for each, such as a keychain or a database. A store is one user's: a
 * program that serves many gives each its own. Clients of this process that were given the same store object take turns
 * to refresh.
 */
export interface CredentialStore {
  /** The record of the MCP server at this URL, or nothing. */
  load(server: string): Awaitable<CredentialRecord | null | undefined>;
  /**
   * Keep the record, if the version of what is kept is `expected` (0: nothing is kept).
   *
   * @returns whether it was kept; false: someone was faster.
   */
  swap(server: string, expected: number, record: CredentialRecord): Awaitable<boolean>;
}

/** Credentials of this thread. Clients that are given the same one share them: the user is asked once. */
export class MemoryStore implements CredentialStore {
  readonly #records = new Map<string, CredentialRecord>();

  load(server: string): CredentialRecord | undefined {
    return this.#records.get(server);
  }

  swap(server: string, expected: number, record: CredentialRecord): boolean {
    if ((this.#records.get(server)?.version ?? 0) !== expected) return false;
    this.#records.set(server, record);
    return true;
  }
}

/** What every way in may say. */
export interface CommonAuthOptions
  extends Pick<
    Generated,
    | "issuer"
    | "trustFirstIssuer"
    | "signingKey"
    | "signingKeyId"
    | "offlineAccess"
    | "timeoutMs"
    | "userTimeoutMs"
  > {
  /**
   * How the client proves itself at the token endpoint. Default: the strongest way that it and the authorization server
   * can do.
   */
  clientAuthMethod?: ClientAuthMethod;
  /**
   * Bind tokens to a key where the server can (DPoP, RFC 9449). `true`: a key of this connection. Or a private key in PEM,
   * P-256, P-384 or Ed25519; with a `store` it must be one.
   */
  dpop?: boolean | string;
  /**
   * Where credentials are kept. A path: a directory, made when it is needed, of files for this user only, which processes
   * may share. Or a store of yours. Default: clients that are given this very object share them, in memory; with `dpop: true`
   * they are the connection's own, and end with it.
   */
  store?: string | CredentialStore;
  /**
   * The network that the MCP server is in. What it names as authorization servers may be there or public; by default that is
   * decided by the server's URL, and a name counts as public.
   */
  addresses?: "public" | "private" | "loopback";
}

/** The user agrees in a browser. */
export interface AuthorizationCodeOptions
  extends CommonAuthOptions,
    Pick<Generated, "clientId" | "clientSecret" | "clientMetadataUrl" | "clientName" | "loopbackPort"> {
  grant?: "authorization_code";
  /** Where the browser comes back to: `https`, or `http` at a loopback host. Needs `redirect`. */
  redirectUri?: string;
  /**
   * Sends the user to the page, and gives the whole URL that the browser was sent to in the end, which begins with
   * `redirectUri`. Time limits of calls stand still meanwhile. When it throws, the call fails with reason `redirect`.
   * Default: the engine opens the browser of this machine, which comes back to a port of this process.
   */
  redirect?: (url: string, question: AskedQuestion) => Awaitable<string | URL>;
}

/** The client acts for itself: with a secret, or with a `signingKey`. */
export interface ClientCredentialsOptions extends CommonAuthOptions {
  grant: "client_credentials";
  clientId: string;
  clientSecret?: string;
}

/** The client shows an assertion that it was given (RFC 7523), such as a workload's identity. */
export interface JwtBearerOptions extends CommonAuthOptions {
  grant: "jwt_bearer";
  clientId: string;
  clientSecret?: string;
  /** Its audience must be the authorization server. */
  assertion: string;
}

/** The organization's identity provider vouches for the user (enterprise-managed authorization). */
export interface EnterpriseOptions extends CommonAuthOptions {
  grant: "enterprise";
  clientId: string;
  clientSecret?: string;
  /** The identity provider. It knows the client as `clientId`; `subject` is the user's token, by default an id token. */
  enterprise: {
    tokenEndpoint: string;
    issuer: string;
    clientId: string;
    clientSecret?: string;
    clientAuthMethod?: ClientAuthMethod;
    subject: string;
    subjectType?: string;
  };
}

/** How a client gets in. */
export type AuthOptions = AuthorizationCodeOptions | ClientCredentialsOptions | JwtBearerOptions | EnterpriseOptions;

/** What answers the engine's questions. */
export interface AuthTargets {
  authorize?: Target<Cancellable>;
  credentials?: Target<Cancellable>;
}

type OnError = (error: unknown, origin: { item: string; name: string }) => void;

/** Of the engine's store: clients of this process whose ids are the same take turns. */
const ids = new WeakMap<CredentialStore, string>();

/** What keeps the credentials of those who say nothing of a store: clients that are given one object share them. */
const shared = new WeakMap<AuthOptions, MemoryStore>();

function storeOf(auth: AuthOptions): string | CredentialStore | undefined {
  // A key of each connection's own binds tokens that no other can use.
  if (auth.store !== undefined || auth.dpop === true) return auth.store;
  const store = shared.get(auth) ?? new MemoryStore();
  shared.set(auth, store);
  return store;
}

/** The engine's option, and what answers its questions. */
export function authOf(auth: AuthOptions, onError: OnError): { wire: object; targets: AuthTargets } {
  if (typeof auth !== "object" || auth === null) throw new UsageError("auth is an object");
  const { redirect, store: _, ...rest } = auth as AuthorizationCodeOptions;
  const store = storeOf(auth);
  if ((redirect === undefined) !== (rest.redirectUri === undefined)) {
    throw new UsageError("auth: redirect and redirectUri go together");
  }
  const targets: AuthTargets = {};
  if (redirect !== undefined) {
    targets.authorize = {
      invoke: ({ url }: { url: string }, question) => redirect(url, question),
      complete: (callback) => [OUTCOME.result, json({ url: callbackOf(callback) })],
      fail: (message) => [OUTCOME.error, JSON.stringify({ message })],
      report: (error) => onError(error, { item: "client", name: "redirect" }),
    };
  }
  if (store === undefined || typeof store === "string") return { wire: { ...rest, store }, targets };
  if (typeof store?.load !== "function" || typeof store.swap !== "function") {
    throw new UsageError("auth: store is the path of a directory, or an object with load and swap");
  }
  const id = ids.get(store) ?? randomUUID();
  ids.set(store, id);
  targets.credentials = {
    invoke: (asked: { op: string; server: string; expected: number; record: CredentialRecord }) =>
      asked.op === "load" ? store.load(asked.server) : store.swap(asked.server, asked.expected, asked.record),
    complete: (answer) => [OUTCOME.result, json(answer ?? null)],
    // What a database throws may quote the record: onError hears it, whoever called does not.
    fail: () => [OUTCOME.error, '{"message":"it threw an error"}'],
    report: (error) => onError(error, { item: "client", name: "store" }),
  };
  return { wire: { ...rest, store: { id } }, targets };
}

function callbackOf(callback: unknown): string {
  if (typeof callback === "string" || callback instanceof URL) return String(callback);
  throw new TypeError(`redirect gives the URL of the callback, not ${callback === null ? "null" : `a ${typeof callback}`}`);
}
