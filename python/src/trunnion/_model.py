"""The common base of all objects of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ._json import dumps

T = TypeVar("T")


class Model:
    """An object of the protocol. `extra` has the members that are unknown to this version."""

    __slots__ = ("extra",)
    # `_json`, on which this module builds, detects its objects by this.
    __trunnion_model__ = True
    extra: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        raise NotImplementedError

    @property
    def raw(self) -> dict[str, Any]:
        """The protocol's JSON object."""
        return self.to_json()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        text = dumps(self.to_json())
        return f"{type(self).__name__}({text if len(text) <= 120 else text[:117] + '...'})"


class Unknown(Model):
    """An object of a type that is unknown to this version, as received."""

    __slots__ = ("_json",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self._json = raw
        self.extra = raw

    def to_json(self) -> dict[str, Any]:
        return self._json


class UnknownContent(Unknown):
    """An item of a type that is unknown to this version; `raw` is its JSON object."""

    __slots__ = ()

    @property
    def annotations(self) -> Any:
        """Its `annotations` as received."""
        return self._json.get("annotations")

    @property
    def meta(self) -> Any:
        """Its `_meta` as received."""
        return self._json.get("_meta")


def one(parse: Callable[[Mapping[str, Any]], T], value: Any) -> T:
    """A model unchanged, anything else as the JSON form of one."""
    return value if isinstance(value, Model) else parse(value)  # type: ignore[return-value]


def parse_any(parse: Callable[[Mapping[str, Any]], T], value: Any) -> T | list[T]:
    """One model, or a list of them."""
    if isinstance(value, (list, tuple)):
        return [one(parse, item) for item in value]
    return one(parse, value)


def emit_any(value: Any) -> Any:
    """The JSON form of a result of `parse_any`."""
    return [item.to_json() for item in value] if isinstance(value, list) else value.to_json()
