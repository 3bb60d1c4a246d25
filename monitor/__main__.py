"""The `ecg-monitor` command: what holds for all commands from the first moment on, Ctrl-C and the standard streams.

The commands are imported in `main`, so that Ctrl-C is handled while they are.
"""

from __future__ import annotations

import os
import signal
import sys

from monitor.terminal import notice
from monitor.windows_console import accept_escapes

__all__ = ["main"]

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class CtrlC:
    """Handler of SIGINT: one line and exit code 130, whatever the program does at that moment.

    A command that has files or devices to close takes the signal over (`monitor.commands.signals`). Until then, and
    in commands that only read, the first Ctrl-C raises KeyboardInterrupt, so that temporary files are removed; a second
    one ends the process at once, and so does one during imports or at exit.

    Attributes:
        running: whether a command runs.
        received: whether KeyboardInterrupt was raised.
    """

    def __init__(self) -> None:
        self.running = self.received = False

    def __call__(self, *_: object) -> None:
        """Handle the signal."""
        if self.received or not self.running:
            self.end()
        self.received = True
        raise KeyboardInterrupt

    def unraisable(self, error: sys.UnraisableHookArgs) -> None:
        """End where KeyboardInterrupt was raised in a callback, which cannot pass it on: the signal would be lost."""
        if error.exc_type is KeyboardInterrupt:
            self.end()
        sys.__unraisablehook__(error)

    @staticmethod
    def end() -> None:
        """End the process at once."""
        os.write(2, b"ecg-monitor: stopped\n")
        os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """Entry point."""
    ctrl_c = CtrlC()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, ctrl_c)
        sys.unraisablehook = ctrl_c.unraisable
    _open_streams()
    from monitor.commands.app import run_app
    from monitor.commands.signals import ignore_stops

    code = 0
    try:
        ctrl_c.running = True
        code = run_app()
    except BaseException:
        if not ctrl_c.received:
            raise
        code = EXIT_INTERRUPTED  # also where a library made another error of KeyboardInterrupt
    finally:
        ctrl_c.running = False
        ignore_stops()
    if ctrl_c.received and code == EXIT_INTERRUPTED:
        notice("stopped")
    sys.exit(code)


def _open_streams() -> None:
    """Open standard streams that the caller closed, and write characters that a terminal lacks as escapes.

    On Windows files and pipes get UTF-8 and line feeds, as on other systems; the character set there is a national one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        accept_escapes(stream)
        if sys.platform == "win32" and not stream.isatty() and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", newline="\n")
        if stream.encoding.lower() not in ("utf-8", "utf8") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
