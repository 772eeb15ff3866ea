"""Tool calls, for both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, TypeVar, overload

from ._client import Base, ProgressCallback, request_options
from ._generated import OP_CALL_TOOL

if TYPE_CHECKING:
    from ._models import CallResult

T = TypeVar("T")


class Calling(Base):
    """The tool calls of `Client`."""

    @overload
    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., raise_on_error: bool | None = ..., returns: None = ...,
    ) -> CallResult: ...
    @overload
    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., returns: type[T],
    ) -> T: ...
    @overload
    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., returns: object,
    ) -> Any: ...
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
        task_ttl: float | None = None,
        raise_on_error: bool | None = None,
        returns: Any = None,
    ) -> Any:
        """Calls a tool. Cancelling the wait cancels the call.

        If the server makes a task of the call, the engine follows it: its status messages are reported as
        progress, its input requests go to the client's handlers.

        Args:
            name: the tool's name.
            arguments: values with a JSON form, by parameter.
            timeout: seconds; progress, and an input request of the server, restart them.
            total_timeout: seconds without restarts.
            progress: called with progress, total and message; may be `async def`. Its exception cancels the
                call, and is raised here.
            meta: entries for the request's metadata.
            task_ttl: seconds that the client requests from a legacy server as the time to live of a task;
                modern servers decide it.
            raise_on_error: overrides the client's `raise_on_error` for this call.
            returns: the type of the value wanted, such as a dataclass, `TypedDict`, pydantic model or `list[int]`.

        Returns:
            The result; with `returns` a value of that type, made of the result's `data`.

        Raises:
            ToolError: the tool failed.
            ProtocolError: the result is not of the type `returns`.
            McpError: the call failed: no such tool, no answer in time, connection lost.
            TypeError: `returns` is a type without a JSON schema; nothing is sent.
        """
        convert = self._reader(name, returns)
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, progress, meta, task_ttl=task_ttl)
        raw = await self._request(OP_CALL_TOOL, params, options, progress)
        return self._called(raw, raise_on_error, convert)

    async def _request(
        self, op: str, params: Mapping[str, Any], options: str, progress: ProgressCallback | None = None
    ) -> Any:
        raise NotImplementedError


class SyncCalling(Base):
    """The tool calls of `SyncClient`."""

    @overload
    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., raise_on_error: bool | None = ..., returns: None = ...,
    ) -> CallResult: ...
    @overload
    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., returns: type[T],
    ) -> T: ...
    @overload
    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = ..., *, timeout: float | None = ...,
        total_timeout: float | None = ..., progress: ProgressCallback | None = ..., meta: Mapping[str, Any] | None = ...,
        task_ttl: float | None = ..., returns: object,
    ) -> Any: ...
    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        total_timeout: float | None = None,
        progress: ProgressCallback | None = None,
        meta: Mapping[str, Any] | None = None,
        task_ttl: float | None = None,
        raise_on_error: bool | None = None,
        returns: Any = None,
    ) -> Any:
        """Calls a tool: see `Client.call_tool`. `progress` is called on the thread that drains."""
        convert = self._reader(name, returns)
        params = {"name": name, "arguments": arguments or {}}
        options = request_options(timeout, total_timeout, progress, meta, task_ttl=task_ttl)
        raw = self._request(OP_CALL_TOOL, params, options, progress)
        return self._called(raw, raise_on_error, convert)

    def _request(
        self, op: str, params: Mapping[str, Any], options: str, progress: ProgressCallback | None = None
    ) -> Any:
        raise NotImplementedError
