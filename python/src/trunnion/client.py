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

# Seconds until a connection that does not end is left to the engine.
_FAREWELL = 10


def _entries(op: str, result: dict[str, Any]) -> list[Any]:
    """The entries of a list, or of a page of it."""
    key, make = LISTS.get(op, ("tasks", TaskState.from_json))
    return [read(make, item) for item in result.get(key) or []]


class Client(Calling):
    """A client for asyncio: `async with Client(target) as client: ...`.

    Args:
        target: a URL of Streamable HTTP; a command as a list, which is run and spoken to over its standard
            streams; or a `Server` of this process.
        name, version: who the client says it is.
        capabilities: what it can do, as the protocol spells it.
        timeout: seconds a request may take, by default 60; progress, and a question of the server's, start them anew.
        total_timeout: seconds a request may take whatever happens; by default there is no such limit.
        connect_timeout: seconds connecting may take, by default 10.
        headers: HTTP headers of every request.
        env, cwd: environment variables to add and the directory, for a command.
        inherit_env: whether a command gets all of this process's environment, secrets included. By default it gets
            HOME, LANG, LC_ALL, LC_CTYPE, LOGNAME, PATH, SHELL, TERM, TMPDIR, TZ and USER.
        stderr: where the standard error of a command goes: `inherit`, where that of this process goes, by default;
            `null`; or `lines`, to `on_notification` as `stderr` with `{"line": ..., "lost": ...}`, from its start on.
        era: `auto`, or `modern` or `legacy` to speak that one only.
        revision: the revision that the server is known to speak, which saves finding it out.
        transport: `auto`, `http`, or `sse` for the HTTP with SSE of 2024-11-05.
        auth: how to get in where the server wants authorization: an `AuthorizationCode`, `ClientCredentials`, `JwtBearer` or
            `Enterprise` of `trunnion.auth`. For servers over HTTP.
        cache: whether results are kept for as long as the server allows, by default true.
        log_level: the least level of log messages wanted.
        on_elicit: called with an `ElicitForm` or `ElicitUrl` when the server asks the person; returns an
            `ElicitResult`, the word `accept`, `decline` or `cancel`, or the fields of the accepted form, as a dict or
            another object. Given, it declares the capability. A `def` runs on a worker thread, an `async def` on
            the loop; what it raises is the server's to know as a failure, and is logged under `trunnion`.
        elicit_modes: what `on_elicit` can do: `form`, `url` or both.
        on_sample: called with a `CreateMessageRequest` when the server asks the model; returns a
            `CreateMessageResult`. As `on_elicit`.
        roots: where the server may work: URIs, paths, or `Root`s. Given, they declare the capability.
        tasks: whether servers may make tasks of calls, by default true.
        raise_on_error: whether `call_tool` raises `ToolError` when the tool failed.
        on_notification: called with the event's name (`log`, `tools_changed`, `resources_changed`,
            `prompts_changed`, `resource_updated`; `task_changed`, of tasks that nothing here follows) and its parameters; may be `async def`. What it raises is
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
        """Wait until the connection is over, whoever has ended it. Of a client that is closed already it returns at once.

        Returns:
            Why it is over, in words.

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
        """Call a tool and do not wait for its result. Where the server answers at once, the task is complete already. A legacy
        server is asked for a task where its tool allows that.

        Args:
            name, arguments, meta, task_ttl: as of `call_tool`.
            timeout, total_timeout: seconds of making the task.

        Raises:
            McpError: the call failed: no such tool, no answer in time, connection lost.
        """
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, None, meta, task=True, task_ttl=task_ttl)
        return Task(self, *made(await self._request(OP_CALL_TOOL, params, options)))

    def task(self, id: str) -> Task:
        """A task by the id that was saved of it. Nothing is sent."""
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

        `total_timeout` is the limit of all pages. A list that does not end, or has more than 1000 pages, is an error, which
        has in its `data` what there was."""
        return await self._whole(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[ToolInfo]:
        """All tools, asking for a page when it is needed."""
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
        """All resources, asking for a page when it is needed."""
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
        """All resource templates, asking for a page when it is needed."""
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
        """All prompts, asking for a page when it is needed."""
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
        """Read a resource."""
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
        """Get the messages of a prompt."""
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
        """Ask for values that complete an argument of a prompt or a variable of a resource template.

        Args:
            argument: its name.
            value: what has been typed so far.
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
        """Ask for a sign of life."""
        await self._request(OP_PING, {}, request_options(timeout, total_timeout, meta=meta))

    async def discover(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """What the server says of itself now, as the protocol's JSON object."""
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
        """Listen to changes at the server: `async with client.listen(tools=True) as changes: async for change in changes: ...`.

        Args:
            tools, prompts, resources: to changes of these lists.
            resource_uris: to changes of the contents of these resources, and of what lies below them.
        """
        return Listening(self, wanted(tools, prompts, resources, resource_uris))

    async def set_log_level(self, level: Level) -> None:
        """Ask for log messages of this level and graver ones, which come to `on_notification`. Servers of the modern
        era are asked with every request from now on."""
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
        """Wait until the connection is over: see `Client.closed`. Notifications are delivered meanwhile."""
        host = self._host
        if self._id != 0:
            over = host.operation()
            self._farewells.add(over)
            try:
                # First into the list, then the look: it may end on another thread in between.
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
        """Call a tool and do not wait for its result: see `Client.start_task`."""
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, None, meta, task=True, task_ttl=task_ttl)
        return SyncTask(self, *made(self._request(OP_CALL_TOOL, params, options)))

    def task(self, id: str) -> SyncTask:
        """A task by the id that was saved of it. Nothing is sent."""
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

        `total_timeout` is the limit of all pages. A list that does not end, or has more than 1000 pages, is an error, which
        has in its `data` what there was."""
        return self._whole(OP_LIST_TOOLS, request_options(timeout, total_timeout, meta=meta, cache=cache, whole=True))

    def iter_tools(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Iterator[ToolInfo]:
        """All tools, asking for a page when it is needed."""
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
        """All resources, asking for a page when it is needed."""
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
        """All resource templates, asking for a page when it is needed."""
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
        """All prompts, asking for a page when it is needed."""
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
        """Read a resource."""
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
        """Get the messages of a prompt."""
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
        """Ask for values that complete an argument: see `Client.complete`."""
        params = completion_params(argument, value, prompt, resource, arguments)
        return read(completion, self._request(OP_COMPLETE, params, request_options(timeout, total_timeout, meta=meta)))

    def ping(
        self,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Ask for a sign of life."""
        self._request(OP_PING, {}, request_options(timeout, total_timeout, meta=meta))

    def discover(
        self, *, timeout: float | None = None, total_timeout: float | None = None, cache: bool | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """What the server says of itself now, as the protocol's JSON object."""
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
        """Listen to changes at the server: `with client.listen(tools=True) as changes: for change in changes: ...`.

        Args:
            tools, prompts, resources: to changes of these lists.
            resource_uris: to changes of the contents of these resources, and of what lies below them.
        """
        return SyncListening(self, wanted(tools, prompts, resources, resource_uris))

    def set_log_level(self, level: Level) -> None:
        """Ask for log messages of this level and graver ones, which come to `on_notification`. Servers of the modern
        era are asked with every request from now on."""
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
