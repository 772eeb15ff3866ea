"""Clients: `Client` for asyncio, `SyncClient` for plain threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, Mapping

from ._calling import Calling, SyncCalling
from ._changes import Listening, SyncListening, wanted
from ._client import (
    LISTS,
    ProgressCallback,
    completion,
    completion_params,
    logged,
    next_page,
    prompt_arguments,
    read,
    reporter,
    request_options,
)
from ._generated import (
    EVENT_PROGRESS,
    OP_CALL_TOOL,
    OP_COMPLETE,
    OP_DISCOVER,
    OP_GET_PROMPT,
    OP_LIST_PROMPTS,
    OP_LIST_RESOURCE_TEMPLATES,
    OP_LIST_RESOURCES,
    OP_LIST_TASKS,
    OP_LIST_TOOLS,
    OP_PING,
    OP_READ_RESOURCE,
    OP_SET_LOG_LEVEL,
)
from ._json import dumps, loads
from ._models import (
    Completion,
    PromptInfo,
    PromptResult,
    ReadResult,
    ResourceInfo,
    ResourceTemplateInfo,
    ToolInfo,
)
from ._results import ServerInfo
from ._tasks import SyncTask, Task, TaskState, made

if TYPE_CHECKING:
    from ._aio import AsyncHost
    from ._context import Level
    from ._sync import SyncHost

# Seconds to wait for the last event of a connection that does not end; after that the engine handles it
# alone.
_FAREWELL = 10


def _entries(op: str, result: dict[str, Any]) -> list[Any]:
    """The entries of a list, or of a page of it."""
    key, make = LISTS.get(op, ("tasks", TaskState.from_json))
    return [read(make, item) for item in result.get(key) or []]


class Client(Calling):
    """A client for asyncio: `async with Client(target) as client: ...`.

    Args:
        target: a URL of Streamable HTTP; a command as a list, which runs with the protocol on its standard
            streams; or a `Server` of this process.
        name, version: the client's name and version as sent to the server.
        capabilities: its capabilities, as the protocol spells them.
        timeout: seconds a request may take, by default 60; progress, and an input request of the server,
            restart them.
        total_timeout: seconds a request may take in total, without restarts; by default unlimited.
        connect_timeout: seconds connecting may take, by default 10.
        headers: HTTP headers of every request.
        env, cwd: environment variables to add and the directory, for a command.
        inherit_env: if true, a command inherits all of this process's environment, secrets included. By
            default it gets HOME, LANG, LC_ALL, LC_CTYPE, LOGNAME, PATH, SHELL, TERM, TMPDIR, TZ and USER.
        stderr: the destination of a command's standard error: `inherit`, that of this process, by default;
            `null`; or `lines`, to `on_notification` as `stderr` with `{"line": ..., "lost": ...}`, from its
            start on.
        era: `auto`, or `modern` or `legacy` to support that one only.
        revision: the revision that the server is known to support, which saves detecting it.
        transport: `auto`, `http`, or `sse` for the HTTP with SSE of 2024-11-05.
        auth: sign-in for servers that require authorization: an `AuthorizationCode`, `ClientCredentials`,
            `JwtBearer` or `Enterprise` of `trunnion.auth`. For servers over HTTP.
        cache: if true, the default, results are cached for as long as the server allows.
        log_level: the minimum level of log messages.
        on_elicit: called with an `ElicitForm` or `ElicitUrl` when the server elicits from the user; returns
            an `ElicitResult`, the word `accept`, `decline` or `cancel`, or the fields of the accepted form,
            as a dict or another object. Its presence declares the capability. A `def` runs on a worker
            thread, an `async def` on the loop; an exception is reported to the server as a failure, and
            logged under `trunnion`.
        elicit_modes: the modes of `on_elicit`: `form`, `url` or both.
        on_sample: called with a `CreateMessageRequest` when the server samples the model; returns a
            `CreateMessageResult`. As `on_elicit`.
        roots: the places that the server may work in: URIs, paths, or `Root`s. Their presence declares the
            capability.
        tasks: if true, the default, servers may make tasks of calls.
        raise_on_error: if true, `call_tool` raises `ToolError` when the tool failed.
        on_notification: called with the event's name (`log`, `tools_changed`, `resources_changed`,
            `prompts_changed`, `resource_updated`; `task_changed`, of tasks that the client does not follow)
            and its parameters; may be `async def`. Its exceptions are logged under `trunnion`.
        driver: `threaded` or `hosted`; a server in this process has its own.
        options: engine options, such as `max_message_bytes`.
    """

    _host: AsyncHost

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def connect(self) -> ServerInfo:
        """Connects; `async with` calls it.

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
        """Disconnects. Pending calls fail with `ClosedError`. Idempotent."""
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
                # The last event arrives when the connection is over and a command's process has ended.
                over = host.operation()
                self._farewells.add(over)
                host.call("client_close", id)
                host.schedule()
                await asyncio.wait([over.future], timeout=_FAREWELL)
        finally:
            host.clients.pop(id, None)
            self._part()
            await host.release()

    async def closed(self) -> str:
        """Waits until the connection is over, ended by either side. Returns at once if the client is closed
        already.

        Returns:
            The reason for the end, as text.

        Raises:
            ClosedError: the client never connected.
        """
        if self._id != 0:
            over = self._host.operation()
            self._farewells.add(over)
            try:
                await over.future
            finally:
                self._farewells.discard(over)
        return self._why()

    def _notified(self, body: dict[str, Any]) -> None:
        answer = super()._notified(body)
        if hasattr(type(answer), "__await__"):
            import asyncio

            # The loop itself holds tasks weakly.
            task = asyncio.get_running_loop().create_task(logged(answer))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)

    async def start_task(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
        task_ttl: float | None = None,
    ) -> Task:
        """Calls a tool and does not wait for its result. If the server answers at once, the task is complete
        already. The client requests a task from a legacy server if the tool allows that.

        Args:
            name, arguments, meta, task_ttl: as of `call_tool`.
            timeout, total_timeout: seconds until the task exists.

        Raises:
            McpError: the call failed: no such tool, no answer in time, connection lost.
        """
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, None, meta, task=True, task_ttl=task_ttl)
        return Task(self, *made(await self._request(OP_CALL_TOOL, params, options)))

    def task(self, id: str) -> Task:
        """A task by its stored id. Nothing is sent."""
        return Task(self, id, None, None)

    async def list_tasks(
        self,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[TaskState]:
        """All tasks of this caller; legacy sessions only.

        Raises:
            MethodNotFoundError: the modern era has no such request.
        """
        return await self._whole(OP_LIST_TASKS, request_options(timeout, total_timeout, meta=meta, whole=True))

    async def list_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ToolInfo]:
        """All tools, of all pages.

        `total_timeout` is the limit of all pages. A list that does not end, or has more than 1000 pages, is
        an error, which has the entries so far in its `data`."""
        return await self._whole(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ToolInfo]:
        """All tools; a page is fetched when it is needed."""
        return self._list(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache))

    async def list_resources(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ResourceInfo]:
        """All resources, of all pages."""
        return await self._whole(OP_LIST_RESOURCES, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_resources(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ResourceInfo]:
        """All resources; a page is fetched when it is needed."""
        return self._list(OP_LIST_RESOURCES, request_options(timeout, total_timeout, meta=meta, cache=cache))

    async def list_resource_templates(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ResourceTemplateInfo]:
        """All resource templates, of all pages."""
        return await self._whole(OP_LIST_RESOURCE_TEMPLATES, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_resource_templates(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ResourceTemplateInfo]:
        """All resource templates; a page is fetched when it is needed."""
        return self._list(OP_LIST_RESOURCE_TEMPLATES, request_options(timeout, total_timeout, meta=meta, cache=cache))

    async def list_prompts(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[PromptInfo]:
        """All prompts, of all pages."""
        return await self._whole(OP_LIST_PROMPTS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_prompts(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[PromptInfo]:
        """All prompts; a page is fetched when it is needed."""
        return self._list(OP_LIST_PROMPTS, request_options(timeout, total_timeout, meta=meta, cache=cache))

    async def read_resource(
        self,
        uri: str,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        cache: bool | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> ReadResult:
        """Reads a resource."""
        options = request_options(timeout, total_timeout, progress, meta, cache)
        return read(ReadResult.from_json, await self._request(OP_READ_RESOURCE, {"uri": uri}, options, progress))

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> PromptResult:
        """Gets the messages of a prompt."""
        params = {"name": name, "arguments": prompt_arguments(arguments)}
        options = request_options(timeout, total_timeout, progress, meta)
        return read(PromptResult.from_json, await self._request(OP_GET_PROMPT, params, options, progress))

    async def complete(
        self,
        argument: str,
        value: str,
        *,
        prompt: str | None = None,
        resource: str | None = None,
        arguments: Mapping[str, str] | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Requests values that complete an argument of a prompt or a variable of a resource template.

        Args:
            argument: its name.
            value: the text typed so far.
            prompt, resource: the prompt's name or the template's URI.
            arguments: the other arguments that are known already.
        """
        params = completion_params(argument, value, prompt, resource, arguments)
        return read(completion, await self._request(OP_COMPLETE, params, request_options(timeout, total_timeout, meta=meta)))

    async def ping(
        self,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Pings the server."""
        await self._request(OP_PING, {}, request_options(timeout, total_timeout, meta=meta))

    async def discover(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Requests the server's current description of itself, as the protocol's JSON object."""
        options = request_options(timeout, total_timeout, meta=meta, cache=cache)
        return await self._request(OP_DISCOVER, {}, options)  # type: ignore[no-any-return]

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: bool = False,
        resource_uris: Sequence[str] = (),
    ) -> Listening:
        """Subscribes to changes at the server: `async with client.listen(tools=True) as changes: async for
        change in changes: ...`.

        Args:
            tools, prompts, resources: subscribe to changes of these lists.
            resource_uris: subscribe to changes of the contents of these resources, and of resources below
                them.
        """
        return Listening(self, wanted(tools, prompts, resources, resource_uris))

    async def set_log_level(self, level: Level) -> None:
        """Requests log messages of this level and above, which `on_notification` receives. For servers of the
        modern era the level is part of every request from now on."""
        await self._request(OP_SET_LOG_LEVEL, {"level": level}, "{}")

    async def _whole(self, op: str, options: str) -> list[Any]:
        return _entries(op, await self._request(op, {}, options))

    async def _list(self, op: str, options: str) -> AsyncIterator[Any]:
        params: dict[str, Any] | None = {}
        seen: set[str] = set()
        while params is not None:
            page = await self._request(op, params, options)
            for entry in _entries(op, page):
                yield entry
            params = next_page(page, seen)

    async def _request(
        self,
        op: str,
        params: Mapping[str, Any],
        options: str,
        progress: ProgressCallback | None = None,
    ) -> Any:
        host: AsyncHost = self._ask()
        id, operation = host.begin("request", self._id, op, dumps(params), options)
        if progress is None:
            return loads(await host.finish(id, operation))
        started: list[Any] = []
        operation.listeners[EVENT_PROGRESS] = reporter(progress, started, host.loop, operation)
        try:
            payload = await host.finish(id, operation)
        except BaseException:
            for task in started:
                task.cancel()
            raise
        for task in started:
            await task
        return loads(payload)


class SyncClient(SyncCalling):
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
        """Connects; `with` calls it.

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
        """Disconnects. Pending calls fail with `ClosedError`. Idempotent."""
        host, self._host = self._host, None  # type: ignore[assignment]
        id, self._id = self._id, 0
        if host is None:
            return
        self._reason = "the client is closed"
        try:
            if id != 0 and not host.closed:
                over = host.operation()
                self._farewells.add(over)
                host.call("client_close", id)
                host.wait_for(over)
        finally:
            host.clients.pop(id, None)
            self._part()
            host.free()
            host.release()

    def closed(self) -> str:
        """Waits until the connection is over: see `Client.closed`. Notifications are delivered meanwhile."""
        host = self._host
        if self._id != 0:
            over = host.operation()
            self._farewells.add(over)
            try:
                # Enter the list first, then check: it may end on another thread in between.
                if self._id != 0:
                    host.wait_for(over)
            finally:
                self._farewells.discard(over)
        return self._why()

    def start_task(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
        task_ttl: float | None = None,
    ) -> SyncTask:
        """Calls a tool and does not wait for its result: see `Client.start_task`."""
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, None, meta, task=True, task_ttl=task_ttl)
        return SyncTask(self, *made(self._request(OP_CALL_TOOL, params, options)))

    def task(self, id: str) -> SyncTask:
        """A task by its stored id. Nothing is sent."""
        return SyncTask(self, id, None, None)

    def list_tasks(
        self,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[TaskState]:
        """All tasks of this caller; legacy sessions only: see `Client.list_tasks`."""
        return self._whole(OP_LIST_TASKS, request_options(timeout, total_timeout, meta=meta, whole=True))

    def list_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ToolInfo]:
        """All tools, of all pages.

        `total_timeout` is the limit of all pages. A list that does not end, or has more than 1000 pages, is
        an error, which has the entries so far in its `data`."""
        return self._whole(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[ToolInfo]:
        """All tools; a page is fetched when it is needed."""
        return self._list(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache))

    def list_resources(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ResourceInfo]:
        """All resources, of all pages."""
        return self._whole(OP_LIST_RESOURCES, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_resources(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[ResourceInfo]:
        """All resources; a page is fetched when it is needed."""
        return self._list(OP_LIST_RESOURCES, request_options(timeout, total_timeout, meta=meta, cache=cache))

    def list_resource_templates(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[ResourceTemplateInfo]:
        """All resource templates, of all pages."""
        return self._whole(OP_LIST_RESOURCE_TEMPLATES, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_resource_templates(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[ResourceTemplateInfo]:
        """All resource templates; a page is fetched when it is needed."""
        return self._list(OP_LIST_RESOURCE_TEMPLATES, request_options(timeout, total_timeout, meta=meta, cache=cache))

    def list_prompts(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> list[PromptInfo]:
        """All prompts, of all pages."""
        return self._whole(OP_LIST_PROMPTS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_prompts(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[PromptInfo]:
        """All prompts; a page is fetched when it is needed."""
        return self._list(OP_LIST_PROMPTS, request_options(timeout, total_timeout, meta=meta, cache=cache))

    def read_resource(
        self,
        uri: str,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        cache: bool | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> ReadResult:
        """Reads a resource."""
        options = request_options(timeout, total_timeout, progress, meta, cache)
        return read(ReadResult.from_json, self._request(OP_READ_RESOURCE, {"uri": uri}, options, progress))

    def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> PromptResult:
        """Gets the messages of a prompt."""
        params = {"name": name, "arguments": prompt_arguments(arguments)}
        options = request_options(timeout, total_timeout, progress, meta)
        return read(PromptResult.from_json, self._request(OP_GET_PROMPT, params, options, progress))

    def complete(
        self,
        argument: str,
        value: str,
        *,
        prompt: str | None = None,
        resource: str | None = None,
        arguments: Mapping[str, str] | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Requests values that complete an argument: see `Client.complete`."""
        params = completion_params(argument, value, prompt, resource, arguments)
        return read(completion, self._request(OP_COMPLETE, params, request_options(timeout, total_timeout, meta=meta)))

    def ping(
        self,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Pings the server."""
        self._request(OP_PING, {}, request_options(timeout, total_timeout, meta=meta))

    def discover(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Requests the server's current description of itself, as the protocol's JSON object."""
        options = request_options(timeout, total_timeout, meta=meta, cache=cache)
        return self._request(OP_DISCOVER, {}, options)  # type: ignore[no-any-return]

    def listen(
        self,
        *,
        tools: bool = False,
        prompts: bool = False,
        resources: bool = False,
        resource_uris: Sequence[str] = (),
    ) -> SyncListening:
        """Subscribes to changes at the server: `with client.listen(tools=True) as changes: for change in
        changes: ...`.

        Args:
            tools, prompts, resources: subscribe to changes of these lists.
            resource_uris: subscribe to changes of the contents of these resources, and of resources below
                them.
        """
        return SyncListening(self, wanted(tools, prompts, resources, resource_uris))

    def set_log_level(self, level: Level) -> None:
        """Requests log messages of this level and above, which `on_notification` receives. For servers of the
        modern era the level is part of every request from now on."""
        self._request(OP_SET_LOG_LEVEL, {"level": level}, "{}")

    def _whole(self, op: str, options: str) -> list[Any]:
        return _entries(op, self._request(op, {}, options))

    def _list(self, op: str, options: str) -> Iterator[Any]:
        params: dict[str, Any] | None = {}
        seen: set[str] = set()
        while params is not None:
            page = self._request(op, params, options)
            for entry in _entries(op, page):
                yield entry
            params = next_page(page, seen)

    def _request(
        self,
        op: str,
        params: Mapping[str, Any],
        options: str,
        progress: ProgressCallback | None = None,
    ) -> Any:
        host: SyncHost = self._ask()
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
