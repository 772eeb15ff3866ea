"""Handlers: from an event to a call of the user's function, and from its return value to a completion.

All decisions that are possible at registration are made then; a call only parses its arguments, runs the
function and encodes the value.
"""

from __future__ import annotations

import types
import typing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Callable, Mapping

from . import _content
from ._asking import Cancelled, Question
from ._content import CONTENT, ToolResult
from ._context import Context
from ._errors import McpError, ToolError
from ._generated import (
    OUTCOME_BASE64,
    OUTCOME_ERROR,
    OUTCOME_RESULT,
    OUTCOME_TEXT,
    OUTCOME_TOOL_ERROR,
    OUTCOME_VALUE,
    InvalidParamsError,
)
from ._json import base64, dumps, loads
from ._models import Completion, PromptResult, ResourceContents
from ._schema import Schemas, dumper, formless, is_object, loader
from ._signature import EMPTY, Signature

if TYPE_CHECKING:
    from ._host import Host

Answer = tuple[int, str]
Done = tuple[int, int, str]


class Handler:
    """One registered function.

    Args:
        fn: the user's function.
        signature: the signature of the function.
        inline: run a `def` function on the engine's own thread instead of a worker thread.
        mask: hide the text of unexpected exceptions from the peer.
    """

    __slots__ = (
        "fn",
        "name",
        "is_async",
        "inline",
        "mask",
        "context",
        "asks",
        "bare",
        "only",
        "loaders",
        "defaults",
        "encode",
    )
    encode: Callable[[Any], Answer]

    def __init__(self, fn: Callable[..., Any], name: str, signature: Signature, inline: bool, mask: bool) -> None:
        self.fn = fn
        self.name = name
        self.is_async = signature.is_async
        self.inline = inline
        self.mask = mask
        self.context = signature.context
        self.asks: Mapping[str, Question[Any]] | None = None
        self.bare = not signature.parameters and not signature.open
        self.only: frozenset[str] | None = None
        self.loaders: dict[str, Callable[[Any], Any]] = {}
        self.defaults = signature.field_defaults()
        found = None if signature.returns is EMPTY else formless(signature.returns)
        if found is not None:
            raise TypeError(f"the return type: {found.__module__}.{found.__qualname__} has no JSON form")

    def start(self, host: Host, id: int, payload: str) -> Done | None:
        """Runs it for one exchange. Returns the completion, or None if that follows later."""
        try:
            arguments = {} if self.bare else self.decode(payload)
            context = None
            if self.context is not None:
                context = arguments[self.context] = Context(
                    host, id, self.asks, not (self.is_async or self.inline)
                )
            if self.is_async:
                return host.run_async(self, id, context, self.fn(**arguments))
            if self.inline:
                outcome, text = self.encode(copy_context().run(self.fn, **arguments))
                return (id, outcome, text)
            host.run_thread(self, id, context, arguments)
            return None
        except (KeyboardInterrupt, SystemExit):
            # On the engine's own thread these end the program.
            raise
        except BaseException as error:
            return (id, *self.failure(error))

    def run(self, id: int, arguments: dict[str, Any]) -> Done:
        """Runs a `def` function to its end, on a thread where an exception means only that it failed."""
        try:
            outcome, text = self.encode(self.fn(**arguments))
        except BaseException as error:
            outcome, text = self.failure(error, arguments.get(self.context or ""))
        return (id, outcome, text)

    def decode(self, payload: str) -> dict[str, Any]:
        """Keyword arguments from the event's payload."""
        return self.convert(loads(payload))

    def convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Converts the arguments to the types of the function's annotations."""
        if self.only is not None:
            arguments = {k: v for k, v in arguments.items() if k in self.only}
        for name, load in self.loaders.items():
            if name in arguments:
                try:
                    arguments[name] = load(arguments[name])
                except McpError:
                    raise
                except Exception as error:
                    raise _BadArgument(name, error) from None
        for name, default in self.defaults.items():
            if name not in arguments:
                arguments[name] = default()
        return arguments

    def failure(self, error: BaseException, context: Context | None = None) -> Answer:
        """The error for the caller. A traceback goes to the log, never to the caller."""
        if isinstance(error, Cancelled) or (context is not None and context._suspended):
            # There is no caller to report to: the run is over, and exceptions of a suspended run have no
            # effect.
            return OUTCOME_TOOL_ERROR, "cancelled"
        if isinstance(error, ToolError):
            return OUTCOME_TOOL_ERROR, error.message
        if isinstance(error, McpError):
            return OUTCOME_ERROR, error_json(error)
        if isinstance(error, _BadArgument):
            return self.invalid(str(error))
        from logging import getLogger

        getLogger("trunnion").error("%s failed", self.name, exc_info=error)
        text = "" if self.mask else _text_of(error)
        return OUTCOME_TOOL_ERROR, f"{self.name} failed" + (f": {text}" if text else "")

    def invalid(self, message: str) -> Answer:
        """The error for the caller about an argument that cannot be converted."""
        return OUTCOME_ERROR, error_json(InvalidParamsError(message))


class Tool(Handler):
    """A tool: schemas from the signature, results from the function's return value."""

    __slots__ = ("input_schema", "output_schema")

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str,
        signature: Signature,
        inline: bool,
        mask: bool,
        input_schema: Mapping[str, Any] | None,
        output_schema: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(fn, name, signature, inline, mask)
        if input_schema is None:
            self.input_schema: Mapping[str, Any] = signature.schema()
        else:
            self.input_schema = input_schema
            self.only = signature.names()
        for p in signature.parameters:
            load = None if p.hint is EMPTY else loader(p.hint)
            if load is not None:
                self.loaders[p.name] = load
        self.output_schema, self.encode = _output(signature.returns)
        if output_schema is not None:
            self.output_schema = output_schema

    def invalid(self, message: str) -> Answer:
        return OUTCOME_TOOL_ERROR, message


class Resource(Handler):
    """A resource or a template: the variables of the template are its parameters."""

    __slots__ = ("uri",)

    def __init__(self, fn: Callable[..., Any], name: str, signature: Signature, inline: bool, mask: bool) -> None:
        super().__init__(fn, name, signature, inline, mask)
        self.uri = any(p.name == "uri" for p in signature.parameters)
        self.only = signature.names()
        self.loaders = _text_loaders(signature)
        self.encode = _resource_answer

    def decode(self, payload: str) -> dict[str, Any]:
        body = loads(payload)
        arguments = body.get("params") or {}
        if self.uri:
            arguments.setdefault("uri", body["uri"])
        return self.convert(arguments)


class Prompt(Handler):
    """A prompt. Its arguments are texts; other types are made of them."""

    __slots__ = ()

    def __init__(self, fn: Callable[..., Any], name: str, signature: Signature, inline: bool, mask: bool) -> None:
        super().__init__(fn, name, signature, inline, mask)
        self.only = signature.names()
        self.loaders = _text_loaders(signature)
        self.encode = _prompt_answer


class Completer(Handler):
    """Completes one argument: called with the value so far."""

    __slots__ = ("value", "others")

    def __init__(self, fn: Callable[..., Any], name: str, signature: Signature, inline: bool, mask: bool) -> None:
        super().__init__(fn, name, signature, inline, mask)
        names = [p.name for p in signature.parameters]
        if not names or len(names) > 2:
            raise TypeError(f"{name}: a completion takes the value and, if it wants, the other arguments")
        self.value = names[0]
        self.others = names[1] if len(names) > 1 else None
        self.encode = _completion_answer

    def decode(self, payload: str) -> dict[str, Any]:
        body = loads(payload)
        arguments = {self.value: body["argument"]["value"]}
        if self.others is not None:
            arguments[self.others] = body.get("arguments") or {}
        return arguments


class Completers:
    """The completions of one prompt or template, by argument, and the options that they share."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.by_argument: dict[str, Completer] = {}

    def start(self, host: Host, id: int, payload: str) -> Done | None:
        """Runs the completion of the requested argument; an argument without one has no suggestions."""
        completer = self.by_argument.get(loads(payload)["argument"]["name"])
        if completer is None:
            return (id, OUTCOME_VALUE, "[]")
        return completer.start(host, id, payload)


class _BadArgument(Exception):
    def __init__(self, name: str, error: Exception) -> None:
        detail = str(error) or type(error).__name__
        super().__init__(f"invalid argument {name!r}: {detail}")


def error_json(error: McpError) -> str:
    """The payload of a completion that is a protocol error."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    # Local codes are never sent.
    if error.code >= 0 and type(error) is not McpError:
        del body["code"]
    try:
        return dumps(body)
    except (TypeError, ValueError, RecursionError):
        # Data without a JSON form must not cost the caller the rest.
        del body["data"]
        return dumps(body)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__name__


# ---------------------------------------------------------------------------------- what tools return


def _output(returns: Any) -> tuple[Mapping[str, Any] | None, Callable[[Any], Answer]]:
    """The output schema of a return annotation, and the encoder of its values."""
    if returns in (EMPTY, None, type(None), str, Any, object, list, tuple) or _has_content(returns):
        return None, tool_answer
    schemas = Schemas(output=True)
    try:
        schema = schemas.of(returns)
    except TypeError:
        return None, tool_answer
    dump = dumper(returns)
    if is_object(schemas.root(schema)):
        return schemas.root(schema), _structured if dump is None else (lambda v: _structured(v, dump))
    wrapped = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    return schemas.root(wrapped), lambda v: _wrapped(v if dump is None else dump(v))


def _has_content(tp: Any) -> bool:
    if isinstance(tp, type) and issubclass(tp, (*CONTENT, ToolResult, ResourceContents)):
        return True
    return any(_has_content(a) for a in typing.get_args(tp))


def _structured(value: Any, dump: Callable[[Any], Any] | None = None) -> Answer:
    if isinstance(value, ToolResult):
        return OUTCOME_RESULT, dumps(value.to_json())
    return OUTCOME_VALUE, dumps(value if dump is None else dump(value))


def _wrapped(value: Any) -> Answer:
    if isinstance(value, ToolResult):
        return OUTCOME_RESULT, dumps(value.to_json())
    json = dumps(value)
    return _wrap(value if isinstance(value, str) else json, json)


def _wrap(text: str, json: str) -> Answer:
    # Put together from its parts: the value, which may be large, is encoded once.
    content = f'[{{"type":"text","text":{dumps(text)}}}]'
    return OUTCOME_RESULT, f'{{"content":{content},"structuredContent":{{"result":{json}}}}}'


def tool_answer(value: Any) -> Answer:
    """The completion of a tool whose return type does not determine the encoding of the value."""
    if isinstance(value, str):
        return OUTCOME_TEXT, value
    if isinstance(value, ToolResult):
        return OUTCOME_RESULT, dumps(value.to_json())
    if value is None:
        return OUTCOME_RESULT, '{"content":[]}'
    if isinstance(value, (*CONTENT, ResourceContents)):
        return OUTCOME_RESULT, dumps({"content": [_content.to_content(value)]})
    if isinstance(value, (list, tuple)) and any(isinstance(v, (*CONTENT, ResourceContents)) for v in value):
        return OUTCOME_RESULT, dumps({"content": [_content.to_content(v) for v in value]})
    text = dumps(value)
    if text[0] == "{":
        return OUTCOME_VALUE, text
    return _wrap(text, text)


# ------------------------------------------------------------------------- resources, prompts, completions


def _resource_answer(value: Any) -> Answer:
    if isinstance(value, str):
        return OUTCOME_TEXT, value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return OUTCOME_BASE64, base64(value)
    if isinstance(value, ResourceContents):
        value = [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, ResourceContents) for v in value):
        return OUTCOME_RESULT, dumps({"contents": [v.to_json() for v in value]})
    return OUTCOME_VALUE, dumps(value)


def _prompt_answer(value: Any) -> Answer:
    if isinstance(value, str):
        return OUTCOME_TEXT, value
    if not isinstance(value, PromptResult):
        value = PromptResult(value)
    return OUTCOME_RESULT, dumps(value.to_json())


def _completion_answer(value: Any) -> Answer:
    if isinstance(value, Completion):
        return OUTCOME_RESULT, dumps({"completion": value.to_json()})
    return OUTCOME_VALUE, dumps([] if value is None else list(value))


def _text_loaders(signature: Signature) -> dict[str, Callable[[Any], Any]]:
    return {
        p.name: _from_text(p.hint)
        for p in signature.parameters
        if p.hint is not EMPTY and p.hint is not str and p.hint is not Any
    }


def _from_text(hint: Any) -> Callable[[Any], Any]:
    """Makes a value of a type from text: unchanged if the type accepts text, else from JSON."""
    load = loader(hint)
    schema = Schemas().of(hint)
    kinds: list[Any] = []
    for choice in schema.get("anyOf", [schema]):
        kind = choice.get("type")
        kinds += kind if isinstance(kind, list) else [kind]

    def from_text(text: str) -> Any:
        value: Any = text
        if "string" not in kinds:
            value = loads_text(text)
            if not any(is_kind(value, kind) for kind in kinds):
                raise ValueError(f"{text!r} is not {' or '.join(_KINDS.get(kind, 'JSON') for kind in kinds)}")
        return value if load is None else load(value)

    return from_text


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
NOT_JSON: Any = object()


def loads_text(text: str) -> Any:
    """JSON of unchecked text; `NOT_JSON` if it is none."""
    import json

    lowered = text.strip().lower()
    if lowered in ("true", "false", "null"):
        return json.loads(lowered)
    try:
        return json.loads(text, parse_constant=lambda _: NOT_JSON)
    except ValueError:
        return NOT_JSON


def is_kind(value: Any, kind: Any) -> bool:
    """True if a JSON value is of a type of JSON Schema, or of one of several."""
    if isinstance(kind, list):
        return any(is_kind(value, k) for k in kind)
    if value is NOT_JSON:
        return False
    if kind is None:
        return True
    expected: Any = {
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
        "string": str,
    }[kind]
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, expected)


def call_name(fn: Any) -> str:
    """The name of a function that a decorator or `partial` may have wrapped."""
    name = getattr(fn, "__name__", None)
    if name is None:
        name = getattr(getattr(fn, "func", fn), "__name__", None) or type(fn).__name__
    if isinstance(fn, str):
        raise TypeError(f"the name is a keyword: name={fn!r}")
    if name == "<lambda>" or isinstance(fn, types.BuiltinFunctionType):
        raise TypeError("give a name to a handler that has none of its own")
    return str(name)
