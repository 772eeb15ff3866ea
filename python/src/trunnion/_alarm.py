"""A descriptor that ends a wait when a signal arrives, also if the signal arrives just before the wait.

Python runs signal handlers between its own instructions. A signal that arrives after the last of these and
before `poll` waits would be handled at the next event; so while the main thread waits, the interpreter writes
to a descriptor that `poll` watches too.
"""

from __future__ import annotations

import os
import sys
from typing import Any


class Alarm:
    """Entered by a thread that is about to wait. Python delivers signals to the main thread only; on others
    it does nothing.

    Attributes:
        fd: readable when a signal has arrived; -1 if signals do not interrupt waiting.
    """

    __slots__ = ("fd", "_write", "_before", "_heard", "_entered", "_closed")

    def __init__(self) -> None:
        self.fd = self._write = self._before = -1
        self._heard = b""
        self._entered = self._closed = False
        if sys.platform != "win32":
            self.fd, self._write = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write, False)

    def __enter__(self) -> None:
        from threading import current_thread, main_thread

        if self._closed or self.fd < 0 or current_thread() is not main_thread():
            return
        from signal import set_wakeup_fd

        try:
            self._before = set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._entered = True
        except ValueError:
            # The main thread of a subinterpreter.
            pass

    def __exit__(self, *_: Any) -> None:
        from threading import current_thread, main_thread

        if not self._entered or current_thread() is not main_thread():
            return
        from signal import set_wakeup_fd

        set_wakeup_fd(self._before)
        self._entered = False
        self.drain()
        heard, self._heard = self._heard, b""
        if heard and self._before >= 0:
            # They were meant for the previous receiver of signals, such as an asyncio loop.
            try:
                os.write(self._before, heard)
            except OSError:
                pass
        if self._closed:
            self._shut()

    def drain(self) -> None:
        """Reads the signal bytes, so that the descriptor is not readable any more."""
        try:
            self._heard = (self._heard + os.read(self.fd, 4096))[-4096:]
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Closes the descriptors, as soon as no thread waits for them. Idempotent."""
        if not self._closed:
            self._closed = True
            if not self._entered:
                self._shut()

    def __del__(self) -> None:
        self._shut()

    def _shut(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self._write)
            self.fd = self._write = -1
