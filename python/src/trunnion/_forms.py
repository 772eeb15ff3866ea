"""Forms from types: the flat schemas of elicitation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ._models import Form
from ._schema import Schemas, is_object, loader

# The formats of a text field; the reader of the answer checks other formats.
_FORMATS = ("email", "uri", "date", "date-time")
_PRIMITIVES = ("string", "number", "integer", "boolean")


def form_of(schema: Any) -> tuple[dict[str, Any], Callable[[Any], Any] | None]:
    """The JSON Schema of a form, and the conversion of accepted content to a value of the requested type.

    Args:
        schema: a `Form`, its JSON form, or a dataclass, `TypedDict`, `NamedTuple` or pydantic model.

    Raises:
        TypeError: the type has fields that a form cannot have.
    """
    if isinstance(schema, Form):
        return schema.to_json(), None
    if isinstance(schema, Mapping):
        return dict(schema), None
    schemas = Schemas()
    root = schemas.root(schemas.of(schema))
    if not is_object(root) or "properties" not in root:
        raise TypeError(f"{schema!r} has no fields to fill in")
    defs = root.get("$defs", {})
    required = list(root.get("required", ()))
    properties: dict[str, Any] = {}
    for name, field in root["properties"].items():
        properties[name], optional = _field(name, field, defs)
        if optional and name in required:
            # The field may be null, which a form expresses by omitting it; the type still needs a value for
            # it.
            required.remove(name)
    form: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        form["required"] = required
    load = loader(schema)
    left_out = [name for name in root.get("required", ()) if name not in required]
    if not left_out:
        return form, load
    nothing = dict.fromkeys(left_out)
    return form, lambda value: {**nothing, **value} if load is None else load({**nothing, **value})


def _field(name: str, field: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A field in the form's schema, and true if it may be null."""
    field = _resolved(field, defs)
    optional = False
    if "anyOf" in field:
        choices = [_resolved(choice, defs) for choice in field["anyOf"]]
        kept = [choice for choice in choices if choice.get("type") != "null"]
        optional = len(kept) < len(choices)
        if len(kept) == 1:
            field = {**kept[0], **{k: v for k, v in field.items() if k != "anyOf"}}
    if "const" in field:
        field["enum"] = [field.pop("const")]
    if field.get("default", ...) is None:
        del field["default"]
    if field.get("format", "email") not in _FORMATS:
        del field["format"]
    kind = field.get("type")
    if kind == "array":
        items = field["items"] = _resolved(field.get("items", {}), defs)
        if "enum" in items or "anyOf" in items:
            return field, optional
    elif kind in _PRIMITIVES and (kind == "string" or "enum" not in field):
        return field, optional
    raise TypeError(f"field {name!r}: a form has texts, numbers, booleans, and choices of texts")


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "")[len("#/$defs/") :]
    if name not in defs:
        return dict(schema)
    rest = {k: v for k, v in schema.items() if k != "$ref"}
    return {**defs[name], **rest}
