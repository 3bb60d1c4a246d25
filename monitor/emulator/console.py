"""Commands of a Chords board: bytes from the monitor in, answers of the board out. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["ChordsConsole"]

BOARD: Final = "UNO-R4"
_MAX_LINE: Final = 64  # bytes; an Arduino's receive buffer holds no more


class ChordsConsole:
    """Silent until START, like the firmware. Any byte stops a running board, also the first byte of a command.

    Source: github.com/CIumsy/Chords-Arduino-Firmware, UNO-R4/UNO-R4.ino. Deviation: an incomplete line is kept without
    limit of time, not for 1 s.

    Attributes:
        running: whether the board sends samples.
    """

    def __init__(self) -> None:
        self.running = False
        self._line = b""

    def restart(self) -> None:
        """Reset the board, as after a loss of power."""
        self.running, self._line = False, b""

    def feed(self, data: bytes) -> bytes:
        """Process bytes from the monitor, in any pieces; return the answers."""
        answers = b""
        *lines, rest = (self._line + data).split(b"\n")
        if data:
            self.running = False
        for line in lines:
            answers += self._answer(line[:_MAX_LINE].strip().upper())
        self._line = rest[:_MAX_LINE]
        self.running = self.running and not rest
        return answers

    def _answer(self, command: bytes) -> bytes:
        was_running, self.running = self.running, command == b"START"
        if command == b"WHORU":
            return BOARD.encode() + b"\r\n"
        if command in (b"START", b"STOP"):
            return b""
        if command == b"STATUS":
            return b"RUNNING\r\n" if was_running else b"STOPPED\r\n"
        return b"UNKNOWN COMMAND\r\n"
