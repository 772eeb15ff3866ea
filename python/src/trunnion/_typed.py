"""Results as values of a type that the caller names: the JSON is checked, then converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping

from ._generated import ProtocolError
from ._handler import NOT_JSON, is_kind, loads_text
from ._schema import Schemas, loader

if TYPE_CHECKING:
    from ._models import CallResult


def reader(tp: Any, what: str) -> Callable[[CallResult], Any]:
    """Returns the function that makes a value of a type from a result.

    Args:
        tp: the type.
        what: whose result it is, for errors.

    Raises:
        TypeError: the type has no JSON schema.
    """
    schemas = Schemas()
    root = schemas.root(schemas.of(tp))
    load = loader(tp)
    name = getattr(tp, "__name__", None) if isinstance(tp, type) and not hasattr(tp, "__args__") else repr(tp)

    def read(result: CallResult) -> Any:
        value = result.data
        if result.structured is None and violation(value, root, root):
            # Servers without structured results send the JSON as text.
            parsed = loads_text(value)
            value = value if parsed is NOT_JSON else parsed
        wrong = violation(value, root, root)
        if wrong is None:
            try:
                return value if load is None else load(value)
            except Exception as error:
                wrong = str(error) or type(error).__name__
        raise ProtocolError(f"{what}: the result is not of type {name}: {wrong}")

    return read


def violation(value: Any, schema: Any, root: Mapping[str, Any], path: str = "it") -> str | None:
    """The violation in a value, or None, as far as the schemas of types extend: types, choices, members and
    items."""
    if not isinstance(schema, Mapping):
        return None
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        return violation(value, root["$defs"][reference[len("#/$defs/") :]], root, path)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        found = [violation(value, branch, root, path) for branch in branches]
        if None not in found:
            return found[0] if len([b for b in branches if b.get("type") != "null"]) == 1 else f"{path} is of no type that it may have"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        return f"{path} is not of type {kind if isinstance(kind, str) else ' or '.join(kind)}"
    if isinstance(value, dict):
        return _object(value, schema, root, path)
    if isinstance(value, list):
        return _array(value, schema, root, path)
    return None


def _is(value: Any, kind: Any) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    # JSON Schema calls 3.0 an integer.
    return is_kind(value, kinds) or ("integer" in kinds and type(value) is float and value.is_integer())


def _object(value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> str | None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{path}.{name} is missing"
    for name, item in value.items():
        wrong = violation(item, properties.get(name, schema.get("additionalProperties")), root, f"{path}.{name}")
        if wrong is not None:
            return wrong
    return None


def _array(value: list[Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> str | None:
    fixed = schema.get("prefixItems", [])
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f"{path} has {len(value)} items"
    for place, item in enumerate(value):
        each = fixed[place] if place < len(fixed) else schema.get("items")
        wrong = violation(item, each, root, f"{path}[{place}]")
        if wrong is not None:
            return wrong
    return None
