"""The golden transcripts of tests/vectors, played to a Python server over its standard streams."""

import json
import subprocess
import sys
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "tests" / "vectors"
PATIENCE = 30


def cases():
    for file in sorted(VECTORS.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8"))["cases"]:
            yield pytest.param(case, id=f"{file.stem}: {case['name']}")


class Peer:
    """The server's process; its lines arrive in queues."""

    def __init__(self, definition):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "vectors_server.py"), json.dumps(definition)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.messages, self.said = Queue(), Queue()
        self.readers = [
            Thread(target=self.read, args=(self.process.stdout, self.messages), daemon=True),
            Thread(target=self.read, args=(self.process.stderr, self.said), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def read(self, stream, queue):
        for line in stream:
            queue.put(line)
        queue.put(None)

    def send(self, text):
        self.process.stdin.write(text.encode("utf-8", "surrogatepass") + b"\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def clear(self):
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.mark.parametrize("case", list(cases()))
def test_transcript(case):
    if case.get("virtual"):
        pytest.skip("needs virtual time")
    peer = Peer(case.get("server") or {"name": "vectors", "version": "1.0.0"})
    try:
        for step in case["steps"]:
            if "send" in step:
                sent = step["send"]
                peer.send(sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False))
            elif "repeat" in step:
                part, count = step["repeat"]
                before, after = step["around"]
                peer.send(before + part * count + after)
            elif "expect" in step:
                line = peer.messages.get(timeout=PATIENCE)
                assert line is not None, "the server closed its stream"
                fits(json.loads(line), step["expect"], "message")
            elif "handler" in step:
                said = peer.said.get(timeout=PATIENCE)
                assert said is not None and said.decode().strip() == f"{step['is']} {step['handler']}"
            else:
                raise AssertionError(f"unknown step {step}")
        assert peer.end() == 0
    finally:
        peer.clear()


def fits(value, pattern, where):
    """Assert that a value fits a pattern of the transcripts."""
    if pattern == "*":
        return
    if isinstance(pattern, dict):
        if set(pattern) == {"contains"}:
            assert isinstance(value, str) and pattern["contains"] in value, f"{where}: {value!r}"
            return
        assert isinstance(value, dict), f"{where}: {value!r} is not an object"
        for key, part in pattern.items():
            if key == "absent":
                for name in part:
                    assert name not in value, f"{where}.{name} is there: {value!r}"
            else:
                assert key in value, f"{where}.{key} is missing: {value!r}"
                fits(value[key], part, f"{where}.{key}")
    elif isinstance(pattern, list):
        assert isinstance(value, list) and len(value) == len(pattern), f"{where}: {value!r}"
        for i, (one, part) in enumerate(zip(value, pattern)):
            fits(one, part, f"{where}[{i}]")
    else:
        assert value == pattern and type(value) is type(pattern), f"{where}: {value!r} is not {pattern!r}"
