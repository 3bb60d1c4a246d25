"""The thread that reads a device: start, stop, retries with growing pauses, and its failure."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["ReaderThread"]


class ReaderThread:
    """A daemon thread that runs one loop.

    Args:
        loop: runs in the thread; must return soon after `wait` returned False.
        name: name of the thread.
        failed: called in the thread with one line when `loop` raised.
        release: called in the thread when it ends, in every case.
    """

    def __init__(
        self, loop: Callable[[], None], name: str, failed: Callable[[str], None], release: Callable[[], None]
    ) -> None:
        self._loop, self._failed, self._release = loop, failed, release
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """False once `stop` was called."""
        return not self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, s; return False as soon as the thread must end."""
        return not self._stop.wait(seconds)

    def retry(self, attempt: Callable[[], bool], pauses_s: tuple[float, float]) -> None:
        """Call `attempt` until it returns True or the thread must end.

        Args:
            attempt: e.g. opens a port; True = done.
            pauses_s: first and longest pause before an attempt, s; each pause is twice the one before.
        """
        pause_s, longest_s = pauses_s
        while self.wait(pause_s) and not attempt():
            pause_s = min(2 * pause_s, longest_s)

    def stop(self, timeout_s: float) -> None:
        """End the thread; wait for it for `timeout_s`. May be called twice, and before `start`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # read() raises it: an exception in a thread would be lost
            self._failed(f"the reader stopped ({type(error).__name__}: {error})")
        finally:
            self._release()
