"""Feed random and damaged streams to the parsers of serial formats: python tools/fuzz_serial.py [--inputs 1000000]

An input is one piece of bytes, given to a parser after all pieces before it. After each input no error may have been
raised, every byte must be accounted for (in a packet, skipped or kept), and fewer than two packets (or one line) may be
kept. After every tenth input come six clean packets, of which the last four must be read: the parser must be in step
again within two. Ends with 1 if not.
"""

from __future__ import annotations

import argparse
import random
import sys

import numpy as np

from monitor.sources.serial.cyton import Cyton
from monitor.sources.serial.format_guess import guess_format
from monitor.sources.serial.line_parser import MAX_LINE, LineParser
from monitor.sources.serial.openview import ADS1292R, MAX30003, OpenView
from monitor.sources.serial.packets import Chords, PacketParser, Raw16

CLEAN = 6


class Packets:
    """A binary format; without packet marks only `restart` brings the parser in step again."""

    def __init__(self, parser: PacketParser, seed: int) -> None:
        rows = np.random.default_rng(seed).integers(1, 30_000, size=(64, parser.channels))
        self.whole = parser.encode(rows)
        self.clean = parser.encode(rows[:CLEAN], 40)
        self.expected = rows[:CLEAN, 0].astype(float).tolist()
        self._parser, self._size = parser, len(self.whole) // 64
        self._given = self._taken = 0

    def feed(self, piece: bytes) -> list[float]:
        parsed = self._parser.feed(piece)
        self._given += len(piece)
        self._taken += len(parsed.samples) * self._size + parsed.skipped
        return [float(value) for value in parsed.samples[:, 0]]

    def failure(self) -> str:
        pending = self._parser.pending
        if self._taken + pending != self._given or pending >= 2 * self._size:
            return f"{self._given} bytes given, {self._taken} accounted for, {pending} kept"
        return ""

    def restart(self) -> None:
        self._taken += self._parser.restart()


class Lines:
    """The format of numbers on lines."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.whole = b"".join(dice.choice([b"%.4f\r\n" % dice.uniform(-2, 2), b"!\n", b"ECG:0.5\n"]) for _ in range(64))
        self.expected = [round(0.01 * i, 4) for i in range(CLEAN)]
        self.clean = b"".join(b"%.4f\n" % mv for mv in self.expected)
        self._parser = LineParser()

    def feed(self, piece: bytes) -> list[float]:
        self._parser.problem = ""
        return [float(mv) for mv in self._parser.feed(piece).mv]

    def failure(self) -> str:
        kept = len(self._parser._rest)
        return f"{kept} bytes kept" if kept > MAX_LINE + 1 else ""


def damaged(stream: bytes, dice: random.Random) -> bytes:
    """A part of `stream` with bytes changed, deleted or inserted."""
    start = dice.randrange(len(stream))
    piece = bytearray(stream[start : start + dice.randrange(120)])
    for _ in range(dice.randrange(3)):
        at = dice.randrange(len(piece) + 1)
        piece[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(piece)


def fuzz(name: str, subject: Packets | Lines, inputs: int, seed: int) -> str:
    """Text of the first failure, or empty."""
    dice = random.Random(f"{seed} {name}")
    given = samples = 0
    for i in range(inputs):
        piece = dice.randbytes(dice.randrange(60)) if dice.random() < 0.3 else damaged(subject.whole, dice)
        try:
            samples += len(subject.feed(piece))
            failure = subject.failure()
            if not failure and i % 10 == 9:
                if name == "raw16":
                    subject.restart()  # type: ignore[union-attr]
                read = subject.feed(subject.clean)
                if name == "cyton":  # out of step, a packet is given only once the next one agrees
                    read += subject.feed(subject.clean)
                failure = "" if read[-4:] == subject.expected[-4:] else f"out of step: {read[-4:]}"
            if i % 1000 == 0:
                guess_format(piece)
        except Exception as error:
            failure = repr(error)
        given += len(piece)
        if failure:
            return f"{name}: input {i} of seed {seed}, {piece.hex()}: {failure}"
    print(f"{name:18} {inputs:9,} {given:12,} {samples:10,}")
    return ""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    subjects: dict[str, Packets | Lines] = {
        "lines": Lines(options.seed),
        "openview ADS1292R": Packets(OpenView(ADS1292R), options.seed),
        "openview MAX30003": Packets(OpenView(MAX30003), options.seed),
        "chords 6": Packets(Chords(6), options.seed),
        "chords 1": Packets(Chords(1), options.seed),
        "cyton": Packets(Cyton(), options.seed),
        "raw16": Packets(Raw16(), options.seed),
    }
    print(f"{'format':18} {'inputs':>9} {'bytes':>12} {'samples':>10}")
    each = -(-options.inputs // len(subjects))
    failures = [text for name, subject in subjects.items() if (text := fuzz(name, subject, each, options.seed))]
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
