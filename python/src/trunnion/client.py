"""Clients: `Client` for asyncio, `SyncClient` for plain threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Iterator, Mapping, TypeVar, Union

from ._errors import ToolError
from ._generated import (
    EVENT_PROGRESS,
    OP_CALL_TOOL,
    OP_COMPLETE,
    OP_DISCOVER,
    OP_GET_PROMPT,
    OP_LIST_PROMPTS,
    OP_LIST_RESOURCE_TEMPLATES,
    OP_LIST_RESOURCES,
    OP_LIST_TOOLS,
    OP_PING,
    OP_READ_RESOURCE,
    ClosedError,
    ProtocolError,
)
from ._json import dumps, loads
from ._models import (
    CallResult,
    Completion,
    PromptInfo,
    PromptResult,
    ReadResult,
    ResourceInfo,
    ResourceTemplateInfo,
    ToolInfo,
)
from ._results import ServerInfo
from .server import Server, refuse_options, take_options

if TYPE_CHECKING:
    from ._aio import AsyncHost
    from ._sync import SyncHost

Target = Union[str, Sequence[str], Server]
ProgressCallback = Callable[[float, Union[float, None], Union[str, None]], Any]
NotificationCallback = Callable[[str, Any], Any]
R = TypeVar("R")

# Seconds until a connection that does not end is left to the engine.
_FAREWELL = 10

# Where the entries of each list stand in its result, and what they are.
_LISTS: dict[str, tuple[str, Any]] = {
    OP_LIST_TOOLS: ("tools", ToolInfo.from_json),
    OP_LIST_RESOURCES: ("resources", ResourceInfo.from_json),
    OP_LIST_RESOURCE_TEMPLATES: ("resourceTemplates", ResourceTemplateInfo.from_json),
    OP_LIST_PROMPTS: ("prompts", PromptInfo.from_json),
}


class _Base:
    """What both clients share: the target, the options and the shapes of requests."""

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
        era: str | None = None,
        raise_on_error: bool = True,
        on_notification: NotificationCallback | None = None,
        driver: str | None = None,
        **options: Any,
    ) -> None:
        self._engine_options = take_options("engine", options)
        refuse_options(type(self).__name__, options)
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
            "capabilities": capabilities,
            "era": era,
            "timeoutMs": _milliseconds(timeout),
            "connectTimeoutMs": _milliseconds(connect_timeout),
            "headers": headers,
        }
        self._options = dumps({k: v for k, v in settings.items() if v is not None})
        self._raise = raise_on_error
        self._on_notification = on_notification
        self._id = 0
        self._host: Any = None
        self._reason = "the client is not connected"
        self._info: ServerInfo | None = None
        self._gone: Any = None
        self._hearing: set[Any] = set()

    @property
    def info(self) -> ServerInfo:
        """What the server said of itself.

        Raises:
            ClosedError: the client never connected.
        """
        if self._info is None:
            raise ClosedError(self._reason)
        return self._info

    @property
    def connected(self) -> bool:
        """Whether requests can be made."""
        return self._id != 0

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
            # No call of the user's is waiting that could raise it.
            _complain(error)
            return None

    def _disconnected(self, body: dict[str, Any]) -> None:
        self._id = 0
        self._reason = body.get("reason") or "the connection is closed"
        if self._gone is not None:
            self._gone.settle("null", None)

    def _called(self, raw: dict[str, Any], raise_on_error: bool | None) -> CallResult:
        result = _read(CallResult.from_json, raw)
        if result.is_error and (self._raise if raise_on_error is None else raise_on_error):
            raise ToolError(result.text, result)
        return result


class Client(_Base):
    """A client for asyncio: `async with Client(target) as client: ...`.

    Args:
        target: a URL of Streamable HTTP; a command as a list, which is run and spoken to over its standard
            streams; or a `Server` of this process.
        name, version: who the client says it is.
        capabilities: what it can do, as the protocol spells it.
        timeout: seconds a request may take, by default 60; progress starts them anew.
        connect_timeout: seconds connecting may take, by default 10.
        headers: HTTP headers of every request.
        env, cwd: environment variables to add and the directory, for a command.
        era: `auto`, or `modern` or `legacy` to speak that one only.
        raise_on_error: whether `call_tool` raises `ToolError` when the tool failed.
        on_notification: called with the event's name (`log`, `tools_changed`, `resources_changed`,
            `prompts_changed`, `resource_updated`) and its parameters; may be `async def`. What it raises is
            logged under `trunnion`.
        driver: `threaded` or `hosted`; a server in this process brings its own.
        options: engine options, such as `max_message_bytes`.
    """

    _host: AsyncHost

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def connect(self) -> ServerInfo:
        """Connect; `async with` does it for you.

        Raises:
            McpError: the server cannot be reached or does not answer as one.
        """
        if self._id != 0:
            return self.info
        from ._aio import AsyncHost

        if self._server is not None:
            host = self._server._async_host()
        else:
            host = AsyncHost(self._driver, self._engine_options, None)
        host.retain()
        id = 0
        try:
            id, operation = host.begin("connect", self._where(host), self._options)
            host.clients[id] = self
            self._info = ServerInfo(loads(await host.finish(id, operation)))
        except BaseException:
            host.clients.pop(id, None)
            await host.release()
            raise
        self._host, self._id = host, id
        return self._info

    async def close(self) -> None:
        """Disconnect. Calls that are waiting fail with `ClosedError`. Calling this again does nothing."""
        import asyncio

        host, self._host = self._host, None  # type: ignore[assignment]
        id, self._id = self._id, 0
        if host is None:
            return
        self._reason = "the client is closed"
        if host.closed:
            return
        try:
            if id != 0:
                # The last event comes when the connection is over and a command's process has ended.
                gone = self._gone = host.operation()
                host.call("client_close", id)
                host.schedule()
                await asyncio.wait([gone.future], timeout=_FAREWELL)
        finally:
            self._gone = None
            host.clients.pop(id, None)
            await host.release()

    def _notified(self, body: dict[str, Any]) -> None:
        answer = super()._notified(body)
        if hasattr(type(answer), "__await__"):
            import asyncio

            # The loop itself holds tasks weakly.
            task = asyncio.get_running_loop().create_task(_logged(answer))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
        raise_on_error: bool | None = None,
    ) -> CallResult:
        """Call a tool. Cancelling the task that waits cancels the call.

        Args:
            name: the tool's name.
            arguments: values with a JSON form, by parameter.
            timeout: seconds; progress starts them anew.
            progress: called with progress, total and message; may be `async def`. What it raises gives the
                call up, and is raised here.
            meta: entries for the request's metadata.
            raise_on_error: this call's own choice of the client's `raise_on_error`.

        Raises:
            ToolError: the tool failed.
            McpError: the call failed: no such tool, no answer in time, connection lost.
        """
        params = {"name": name, "arguments": arguments or {}}
        raw = await self._request(OP_CALL_TOOL, params, timeout, progress, meta)
        return self._called(raw, raise_on_error)

    async def list_tools(self) -> list[ToolInfo]:
        """All tools, of all pages."""
        return [item async for item in self._list(OP_LIST_TOOLS)]

    def iter_tools(self) -> AsyncIterator[ToolInfo]:
        """All tools, asking for a page when it is needed."""
        return self._list(OP_LIST_TOOLS)

    async def list_resources(self) -> list[ResourceInfo]:
        """All resources, of all pages."""
        return [item async for item in self._list(OP_LIST_RESOURCES)]

    def iter_resources(self) -> AsyncIterator[ResourceInfo]:
        """All resources, asking for a page when it is needed."""
        return self._list(OP_LIST_RESOURCES)

    async def list_resource_templates(self) -> list[ResourceTemplateInfo]:
        """All resource templates, of all pages."""
        return [item async for item in self._list(OP_LIST_RESOURCE_TEMPLATES)]

    def iter_resource_templates(self) -> AsyncIterator[ResourceTemplateInfo]:
        """All resource templates, asking for a page when it is needed."""
        return self._list(OP_LIST_RESOURCE_TEMPLATES)

    async def list_prompts(self) -> list[PromptInfo]:
        """All prompts, of all pages."""
        return [item async for item in self._list(OP_LIST_PROMPTS)]

    def iter_prompts(self) -> AsyncIterator[PromptInfo]:
        """All prompts, asking for a page when it is needed."""
        return self._list(OP_LIST_PROMPTS)

    async def read_resource(self, uri: str, *, timeout: float | None = None) -> ReadResult:
        """Read a resource."""
        return _read(ReadResult.from_json, await self._request(OP_READ_RESOURCE, {"uri": uri}, timeout))

    async def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> PromptResult:
        """Get the messages of a prompt."""
        params = {"name": name, "arguments": prompt_arguments(arguments)}
        return _read(PromptResult.from_json, await self._request(OP_GET_PROMPT, params, timeout))

    async def complete(
        self,
        argument: str,
        value: str,
        *,
        prompt: str | None = None,
        resource: str | None = None,
        arguments: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Completion:
        """Ask for values that complete an argument of a prompt or a variable of a resource template.

        Args:
            argument: its name.
            value: what has been typed so far.
            prompt, resource: the prompt's name or the template's URI.
            arguments: the other arguments that are known already.
        """
        params = completion_params(argument, value, prompt, resource, arguments)
        return _read(_completion, await self._request(OP_COMPLETE, params, timeout))

    async def ping(self, *, timeout: float | None = None) -> None:
        """Ask for a sign of life."""
        await self._request(OP_PING, {}, timeout)

    async def discover(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the server says of itself now, as the protocol's JSON object."""
        return await self._request(OP_DISCOVER, {}, timeout)  # type: ignore[no-any-return]

    async def _list(self, op: str) -> AsyncIterator[Any]:
        key, make = _LISTS[op]
        params: dict[str, Any] = {}
        while True:
            page = await self._request(op, params)
            for item in page.get(key) or []:
                yield _read(make, item)
            cursor = page.get("nextCursor")
            if cursor is None:
                return
            params = {"cursor": cursor}

    async def _request(
        self,
        op: str,
        params: Mapping[str, Any],
        timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Any:
        host: AsyncHost = self._ask()
        options = request_options(timeout, progress, meta)
        id, operation = host.begin("request", self._id, op, dumps(params), options)
        if progress is None:
            return loads(await host.finish(id, operation))
        started: list[Any] = []
        operation.listeners[EVENT_PROGRESS] = _reporter(progress, started, host.loop, operation)
        try:
            payload = await host.finish(id, operation)
        except BaseException:
            for task in started:
                task.cancel()
            raise
        for task in started:
            await task
        return loads(payload)


class SyncClient(_Base):
    """A client for programs without an event loop: `with SyncClient(target) as client: ...`.

    It has the methods of `Client`, blocking, and may be used by several threads at a time. Its arguments are
    those of `Client`. Notifications are delivered while a call waits.
    """

    _host: SyncHost

    def __enter__(self) -> SyncClient:
        self.connect()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def connect(self) -> ServerInfo:
        """Connect; `with` does it for you.

        Raises:
            McpError: the server cannot be reached or does not answer as one.
        """
        if self._id != 0:
            return self.info
        from ._sync import SyncHost

        server = self._server
        if server is not None:
            if server._host is not None:
                raise RuntimeError("the server is being served by another loop or thread")
            server._settle()
            host = SyncHost(server._driver or "threaded", server._engine_options, server)
            server._host = host
        else:
            host = SyncHost(self._driver, self._engine_options, None)
        host.retain()
        try:
            id, operation = host.begin("connect", self._where(host), self._options)
            host.clients[id] = self
            self._info = ServerInfo(loads(host.finish(id, operation)))
        except BaseException:
            host.release()
            raise
        self._host, self._id = host, id
        return self._info

    def close(self) -> None:
        """Disconnect. Calls that are waiting fail with `ClosedError`. Calling this again does nothing."""
        host, self._host = self._host, None  # type: ignore[assignment]
        id, self._id = self._id, 0
        if host is None:
            return
        self._reason = "the client is closed"
        try:
            if id != 0 and not host.closed:
                self._gone = host.operation()
                host.call("client_close", id)
                host.wait_for(self._gone)
        finally:
            self._gone = None
            host.clients.pop(id, None)
            host.release()

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
        raise_on_error: bool | None = None,
    ) -> CallResult:
        """Call a tool: see `Client.call_tool`. `progress` is called on whichever thread drains."""
        params = {"name": name, "arguments": arguments or {}}
        raw = self._request(OP_CALL_TOOL, params, timeout, progress, meta)
        return self._called(raw, raise_on_error)

    def list_tools(self) -> list[ToolInfo]:
        """All tools, of all pages."""
        return list(self._list(OP_LIST_TOOLS))

    def iter_tools(self) -> Iterator[ToolInfo]:
        """All tools, asking for a page when it is needed."""
        return self._list(OP_LIST_TOOLS)

    def list_resources(self) -> list[ResourceInfo]:
        """All resources, of all pages."""
        return list(self._list(OP_LIST_RESOURCES))

    def iter_resources(self) -> Iterator[ResourceInfo]:
        """All resources, asking for a page when it is needed."""
        return self._list(OP_LIST_RESOURCES)

    def list_resource_templates(self) -> list[ResourceTemplateInfo]:
        """All resource templates, of all pages."""
        return list(self._list(OP_LIST_RESOURCE_TEMPLATES))

    def iter_resource_templates(self) -> Iterator[ResourceTemplateInfo]:
        """All resource templates, asking for a page when it is needed."""
        return self._list(OP_LIST_RESOURCE_TEMPLATES)

    def list_prompts(self) -> list[PromptInfo]:
        """All prompts, of all pages."""
        return list(self._list(OP_LIST_PROMPTS))

    def iter_prompts(self) -> Iterator[PromptInfo]:
        """All prompts, asking for a page when it is needed."""
        return self._list(OP_LIST_PROMPTS)

    def read_resource(self, uri: str, *, timeout: float | None = None) -> ReadResult:
        """Read a resource."""
        return _read(ReadResult.from_json, self._request(OP_READ_RESOURCE, {"uri": uri}, timeout))

    def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> PromptResult:
        """Get the messages of a prompt."""
        params = {"name": name, "arguments": prompt_arguments(arguments)}
        return _read(PromptResult.from_json, self._request(OP_GET_PROMPT, params, timeout))

    def complete(
        self,
        argument: str,
        value: str,
        *,
        prompt: str | None = None,
        resource: str | None = None,
        arguments: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Completion:
        """Ask for values that complete an argument: see `Client.complete`."""
        params = completion_params(argument, value, prompt, resource, arguments)
        return _read(_completion, self._request(OP_COMPLETE, params, timeout))

    def ping(self, *, timeout: float | None = None) -> None:
        """Ask for a sign of life."""
        self._request(OP_PING, {}, timeout)

    def discover(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the server says of itself now, as the protocol's JSON object."""
        return self._request(OP_DISCOVER, {}, timeout)  # type: ignore[no-any-return]

    def _list(self, op: str) -> Iterator[Any]:
        key, make = _LISTS[op]
        params: dict[str, Any] = {}
        while True:
            page = self._request(op, params)
            for item in page.get(key) or []:
                yield _read(make, item)
            cursor = page.get("nextCursor")
            if cursor is None:
                return
            params = {"cursor": cursor}

    def _request(
        self,
        op: str,
        params: Mapping[str, Any],
        timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Any:
        host: SyncHost = self._ask()
        options = request_options(timeout, progress, meta)
        id, operation = host.begin("request", self._id, op, dumps(params), options)
        if progress is not None:

            def report(body: dict[str, Any]) -> None:
                try:
                    progress(body["progress"], body.get("total"), body.get("message"))
                except Exception as error:
                    # It belongs to the caller that passed it in, not to the thread that drains.
                    operation.settle(None, error)

            operation.listeners[EVENT_PROGRESS] = report
        return loads(host.finish(id, operation))


def _read(parse: Callable[[Any], R], raw: Any) -> R:
    try:
        return parse(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the server's answer is not of the protocol's shape: {error!r}") from error


def _completion(raw: dict[str, Any]) -> Completion:
    return Completion.from_json(raw["completion"])


def request_options(timeout: float | None, progress: Any, meta: Mapping[str, Any] | None) -> str:
    """The engine's options of one request."""
    if timeout is None and progress is None and meta is None:
        return "{}"
    options: dict[str, Any] = {}
    if timeout is not None:
        options["timeoutMs"] = _milliseconds(timeout)
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


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def _reporter(
    progress: ProgressCallback, started: list[Any], loop: Any, operation: Any
) -> Callable[[dict[str, Any]], None]:
    """Calls the user's callback; what it awaits runs as a task, in order of arrival."""

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


async def _logged(answer: Any) -> None:
    try:
        await answer
    except Exception as error:
        _complain(error)


def _complain(error: BaseException) -> None:
    from logging import getLogger

    getLogger("trunnion").error("on_notification failed", exc_info=error)
