"""The types of the package, as type checkers see them."""

import subprocess
import sys
from pathlib import Path

import pytest

from trunnion import Server, _options
from trunnion._generated import OPTIONS

pytest.importorskip("mypy")
PYTHON = Path(__file__).resolve().parents[1]


def test_programs_are_checked():
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", "tests/typed.py"]
    done = subprocess.run(command, cwd=PYTHON, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_option_has_its_type():
    def known(*scopes):
        names = set()
        for name in set().union(*(OPTIONS[scope] for scope in scopes)):
            names |= {name, name[:-3]} if name.endswith("_ms") else {name}
        return names

    assert set(_options.ServerOptions.__annotations__) == known("engine", "server") - {"driver", "auth", "store"}
    assert set(_options.EngineOptions.__annotations__) == known("engine") - {"driver"}
    assert set(_options.RunOptions.__annotations__) == known("serve_http") - {"carried"}


def test_a_duration_has_two_names():
    assert Server("x", ttl=1.5)._definition["ttlMs"] == Server("x", ttl_ms=1500)._definition["ttlMs"] == 1500
