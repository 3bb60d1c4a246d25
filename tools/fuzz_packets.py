"""Feed random and damaged streams to the packet parsers: python tools/fuzz_packets.py [--inputs 1000000] [--seed 0]

An input is one piece of bytes given to a parser that has seen all pieces before it. After each one, every byte must be
accounted for (in a packet, skipped or kept) and the kept ones must be fewer than two packets. Ends with 1 if not.
"""

import argparse
import random
import sys

import numpy as np

from monitor.sources.packets import ADS1292R, MAX30003, Chords, Cyton, OpenView, PacketParser, Raw16

PARSERS: dict[str, PacketParser] = {
    "openview ADS1292R": OpenView(ADS1292R),
    "openview MAX30003": OpenView(MAX30003),
    "chords 6": Chords(6),
    "cyton": Cyton(),
    "raw16": Raw16(),
}


def damaged(stream: bytes, dice: random.Random) -> bytes:
    """A part of `stream`, with bytes changed, cut out or put in."""
    start = dice.randrange(len(stream))
    piece = bytearray(stream[start : start + dice.randrange(120)])
    for _ in range(dice.randrange(3)):
        at = dice.randrange(len(piece) + 1)
        piece[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(piece)


def fuzz(name: str, parser: PacketParser, inputs: int, seed: int) -> str | None:
    dice = random.Random(f"{seed} {name}")
    one = parser.encode(np.zeros((1, parser.channels), dtype=np.int64))
    rows = np.random.default_rng(seed).integers(0, 30_000, size=(64, parser.channels))
    stream = parser.encode(rows)
    given = taken = packets = skipped = most = 0
    for i in range(inputs):
        piece = dice.randbytes(dice.randrange(60)) if dice.random() < 0.3 else damaged(stream, dice)
        given += len(piece)
        try:
            parsed = parser.feed(piece)
        except Exception as error:
            return f"{name}: input {i} of seed {seed}, {piece.hex()}: {error!r}"
        packets += len(parsed.samples)
        skipped += parsed.skipped
        taken = packets * len(one) + skipped
        most = max(most, parser.pending)
        if taken + parser.pending != given or parser.pending >= 2 * len(one):
            return f"{name}: input {i} of seed {seed}: {given} bytes, {taken} accounted for, {parser.pending} kept"
    print(f"{name:18} {inputs:9,} {given:12,} {packets:10,} {skipped:12,} {most:6}")
    return None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    print(f"{'format':18} {'inputs':>9} {'bytes':>12} {'packets':>10} {'skipped':>12} {'kept':>6}")
    failures = [
        failure
        for name, parser in PARSERS.items()
        if (failure := fuzz(name, parser, -(-options.inputs // len(PARSERS)), options.seed))
    ]
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
