"""Fixtures. Every test must end with no handle left: the engines that it made are watched."""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

import trunnion._native as native

AUTH_WORLD = Path(__file__).resolve().parents[2] / "target/debug/examples/auth_world"


@pytest.fixture(autouse=True)
def live_handles(monkeypatch):
    """The engines made in this test; all counters must be zero when it ends."""
    engines = []

    def make(options="{}"):
        engine = native_engine(options)
        engines.append(engine)
        return engine

    native_engine = native.Engine
    monkeypatch.setattr(native, "Engine", make)
    yield engines
    for engine in engines:
        live = json.loads(engine.live())
        assert not any(live.values()), f"left behind: {live}"


@pytest.fixture
def examples():
    """The folder of the Python examples."""
    return Path(__file__).resolve().parents[2] / "examples" / "python"


class World:
    """An MCP server that wants tokens, and the authorization server that gives them."""

    def __init__(self):
        self.process = subprocess.Popen([AUTH_WORLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        where = json.loads(self.process.stdout.readline())
        self.mcp, self.issuer, self.control = where["mcp"], where["issuer"], where["control"]

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()

    def seen(self):
        """Returns the recorded state of the program."""
        with urllib.request.urlopen(self.control) as answer:
            return json.load(answer)

    def change(self, **what):
        """Changes the behavior of the program."""
        request = urllib.request.Request(self.control, json.dumps(what).encode(), method="PUT")
        urllib.request.urlopen(request).close()

    def granted(self, grant):
        """Returns the number of requests for this grant at the token endpoint."""
        return self.seen()["log"].count(f"token {grant}")


@pytest.fixture
def world():
    world = World()
    yield world
    world.close()
