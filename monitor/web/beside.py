"""The web server beside a monitor: a process of its own, which cannot delay or end the monitor.

The monitor binds the socket of the page, so that a port in use is reported before anything starts, and the address
stays the same when the process is started again. The process gets its settings, and its key with them, on standard
input; the end of that input ends it, also when the monitor is killed.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

import msgspec

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey
from monitor.config import Config
from monitor.terminal import notice
from monitor.web.server import WebOptions, address_of, bind, serve

__all__ = ["WebBeside", "web_options"]

_BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # from one start to the next
_STABLE_S: Final = 60.0  # after this time the back-off begins anew
_END_S: Final = 3.0  # time for the process to end
# Priority of the process: the monitor goes first on a busy machine.
_NICE: Final = 5  # POSIX
if sys.platform == "win32":
    _LOW_IN_OWN_GROUP: Final = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _LOW_IN_OWN_GROUP: Final = 0
_PACKAGE = Path(__file__).parents[2]


def web_options(config: Config) -> WebOptions:
    """Settings of the web server from `[web]` and the key folder of `[bus]`."""
    web = config.web
    return WebOptions(
        keys=config.bus.keys,
        hosts=tuple(name for part in web.hosts.split(",") if (name := part.strip())),
        cert=web.cert,
        tls_key=web.tls_key,
    )


class WebBeside:
    """The web server of one monitor.

    Args:
        config: the whole configuration; `[web]` has an address.
        report: called with one line for a person, from a thread.

    Attributes:
        address: of the page, for a browser.

    Raises:
        BusError, ConfigError, PortInUse: as `monitor.web.server.bind`.
    """

    def __init__(self, config: Config, report: Callable[[str], None]) -> None:
        self._options = web_options(config)
        self._report = report
        self._socket = bind(config.web.listen, self._options)
        self.address = address_of(self._socket, self._options)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web server", daemon=True)

    def start(self, endpoints: BusEndpoints, key: ClientKey | None) -> None:
        """Start the process for the monitor with these endpoints; with keys, `key` is Bus.web_key."""
        self._options = replace(self._options, monitors=(endpoints,), key=key)
        self._thread.start()

    def close(self) -> None:
        """End the process; may be called twice, and without `start`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _END_S)
        self._socket.close()

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            began_s = time.monotonic()
            code = self._run_process()
            if self._stop.is_set():
                return
            attempt = 0 if time.monotonic() - began_s > _STABLE_S else attempt
            wait_s = _BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)]
            attempt += 1
            self._report(f"web: the server of the page ended (code {code}); it is started again in {wait_s:g} s")
            self._stop.wait(wait_s)

    def _run_process(self) -> int:
        """Run the process once; returns its exit code."""
        paths = os.pathsep.join(part for part in (str(_PACKAGE), os.environ.get("PYTHONPATH", "")) if part)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "monitor.web.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            # Ctrl-C is for the monitor, which then ends this process.
            start_new_session=True,  # POSIX
            creationflags=_LOW_IN_OWN_GROUP,
            pass_fds=() if sys.platform == "win32" else (self._socket.fileno(),),
        )
        settings, errors = process.stdin, process.stderr
        if settings is None or errors is None:
            raise RuntimeError("subprocess.Popen made no pipe for stdin or stderr, though both are PIPE")
        lines = threading.Thread(target=self._read, args=(errors,), daemon=True)
        lines.start()
        with contextlib.suppress(OSError):  # it has ended already
            settings.write(_passed(self._socket, process.pid) + b"\n")
            settings.write(msgspec.json.encode(self._options) + b"\n")
            settings.flush()
        while process.poll() is None and not self._stop.wait(0.2):
            pass
        with contextlib.suppress(OSError):
            settings.close()
        try:
            code = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        lines.join(1.0)
        errors.close()
        return code

    def _read(self, errors: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in errors:
                self._report(line.decode(errors="replace").strip().removeprefix("ecg-monitor: "))


def _passed(listening: socket.socket, process: int) -> bytes:
    """What names a socket to a process just started: its descriptor; on Windows a description for that process."""
    if sys.platform == "win32":
        return base64.b64encode(listening.share(process))
    return str(listening.fileno()).encode()


def _received(name: bytes) -> socket.socket:
    """The socket that `_passed` named."""
    if sys.platform == "win32":
        return socket.fromshare(base64.b64decode(name))
    return socket.socket(fileno=int(name))


def main() -> None:
    """The process: serve the page of a socket; standard input names it in one line and has the settings in the next."""
    import signal

    if sys.platform != "win32":
        os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listening = _received(sys.stdin.buffer.readline())
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=WebOptions)
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    serve(options, listening, stop, notice)


if __name__ == "__main__":
    main()
