"""`python -m train`: what holds for all commands, above all Ctrl-C, also while they are imported."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]

_STOPPED = "stopped; give the same command again to resume the fit from its last epoch"
_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    """Run the command line; an error that the user can correct becomes one line and exit code 2."""
    command = [False, False]  # whether it runs, whether it was stopped

    def stop(*_: object) -> None:
        if not command[0] or command[1]:  # imports, exit, or a second Ctrl-C: nothing to finish
            os.write(2, f"{_STOPPED}\n".encode())
            os._exit(_EXIT_INTERRUPTED)
        command[1] = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    from train.commands import run_app

    command[0] = True
    try:
        code = run_app()
    except BaseException as error:
        if not command[1] and not isinstance(error, KeyboardInterrupt):
            raise
        code = _EXIT_INTERRUPTED  # also where a library made another error of KeyboardInterrupt
    command[0] = False
    if code == _EXIT_INTERRUPTED:
        print(_STOPPED, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
