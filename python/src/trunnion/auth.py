"""Client sign-in (OAuth 2.1) for servers that require authorization.

    from trunnion import Client
    from trunnion.auth import AuthorizationCode

    auth = AuthorizationCode(client_name="Shop assistant", store="credentials")
    async with Client("https://mcp.example.com/mcp", auth=auth) as client: ...

When the server refuses a request, the engine finds the authorization server, registers, sends the user there,
and retries the request; later it refreshes tokens and requests more scopes as calls need them. If sign-in is
impossible, the error is `UnauthorizedError`, and `data["reason"]` states the cause. Tokens are sent to the
server's own origin only; no message and no `repr` shows them.

Clients with the same object share its credentials: the user is prompted once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Awaitable, Callable, ClassVar, Literal, Protocol, Union, cast

from ._answers import Answerer
from ._generated import EVENT_AUTHORIZE, EVENT_CREDENTIALS, OPTIONS, OUTCOME_RESULT
from ._handler import Answer, Done
from ._json import dumps, loads
from ._signature import is_async
from .server import milliseconds

if TYPE_CHECKING:
    from ._host import Host

__all__ = [
    "Auth",
    "AuthorizationCode",
    "ClientAuthMethod",
    "ClientCredentials",
    "CredentialStore",
    "Enterprise",
    "JwtBearer",
    "MemoryStore",
    "Network",
    "Record",
    "Redirect",
]

Redirect = Callable[[str], Union[str, Awaitable[str]]]
ClientAuthMethod = Literal["none", "client_secret_post", "client_secret_basic", "private_key_jwt"]
Network = Literal["public", "private", "loopback"]
Record = dict[str, Any]


class CredentialStore(Protocol):
    """A store for the credentials of servers, one record for each, such as a keychain or a database.

    Its methods may be `async def`, which run on the loop, or `def`, which run on a worker thread.

    A record is a dict of JSON values with `version`, and holds secrets. A store belongs to one user: a
    program that serves many users needs one store for each. Clients that share a store object refresh one at
    a time.
    """

    def load(self, server: str) -> Record | None | Awaitable[Record | None]:
        """Returns the record of the MCP server at this URL, or None."""
        ...

    def swap(self, server: str, expected: int, record: Record) -> bool | Awaitable[bool]:
        """Stores the record if the version of the stored record is `expected` (0: there is no record).

        Returns:
            True if it was stored; false: another client stored one first.
        """
        ...


class MemoryStore:
    """Credentials in memory, for this process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._lock = Lock()

    def load(self, server: str) -> Record | None:
        """The record of a server."""
        with self._lock:
            return self._records.get(server)

    def swap(self, server: str, expected: int, record: Record) -> bool:
        """Stores a record; see `CredentialStore.swap`."""
        with self._lock:
            if self._records.get(server, {"version": 0})["version"] != expected:
                return False
            self._records[server] = record
            return True


@dataclass(repr=False, eq=False)
class Auth:
    """The base of every grant.

    Args:
        client_auth_method: the client's authentication method at the token endpoint; by default the strongest
            issuer: the authorization server that `client_id` belongs to: id and secret are sent to no other.
        With a `client_secret`, a `signing_key` or an `assertion` it is needed, unless the store has a record
        of it; without, the call fails with reason `issuer_not_named`, and the message names the discovered
        server.
            trust_first_issuer: instead of `issuer`, send them to the first authorization server that the MCP
        server names, and to no other after it. For MCP servers that may see them.
            names, and to no other after it. For MCP servers that may see them.
        signing_key: the private key of the client's authentication (`private_key_jwt`), in PEM: PKCS #8 with
            P-256, P-384, Ed25519 or RSA.
        signing_key_id: its `kid`, if the authorization server knows several keys of the client.
        dpop: a private key in PEM (P-256, P-384 or Ed25519) to which tokens are bound if the server supports
            that (DPoP, RFC 9449); or true: a new key for each connection, which therefore share nothing.
        offline_access: request `offline_access` if the authorization server has it.
        store: the path of a directory, created when needed, of files that only this user can read, which
            processes may share; or a `CredentialStore`. By default a `MemoryStore` of this object.
        addresses: the network that the MCP server is in. The authorization servers that it names may be there
            or public; by default the server's URL decides that, and a name counts as public.
        timeout: seconds of each request to an authorization server, by default 10.
        user_timeout: seconds of the user, by default 300. A store has the longer of the two limits.

    Conflicting options, and unreadable keys, are a `UsageError` when the client connects.
    """

    _: KW_ONLY
    client_auth_method: ClientAuthMethod | None = None
    issuer: str | None = None
    trust_first_issuer: bool | None = None
    signing_key: str | None = None
    signing_key_id: str | None = None
    dpop: bool | str | None = None
    offline_access: bool | None = None
    store: str | os.PathLike[str] | CredentialStore | None = None
    addresses: Network | None = None
    timeout: float | None = None
    user_timeout: float | None = None

    _grant: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not self._grant:
            raise TypeError("Auth is what the ways in have in common: use AuthorizationCode or another of them")
        if self.store is None and self.dpop is not True:
            self.store = MemoryStore()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} client_id={getattr(self, 'client_id', None)!r}>"

    def _own_store(self) -> CredentialStore | None:
        kept = self.store
        return None if kept is None or isinstance(kept, (str, os.PathLike)) else kept

    def _settings(self) -> dict[str, Any]:
        """The engine's option `auth`."""
        settings = {key: getattr(self, name, None) for name, key in OPTIONS["auth"].items()}
        store = self._own_store()
        if store is not None:
            settings["store"] = {"id": f"python-{id(store)}"}
        elif self.store is not None:
            settings["store"] = os.fspath(cast("str | os.PathLike[str]", self.store))
        settings["timeoutMs"] = milliseconds("timeout", self.timeout)
        settings["userTimeoutMs"] = milliseconds("user_timeout", self.user_timeout)
        return {"grant": self._grant, **{key: value for key, value in settings.items() if value is not None}}

    def _answerers(self) -> dict[int, Answerer]:
        store = self._own_store()
        if store is None:
            return {}
        # The store in memory does not need a thread.
        kind = _Here if type(store) is MemoryStore else Answerer
        return {EVENT_CREDENTIALS: kind(_keeper(store), "store", _as_it_is, _kept)}


@dataclass(repr=False, eq=False)
class AuthorizationCode(Auth):
    """The authorization code grant: the user authorizes the client in a browser.

    The client's id is, in this order: `client_id`, `client_metadata_url` if the server accepts one, or the id
    that the server assigns when the client registers itself.

    redirect: called with the URL of the page to open; returns the whole URL that the browser was redirected
        to at the end, which begins with `redirect_uri`. An `async def` runs on the loop, and is cancelled
        when the sign-in attempt is over; a `def` runs on a worker thread. Time limits of calls pause
        meanwhile. Its exceptions are logged under `trunnion`, and the call fails with reason `redirect`. By
        default the engine opens the browser of this machine.
            default the engine opens the browser of this machine.
        redirect_uri: the URL that the browser returns to: `https`, or `http` at a loopback host. Needs
            `redirect`.
        loopback_port: the port of 127.0.0.1 that the browser of this machine returns to; by default any.
        client_id, client_secret: the credentials of a client that was registered by hand.
        client_metadata_url: URL of the client ID metadata document, `https` with a path.
        client_name: the name under which the client registers itself.
    """

    redirect: Redirect | None = None
    redirect_uri: str | None = None
    _: KW_ONLY
    client_id: str | None = None
    client_secret: str | None = None
    client_metadata_url: str | None = None
    client_name: str | None = None
    loopback_port: int | None = None

    _grant: ClassVar[str] = "authorization_code"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.redirect is None) != (self.redirect_uri is None):
            raise TypeError("redirect and redirect_uri go together")
        if self.redirect is not None and not callable(self.redirect):
            raise TypeError("redirect is called with the page's URL")

    def _answerers(self) -> dict[int, Answerer]:
        found = super()._answerers()
        if self.redirect is not None:
            found[EVENT_AUTHORIZE] = Answerer(self.redirect, "redirect", _page, _callback)
        return found


@dataclass(repr=False, eq=False)
class ClientCredentials(Auth):
    """The client credentials grant: the client acts for itself, with a secret or with a `signing_key`."""

    client_id: str
    client_secret: str | None = None

    _grant: ClassVar[str] = "client_credentials"


@dataclass(repr=False, eq=False)
class JwtBearer(Auth):
    """The JWT bearer grant: the client presents an assertion that it holds (RFC 7523), such as a workload's
    identity. Its audience must be the authorization server."""

    client_id: str
    assertion: str
    _: KW_ONLY
    client_secret: str | None = None

    _grant: ClassVar[str] = "jwt_bearer"


@dataclass(repr=False, eq=False)
class Enterprise(Auth):
    """Enterprise-managed authorization: the organization's identity provider vouches for the user.

    Args:
        client_id, client_secret: the client at the MCP server's authorization server.
        token_endpoint: the endpoint of the identity provider that exchanges the user's token.
        idp_issuer: the identity provider.
        idp_client_id, idp_client_secret, idp_client_auth_method: the client as the identity provider knows it.
        subject: the user's token.
        subject_type: its type; by default an ID token (OpenID Connect).
    """

    client_id: str
    client_secret: str | None = None
    _: KW_ONLY
    token_endpoint: str
    idp_issuer: str
    idp_client_id: str
    subject: str
    idp_client_secret: str | None = None
    idp_client_auth_method: ClientAuthMethod | None = None
    subject_type: str | None = None

    _grant: ClassVar[str] = "enterprise"

    def _settings(self) -> dict[str, Any]:
        provider = {
            "tokenEndpoint": self.token_endpoint,
            "issuer": self.idp_issuer,
            "clientId": self.idp_client_id,
            "clientSecret": self.idp_client_secret,
            "clientAuthMethod": self.idp_client_auth_method,
            "subject": self.subject,
            "subjectType": self.subject_type,
        }
        return {**super()._settings(), "enterprise": {k: v for k, v in provider.items() if v is not None}}


class _Here(Answerer):
    """Answers at once, on the thread that dispatches."""

    __slots__ = ()

    def start(self, host: Host, id: int, payload: str) -> Done | None:
        try:
            return (id, *self.encode(self.fn(loads(payload))))
        except Exception as error:
            return (id, *self.failure(error))


def _as_it_is(payload: Any) -> Any:
    return payload


def _page(payload: Any) -> str:
    return str(payload["url"])


def _callback(value: Any) -> Answer:
    if not isinstance(value, str):
        raise TypeError(f"redirect gives the URL of the callback, not a {type(value).__name__}")
    return OUTCOME_RESULT, dumps({"url": value})


def _keeper(store: CredentialStore) -> Callable[[Any], Any]:
    def serve(request: Any) -> Any:
        if request["op"] == "load":
            return store.load(request["server"])
        return store.swap(request["server"], request["expected"], request["record"])

    if not is_async(store.load) and not is_async(store.swap):
        return serve

    async def serve_async(request: Any) -> Any:
        answer = serve(request)
        return await answer if hasattr(type(answer), "__await__") else answer

    return serve_async


def _kept(value: Any) -> Answer:
    if value is None or isinstance(value, (bool, Mapping)):
        return OUTCOME_RESULT, dumps(value)
    raise TypeError(f"a store loads a record or None, and swaps with true or false, not with a {type(value).__name__}")
