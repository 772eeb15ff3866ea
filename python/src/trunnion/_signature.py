"""The signature and docstring of a handler, read without `inspect` if a plain function allows it."""

from __future__ import annotations

import types
import typing
from typing import Any, Callable

from ._names import around_function
from ._schema import Schemas, annotate, or_none, with_default

EMPTY: Any = object()
_VARARGS, _VARKEYWORDS, _COROUTINE = 0x04, 0x08, 0x80


class Parameter:
    """One parameter: name, type (`EMPTY` if not annotated) and default (`EMPTY` if required)."""

    __slots__ = ("name", "hint", "default")

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.hint = hint
        self.default = default


class Signature:
    """The signature of a handler.

    Attributes:
        parameters: those that the caller's arguments fill, without the context.
        context: the name of the parameter that takes the `Context`, or None.
        open: true if it accepts any other keyword (`**kwargs`).
        returns: the return type; `EMPTY` if not annotated.
        is_async: true if calling it returns a coroutine.
    """

    __slots__ = ("parameters", "context", "open", "returns", "is_async", "description", "docs")

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.is_async = is_async(fn)
        rows, self.open, hints = _read(fn)
        self.returns = hints.get("return", EMPTY)
        self.context: str | None = None
        self.parameters: list[Parameter] = []
        for name, default in rows:
            hint = hints.get(name, EMPTY)
            if _is_context(hint):
                self.context = name
            else:
                self.parameters.append(Parameter(name, hint if hint is EMPTY else _with_none(hint, default), default))
        self.description, self.docs = parse_doc(fn.__doc__ or "")

    def schema(self) -> dict[str, Any]:
        """The schema of the arguments object.

        Raises:
            TypeError: a parameter's type has no schema; the message names the parameter.
            NameError: a name in a parameter's type is not defined (yet).
        """
        schemas = Schemas()
        properties: dict[str, Any] = {}
        required: list[str] = []
        for parameter in self.parameters:
            try:
                schema = schemas.of(Any if parameter.hint is EMPTY else parameter.hint)
            except (TypeError, NameError) as error:
                raise type(error)(f"parameter {parameter.name!r}: {error}") from None
            if parameter.name in self.docs:
                schema.setdefault("description", self.docs[parameter.name])
            if parameter.default is EMPTY:
                required.append(parameter.name)
            elif _is_field_info(parameter.default):
                # pydantic's `x: int = Field(...)`: the default is a description of one.
                annotate(schema, [parameter.default])
                if parameter.default.is_required():
                    required.append(parameter.name)
                else:
                    with_default(schema, parameter.default.get_default(call_default_factory=True))
            else:
                with_default(schema, parameter.default)
            properties[parameter.name] = schema
        root: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            root["required"] = required
        root["additionalProperties"] = self.open
        return schemas.root(root)

    def names(self) -> frozenset[str] | None:
        """The names of the arguments that it accepts; None: any."""
        return None if self.open else frozenset(p.name for p in self.parameters)

    def arguments(self) -> list[dict[str, Any]]:
        """The arguments of a prompt."""
        rows = []
        for parameter in self.parameters:
            row: dict[str, Any] = {"name": parameter.name}
            about = {} if parameter.hint is EMPTY else Schemas().of(parameter.hint)
            description = about.get("description") or self.docs.get(parameter.name)
            if description:
                row["description"] = description
            row["required"] = parameter.default is EMPTY
            rows.append(row)
        return rows

    def field_defaults(self) -> dict[str, Callable[[], Any]]:
        """Replaces defaults in pydantic's `Field`, which Python itself would pass unchanged."""
        return {
            p.name: lambda info=p.default: info.get_default(call_default_factory=True)  # type: ignore[misc]
            for p in self.parameters
            if p.default is not EMPTY and _is_field_info(p.default)
        }


def _read(fn: Callable[..., Any]) -> tuple[list[tuple[str, Any]], bool, dict[str, Any]]:
    """Names with defaults, true if there is `**kwargs`, and resolved annotations."""
    plain: Any = fn
    skip = 0
    if type(fn) is types.MethodType:
        plain, skip = fn.__func__, 1
    if type(plain) is not types.FunctionType or hasattr(plain, "__wrapped__"):
        return _inspect(fn)
    code = plain.__code__
    if code.co_posonlyargcount > skip:
        raise TypeError(f"{plain.__name__}: positional-only parameters have no name for the caller")
    if code.co_flags & _VARARGS:
        raise TypeError(f"{plain.__name__}: *args has no names for the caller")
    count = code.co_argcount
    names = code.co_varnames
    defaults = plain.__defaults__ or ()
    keyword = plain.__kwdefaults__ or {}
    first = count - len(defaults)
    rows = [(names[i], EMPTY if i < first else defaults[i - first]) for i in range(skip, count)]
    rows += [(n, keyword.get(n, EMPTY)) for n in names[count : count + code.co_kwonlyargcount]]
    return rows, bool(code.co_flags & _VARKEYWORDS), _hints(plain)


def _inspect(fn: Callable[..., Any]) -> tuple[list[tuple[str, Any]], bool, dict[str, Any]]:
    import inspect

    signature = inspect.signature(fn)
    rows: list[tuple[str, Any]] = []
    open_ = False
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            open_ = True
        elif p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY):
            raise TypeError(f"{p.name}: parameters need a name for the caller")
        else:
            rows.append((p.name, EMPTY if p.default is p.empty else p.default))
    target: Any = fn
    while isinstance(target, _partial()):
        target = target.func
    target = inspect.unwrap(target)
    if not isinstance(target, (types.FunctionType, types.MethodType, type)):
        target = type(target).__call__
    return rows, open_, _hints(target)


def _partial() -> Any:
    from functools import partial

    return partial


def _hints(fn: Any) -> dict[str, Any]:
    found = getattr(fn, "__annotations__", {})
    if not any(isinstance(hint, str) or _is_forward(hint) for hint in found.values()):
        return dict(found)
    from . import Context

    # A name imported for the type checker only is missing at run time; the context is the usual one.
    names = {} if "Context" in getattr(fn, "__globals__", {}) else {"Context": Context}
    names.update(around_function(fn))
    try:
        return typing.get_type_hints(fn, localns=names, include_extras=True)
    except NameError:
        for name, hint in found.items():
            _resolve(name, hint, getattr(fn, "__globals__", {}), names)
        raise


def _resolve(name: str, hint: Any, globals: dict[str, Any], names: dict[str, Any]) -> None:
    """Raises a NameError that names the annotation."""

    def probe() -> None: ...

    probe.__annotations__ = {name: hint}
    try:
        typing.get_type_hints(probe, globals, names)
    except NameError as error:
        where = "the return type" if name == "return" else f"parameter {name!r}"
        raise NameError(f"{where}: {error}") from None


def _with_none(hint: Any, default: Any) -> Any:
    """The type of a parameter with this default: a default of None is a value like others."""
    if _is_field_info(default) and not default.is_required():
        default = default.get_default(call_default_factory=True)
    return or_none(hint) if default is None else hint


def is_unbound(fn: Any) -> bool:
    """True if it is a method without its object: a class method as defined in the class, or a function whose
    first parameter is `self` or `cls`, without an annotation."""
    if isinstance(fn, classmethod):
        return True
    while not isinstance(fn, types.MethodType) and hasattr(fn, "__wrapped__") and not hasattr(fn, "__signature__"):
        fn = fn.__wrapped__
    if not isinstance(fn, types.FunctionType) or fn.__code__.co_argcount == 0:
        return False
    first = fn.__code__.co_varnames[0]
    return first in ("self", "cls") and first not in fn.__annotations__


def _is_forward(hint: Any) -> bool:
    return isinstance(hint, typing.ForwardRef) or any(
        isinstance(a, (str, typing.ForwardRef)) and typing.get_origin(hint) is not typing.Literal
        for a in typing.get_args(hint)
    )


def is_async(fn: Any) -> bool:
    """True if calling it returns a coroutine."""
    # A decorator that uses `functools.wraps` and passes the coroutine on is as async as the wrapped function.
    while True:
        if isinstance(fn, types.MethodType):
            fn = fn.__func__
        elif hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif isinstance(fn, _partial()):
            fn = fn.func
        else:
            break
    if not isinstance(fn, types.FunctionType):
        fn = getattr(type(fn), "__call__", None)
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def _is_context(hint: Any) -> bool:
    from ._context import Context

    if isinstance(hint, type):
        return issubclass(hint, Context)
    return any(isinstance(a, type) and issubclass(a, Context) for a in typing.get_args(hint))


def _is_field_info(value: Any) -> bool:
    return type(value).__name__ == "FieldInfo" and hasattr(value, "is_required")


# ------------------------------------------------------------------------------------------- docstrings

_SECTIONS = ("args", "arguments", "parameters", "params", "keyword args", "other parameters")


def parse_doc(doc: str) -> tuple[str, dict[str, str]]:
    """The description, and the description of each parameter, of a docstring.

    Understands Google ("Args:"), NumPy ("Parameters" underlined) and Sphinx (":param x:") styles. The
    parameters' part is left out of the description; everything else stays.
    """
    lines = _dedent(doc)
    text: list[str] = []
    docs: dict[str, str] = {}
    i = 0
    while i < len(lines):
        line = lines[i]
        bare = line.strip().lower()
        if bare.rstrip(":") in _SECTIONS:
            if bare.endswith(":") and not line.startswith(" "):
                i = _google(lines, i + 1, docs)
                continue
            if i + 1 < len(lines) and set(lines[i + 1].strip()) == {"-"}:
                i = _numpy(lines, i + 2, docs)
                continue
        if bare.startswith((":param ", ":type ", ":raises ", ":raise ", ":rtype", ":return")):
            i = _sphinx(lines, i, docs)
            continue
        text.append(line)
        i += 1
    return "\n".join(text).strip(), docs


def _dedent(doc: str) -> list[str]:
    lines = doc.expandtabs().splitlines()
    if not lines:
        return []
    margins = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    cut = min(margins, default=0)
    return [lines[0].strip(), *(line[cut:].rstrip() for line in lines[1:])]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _google(lines: list[str], i: int, docs: dict[str, str]) -> int:
    base: int | None = None
    names: list[str] = []
    while i < len(lines):
        line = lines[i]
        if not line.strip():
            i += 1
            continue
        indent = _indent(line)
        if indent == 0:
            break
        base = indent if base is None else base
        if indent <= base:
            head, _, tail = line.strip().partition(":")
            names = [n.strip().lstrip("*") for n in head.partition("(")[0].split(",")]
            for name in names:
                docs[name] = tail.strip()
        else:
            for name in names:
                docs[name] = f"{docs[name]} {line.strip()}".strip()
        i += 1
    return i


def _numpy(lines: list[str], i: int, docs: dict[str, str]) -> int:
    names: list[str] = []
    while i < len(lines):
        line = lines[i]
        if not line.strip():
            i += 1
            continue
        if i + 1 < len(lines) and lines[i + 1].strip() and set(lines[i + 1].strip()) == {"-"}:
            break
        if _indent(line) == 0:
            previous_blank = i > 0 and not lines[i - 1].strip()
            if previous_blank and names and " : " not in line and " " in line.strip():
                break
            names = [n.strip().lstrip("*") for n in line.partition(":")[0].split(",")]
            for name in names:
                docs[name] = ""
        else:
            for name in names:
                docs[name] = f"{docs[name]} {line.strip()}".strip()
        i += 1
    return i


def _sphinx(lines: list[str], i: int, docs: dict[str, str]) -> int:
    field, _, tail = lines[i].strip()[1:].partition(":")
    name = field.split()[-1].lstrip("*") if field.startswith("param ") else None
    parts = [tail.strip()]
    i += 1
    while i < len(lines) and lines[i].strip() and lines[i].startswith(" "):
        parts.append(lines[i].strip())
        i += 1
    if name is not None:
        docs[name] = " ".join(parts).strip()
    return i
