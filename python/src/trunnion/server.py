"""Servers: tools, resources and prompts from plain functions."""

from __future__ import annotations

import math
import os
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, Callable, Literal, Mapping, Sequence, TypeVar, Union, overload

from ._generated import OPTIONS
from ._handler import Completer, Completers, Handler, Prompt, Resource, Tool, call_name
from ._json import dumps
from ._signature import Signature, is_unbound

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._aio import AsyncHost
    from ._asgi import AsgiApp
    from ._answers import Answerer
    from ._asking import Question
    from ._guard import ServerAuth, Visibility
    from ._host import Host
    from ._options import CarriedOptions, RunOptions, ServeHttpOptions, ServerOptions
    from ._serve import Serving

    VisibleTo = Union[Visibility, Mapping[str, Any]]

TaskSupport = Literal["never", "optional", "required"]
F = TypeVar("F", bound=Callable[..., Any])
_targets = count(1)


class _Item:
    """An item of a server, with everything needed to add it to any engine."""

    __slots__ = ("item", "key", "definition", "options", "target")

    def __init__(self, item: str, key: str, definition: str, options: str, target: int) -> None:
        self.item = item
        self.key = key
        self.definition = definition
        self.options = options
        self.target = target

    def add(self, host: Host) -> None:
        host.call("server_add", host.handle, self.item, self.definition, self.options, self.target)


class Server:
    """An MCP server.

    Args:
        name: the server's name.
        version: the server's own version.
        title: a name for people.
        description: the description of the server, for people.
        instructions: instructions for the model on using the server.
        website_url: a page with more information, for people.
        icons: icons, as the protocol's objects.
        inline: the default of `inline` for everything registered: see `tool`.
        mask_errors: hide the text of unexpected exceptions from clients. `ToolError` and `McpError` are
            meant for them and always shown; a traceback never is.
        auth: server authorization over HTTP: a `ServerAuth`. Without it, every request is accepted.
        store: the path of a file, or the URL of a database, in which tasks and the sessions of older clients
            outlive the process and are shared with other processes: docs/stores.
        options: the engine's and server's options in snake case, such as `max_message_bytes`,
            `page_size` or `eras`: docs/options.

    Raises:
        TypeError: an unknown option.
    """

    def __init__(
        self,
        name: str,
        version: str = "0.1.0",
        *,
        title: str | None = None,
        description: str | None = None,
        instructions: str | None = None,
        website_url: str | None = None,
        icons: Sequence[Mapping[str, Any]] | None = None,
        inline: bool = False,
        mask_errors: bool = False,
        auth: ServerAuth | None = None,
        store: str | os.PathLike[str] | None = None,
        driver: str | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        self.name = name
        self.version = version
        self._inline = inline
        self._mask = mask_errors
        self._driver = driver
        definition: dict[str, Any] = {
            "name": name,
            "version": version,
            "title": title,
            "description": description,
            "instructions": instructions,
            "websiteUrl": website_url,
            "icons": icons,
        }
        self._definition = {k: v for k, v in definition.items() if v is not None}
        left: dict[str, Any] = dict(options)
        self._engine_options = take_options("engine", left)
        self._definition.update(take_options("server", left))
        if store is not None:
            self._definition["store"] = os.fspath(store)
        self._verifier: Answerer | None = None
        if auth is not None:
            from ._guard import server_auth

            self._definition["auth"], self._verifier = server_auth(auth)
        refuse_options("Server", left)
        self._handlers: dict[int, Any] = {}
        self._items: dict[tuple[str, str], _Item] = {}
        self._names: dict[Any, tuple[str, str]] = {}
        self._completers: dict[tuple[str, str], Completers] = {}
        # The items that wait for names that are not defined yet: key, label in errors, function that adds it.
        self._deferred: list[tuple[tuple[str, str], str, Callable[[], None]]] = []
        self._host: Any = None
        self._roots_changed: Callable[[], Any] | None = None

    # ------------------------------------------------------------------------------------------- decorators

    @overload
    def tool(self, fn: F, /) -> F: ...
    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = ...,
        title: str | None = ...,
        description: str | None = ...,
        annotations: Mapping[str, Any] | None = ...,
        icons: Sequence[Mapping[str, Any]] | None = ...,
        meta: Mapping[str, Any] | None = ...,
        input_schema: Mapping[str, Any] | None = ...,
        output_schema: Mapping[str, Any] | None = ...,
        timeout: float | None = ...,
        task: TaskSupport | None = ...,
        resumable: bool = ...,
        task_ttl: float | None = ...,
        task_concurrency: int | None = ...,
        scopes: Sequence[str] = ...,
        visible_to: VisibleTo | None = ...,
        asks: Mapping[str, Question[Any]] | None = ...,
        inline: bool | None = ...,
    ) -> Callable[[F], F]: ...
    def tool(self, fn: Any = None, /, **how: Any) -> Any:
        """Registers a function as a tool; with or without parentheses.

        By default the name, the schema and the descriptions come from the function's name, type hints and
        docstring. A parameter annotated with `Context` receives the request's context.

        An `async def` handler runs on the event loop. A `def` handler runs on a worker thread, so that one
        that blocks does not block others.

        Args:
            name, title, description, annotations, icons, meta: as the protocol has them.
            input_schema, output_schema: JSON Schema to use instead of that of the hints.
            timeout: seconds after which the handler is cancelled and the caller gets an error.
            task: the task mode; tasks outlive the request, the connection and, with a store, the process:
                `never`, `optional` (for clients that support tasks) or `required`.
            resumable: if the process that works on a task dies, run the function again, with its last
                checkpoint, the stored values of `once` and the answers so far; otherwise the task fails.
            task_ttl: seconds for which tasks of this tool are stored, from their creation on; by default that
                of the server.
            task_concurrency: how many tasks of this tool one process works on at the same time; the others wait.
            scopes: the scopes that a caller's token needs, all of them; otherwise the call is refused before
                the function runs.
            visible_to: the visibility of the tool, which does not exist for other callers.
            asks: the input requests to the client before the function runs, by key; the answers are in
                `Context.answers`.
            inline: run a `def` handler on the thread that reads the request: several times faster, and
                suitable only for handlers that take microseconds and never block.
        """
        if fn is None:
            return lambda fn: self.add_tool(fn, **how)
        return self.add_tool(fn, **how)

    def add_tool(
        self,
        fn: F,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        annotations: Mapping[str, Any] | None = None,
        icons: Sequence[Mapping[str, Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        input_schema: Mapping[str, Any] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        task: TaskSupport | None = None,
        resumable: bool = False,
        task_ttl: float | None = None,
        task_concurrency: int | None = None,
        scopes: Sequence[str] = (),
        visible_to: VisibleTo | None = None,
        asks: Mapping[str, Question[Any]] | None = None,
        inline: bool | None = None,
    ) -> F:
        """Adds a tool; `tool` as a plain call."""
        key = name or call_name(fn)
        label = f"tool {key!r}"
        _refuse_unbound(fn, label, "server.tool" if name is None else f"server.tool(name={name!r})")

        def build() -> None:
            signature = Signature(fn)
            tool = Tool(fn, key, signature, self._quick(inline), self._mask, input_schema, output_schema)
            definition = {
                "name": key,
                "title": title,
                "description": description or signature.description,
                "inputSchema": tool.input_schema,
                "outputSchema": tool.output_schema,
                "annotations": annotations,
                "icons": icons,
                "_meta": meta,
            }
            options = {
                "task": task,
                "resumable": resumable or None,
                "taskTtlMs": None if task_ttl is None else round(task_ttl * 1000),
                "taskConcurrency": task_concurrency,
                **_behaviour(timeout, scopes, visible_to),
            }
            self._add("tool", key, definition, options, tool, asks)

        self._build(fn, ("tool", key), label, build)
        return fn

    def resource(
        self,
        uri: str,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        annotations: Mapping[str, Any] | None = None,
        icons: Sequence[Mapping[str, Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        scopes: Sequence[str] = (),
        visible_to: VisibleTo | None = None,
        asks: Mapping[str, Question[Any]] | None = None,
        inline: bool | None = None,
    ) -> Callable[[F], F]:
        """Registers a function as a resource, or as a template if the URI has variables.

        The variables of `doc://{path}` are the function's parameters, by name; a parameter named `uri`
        receives the whole URI. Text, bytes, JSON values and `ResourceContents` may be returned. `timeout`, `scopes`,
        `visible_to` and `asks` are those of `tool`.
        """
        variables = _variables(uri)

        def register(fn: F) -> F:
            title_ = name or call_name(fn)
            label = f"resource {title_!r}"
            _refuse_unbound(fn, label, f"server.resource({uri!r})")
            kind = "resource" if variables is None else "resource_template"

            def build() -> None:
                signature = Signature(fn)
                known = {"uri", *(variables or ())}
                for p in signature.parameters:
                    if p.name not in known:
                        raise TypeError(f"{uri!r} has no variable {p.name!r}")
                definition = {
                    "uri" if variables is None else "uriTemplate": uri,
                    "name": title_,
                    "title": title,
                    "description": description or signature.description,
                    "mimeType": mime_type,
                    "size": size,
                    "annotations": annotations,
                    "icons": icons,
                    "_meta": meta,
                }
                handler = Resource(fn, title_, signature, self._quick(inline), self._mask)
                self._add(kind, uri, definition, _behaviour(timeout, scopes, visible_to), handler, asks)

            self._build(fn, (kind, uri), label, build)
            return fn

        return register

    @overload
    def prompt(self, fn: F, /) -> F: ...
    @overload
    def prompt(
        self,
        /,
        *,
        name: str | None = ...,
        title: str | None = ...,
        description: str | None = ...,
        icons: Sequence[Mapping[str, Any]] | None = ...,
        meta: Mapping[str, Any] | None = ...,
        timeout: float | None = ...,
        scopes: Sequence[str] = ...,
        visible_to: VisibleTo | None = ...,
        asks: Mapping[str, Question[Any]] | None = ...,
        inline: bool | None = ...,
    ) -> Callable[[F], F]: ...
    def prompt(self, fn: Any = None, /, **how: Any) -> Any:
        """Registers a function as a prompt; with or without parentheses.

        Its parameters are the prompt's arguments: texts, or the values of their JSON text for other types. It
        returns a text, a message, a list of these, or a `PromptResult`. `timeout`, `scopes`, `visible_to` and
        `asks` are those of `tool`.
        """
        if fn is None:
            return lambda fn: self.add_prompt(fn, **how)
        return self.add_prompt(fn, **how)

    def add_prompt(
        self,
        fn: F,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        icons: Sequence[Mapping[str, Any]] | None = None,
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        scopes: Sequence[str] = (),
        visible_to: VisibleTo | None = None,
        asks: Mapping[str, Question[Any]] | None = None,
        inline: bool | None = None,
    ) -> F:
        """Adds a prompt; `prompt` as a plain call."""
        key = name or call_name(fn)
        label = f"prompt {key!r}"
        _refuse_unbound(fn, label, "server.prompt" if name is None else f"server.prompt(name={name!r})")

        def build() -> None:
            signature = Signature(fn)
            definition = {
                "name": key,
                "title": title,
                "description": description or signature.description,
                "arguments": signature.arguments(),
                "icons": icons,
                "_meta": meta,
            }
            handler = Prompt(fn, key, signature, self._quick(inline), self._mask)
            self._add("prompt", key, definition, _behaviour(timeout, scopes, visible_to), handler, asks)

        self._build(fn, ("prompt", key), label, build)
        return fn

    def completion(
        self,
        argument: str,
        *,
        prompt: str | Callable[..., Any] | None = None,
        resource: str | Callable[..., Any] | None = None,
        timeout: float | None = None,
        scopes: Sequence[str] = (),
        visible_to: VisibleTo | None = None,
        inline: bool | None = None,
    ) -> Callable[[F], F]:
        """Registers a function that completes one argument of a prompt or one variable of a template.

        Args:
            argument: the argument's name.
            prompt: the prompt, by name or by the function registered as one.
            resource: the template, by its URI or by its function.
            timeout, scopes, visible_to: those of `tool`. They are the same for all arguments of one prompt or
                template: the first function sets them, later ones may omit them. They are visible to the
                callers that see the prompt or template.

        The function takes the value so far and, if it has a second parameter, the other arguments as a dict.
        It returns the values that complete it, or a `Completion`.

        Raises:
            ValueError: an earlier function of the same prompt or template set other options.
        """
        kind, owner = self._completed(prompt, resource)
        options = _behaviour(timeout, scopes, visible_to)

        def register(fn: F) -> F:
            _refuse_unbound(fn, f"completion {f'{owner}.{argument}'!r}", f"server.completion({argument!r}, {kind}={owner!r})")
            completer = Completer(fn, f"{owner}.{argument}", Signature(fn), self._quick(inline), self._mask)
            completers = self._completers.get((kind, owner))
            if completers is None:
                completers = self._completers[(kind, owner)] = Completers(options)
                reference = {"type": f"ref/{kind}", "name" if kind == "prompt" else "uri": owner}
                self._add("completion", f"{kind} {owner}", {"ref": reference}, options, completers)
            elif options and options != completers.options:
                raise ValueError(f"{owner!r}: its first completion says the timeout, scopes and visible_to of all")
            completers.by_argument[argument] = completer
            return fn

        return register

    def _completed(self, prompt: Any, resource: Any) -> tuple[str, str]:
        if (prompt is None) == (resource is None):
            raise TypeError("a completion belongs to a prompt or to a resource")
        owner: Any = prompt if prompt is not None else resource
        if callable(owner):
            owner = self._names[owner][1]
        return ("resource" if prompt is None else "prompt"), owner

    def remove_tool(self, name: str) -> bool:
        """Removes a tool. False: no such tool."""
        return self._remove("tool", name)

    def remove_resource(self, uri: str) -> bool:
        """Removes a resource or template. False: no such resource or template."""
        return self._remove("resource" if _variables(uri) is None else "resource_template", uri)

    def remove_prompt(self, name: str) -> bool:
        """Removes a prompt. False: no such prompt."""
        return self._remove("prompt", name)

    def remove_completion(
        self, *, prompt: str | Callable[..., Any] | None = None, resource: str | Callable[..., Any] | None = None
    ) -> bool:
        """Removes the completions of all arguments of a prompt, or variables of a template. False: there were
        none."""
        kind, owner = self._completed(prompt, resource)
        self._completers.pop((kind, owner), None)
        return self._remove("completion", f"{kind} {owner}")

    # --------------------------------------------------------------------------------------------- changes

    def notify_resource_updated(self, uri: str) -> bool:
        """Notifies the subscribers of a resource that it has changed. May be called on any thread.

        (Added or removed tools, resources and prompts need no call: the clients are notified automatically.)

        Returns:
            True if the server is being served.
        """
        host = self._host
        if host is None:
            return False
        return host.call("notify", host.handle, "resource_updated", dumps({"uri": uri}))  # type: ignore[no-any-return]

    def notify_elicitation_complete(self, elicitation_id: str) -> bool:
        """Notifies a client that the interaction at a page (`Context.elicit_url`) is complete. May be called
        on any thread, and in any process that shares the server's store.

        Only the session that received the elicitation is notified, once, and only if its revision has that
        notification: 2025-11-25. (2025-11-25, elicitation, "Completion Notifications for URL Mode
        Elicitation".) Later clients retry their request when the user is back.

        Returns:
            True if the server is being served.
        """
        host = self._host
        if host is None:
            return False
        params = dumps({"elicitationId": elicitation_id})
        return host.call("notify", host.handle, "elicitation_complete", params)  # type: ignore[no-any-return]

    def on_roots_changed(self, fn: F) -> F:
        """Registers a function, `def` or `async def`, for notifications of a client that its roots have
        changed; also a decorator. It takes no arguments; its exceptions are logged under `trunnion`."""
        _refuse_unbound(fn, "on_roots_changed", "server.on_roots_changed")
        self._roots_changed = fn
        return fn

    def _notified(self, host: Host, body: Mapping[str, Any]) -> None:
        if body["event"] == "roots_changed" and self._roots_changed is not None:
            host.run_callback(self._roots_changed, "on_roots_changed")

    # --------------------------------------------------------------------------------------------- serving

    def run(self, transport: str = "stdio", **options: Unpack[RunOptions]) -> None:
        """Serves until the client closes the stream, or Ctrl-C or SIGTERM stops the process.

        Args:
            transport: `stdio`, or `http` for Streamable HTTP.
            options: for `http`, those of `serve_http`.

        Raises:
            RuntimeError: an event loop runs on this thread; `run` would stop it.
        """
        if _on_a_loop():
            raise RuntimeError("run() would block the running event loop: await serve_stdio(), or use serve_http()")
        scope = _SCOPES.get(transport)
        if scope is None:
            raise ValueError(f"transport is 'stdio' or 'http', not {transport!r}")
        left: dict[str, Any] = dict(options)
        _no_carrying(left)
        text = dumps(take_options(scope, left))
        refuse_options("run", left)
        self._settle()
        checks = self._verifier is not None and self._verifier.is_async
        if checks or any(_is_async(handler) for handler in self._handlers.values()):
            import asyncio

            from ._serve import run_async

            asyncio.run(run_async(self, scope, text, self._announce))
        else:
            from ._sync import run

            run(self, self._driver or default_driver(), scope, text, self._announce)

    async def serve_stdio(self) -> None:
        """Serves the standard streams on the running loop until the client closes them."""
        from ._serve import Serving

        async with Serving(self, "serve_stdio", "{}", listens=False) as serving:
            await serving.wait()

    def serve_http(
        self, host: str | None = None, port: int | None = None, **options: Unpack[ServeHttpOptions]
    ) -> Serving:
        """Serves Streamable HTTP on the running loop.

        Args:
            host: address to bind, by default 127.0.0.1.
            port: port to bind; by default any free one.
            options: path, allowed_hosts, allowed_origins, public_url, trusted_proxies, sessions,
                session_idle (in seconds), max_sessions: docs/options.

        Returns:
            A `Serving`: `async with server.serve_http() as serving: print(serving.url)`.
        """
        from ._serve import Serving

        given: dict[str, Any] = {**options, "host": host, "port": port}
        given = {k: v for k, v in given.items() if v is not None}
        _no_carrying(given)
        text = dumps(take_options("serve_http", given))
        refuse_options("serve_http", given)
        return Serving(self, "serve_http", text, listens=True)

    def asgi(self, **options: Unpack[CarriedOptions]) -> AsgiApp:
        """The server as an ASGI 3 application, to embed in another web server or framework.

        It answers at `path`, by default `/mcp`; mounted somewhere, at the mount point too. In FastAPI and
        Starlette it is a route, `app.add_route("/mcp", server.asgi())`: `app.mount` would redirect `/mcp` to
        `/mcp/`. If the web server supports the lifespan protocol the engine lives as long as the application,
        else until `aclose()`.

        Args:
            options: those of `serve_http` except host and port.
        """
        from ._asgi import AsgiApp

        left: dict[str, Any] = dict(options)
        for name in ("host", "port", "unix_socket"):
            if name in left:
                raise TypeError(f"asgi() has no option {name!r}")
        _no_carrying(left)
        settings = {**take_options("serve_http", left), "carried": True}
        refuse_options("asgi", left)
        return AsgiApp(self, settings)

    # --------------------------------------------------------------------------------------------- internals

    def _announce(self, url: str) -> None:
        print(f"{self.name} listens on {url}", file=sys.stderr, flush=True)

    def _quick(self, inline: bool | None) -> bool:
        return self._inline if inline is None else inline

    def _build(self, fn: Any, key: tuple[str, str], label: str, build: Callable[[], None]) -> None:
        if key in self._names.values():
            raise ValueError(f"there is a {key[0].replace('_', ' ')} {key[1]!r} already")
        try:
            self._names[fn] = key
        except TypeError:
            # A callable object that cannot be hashed: only its key can name it.
            self._names[build] = key
        try:
            build()
        except NameError as error:
            if self._host is not None:
                self._unname(key)
                raise NameError(f"{label}: {error}") from None
            # A type hint of a class that is defined further down: retried when serving starts.
            self._deferred.append((key, label, build))
        except TypeError as error:
            self._unname(key)
            raise TypeError(f"{label}: {error}") from error
        except BaseException:
            self._unname(key)
            raise

    def _unname(self, key: tuple[str, str]) -> None:
        self._names = {f: k for f, k in self._names.items() if k != key}

    def _settle(self) -> None:
        while self._deferred:
            _, label, build = self._deferred[0]
            try:
                build()
            except (NameError, TypeError) as error:
                raise type(error)(f"{label}: {error}") from error
            del self._deferred[0]

    def _add(
        self,
        item: str,
        key: str,
        definition: Mapping[str, Any],
        options: Mapping[str, Any],
        handler: Any,
        asks: Mapping[str, Question[Any]] | None = None,
    ) -> None:
        target = next(_targets)
        if asks:
            handler.asks = dict(asks)
            options = {**options, "asks": {name: question.to_json() for name, question in asks.items()}}
        body = dumps({k: v for k, v in definition.items() if v is not None and v != ""})
        entry = _Item(item, key, body, dumps({k: v for k, v in options.items() if v is not None}), target)
        if self._host is not None:
            entry.add(self._host)
        self._items[(item, key)] = entry
        self._handlers[target] = handler

    def _remove(self, item: str, key: str) -> bool:
        waiting = len(self._deferred)
        self._deferred = [deferred for deferred in self._deferred if deferred[0] != (item, key)]
        entry = self._items.pop((item, key), None)
        self._unname((item, key))
        if entry is None:
            return len(self._deferred) < waiting
        self._handlers.pop(entry.target, None)
        if self._host is not None:
            self._host.call("server_remove", self._host.handle, item, key)
        return True

    def _async_host(self) -> AsyncHost:
        """The host of the running loop, made if there is none."""
        import asyncio

        from ._aio import AsyncHost

        host = self._host
        if host is not None:
            if isinstance(host, AsyncHost) and host.loop is asyncio.get_running_loop():
                return host
            if not (isinstance(host, AsyncHost) and host.loop.is_closed()):
                raise RuntimeError("the server is being served by another loop or thread")
            host.shut(0)
        self._settle()
        self._host = AsyncHost(self._driver or default_driver(), self._engine_options, self)
        return self._host  # type: ignore[no-any-return]

    def _forget(self, host: Any) -> None:
        if self._host is host:
            self._host = None


_SCOPES = {"stdio": "serve_stdio", "http": "serve_http"}


def default_driver() -> str:
    """Returns the default driver: hosted if the engine's reactor can be a descriptor of the loop, else
    threaded."""
    return "threaded" if sys.platform == "win32" else "hosted"


def take_options(scope: str, given: dict[str, Any]) -> dict[str, Any]:
    """Takes a scope's options from keyword arguments, in the engine's spelling. A duration is in seconds, or
    under its name with `_ms` in milliseconds."""
    known = OPTIONS.get(scope, {})
    taken = {}
    for name in list(given):
        if name in known:
            taken[known[name]] = given.pop(name)
        elif f"{name}_ms" in known:
            seconds = given.pop(name)
            taken[known[f"{name}_ms"]] = None if seconds is None else round(seconds * 1000)
    return taken


def milliseconds(option: str, seconds: float | None) -> int | None:
    """A time limit in the engine's form. 0 means none, so a limit below a millisecond becomes one."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{option} is a number of seconds, not {seconds!r}")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{option} is a number of seconds, or 0 for no limit, not {seconds!r}")
    return max(1, round(seconds * 1000)) if seconds else 0


def _behaviour(timeout: float | None, scopes: Sequence[str], visible_to: VisibleTo | None) -> dict[str, Any]:
    """The options that every item has: time limit and access rules."""
    if isinstance(scopes, str):
        raise TypeError("scopes is a list, not a text")
    options: dict[str, Any] = {"scopes": list(scopes)} if scopes else {}
    if timeout is not None:
        options["timeoutMs"] = milliseconds("timeout", timeout)
    if visible_to is not None:
        from ._guard import visibility_json

        options["visibleTo"] = visibility_json(visible_to)
    return options


def _no_carrying(options: Mapping[str, Any]) -> None:
    if "carried" in options:
        raise TypeError("HTTP that the program carries itself is what asgi() gives")


def _refuse_unbound(fn: Any, label: str, how: str) -> None:
    """Raises TypeError for a method that is registered in its class, where there is no object to call it
    on."""
    if is_unbound(fn):
        name = getattr(fn, "__name__", "method")
        raise TypeError(f"{label}: a method needs its object; do not decorate it, register the bound one: {how}(obj.{name})")


def refuse_options(what: str, left: Mapping[str, Any]) -> None:
    """Raises TypeError for unknown options."""
    for key in left:
        raise TypeError(f"{what}() has no option {key!r}")


def _variables(uri: str) -> list[str] | None:
    """The variables of a URI template (RFC 6570); None if it is a plain URI."""
    if "{" not in uri:
        return None
    names = []
    for part in uri.split("{")[1:]:
        expression = part.partition("}")[0].lstrip("+#./;?&")
        names += [name.partition(":")[0].rstrip("*") for name in expression.split(",")]
    return names


def _on_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not imported: a program without it has no loop, and starts faster
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_async(handler: Any) -> bool:
    if isinstance(handler, Completers):
        return any(c.is_async for c in handler.by_argument.values())
    return isinstance(handler, Handler) and handler.is_async
