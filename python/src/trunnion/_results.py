"""The result of connecting."""

from __future__ import annotations

from typing import Any


class ServerInfo:
    """The server's description of itself from the handshake."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ServerInfo({self.raw!r})"

    @property
    def meta(self) -> dict[str, Any]:
        """The entries of `_meta`."""
        return self.raw.get("_meta") or {}

    @property
    def name(self) -> str:
        """The server's name."""
        return (self.raw.get("serverInfo") or {}).get("name", "")  # type: ignore[no-any-return]

    @property
    def version(self) -> str:
        """The server's version."""
        return (self.raw.get("serverInfo") or {}).get("version", "")  # type: ignore[no-any-return]

    @property
    def instructions(self) -> str | None:
        """The server's instructions for a model."""
        return self.raw.get("instructions")

    @property
    def capabilities(self) -> dict[str, Any]:
        """The server's capabilities."""
        return self.raw.get("capabilities") or {}

    @property
    def era(self) -> str | None:
        """`modern` or `legacy`."""
        return self.raw.get("era")

    @property
    def revision(self) -> str | None:
        """The protocol revision in use, a date."""
        return self.raw.get("revision")
