"""JSON text with one scanner and one encoder for the whole process, to save their set-up cost."""

from __future__ import annotations

import json
from json import encoder as _encoder
from typing import Any


def plain(value: Any) -> Any:
    """The JSON form of a value that JSON has no type for.

    Dataclasses become objects, enums their value, dates and times ISO 8601, bytes base64, sets arrays,
    pydantic models their serialized form; UUID, Path, Decimal and the like their text.

    Raises:
        TypeError: there is no such form.
    """
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return value.model_dump(mode="json", by_alias=True)
    if getattr(type(value), "__trunnion_model__", False):
        return value.to_json()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    isoformat = getattr(type(value), "isoformat", None)
    if isoformat is not None:
        return value.isoformat()
    if hasattr(type(value), "total_seconds"):
        return value.total_seconds()
    from enum import Enum

    if isinstance(value, Enum):
        return value.value
    if type(value).__name__ in ("UUID", "Decimal", "Fraction") or hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):
        return {key: value[key] for key in value.keys()}
    if hasattr(type(value), "__iter__") and hasattr(type(value), "__len__"):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def base64(value: bytes | bytearray | memoryview) -> str:
    """Returns the Base64 text of bytes."""
    from binascii import b2a_base64

    return b2a_base64(value, newline=False).decode("ascii")


_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_make: Any = getattr(_encoder, "c_make_encoder", None)

if _make is None:
    _encode: Any = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain
    ).iterencode
else:
    # `json.dumps` builds this object anew for every call, which costs more than encoding a small value.
    # Without the table of visited containers a cycle ends in RecursionError instead of ValueError.
    _encode = _make(None, plain, _encoder.encode_basestring, None, ":", ",", False, False, False)

_quote = _encoder.encode_basestring


def dumps(value: Any) -> str:
    """Compact JSON text.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a number is not finite.
        RecursionError: a container holds itself.
    """
    if type(value) is str:
        return _quote(value)
    return "".join(_encode(value, 0))


def loads(text: str) -> Any:
    """The value of JSON text that the engine has checked."""
    try:
        return _scan(text, 0)[0]
    except StopIteration:
        return json.loads(text)
