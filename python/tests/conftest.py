"""Every test ends with no handle left: the engines it made are watched."""

import json

import pytest

import trunnion._native as native


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
    from pathlib import Path

    return Path(__file__).resolve().parents[2] / "examples" / "python"
