"""JSON Schema, and conversion from JSON and back, for the types of annotations.

There are three functions per type: its schema; a value of it from checked JSON (`loader`: None if the JSON
value is the value); JSON of a value if the encoder alone would produce a wrong form (`dumper`). The engine
validates arguments against the schema, so loaders only convert.
"""

from __future__ import annotations

import collections.abc as cabc
import sys
import types
import typing
from typing import Any, Callable, Mapping

from ._names import hints_of

Loader = Callable[[Any], Any]

_CONSTRAINTS = {
    "title": "title",
    "description": "description",
    "documentation": "description",
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "examples": "examples",
}
_MISSING: Any = object()


class Field:
    """Facts about a parameter or field that a type cannot express; used inside `Annotated[type, Field(...)]`.

    Args:
        description: a description for the model.
        title: a short name for people.
        ge, gt, le, lt, multiple_of: limits of a number.
        min_length, max_length: limits of a string's, list's or object's length.
        pattern: a regular expression a string must match.
        examples: example values.
        extra: further JSON Schema keywords, as they are.
    """

    __slots__ = (*(k for k in _CONSTRAINTS if k != "documentation"), "min_length", "max_length", "extra")

    def __init__(
        self,
        description: str | None = None,
        *,
        title: str | None = None,
        ge: float | None = None,
        gt: float | None = None,
        le: float | None = None,
        lt: float | None = None,
        multiple_of: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        examples: list[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.description = description
        self.title = title
        self.ge = ge
        self.gt = gt
        self.le = le
        self.lt = lt
        self.multiple_of = multiple_of
        self.min_length = min_length
        self.max_length = max_length
        self.pattern = pattern
        self.examples = examples
        self.extra = extra


_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
# By qualified name, so that types that the program does not use cause no import.
_NAMED: dict[str, dict[str, Any]] = {
    "datetime.datetime": {"type": "string", "format": "date-time"},
    "datetime.date": {"type": "string", "format": "date"},
    "datetime.time": {"type": "string", "format": "time"},
    "datetime.timedelta": {"type": "number", "description": "Seconds."},
    "uuid.UUID": {"type": "string", "format": "uuid"},
    "decimal.Decimal": {"type": ["string", "number"]},
}
_ARRAYS = (list, cabc.Sequence, cabc.MutableSequence, cabc.Iterable, cabc.Collection)
_SETS = (set, frozenset, cabc.Set, cabc.MutableSet)
_OBJECTS = (dict, cabc.Mapping, cabc.MutableMapping)


class Schemas:
    """Builds schemas of one root: recursive types and pydantic's definitions are collected in `defs`.

    Args:
        output: whether values leave (a result) or enter (arguments): it matters to pydantic's aliases
            and defaults.
    """

    def __init__(self, output: bool = False) -> None:
        self.output = output
        self.defs: dict[str, Any] = {}
        self._open: dict[type, bool] = {}

    def root(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with its definitions."""
        if self.defs:
            name = schema.get("$ref", "")[len("#/$defs/") :]
            if name in self.defs:
                schema = {k: v for k, v in self.defs[name].items() if k != "$defs"}
            schema = {**schema, "$defs": self.defs}
        return schema

    def of(self, tp: Any) -> dict[str, Any]:
        """The schema of a type.

        Raises:
            TypeError: the type has none.
        """
        try:
            simple = _SIMPLE.get(tp)
        except TypeError:
            simple = None
        if simple is not None:
            return dict(simple)
        origin = typing.get_origin(tp)
        if origin is not None:
            return self._generic(tp, origin, typing.get_args(tp))
        if isinstance(tp, type):
            return self._class(tp)
        alias = getattr(tp, "__value__", None) or getattr(tp, "__supertype__", None)
        if alias is not None:
            return self.of(alias)
        if isinstance(tp, typing.TypeVar):
            return self.of(tp.__bound__) if tp.__bound__ is not None else {}
        raise TypeError(f"{tp!r} has no JSON schema")

    def _generic(self, tp: Any, origin: Any, args: tuple[Any, ...]) -> dict[str, Any]:
        if origin is typing.Annotated:
            return annotate(self.of(args[0]), args[1:])
        if origin is typing.Literal:
            return _enum([getattr(a, "value", a) for a in args])
        if _is_union(origin):
            return {"anyOf": [self.of(a) for a in args]}
        if _is_wrapper(origin):
            return self.of(args[0])
        if origin is tuple:
            if len(args) == 2 and args[1] is Ellipsis:
                return {"type": "array", "items": self.of(args[0])}
            args = () if args == ((),) else args
            fixed = [self.of(a) for a in args]
            return {"type": "array", "prefixItems": fixed, "minItems": len(fixed), "maxItems": len(fixed)}
        if origin in _ARRAYS:
            return {"type": "array", **_items(self.of(args[0]))}
        if origin in _SETS:
            return {"type": "array", "uniqueItems": True, **_items(self.of(args[0]))}
        if origin in _OBJECTS:
            values = self.of(args[1])
            return {"type": "object", "additionalProperties": values or True}
        if isinstance(origin, type):
            return self._class(origin if not hasattr(tp, "model_json_schema") else tp)
        alias = getattr(origin, "__value__", None)
        if alias is not None:
            return self.of(alias)
        raise TypeError(f"{tp!r} has no JSON schema")

    def _class(self, tp: Any) -> dict[str, Any]:
        if tp in _ARRAYS or tp is tuple:
            return {"type": "array"}
        if tp in _SETS:
            return {"type": "array", "uniqueItems": True}
        if tp in _OBJECTS:
            return {"type": "object"}
        named = _NAMED.get(f"{tp.__module__}.{tp.__qualname__}")
        if named is not None:
            return dict(named)
        if hasattr(tp, "model_json_schema"):
            schema = tp.model_json_schema(mode="serialization" if self.output else "validation")
            self.defs.update(schema.pop("$defs", {}))
            return schema  # type: ignore[no-any-return]
        if _is_enum(tp):
            schema = _enum([member.value for member in tp])
            return _described(schema, tp)
        if hasattr(tp, "__fspath__"):
            return {"type": "string"}
        if hasattr(tp, "__dataclass_fields__") or _is_typed_dict(tp) or _is_named_tuple(tp):
            return self._object(tp)
        raise TypeError(f"{tp.__module__}.{tp.__qualname__} has no JSON schema")

    def _object(self, tp: Any) -> dict[str, Any]:
        ref = {"$ref": f"#/$defs/{tp.__name__}"}
        if tp in self._open:
            self._open[tp] = True
            return ref
        self._open[tp] = False
        properties: dict[str, Any] = {}
        required: list[str] = []
        for name, hint, default in members(tp):
            schema = self.of(hint)
            if default is _MISSING:
                required.append(name)
            elif default is not None and default is not Ellipsis:
                with_default(schema, default)
            properties[name] = schema
        schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        schema = _described(schema, tp)
        if self._open.pop(tp):
            self.defs[tp.__name__] = schema
            return ref
        return schema


def annotate(schema: dict[str, Any], metadata: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    """Adds the metadata of `Annotated`: our `Field`, pydantic's, annotated-types, or a plain description."""
    for item in metadata:
        if isinstance(item, str):
            schema["description"] = item
            continue
        for attribute, keyword in _CONSTRAINTS.items():
            value = getattr(item, attribute, None)
            if value is not None and not callable(value):
                schema[keyword] = value
        noun = {"array": "Items", "object": "Properties"}.get(_kind(schema), "Length")
        for attribute in ("min_length", "max_length"):
            value = getattr(item, attribute, None)
            if value is not None:
                schema[attribute[:3] + noun] = value
        extra = getattr(item, "extra", None) or getattr(item, "json_schema_extra", None)
        if isinstance(extra, dict):
            schema.update(extra)
        nested = getattr(item, "metadata", None)
        if isinstance(nested, (list, tuple)):
            annotate(schema, nested)
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    """The type that a schema names; for one that accepts null too, the other."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch.get("type") != "null"]
    kind = branches[0].get("type", "") if len(branches) == 1 else schema.get("type", "")
    return kind if isinstance(kind, str) else ""


def or_none(tp: Any) -> Any:
    """The type, or one that accepts None too if it does not."""
    origin, args = typing.get_origin(tp), typing.get_args(tp)
    if origin is typing.Annotated:
        inner = or_none(args[0])
        parts: Any = (inner, *args[1:])
        return tp if inner is args[0] else typing.Annotated[parts]
    if tp in (Any, object, None, type(None)) or isinstance(tp, typing.TypeVar):
        return tp
    if _is_union(origin) and any(or_none(arg) is arg for arg in args):
        return tp
    if origin is typing.Literal and None in args:
        return tp
    value = getattr(tp, "__value__", None)
    if value is not None and or_none(value) is value:
        return tp
    return typing.Optional[tp]


def with_default(schema: dict[str, Any], default: Any) -> None:
    """Puts a default into a schema, if it has a JSON form."""
    from ._json import dumps, loads

    try:
        schema["default"] = loads(dumps(default))
    except (TypeError, ValueError, RecursionError):
        pass


def members(tp: Any) -> list[tuple[str, Any, Any]]:
    """Name, type and default of the fields of a dataclass, TypedDict or NamedTuple.

    The default is `_MISSING` if the field is required, Ellipsis if it has one that is not a constant.
    """
    hints = hints_of(tp)
    if hasattr(tp, "__dataclass_fields__"):
        rows = []
        for name, field in tp.__dataclass_fields__.items():
            if not field.init or field._field_type is not _dataclass_field():
                continue
            default: Any = _MISSING
            if field.default is not _dataclass_missing():
                default = field.default
            elif field.default_factory is not _dataclass_missing():
                default = Ellipsis
            rows.append((name, or_none(hints[name]) if default is None else hints[name], default))
        return rows
    if _is_typed_dict(tp):
        return [
            (name, hint, _MISSING if _is_required(tp, name, hint) else Ellipsis)
            for name, hint in hints.items()
        ]
    rows = [(name, hints.get(name, Any), tp._field_defaults.get(name, _MISSING)) for name in tp._fields]
    return [(name, or_none(hint) if default is None else hint, default) for name, hint, default in rows]


def loader(tp: Any, busy: tuple[Any, ...] = ()) -> Loader | None:
    """The conversion of checked JSON to a value of the type; None if the JSON value is the value."""
    if tp is int:
        return _to_int
    origin = typing.get_origin(tp)
    args = typing.get_args(tp)
    if origin is typing.Annotated:
        if any(type(a).__module__.partition(".")[0] == "pydantic" for a in args[1:]):
            return _pydantic(tp)
        return loader(args[0], busy)
    if origin is typing.Literal:
        enums = {a.value: a for a in args if _is_enum(type(a))}
        return (lambda v: enums.get(v, v)) if enums else None
    if _is_union(origin):
        return _union_loader(args, busy)
    if _is_wrapper(origin):
        return loader(args[0], busy)
    if origin is tuple or tp is tuple:
        return _tuple_loader(args, busy)
    base = origin or tp
    if base in _SETS:
        item = loader(args[0], busy) if args else None
        make: Callable[[Any], Any] = frozenset if base is frozenset else set
        return make if item is None else _each(item, make)
    if base in _ARRAYS:
        item = loader(args[0], busy) if args else None
        return None if item is None else _each(item, list)
    if base in _OBJECTS:
        item = loader(args[1], busy) if args else None
        return None if item is None else _each_value(item)
    if isinstance(base, type):
        return _class_loader(tp, base, busy)
    alias = getattr(tp, "__value__", None) or getattr(tp, "__supertype__", None)
    return loader(alias, busy) if alias is not None else None


def dumper(tp: Any, busy: tuple[Any, ...] = ()) -> Loader | None:
    """The conversion of a value to JSON if the encoder would produce a wrong form: named tuples, which are
    objects."""
    origin = typing.get_origin(tp)
    args = typing.get_args(tp)
    if origin is typing.Annotated or _is_wrapper(origin):
        return dumper(args[0], busy)
    if origin in _ARRAYS and args:
        item = dumper(args[0], busy)
        return None if item is None else _each(item, list)
    if origin in _OBJECTS and args:
        item = dumper(args[1], busy)
        return None if item is None else _each_value(item)
    if _is_union(origin):
        dumpers = [(a, dumper(a, busy)) for a in args if isinstance(a, type)]
        table = {a: d for a, d in dumpers if d is not None}
        return (lambda v: table[type(v)](v) if type(v) in table else v) if table else None
    if not isinstance(tp, type) or tp in busy:
        return None
    if _is_named_tuple(tp) or hasattr(tp, "__dataclass_fields__"):
        parts = [(name, dumper(hint, (*busy, tp))) for name, hint, _ in members(tp)]
        if not _is_named_tuple(tp) and all(part is None for _, part in parts):
            return None
        return lambda v: {n: getattr(v, n) if d is None else d(getattr(v, n)) for n, d in parts}
    return None


def formless(tp: Any, busy: tuple[Any, ...] = ()) -> type | None:
    """A class in a type whose values have no JSON form, if there is one. An abstract class may stand for
    subclasses that have one."""
    if tp is Any or tp is object:
        return None
    origin, args = typing.get_origin(tp), typing.get_args(tp)
    if origin is typing.Literal:
        return None
    if origin is not None:
        if origin is typing.Annotated:
            args = args[:1]
        elif origin in _OBJECTS:
            args = args[1:]
        elif isinstance(origin, type) and not (origin is tuple or origin in _ARRAYS or origin in _SETS or _is_union(origin)):
            # A generic class: it defines the meaning of its arguments itself.
            return formless(origin, busy)
        return next((found for arg in args if (found := formless(arg, busy)) is not None), None)
    if not isinstance(tp, type):
        alias = getattr(tp, "__value__", None) or getattr(tp, "__supertype__", None)
        return None if alias is None else formless(alias, busy)
    if tp in busy:
        return None
    if hasattr(tp, "__dataclass_fields__") or _is_typed_dict(tp) or _is_named_tuple(tp):
        return next((f for _, hint, _ in members(tp) if (f := formless(hint, (*busy, tp))) is not None), None)
    return None if _has_form(tp) else tp


_WRITTEN = (str, int, float, type(None), list, tuple, dict, bytes, bytearray, memoryview, set, frozenset)
_WRITTEN_BY = ("model_dump", "__trunnion_model__", "isoformat", "total_seconds", "__fspath__")


def _has_form(tp: type) -> bool:
    """True if `_json.plain` has a form of its values, or may have one of its subclasses' values."""
    return (
        issubclass(tp, _WRITTEN)
        or any(hasattr(tp, name) for name in _WRITTEN_BY)
        or _is_enum(tp)
        or tp.__name__ in ("UUID", "Decimal", "Fraction")
        or (hasattr(tp, "__getitem__") and hasattr(tp, "keys"))
        or (hasattr(tp, "__iter__") and hasattr(tp, "__len__"))
        or bool(getattr(tp, "__abstractmethods__", None))
        or getattr(tp, "_is_protocol", False)
    )


def _to_int(value: Any) -> Any:
    # JSON Schema calls 3.0 an integer; Python's `range` does not.
    return int(value) if type(value) is float else value


def _class_loader(tp: Any, base: Any, busy: tuple[Any, ...]) -> Loader | None:
    if hasattr(tp, "model_validate"):
        return tp.model_validate  # type: ignore[no-any-return]
    if _is_enum(base):
        return base  # type: ignore[no-any-return]
    if base is bytes:
        from binascii import a2b_base64

        return a2b_base64
    name = f"{base.__module__}.{base.__qualname__}"
    if name in ("datetime.datetime", "datetime.time"):
        # 3.10 does not read the suffix Z.
        return lambda v: base.fromisoformat(v[:-1] + "+00:00" if v[-1:] in "Zz" else v)
    if name == "datetime.date":
        return base.fromisoformat  # type: ignore[no-any-return]
    if name == "datetime.timedelta":
        return lambda v: base(seconds=v)
    if name in ("uuid.UUID", "decimal.Decimal"):
        return lambda v: base(str(v))
    if hasattr(base, "__fspath__"):
        return base  # type: ignore[no-any-return]
    structured = hasattr(base, "__dataclass_fields__") or _is_named_tuple(base)
    if not structured and not _is_typed_dict(base):
        return None
    if base in busy:
        # A recursive type: the loader is resolved on use.
        return lambda v: _recursive(base)(v)
    parts = {
        name: load for name, hint, _ in members(base) if (load := loader(hint, (*busy, base))) is not None
    }
    if not structured:
        if not parts:
            return None
        return lambda v: {k: parts[k](x) if k in parts else x for k, x in v.items()}
    names = {name for name, _, _ in members(base)}
    if not parts:
        return lambda v: base(**{k: x for k, x in v.items() if k in names})
    return lambda v: base(**{k: parts[k](x) if k in parts else x for k, x in v.items() if k in names})


_loaders: dict[Any, Loader] = {}


def _recursive(tp: Any) -> Loader:
    found = _loaders.get(tp)
    if found is None:
        found = _loaders[tp] = loader(tp) or _same
    return found


def _same(value: Any) -> Any:
    return value


def _each(item: Loader, make: Callable[[Any], Any]) -> Loader:
    return lambda values: make(map(item, values))


def _each_value(item: Loader) -> Loader:
    return lambda values: {key: item(value) for key, value in values.items()}


def _tuple_loader(args: tuple[Any, ...], busy: tuple[Any, ...]) -> Loader:
    if not args or (len(args) == 2 and args[1] is Ellipsis):
        item = loader(args[0], busy) if args else None
        return tuple if item is None else _each(item, tuple)
    items = [loader(a, busy) or _same for a in args]
    return lambda v: tuple(load(x) for load, x in zip(items, v))


def _union_loader(args: tuple[Any, ...], busy: tuple[Any, ...]) -> Loader | None:
    choices = [(a, loader(a, busy)) for a in args if a is not type(None)]
    if all(load is None or load is _to_int for _, load in choices):
        return None
    optional = len(choices) < len(args)
    if len(choices) == 1:
        only = choices[0][1] or _same
        return lambda v: None if v is None else only(v)

    def load_union(value: Any) -> Any:
        if value is None and optional:
            return None
        for tp, load in choices:
            if not _fits(value, tp):
                continue
            if load is None:
                return value
            try:
                return load(value)
            except (TypeError, ValueError, KeyError):
                continue
        return value

    return load_union


def _fits(value: Any, tp: Any) -> bool:
    """True if a JSON value can be meant for a member of a union."""
    while typing.get_origin(tp) is typing.Annotated:
        tp = typing.get_args(tp)[0]
    base = typing.get_origin(tp) or tp
    if not isinstance(base, type):
        return True
    if isinstance(value, dict):
        if hasattr(base, "__dataclass_fields__") or _is_typed_dict(base) or _is_named_tuple(base):
            rows = members(base)
            names = {name for name, _, _ in rows}
            return names.issuperset(value) and all(
                name in value or default is not _MISSING for name, _, default in rows
            )
        return base in _OBJECTS or hasattr(base, "model_validate")
    if isinstance(value, list):
        return base in _ARRAYS or base in _SETS or base is tuple
    if isinstance(value, bool):
        return base is bool
    if isinstance(value, (int, float)):
        return base in (int, float) or base.__module__ in ("datetime", "decimal") or _is_enum(base)
    if isinstance(value, str):
        return base not in (int, float, bool) and not hasattr(base, "__dataclass_fields__")
    return True


def _pydantic(tp: Any) -> Loader:
    from pydantic import TypeAdapter

    return TypeAdapter(tp).validate_python


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    return {"items": schema} if schema else {}


def _enum(values: list[Any]) -> dict[str, Any]:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    kinds = sorted({names.get(type(v), "") for v in values})
    if "" in kinds:
        raise TypeError(f"{values!r} are not all JSON scalars")
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _described(schema: dict[str, Any], tp: Any) -> dict[str, Any]:
    doc = tp.__dict__.get("__doc__")
    # Dataclasses, named tuples and enums have a generated docstring.
    if doc and not doc.startswith(f"{tp.__name__}(") and doc != "An enumeration.":
        schema["description"] = " ".join(doc.split("\n\n")[0].split())
    return schema


def _is_union(origin: Any) -> bool:
    return origin is typing.Union or origin is types.UnionType


def _is_wrapper(origin: Any) -> bool:
    return getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly")


def _is_enum(tp: Any) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(tp, enum.EnumMeta)


def _is_typed_dict(tp: Any) -> bool:
    return isinstance(tp, type) and issubclass(tp, dict) and hasattr(tp, "__total__")


def _is_named_tuple(tp: Any) -> bool:
    return isinstance(tp, type) and issubclass(tp, tuple) and hasattr(tp, "_fields")


def _is_required(tp: Any, name: str, hint: Any) -> bool:
    # With postponed annotations `__required_keys__` is wrong: the hint is right.
    wrapper = getattr(typing.get_origin(hint), "_name", None)
    if wrapper in ("Required", "NotRequired"):
        return wrapper == "Required"  # type: ignore
    return bool(name in tp.__required_keys__)


def _dataclass_missing() -> Any:
    return sys.modules["dataclasses"].MISSING


def _dataclass_field() -> Any:
    return sys.modules["dataclasses"]._FIELD


def is_object(schema: Mapping[str, Any]) -> bool:
    """True if a schema describes JSON objects, as a tool's output schema must."""
    return schema.get("type") == "object"
