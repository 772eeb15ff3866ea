// Client sign-in (OAuth 2.1): the options, and the callbacks that the engine uses.

import { randomUUID } from "node:crypto";

import type { AskedQuestion } from "./client.js";
import { json } from "./completing.js";
import type { Cancellable } from "./context.js";
import type { Target } from "./engine.js";
import { type AuthOptions as Generated, OUTCOME, UsageError } from "./generated.js";

type Awaitable<T> = T | Promise<T>;

/** The client's authentication method at a token endpoint. */
export type ClientAuthMethod = "none" | "client_secret_post" | "client_secret_basic" | "private_key_jwt";

/** The stored record of one server: JSON that holds secrets. */
export interface CredentialRecord {
  /** A version that grows with every change. */
  version: number;
  [member: string]: unknown;
}

/**
 * A store for the credentials of servers, one record for each, such as a keychain or a database. A store
 * belongs to one user: a program that serves many users needs one store for each. Clients of this process
 * that share a store object refresh one at a time.
 */
export interface CredentialStore {
  /** Returns the record of the MCP server at this URL, or nothing. */
  load(server: string): Awaitable<CredentialRecord | null | undefined>;
  /**
   * Stores the record if the version of the stored record is `expected` (0: there is no record).
   *
   * @returns true if it was stored; false: another client stored one first.
   */
  swap(server: string, expected: number, record: CredentialRecord): Awaitable<boolean>;
}

/**
 * Credentials in memory, for this thread. Clients that share the object share them: the user signs in once.
 */
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

/** The options that every grant has. */
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
   * The client's authentication method at the token endpoint. Default: the strongest method that it and the
   * authorization server support.
   */
  clientAuthMethod?: ClientAuthMethod;
  /**
   * A key to which tokens are bound if the server supports that (DPoP, RFC 9449). `true`: a key of this
   * connection. Or a private key in PEM, P-256, P-384 or Ed25519; with a `store` it must be one.
   */
  dpop?: boolean | string;
  /**
   * The store for credentials. A path: a directory, created when needed, of files for this user only, which
   * processes may share. Or a custom store. Default: clients that share this object share them, in memory;
   * with `dpop: true` they belong to the connection and end with it.
   */
  store?: string | CredentialStore;
  /**
   * The network that the MCP server is in. The authorization servers that it names may be there or public; by
   * default the server's URL decides that, and a name counts as public.
   */
  addresses?: "public" | "private" | "loopback";
}

/** The authorization code grant: the user authorizes the client in a browser. */
export interface AuthorizationCodeOptions
  extends CommonAuthOptions,
    Pick<Generated, "clientId" | "clientSecret" | "clientMetadataUrl" | "clientName" | "loopbackPort"> {
  grant?: "authorization_code";
  /** The URL that the browser returns to: `https`, or `http` at a loopback host. Needs `redirect`. */
  redirectUri?: string;
  /**
   * Sends the user to the page, and returns the whole URL that the browser was redirected to at the end,
   * which begins with `redirectUri`. Time limits of calls pause meanwhile. If it throws, the call fails with
   * reason `redirect`. Default: the engine opens the browser of this machine, which returns to a port of this
   * process.
   */
  redirect?: (url: string, question: AskedQuestion) => Awaitable<string | URL>;
}

/** The client credentials grant: the client acts for itself, with a secret or with a `signingKey`. */
export interface ClientCredentialsOptions extends CommonAuthOptions {
  grant: "client_credentials";
  clientId: string;
  clientSecret?: string;
}

/**
 * The JWT bearer grant: the client presents an assertion that it holds (RFC 7523), such as a workload's
 * identity.
 */
export interface JwtBearerOptions extends CommonAuthOptions {
  grant: "jwt_bearer";
  clientId: string;
  clientSecret?: string;
  /** Its audience must be the authorization server. */
  assertion: string;
}

/** Enterprise-managed authorization: the organization's identity provider vouches for the user. */
export interface EnterpriseOptions extends CommonAuthOptions {
  grant: "enterprise";
  clientId: string;
  clientSecret?: string;
  /**
   * The identity provider. It knows the client as `clientId`; `subject` is the user's token, an ID token by
   * default.
   */
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

/** The configuration of a client's sign-in, one shape for each grant. */
export type AuthOptions = AuthorizationCodeOptions | ClientCredentialsOptions | JwtBearerOptions | EnterpriseOptions;

/** The callbacks that answer the engine's sign-in events. */
export interface AuthTargets {
  authorize?: Target<Cancellable>;
  credentials?: Target<Cancellable>;
}

type OnError = (error: unknown, origin: { item: string; name: string }) => void;

/** The id of the engine's store: clients of this process with the same id refresh one at a time. */
const ids = new WeakMap<CredentialStore, string>();

/** The stores of configurations without the option `store`: clients that share one object share them. */
const shared = new WeakMap<AuthOptions, MemoryStore>();

function storeOf(auth: AuthOptions): string | CredentialStore | undefined {
  // A key of the connection binds tokens that no other connection can use.
  if (auth.store !== undefined || auth.dpop === true) return auth.store;
  const store = shared.get(auth) ?? new MemoryStore();
  shared.set(auth, store);
  return store;
}

/** The engine's option, and the callbacks that answer its events. */
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
    // The message of a database error may quote the record: only onError receives it, not the caller.
    fail: () => [OUTCOME.error, '{"message":"it threw an error"}'],
    report: (error) => onError(error, { item: "client", name: "store" }),
  };
  return { wire: { ...rest, store: { id } }, targets };
}

function callbackOf(callback: unknown): string {
  if (typeof callback === "string" || callback instanceof URL) return String(callback);
  throw new TypeError(`redirect gives the URL of the callback, not ${callback === null ? "null" : `a ${typeof callback}`}`);
}
