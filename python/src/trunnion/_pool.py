"""Worker threads for `def` handlers."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any, Callable

LIMIT = 32


class Pool:
    """Threads started as they are needed, at most `LIMIT`; daemons, so that a handler that never ends
    does not keep the process alive."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._limit = limit
        self._threads = 0
        self._busy = 0

    def submit(self, fn: Callable[..., Any], *args: Any) -> None:
        """Runs `fn(*args)`, which must not raise, on a thread."""
        with self._lock:
            self._busy += 1
            start = self._busy > self._threads and self._threads < self._limit
            if start:
                self._threads += 1
        self._jobs.put((fn, args))
        if start:
            threading.Thread(target=self._run, name="trunnion-worker", daemon=True).start()

    def close(self) -> None:
        """Ends every thread after its current job."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            fn, args = job
            try:
                fn(*args)
            finally:
                # The job's references must not live until the next one arrives.
                del job, fn, args
                with self._lock:
                    self._busy -= 1
