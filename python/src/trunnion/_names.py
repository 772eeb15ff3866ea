"""Resolution of annotations that are texts (`from __future__ import annotations`)."""

from __future__ import annotations

import sys
import typing
from types import CodeType, FrameType
from typing import Any
from weakref import WeakKeyDictionary

_hints: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


def around_function(fn: Any) -> dict[str, Any]:
    """The names of the functions around this one, if these are running now or the function uses the names
    itself."""
    code = getattr(fn, "__code__", None)
    if code is None or "<locals>" not in fn.__qualname__:
        return {}
    names: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, fn.__closure__ or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            # It has no value yet.
            pass
    _collect(code, sys._getframe(1), names)
    return names


def hints_of(tp: type) -> dict[str, Any]:
    """The resolved annotations of a class. They are cached: later the functions around it may have returned.

    Raises:
        NameError: a name is not defined (yet).
    """
    found = _hints.get(tp)
    if found is None:
        found = _hints[tp] = _resolved(tp)
    return found


def _resolved(tp: type) -> dict[str, Any]:
    names = _around_class(tp) if "<locals>" in tp.__qualname__ else {}
    if names:
        try:
            return typing.get_type_hints(tp, localns=names, include_extras=True)
        except NameError:
            # It may be a name of the class itself.
            pass
    return typing.get_type_hints(tp, include_extras=True)


def _around_class(tp: type) -> dict[str, Any]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_locals.get(tp.__name__) is tp:
            names = dict(frame.f_locals)
            _collect(frame.f_code, frame.f_back, names)
            return names
        frame = frame.f_back
    return {}


def _collect(code: CodeType, frame: FrameType | None, names: dict[str, Any]) -> None:
    """Adds the variables of the frames whose code contains this code; inner names hide outer ones."""
    while frame is not None:
        if any(constant is code for constant in frame.f_code.co_consts):
            for name, value in frame.f_locals.items():
                names.setdefault(name, value)
            code = frame.f_code
        frame = frame.f_back
