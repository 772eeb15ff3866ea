"""Errors of an import whose native module is missing, damaged, or made for another system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trunnion
from trunnion._loading import explain

PACKAGE = Path(trunnion.__file__).parent


def import_error(folder: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import trunnion"
    # No site: the package that is tested is installed there.
    seen = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert seen.returncode == 1, seen.stdout
    return seen.stderr


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "trunnion", ignore=shutil.ignore_patterns("_native.*", "__pycache__"))
    return tmp_path


def test_missing_native_module_is_named_with_the_cure(sources: Path) -> None:
    error = import_error(sources)
    assert "ImportError: trunnion: the native module cannot be imported" in error
    assert f"in {sources / 'trunnion'}, found none" in error
    assert "_native.abi3" in error and "pip install --force-reinstall trunnion" in error and sys.executable in error


def test_native_module_of_another_system_is_named(sources: Path) -> None:
    (sources / "trunnion" / "_native.cp310-win_amd64.pyd").write_bytes(b"MZ")
    error = import_error(sources)
    assert "found _native.cp310-win_amd64.pyd, for another Python or system" in error


@pytest.mark.skipif(sys.platform == "win32", reason="the suffix is that of Unix")
def test_damaged_native_module_is_named(sources: Path) -> None:
    (sources / "trunnion" / "_native.abi3.so").write_bytes(b"MZ this is no library of this system")
    error = import_error(sources)
    assert "found _native.abi3.so, which is not for this system or is damaged" in error
    assert "force-reinstall" in error


def test_older_c_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "_native.abi3.so").write_bytes(b"")
    cause = ImportError(f"/lib/libc.so.6: version `GLIBC_2.99' not found (required by {tmp_path}/_native.abi3.so)")
    message = explain(cause, tmp_path)
    assert "wants the GNU C library 2.99 or later; this system has" in message
    assert "--no-binary trunnion" in message
