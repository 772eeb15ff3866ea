"""The common base of both clients: the target, the options and the parameters of requests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

from ._answers import answerers
from ._errors import ToolError
from ._generated import (
    OP_LIST_PROMPTS,
    OP_LIST_RESOURCE_TEMPLATES,
    OP_LIST_RESOURCES,
    OP_LIST_TOOLS,
    ClosedError,
    ProtocolError,
)
from ._json import dumps
from ._models import (
    CallResult,
    Completion,
    CreateMessageRequest,
    PromptInfo,
    ResourceInfo,
    ResourceTemplateInfo,
    Root,
    ToolInfo,
)
from ._results import ServerInfo
from .server import Server, milliseconds, refuse_options, take_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._context import Level
    from ._options import EngineOptions
    from .auth import Auth

Target = Union[str, Sequence[str], Server]
ProgressCallback = Callable[[float, Union[float, None], Union[str, None]], Any]
NotificationCallback = Callable[[str, Any], Any]
ElicitHandler = Callable[[Any], Any]
SampleHandler = Callable[[CreateMessageRequest], Any]
AnyRoot = Union[str, "os.PathLike[str]", Root, Mapping[str, Any]]
R = TypeVar("R")

# The key of each list in its result, and the type of its entries.
LISTS: dict[str, tuple[str, Any]] = {
    OP_LIST_TOOLS: ("tools", ToolInfo.from_json),
    OP_LIST_RESOURCES: ("resources", ResourceInfo.from_json),
    OP_LIST_RESOURCE_TEMPLATES: ("resourceTemplates", ResourceTemplateInfo.from_json),
    OP_LIST_PROMPTS: ("prompts", PromptInfo.from_json),
}


class Base:
    """The common base of both clients: the target, the options and the parameters of requests."""

    def __init__(
        self,
        target: Target,
        *,
        name: str | None = None,
        version: str | None = None,
        capabilities: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        inherit_env: bool | None = None,
        stderr: str | None = None,
        era: str | None = None,
        raise_on_error: bool = True,
        on_notification: NotificationCallback | None = None,
        on_elicit: ElicitHandler | None = None,
        elicit_modes: Sequence[str] = ("form",),
        on_sample: SampleHandler | None = None,
        roots: Sequence[AnyRoot] | None = None,
        total_timeout: float | None = None,
        log_level: Level | None = None,
        cache: bool | None = None,
        revision: str | None = None,
        transport: str | None = None,
        auth: Auth | None = None,
        tasks: bool | None = None,
        driver: str | None = None,
        **options: Unpack[EngineOptions],
    ) -> None:
        left: dict[str, Any] = dict(options)
        self._engine_options = take_options("engine", left)
        refuse_options(type(self).__name__, left)
        self._driver = driver or "threaded"
        self._server: Server | None = None
        self._target: dict[str, Any] = {}
        if isinstance(target, Server):
            self._server = target
        elif isinstance(target, str):
            if "://" not in target:
                raise ValueError(f"{target!r} is not a URL; a command is a list: ['program', 'argument']")
            self._target["url"] = target
        elif isinstance(target, bytes) or not isinstance(target, Sequence):
            raise TypeError(f"the target is a URL, a command as a list, or a Server, not {target!r}")
        else:
            self._target["command"] = [os.fspath(part) for part in target]
            if env is not None:
                self._target["env"] = dict(env)
            if cwd is not None:
                self._target["cwd"] = os.fspath(cwd)
        settings: dict[str, Any] = {
            "clientInfo": None if name is None else {"name": name, "version": version or "0"},
            "capabilities": _capabilities(on_elicit, elicit_modes, on_sample, capabilities),
            "roots": None if roots is None else roots_json(roots),
            "era": era,
            "timeoutMs": milliseconds("timeout", timeout),
            "connectTimeoutMs": milliseconds("connect_timeout", connect_timeout),
            "totalMs": milliseconds("total_timeout", total_timeout),
            "headers": headers,
            "logLevel": log_level,
            "cache": cache,
            "revision": revision,
            "transport": transport,
            "auth": None if auth is None else auth_settings(auth),
            "tasks": tasks,
            "inheritEnv": inherit_env,
            "stderr": stderr,
        }
        self._options = dumps({k: v for k, v in settings.items() if v is not None})
        self._raise = raise_on_error
        self._on_notification = on_notification
        self._answerers = answerers(on_elicit, on_sample)
        if auth is not None:
            self._answerers.update(auth._answerers())
        # Retains the store: the engine knows it by its id only.
        self._auth = auth
        self._id = 0
        self._host: Any = None
        self._reason = "the client is not connected: use it in a `with` statement (`async with` for Client), or call connect()"
        self._info: ServerInfo | None = None
        # The operations that wait for the end of the connection.
        self._farewells: set[Any] = set()
        self._hearing: set[Any] = set()

    @property
    def info(self) -> ServerInfo:
        """The server's description of itself.

        Raises:
            ClosedError: the client never connected.
        """
        if self._info is None:
            raise ClosedError(self._reason)
        return self._info

    @property
    def connected(self) -> bool:
        """True if requests can be made."""
        return self._id != 0

    def set_roots(self, roots: Sequence[AnyRoot]) -> bool:
        """Replaces the roots, and notifies the server if its era has such a notification. They can be
        replaced only if the client began with a list of roots, which may have been empty.

        Args:
            roots: in the form of the option `roots`.

        Returns:
            True if they are the roots now; false: the client was made without the option.
        """
        params = dumps({"roots": roots_json(roots)})
        return self._ask().call("notify", self._id, "roots_changed", params)  # type: ignore[no-any-return]

    def _where(self, host: Any) -> str:
        return dumps({"server": host.handle} if self._server is not None else self._target)

    def _ask(self) -> Any:
        if self._id == 0:
            raise ClosedError(self._reason)
        return self._host

    def _notified(self, body: dict[str, Any]) -> Any:
        if self._on_notification is None:
            return None
        try:
            return self._on_notification(body["event"], body.get("params"))
        except Exception as error:
            # No call of the user is waiting that could raise it.
            complain(error)
            return None

    def _disconnected(self, body: dict[str, Any]) -> None:
        self._id = 0
        self._reason = body.get("reason") or "the connection is closed"
        self._part()

    def _part(self) -> None:
        farewells, self._farewells = self._farewells, set()
        for over in farewells:
            over.settle("null", None)

    def _why(self) -> str:
        if self._info is None:
            raise ClosedError(self._reason)
        return self._reason

    def _reader(self, tool: str | None, returns: Any) -> Callable[[CallResult], Any] | None:
        if returns is None:
            return None
        from ._typed import reader

        return reader(returns, "the task" if tool is None else f"tool {tool!r}")

    def _called(
        self, raw: dict[str, Any], raise_on_error: bool | None, convert: Callable[[CallResult], Any] | None = None
    ) -> Any:
        result = read(CallResult.from_json, raw)
        # A caller that wants a value of a type has no use for an error's result.
        if result.is_error and (convert is not None or (self._raise if raise_on_error is None else raise_on_error)):
            raise ToolError(result.text, result)
        return result if convert is None else convert(result)


def read(parse: Callable[[Any], R], raw: Any) -> R:
    try:
        return parse(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the server's answer is not of the protocol's shape: {error!r}") from error


def next_page(page: dict[str, Any], seen: set[str]) -> dict[str, Any] | None:
    """The parameters of the page after this one; None after the last."""
    cursor = page.get("nextCursor")
    if not cursor:
        return None
    if cursor in seen:
        raise ProtocolError(f"the server's list has no end: it gave the cursor {cursor!r} twice")
    seen.add(cursor)
    return {"cursor": cursor}


def completion(raw: dict[str, Any]) -> Completion:
    return Completion.from_json(raw["completion"])


def request_options(
    timeout: float | None = None,
    total_timeout: float | None = None,
    progress: Any = None,
    meta: Mapping[str, Any] | None = None,
    cache: bool | None = None,
    task: bool = False,
    task_ttl: float | None = None,
    whole: bool = False,
) -> str:
    """The engine's options of one request."""
    if timeout is None and total_timeout is None and progress is None and meta is None and cache is None and not task:
        if task_ttl is None and not whole:
            return "{}"
    options: dict[str, Any] = {}
    if task:
        options["task"] = True
    if whole:
        options["all"] = True
    if task_ttl is not None:
        options["taskTtlMs"] = milliseconds("task_ttl", task_ttl)
    if total_timeout is not None:
        options["totalMs"] = milliseconds("total_timeout", total_timeout)
    if cache is not None:
        options["cache"] = cache
    if timeout is not None:
        options["timeoutMs"] = milliseconds("timeout", timeout)
    if progress is not None:
        options["progress"] = True
    if meta is not None:
        options["meta"] = meta
    return dumps(options)


def prompt_arguments(arguments: Mapping[str, Any] | None) -> dict[str, str]:
    """Arguments of a prompt: texts stay, other values become JSON text."""
    return {k: v if isinstance(v, str) else dumps(v) for k, v in (arguments or {}).items()}


def completion_params(
    argument: str,
    value: str,
    prompt: str | None,
    resource: str | None,
    arguments: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The parameters of a completion request."""
    if (prompt is None) == (resource is None):
        raise TypeError("a completion is of a prompt or of a resource")
    ref = {"type": "ref/resource", "uri": resource} if prompt is None else {"type": "ref/prompt", "name": prompt}
    params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
    if arguments:
        params["context"] = {"arguments": arguments}
    return params


def auth_settings(auth: Any) -> dict[str, Any]:
    """The engine's option `auth`."""
    from .auth import Auth

    if not isinstance(auth, Auth):
        raise TypeError(f"auth is an AuthorizationCode or another way in of trunnion.auth, not a {type(auth).__name__}")
    return auth._settings()


def reporter(
    progress: ProgressCallback, started: list[Any], loop: Any, operation: Any
) -> Callable[[dict[str, Any]], None]:
    """Calls the user's callback; an awaitable result runs as a task, in order of arrival."""

    def fail(error: BaseException) -> None:
        if not operation.future.done():
            operation.future.set_exception(error)

    def report(body: dict[str, Any]) -> None:
        try:
            answer = progress(body["progress"], body.get("total"), body.get("message"))
        except Exception as error:
            return fail(error)
        if hasattr(type(answer), "__await__"):
            task = loop.create_task(_awaited(answer))
            task.add_done_callback(ended)
            started.append(task)

    def ended(task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            fail(task.exception())

    return report


async def _awaited(answer: Any) -> None:
    await answer


async def logged(answer: Any) -> None:
    try:
        await answer
    except Exception as error:
        complain(error)


def complain(error: BaseException) -> None:
    from logging import getLogger

    getLogger("trunnion").error("on_notification failed", exc_info=error)


def roots_json(roots: Sequence[AnyRoot]) -> list[dict[str, Any]]:
    """Roots in the protocol's form."""
    if isinstance(roots, (str, os.PathLike)):
        raise TypeError("roots is a list")
    return [_root(root) for root in roots]


def _root(root: AnyRoot) -> dict[str, Any]:
    if isinstance(root, Root):
        return root.to_json()
    if isinstance(root, Mapping):
        return dict(root)
    if isinstance(root, str):
        return {"uri": root}
    from pathlib import Path

    path = Path(root).absolute()
    return {"uri": path.as_uri(), "name": path.name}


def _capabilities(
    on_elicit: Any, modes: Sequence[str], on_sample: Any, given: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The capabilities of the handlers; the explicit ones override them."""
    found: dict[str, Any] = {}
    if on_elicit is not None:
        found["elicitation"] = {mode: {} for mode in modes}
    if on_sample is not None:
        found["sampling"] = {}
    found.update(given or {})
    return found or None
