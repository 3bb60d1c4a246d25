"""Start of a Chords board: ask for its name, then start it. Pure.

Such a board is silent until it receives `START`, answers `WHORU` with its name, and stops at any byte while it sends
(github.com/CIumsy/Chords-Arduino-Firmware, UNO-R4/UNO-R4.ino). So the question is sent only after a silence, and after
a longer one if the board was sending: its bytes may be delayed.
"""

from __future__ import annotations

from typing import Final

from monitor.sources.serial.formats import BOARDS, Board

__all__ = ["ChordsGreeting"]

ASK_S: Final = 1.0  # silence before the question
_ASK_RUNNING_S: Final = 2.5  # silence of a board that was sending: it was reset, or its bytes are late
_ASK_AGAIN_S: Final = 0.3  # time from reopening a port to the question
_ANSWER_BYTES: Final = 64


class ChordsGreeting:
    """Decides what to write to a port from what it received.

    Args:
        now_s: time at which the port was opened, monotonic, s.

    Attributes:
        board: the board that answered; None = none yet.
    """

    def __init__(self, now_s: float) -> None:
        self.board: Board | None = None
        self._received_s = now_s
        self._ran = False  # bytes came since the last question

    def received(self, data: bytes, now_s: float) -> bytes:
        """Return the reply to `data`, empty = none. Bytes with a reply are an answer and no samples."""
        self._received_s = now_s
        last_line = data[-_ANSWER_BYTES:].strip().split(b"\n")[-1].strip().decode("ascii", "replace").upper()
        if len(data) > _ANSWER_BYTES or last_line not in BOARDS:
            self._ran = True
            return b""
        self.board = BOARDS[last_line]
        return b"START\n"

    def quiet(self, now_s: float) -> bytes:
        """Return the question to send while nothing comes, empty = none yet."""
        if now_s - self._received_s < (_ASK_RUNNING_S if self._ran else ASK_S):
            return b""
        self._received_s, self._ran = now_s, False
        return b"WHORU\n"

    def reopened(self, now_s: float) -> None:
        """Start again after the port was reopened."""
        self._received_s, self._ran = now_s - ASK_S + _ASK_AGAIN_S, False
