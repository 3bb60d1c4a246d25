"""A command for each alarm: the message as JSON on its standard input, the main fields as variables."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Final

from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError, plain_line
from monitor.messages import AlarmMessage

__all__ = ["CommandReceiver"]

_MOST_OUTPUT: Final = 2_000  # bytes of standard error that are kept; the rest is read and dropped
_READ_S: Final = 0.5  # for the rest of it after the end of the command: a child in the background may hold it open

if sys.platform == "win32":
    _OWN_GROUP: Final = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _OWN_GROUP: Final = 0


class CommandReceiver:
    """Runs `notify.command`; exit code 0 means delivered.

    The command runs without a shell, in a session of its own (Windows: a process group). If it takes longer than
    `timeout_s` it is killed with its children; a child that started a session of its own escapes.

    Raises:
        ConfigError: it is not a command line, or there is no such program.
    """

    name: str = "command"

    def __init__(self, config: NotifyConfig) -> None:
        try:
            self._words = _words(config.command)
        except ValueError as error:
            raise ConfigError(f"notify.command = {config.command!r}: {error}; close every quotation mark") from None
        if not self._words or shutil.which(self._words[0]) is None:
            word = self._words[0] if self._words else config.command
            raise ConfigError(f"notify.command: no program {word!r} that can be run; give its path, or install it")
        self._timeout_s = config.timeout_s

    def begin(self, epoch: str) -> None:
        """Nothing is to be prepared."""

    def send(self, message: AlarmMessage, raw: bytes) -> None:
        """Run the command with one alarm.

        Raises:
            NotifyError: it could not be started, was killed, or ended with another code than 0.
        """
        with tempfile.TemporaryFile() as body:  # a file, not a pipe: the command need not read it
            body.write(raw + b"\n")
            body.seek(0)
            try:
                process = subprocess.Popen(
                    self._words,
                    stdin=body,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env={**os.environ, **_variables(message)},
                    start_new_session=True,  # POSIX
                    creationflags=_OWN_GROUP,
                )
            except OSError as error:
                raise NotifyError(f"{self._words[0]}: {error.strerror}") from None
        kept = bytearray()
        reader = threading.Thread(target=_keep_end, args=(process, kept), daemon=True)
        reader.start()
        try:
            code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            raise NotifyError(f"{self._words[0]}: killed, not finished after {self._timeout_s:g} s") from None
        finally:
            if process.poll() is None:
                _kill(process)
                process.wait()
            reader.join(_READ_S)
        if code != 0:
            words = plain_line(kept[-_MOST_OUTPUT:].decode(errors="replace"))[-200:]
            raise NotifyError(f"{self._words[0]}: ended with code {code}" + (f": {words}" if words else ""))

    def close(self) -> None:
        """Nothing is open."""


def _words(command: str) -> list[str]:
    """Program and arguments of a command line; on Windows a backslash is a part of a path.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    if sys.platform == "win32":
        return [
            word[1:-1] if word[:1] == word[-1:] in ('"', "'") else word for word in shlex.split(command, posix=False)
        ]
    return shlex.split(command)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _variables(message: AlarmMessage) -> dict[str, str]:
    alarm = message.alarm
    return {
        "ALARM_BED": alarm.bed,
        "ALARM_KIND": alarm.kind,
        "ALARM_PRIORITY": alarm.priority,
        "ALARM_STATE": alarm.state,
        "ALARM_TEXT": plain_line(alarm.text),
        "ALARM_TIME": message.time,
        "ALARM_ID": alarm.alarm_id,
    }


def _keep_end(process: subprocess.Popen[bytes], kept: bytearray) -> None:
    """Read standard error to its end; `kept` receives the last `_MOST_OUTPUT` bytes."""
    if (pipe := process.stderr) is None:
        raise ValueError(f"{process.args!r} was started without stderr=PIPE")
    with contextlib.suppress(OSError, ValueError), pipe:
        while part := os.read(pipe.fileno(), 65_536):
            kept += part
            del kept[: max(0, len(kept) - _MOST_OUTPUT)]
