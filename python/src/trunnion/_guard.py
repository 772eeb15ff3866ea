"""Server authorization over HTTP and visibility of items. See docs/authorization.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Literal, Union

from ._answers import Answerer
from ._generated import OUTCOME_ERROR, OUTCOME_RESULT, OUTCOME_TOOL_ERROR
from ._json import dumps
from .server import milliseconds

if TYPE_CHECKING:
    from ._handler import Answer

Claims = dict[str, Any]
Verify = Callable[[str], Union[Mapping[str, Any], None, Awaitable[Union[Mapping[str, Any], None]]]]
Dpop = Literal["off", "allowed", "required"]


class Visibility:
    """The visibility of an item, as a predicate over the claims of the caller's token:
    `Visibility.scope("admin") | Visibility.claim("groups", "staff")`. `|`, `&` and `~` combine. The item does
    not exist for other callers.

    A dict of its JSON form is accepted instead.
    """

    __slots__ = ("_json",)

    def __init__(self, json: Mapping[str, Any]) -> None:
        self._json = dict(json)

    @staticmethod
    def scope(*scopes: str) -> Visibility:
        """Tokens with one of these scopes."""
        return Visibility({"scope": list(scopes)})

    @staticmethod
    def claim(name: str | Sequence[str], *values: Any) -> Visibility:
        """Tokens whose claim is, or as an array contains, one of these values.

        Args:
            name: the claim; of one in an object the path, such as `["realm_access", "roles"]`.
            values: JSON values.
        """
        return Visibility({"claim": name if isinstance(name, str) else list(name), "is": list(values)})

    @staticmethod
    def any(*of: Visibility | Mapping[str, Any]) -> Visibility:
        """Any of them suffices."""
        return Visibility({"any": [visibility_json(one) for one in of]})

    @staticmethod
    def all(*of: Visibility | Mapping[str, Any]) -> Visibility:
        """All of them are needed."""
        return Visibility({"all": [visibility_json(one) for one in of]})

    def __or__(self, other: Visibility) -> Visibility:
        return Visibility.any(self, other)

    def __and__(self, other: Visibility) -> Visibility:
        return Visibility.all(self, other)

    def __invert__(self) -> Visibility:
        return Visibility({"not": self._json})

    def __bool__(self) -> bool:
        # `a or b` would silently be `a`.
        raise TypeError("a Visibility is neither true nor false: combine them with |, & and ~")

    def to_json(self) -> dict[str, Any]:
        """Its JSON form."""
        return self._json

    def __repr__(self) -> str:
        return f"Visibility({self._json!r})"


def visibility_json(given: Visibility | Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of an item's visibility."""
    if isinstance(given, Visibility):
        return given.to_json()
    if isinstance(given, Mapping):
        return dict(given)
    raise TypeError(f"visible_to is a Visibility or its JSON form as a dict, not a {type(given).__name__}")


@dataclass
class JwtVerifier:
    """Accepts the signed tokens (RFC 7519, RFC 9068) of an issuer.

    Args:
        issuer: the `iss` of its tokens.
        jwks_uri: the URL of its keys; by default from its metadata (RFC 8414 or OpenID).
        algorithms: a subset of RS256 to RS512, PS256 to PS512, ES256, ES384 and EdDSA; by default all. `none`
            and shared secrets are always refused.
        timeout: seconds of each request to the issuer.
    """

    issuer: str
    _: KW_ONLY
    jwks_uri: str | None = None
    algorithms: Sequence[str] | None = None
    timeout: float | None = None

    def _settings(self) -> dict[str, Any]:
        return _given(
            issuer=self.issuer,
            jwksUri=self.jwks_uri,
            algorithms=None if self.algorithms is None else _texts("algorithms", self.algorithms),
            timeoutMs=milliseconds("timeout", self.timeout),
        )


@dataclass(repr=False)
class Introspection:
    """Checks each token at the authorization server (RFC 7662).

    Args:
        endpoint: the URL of the introspection endpoint.
        client_id, client_secret: the credentials of this server at the authorization server.
        cache: seconds for which a response is cached, by default 10, never beyond the token's end. A revoked
            token stays valid for that time.
        timeout: seconds of each request.
    """

    endpoint: str
    client_id: str
    client_secret: str
    _: KW_ONLY
    cache: float | None = None
    timeout: float | None = None

    def __repr__(self) -> str:
        return f"<Introspection {self.endpoint!r} client_id={self.client_id!r}>"

    def _settings(self) -> dict[str, Any]:
        return _given(
            endpoint=self.endpoint,
            clientId=self.client_id,
            clientSecret=self.client_secret,
            cacheMs=milliseconds("cache", self.cache),
            timeoutMs=milliseconds("timeout", self.timeout),
        )


@dataclass(repr=False)
class ServerAuth:
    """Server authorization: every request over HTTP needs a valid token. Standard streams and clients of this
    process need none.

    With several checks, the first that knows a token decides: a fixed token, else a JWT of a known issuer,
    else introspection, else `verify`. At least one is needed; options that conflict are a `UsageError` when
    the server is served.

    Args:
        jwt: issuers whose signed tokens are accepted.
        introspection: the introspection endpoint for tokens.
        tokens: claims by token, for development. They need `sub` or `client_id`; without `aud` they are for
            this server.
        verify: a custom check: called with the token, returns its claims, or None for an invalid one. The
            claims need `sub` or `client_id`, and an `aud` that names this server. An `async def` runs on the
            loop, a `def` on a worker thread; the time limit is ten seconds. Its exceptions are logged under
            `trunnion`, and the request is answered with 503, because the token cannot be checked now. Do not
            log the token.
        resource: the server's identifier, for which clients request tokens; by default `public_url`, else the
            URL of the listener.
        authorization_servers: issuers that clients are referred to; by default those of `jwt`.
        scopes_supported: scopes of everyday use, which clients request at first; by default
            `required_scopes`.
        required_scopes: scopes that every request needs.
        audience: the accepted audiences of tokens (`aud`); by default the resource.
        dpop: the policy for tokens that are bound to a key of the client (RFC 9449): `off`, `allowed` or
            `required`; by default `allowed`. A bound token always needs a proof.
        dpop_nonces: every proof needs a nonce of this server. Several processes need the same `state_keys`.
        leeway: the maximum difference between clocks, in seconds, by default 60.
    """

    _: KW_ONLY
    jwt: JwtVerifier | Sequence[JwtVerifier] | None = None
    introspection: Introspection | None = None
    tokens: Mapping[str, Mapping[str, Any]] | None = None
    verify: Verify | None = None
    resource: str | None = None
    authorization_servers: Sequence[str] | None = None
    scopes_supported: Sequence[str] | None = None
    required_scopes: Sequence[str] | None = None
    audience: str | Sequence[str] | None = None
    dpop: Dpop | None = None
    dpop_nonces: bool | None = None
    leeway: float | None = None

    def __post_init__(self) -> None:
        if self.verify is not None and not callable(self.verify):
            raise TypeError("verify is called with a token")

    def __repr__(self) -> str:
        return f"<ServerAuth resource={self.resource!r}>"

    def _settings(self) -> dict[str, Any]:
        """The engine's option `auth`."""
        issuers = [self.jwt] if isinstance(self.jwt, JwtVerifier) else list(self.jwt or ())
        many = ("authorization_servers", "scopes_supported", "required_scopes")
        authorization_servers, scopes_supported, required_scopes = (
            None if getattr(self, name) is None else _texts(name, getattr(self, name)) for name in many
        )
        return _given(
            jwt=[issuer._settings() for issuer in issuers] or None,
            introspection=None if self.introspection is None else self.introspection._settings(),
            tokens=None if self.tokens is None else {token: dict(claims) for token, claims in self.tokens.items()},
            host=None if self.verify is None else True,
            resource=self.resource,
            authorizationServers=authorization_servers,
            scopesSupported=scopes_supported,
            requiredScopes=required_scopes,
            audience=self.audience if self.audience is None or isinstance(self.audience, str) else list(self.audience),
            dpop=self.dpop,
            dpopNonces=self.dpop_nonces,
            leewayMs=milliseconds("leeway", self.leeway),
        )

    def _verifier(self) -> Answerer | None:
        return None if self.verify is None else _Verifier(self.verify, "verify", _token, _claims)


class _Verifier(Answerer):
    __slots__ = ()

    def failure(self, error: BaseException, context: Any = None) -> Answer:
        """Checks a token. A failed check does not mean that the token is invalid: the client is not sent for
        another one."""
        super().failure(error, context)
        return OUTCOME_TOOL_ERROR, "the check has failed"


def server_auth(auth: Any) -> tuple[dict[str, Any], Answerer | None]:
    """The engine's option `auth`, and the callback that checks tokens here."""
    if not isinstance(auth, ServerAuth):
        raise TypeError(f"auth of a server is a ServerAuth, not a {type(auth).__name__}")
    return auth._settings(), auth._verifier()


def _token(payload: Any) -> str:
    return str(payload["token"])


def _claims(value: Any) -> Answer:
    if value is None:
        return OUTCOME_ERROR, '{"message":"the token is not good"}'
    if isinstance(value, Mapping):
        return OUTCOME_RESULT, dumps(dict(value))
    raise TypeError(f"verify returns the claims of a token, or None, not a {type(value).__name__}")


def _texts(option: str, given: Sequence[str]) -> list[str]:
    if isinstance(given, str):
        raise TypeError(f"{option} is a list, not a text")
    return list(given)


def _given(**settings: Any) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}
