// Whom a server lets in over HTTP, and who sees what. docs/authorization.md has all of it.

import type { AskedQuestion } from "./client.js";
import { json } from "./completing.js";
import type { Cancellable } from "./context.js";
import type { Target } from "./engine.js";
import { McpError } from "./errors.js";
import { OUTCOME, UsageError } from "./generated.js";

type Awaitable<T> = T | Promise<T>;

/** The verified claims of a token. */
export type Claims = Readonly<Record<string, any>>;

/** Takes the signed tokens (RFC 7519, RFC 9068) of an issuer. */
export interface JwtVerifier {
  /** The `iss` of its tokens. */
  issuer: string;
  /** Where its keys are. Default: where its metadata (RFC 8414 or OpenID) says. */
  jwksUri?: string;
  /**
   * Of `RS256` to `RS512`, `PS256` to `PS512`, `ES256`, `ES384` and `EdDSA`. Default: all. `none` and shared secrets are
   * refused, always.
   */
  algorithms?: readonly string[];
  /** Of each request to the issuer, in milliseconds. */
  timeoutMs?: number;
}

/** Asks the authorization server about each token (RFC 7662). */
export interface Introspection {
  endpoint: string;
  /** This server, as the authorization server knows it. */
  clientId: string;
  clientSecret: string;
  /**
   * How long an answer is remembered, in milliseconds, never beyond the token's end; a token that is revoked is good for so
   * long. Default: 10000.
   */
  cacheMs?: number;
  /** Of each request, in milliseconds. */
  timeoutMs?: number;
}

/**
 * Lets nobody in over HTTP without a token that is good for the server. Standard streams and clients of this process need
 * none. Of several ways to check tokens, a token is for the first that knows it: a fixed token, else a JWT of a known
 * issuer, else introspection, else `verify`. At least one is needed.
 */
export interface ServerAuth {
  /** Issuers whose signed tokens are taken. */
  jwt?: JwtVerifier | readonly JwtVerifier[];
  /** Who is asked about tokens. */
  introspection?: Introspection;
  /** Claims by token, for development. They need `sub` or `client_id`; without `aud` they are for this server. */
  tokens?: Readonly<Record<string, Claims>>;
  /**
   * Checks a token itself: its claims, or nothing for one that is not good. The claims need `sub` or `client_id`, and an
   * `aud` that names this server. It has ten seconds. What it throws is told to `onError`, and the request is answered with
   * 503, as one whose token cannot be checked now. The token belongs into no log.
   */
  verify?: (token: string, question: AskedQuestion) => Awaitable<Claims | null | undefined>;
  /** The server's identifier, for which clients ask tokens. Default: `publicUrl`, else the URL of the listener. */
  resource?: string;
  /** Issuers that clients are sent to. Default: those of `jwt`. */
  authorizationServers?: readonly string[];
  /** Scopes of everyday use, which clients ask for at first. Default: `requiredScopes`. */
  scopesSupported?: readonly string[];
  /** Scopes that every request needs. */
  requiredScopes?: readonly string[];
  /** Whom tokens may be for (`aud`). Default: the resource. */
  audience?: string | readonly string[];
  /**
   * Whether tokens may or must be bound to a key of the client's (RFC 9449). A bound token is never taken without a proof.
   * Default: `allowed`.
   */
  dpop?: "off" | "allowed" | "required";
  /** Every proof needs a nonce of this server. Several processes need the same `stateKeys`. */
  dpopNonces?: boolean;
  /** How far clocks may differ, in milliseconds. Default: 60000. */
  leewayMs?: number;
}

/** Who sees an item, in its JSON form. Arrays under `scope` and `is` are alternatives; a `claim` may be a path. */
export type VisibilityJson =
  | { scope: string | readonly string[] }
  | { claim: string | readonly string[]; is: unknown }
  | { any: readonly VisibleTo[] }
  | { all: readonly VisibleTo[] }
  | { not: VisibleTo };

/** Who sees an item: `Visibility.scope("admin")` and so on, or their JSON form. */
export type VisibleTo = Visibility | VisibilityJson;

/** Who sees an item, as a predicate over the claims of the caller's token. To others it is not there. */
export class Visibility {
  readonly #json: VisibilityJson;

  private constructor(json: VisibilityJson) {
    this.#json = json;
  }

  /** Tokens with one of these scopes. */
  static scope(...scopes: string[]): Visibility {
    return new Visibility({ scope: scopes });
  }

  /** Tokens whose claim is, or as an array contains, one of these values. `name`: the claim, or the path to one in an object. */
  static claim(name: string | readonly string[], ...values: unknown[]): Visibility {
    return new Visibility({ claim: name, is: values });
  }

  /** One of them suffices. */
  static any(...of: VisibleTo[]): Visibility {
    return new Visibility({ any: of });
  }

  /** All of them are needed. */
  static all(...of: VisibleTo[]): Visibility {
    return new Visibility({ all: of });
  }

  /** Those that it does not fit. */
  static not(other: VisibleTo): Visibility {
    return new Visibility({ not: other });
  }

  /** Its JSON form. */
  toJSON(): VisibilityJson {
    return this.#json;
  }
}

/** Who may use an item. */
export interface Access {
  /** Scopes that a caller's token needs for it, all of them; else the request is refused before the handler runs. */
  scopes?: readonly string[];
  /** Who sees it; to others it is not there. Default: everybody. */
  visibleTo?: VisibleTo;
}

type OnError = (error: unknown, origin: { item: string; name: string }) => void;

/** The engine's option, and what checks tokens here. */
export function guardOf(auth: ServerAuth, onError: OnError): { wire: object; target: Target<Cancellable> | undefined } {
  if (typeof auth !== "object" || auth === null) throw new UsageError("auth is an object");
  const { verify, ...wire } = auth;
  if ("host" in wire) throw new UsageError("auth: the check of the program's own is the function verify");
  if (verify === undefined) return { wire, target: undefined };
  if (typeof verify !== "function") throw new UsageError("auth: verify is a function");
  const target: Target<Cancellable> = {
    invoke: async ({ token }: { token: string }, question) => {
      try {
        return await verify(token, question);
      } catch (error) {
        // One of these would say that the token is not good.
        throw error instanceof McpError ? new Error(error.message, { cause: error }) : error;
      }
    },
    complete: (claims) =>
      claims === undefined || claims === null
        ? [OUTCOME.error, '{"message":"the token is not good"}']
        : [OUTCOME.result, json(claims)],
    // A check that failed says nothing of the token: the caller is not sent off for another one.
    fail: () => [OUTCOME.toolError, "the check has failed"],
    report: (error) => onError(error, { item: "server", name: "verify" }),
  };
  return { wire: { ...wire, host: true }, target };
}
