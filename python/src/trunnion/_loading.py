"""The error of a failed first import of the native module: the expected file, the files that exist, and the
remedy."""

from __future__ import annotations

import sys
from pathlib import Path


def explain(error: ImportError, folder: Path) -> str:
    """The message for a native module that cannot be imported from ``folder``."""
    # Needed here only: these imports take longer than that of the whole package.
    import platform
    import re
    import sysconfig
    from importlib.machinery import EXTENSION_SUFFIXES

    python = f"{platform.python_implementation()} {platform.python_version()} on {sysconfig.get_platform()}"
    wanted = [f"_native{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = sorted(path.name for path in folder.glob("_native.*") if path.suffix != ".pyi")
    fitting = [name for name in found if name in wanted]
    said = f"trunnion: the native module cannot be imported: {error}. Looked for {' or '.join(wanted)} in {folder}"
    again = f"install trunnion again with this Python ({sys.executable} -m pip install --force-reinstall trunnion)"
    newer = re.search(r"version [`'\"]GLIBC_([\d.]+)['\"] not found", str(error))
    if newer is not None:
        system = " ".join(platform.libc_ver()) or "another C library"
        return (
            f"{said}, found {fitting[0] if fitting else 'it'}, which wants the GNU C library {newer[1]} or later; this system "
            f"has {system}. Use a newer system, or build from source (pip install --no-binary trunnion trunnion; needs Rust)."
        )
    if fitting:
        return f"{said}, found {fitting[0]}, which is not for this system or is damaged ({python}): {again}."
    if found:
        return f"{said}, found {', '.join(found)}, for another Python or system than {python}: {again}."
    return (
        f"{said}, found none. This is a tree of sources or half an installation: {again}; "
        f"in a clone of the repository: pip install ./python (needs Rust)."
    )


try:
    from . import _native as _native
except ImportError as _error:
    raise ImportError(explain(_error, Path(__file__).parent), name="trunnion._native") from _error
