// Server authorization over HTTP and visibility of items. See docs/authorization.md.

import type { AskedQuestion } from "./client.js";
import { json } from "./completing.js";
import type { Cancellable } from "./context.js";
import type { Target } from "./engine.js";
import { McpError } from "./errors.js";
import { OUTCOME, UsageError } from "./generated.js";

type Awaitable<T> = T | Promise<T>;

/** The verified claims of a token. */
export type Claims = Readonly<Record<string, any>>;

/** Accepts the signed tokens (RFC 7519, RFC 9068) of an issuer. */
export interface JwtVerifier {
  /** The `iss` of its tokens. */
  issuer: string;
  /** The URL of its keys. Default: from its metadata (RFC 8414 or OpenID). */
  jwksUri?: string;
  /**
   * A subset of `RS256` to `RS512`, `PS256` to `PS512`, `ES256`, `ES384` and `EdDSA`. Default: all. `none`
   * and shared secrets are always refused.
   */
  algorithms?: readonly string[];
  /** The timeout of each request to the issuer, in milliseconds. */
  timeoutMs?: number;
}

/** Checks each token at the authorization server (RFC 7662). */
export interface Introspection {
  endpoint: string;
  /** The client id of this server at the authorization server. */
  clientId: string;
  clientSecret: string;
  /**
   * The time for which a response is cached, in milliseconds, never beyond the token's end; a revoked token
   * stays valid for that time. Default: 10000.
   */
  cacheMs?: number;
  /** The timeout of each request, in milliseconds. */
  timeoutMs?: number;
}

/**
 * Server authorization: every request over HTTP needs a valid token. Standard streams and clients of this
 * process need none. With several checks, the first that knows a token decides: a fixed token, else a JWT of
 * a known issuer, else introspection, else `verify`. At least one check is needed.
 */
export interface ServerAuth {
  /** Issuers whose signed tokens are accepted. */
  jwt?: JwtVerifier | readonly JwtVerifier[];
  /** The introspection endpoint for tokens. */
  introspection?: Introspection;
  /**
   * Claims by token, for development. They need `sub` or `client_id`; without `aud` they are for this server.
   */
  tokens?: Readonly<Record<string, Claims>>;
  /**
   * A custom check of a token: returns its claims, or nothing for an invalid token. The claims need `sub` or
   * `client_id`, and an `aud` that names this server. The time limit is ten seconds. `onError` receives its
   * exceptions, and the request is answered with 503, because the token cannot be checked now. Do not log the
   * token.
   */
  verify?: (token: string, question: AskedQuestion) => Awaitable<Claims | null | undefined>;
  /**
   * The server's identifier, for which clients request tokens. Default: `publicUrl`, else the URL of the
   * listener.
   */
  resource?: string;
  /** Issuers that clients are referred to. Default: those of `jwt`. */
  authorizationServers?: readonly string[];
  /** Scopes of everyday use, which clients request at first. Default: `requiredScopes`. */
  scopesSupported?: readonly string[];
  /** Scopes that every request needs. */
  requiredScopes?: readonly string[];
  /** The accepted audiences of tokens (`aud`). Default: the resource. */
  audience?: string | readonly string[];
  /**
   * The policy for tokens that are bound to a key of the client (RFC 9449): allowed, required or not
   * accepted. A bound token always needs a proof. Default: `allowed`.
   */
  dpop?: "off" | "allowed" | "required";
  /** Every proof needs a nonce of this server. Several processes need the same `stateKeys`. */
  dpopNonces?: boolean;
  /** The maximum difference between clocks, in milliseconds. Default: 60000. */
  leewayMs?: number;
}

/**
 * The JSON form of an item's visibility. Arrays under `scope` and `is` are alternatives; a `claim` may be a
 * path.
 */
export type VisibilityJson =
  | { scope: string | readonly string[] }
  | { claim: string | readonly string[]; is: unknown }
  | { any: readonly VisibleTo[] }
  | { all: readonly VisibleTo[] }
  | { not: VisibleTo };

/** The visibility of an item: `Visibility.scope("admin")` and so on, or their JSON form. */
export type VisibleTo = Visibility | VisibilityJson;

/**
 * The visibility of an item, as a predicate over the claims of the caller's token. The item does not exist
 * for other callers.
 */
export class Visibility {
  readonly #json: VisibilityJson;

  private constructor(json: VisibilityJson) {
    this.#json = json;
  }

  /** Tokens with one of these scopes. */
  static scope(...scopes: string[]): Visibility {
    return new Visibility({ scope: scopes });
  }

  /**
   * Tokens whose claim is, or as an array contains, one of these values. `name`: the claim, or the path to
   * one in an object.
   */
  static claim(name: string | readonly string[], ...values: unknown[]): Visibility {
    return new Visibility({ claim: name, is: values });
  }

  /** Any of them suffices. */
  static any(...of: VisibleTo[]): Visibility {
    return new Visibility({ any: of });
  }

  /** All of them are needed. */
  static all(...of: VisibleTo[]): Visibility {
    return new Visibility({ all: of });
  }

  /** Tokens that it does not match. */
  static not(other: VisibleTo): Visibility {
    return new Visibility({ not: other });
  }

  /** Its JSON form. */
  toJSON(): VisibilityJson {
    return this.#json;
  }
}

/** The access rules of an item. */
export interface Access {
  /**
   * Scopes that a caller's token needs, all of them; otherwise the request is refused before the handler
   * runs.
   */
  scopes?: readonly string[];
  /** The visibility of the item, which does not exist for other callers. Default: everybody. */
  visibleTo?: VisibleTo;
}

type OnError = (error: unknown, origin: { item: string; name: string }) => void;

/** The engine's option, and the callback that checks tokens here. */
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
        // These values would mean that the token is invalid.
        throw error instanceof McpError ? new Error(error.message, { cause: error }) : error;
      }
    },
    complete: (claims) =>
      claims === undefined || claims === null
        ? [OUTCOME.error, '{"message":"the token is not good"}']
        : [OUTCOME.result, json(claims)],
    // A failed check does not mean that the token is invalid: the client is not sent for another one.
    fail: () => [OUTCOME.toolError, "the check has failed"],
    report: (error) => onError(error, { item: "server", name: "verify" }),
  };
  return { wire: { ...wire, host: true }, target };
}
