"""What a row is: a situation, drawn in variants, each a signal with a verdict."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from clinical_rows.received import Received
    from clinical_rows.tapes import Tape

FS_HZ: Final = (125.0, 250.0, 360.0, 500.0, 1000.0)
Choice = TypeVar("Choice")
Fault = str | None
"""Why a variant fails, in one phrase; None: it passes."""


@dataclass(frozen=True)
class Case:
    """One variant.

    Attributes:
        tape: the signal, with the times of its beats.
        judge: what was received -> why it fails.
        about: the parameters drawn, in one phrase.
        acknowledge: each alarm is acknowledged when it is raised.
        patient: category of the patient; empty = the default.
    """

    tape: Tape
    judge: Callable[[Received], Fault]
    about: str
    acknowledge: bool = False
    patient: str = ""


class Draw:
    """Random numbers of one variant, spread over the variants of its row.

    `spread` divides a range into as many parts as there are variants and gives each variant another part, in a random
    order (a Latin hypercube): few variants then cover a range with its ends.

    Args:
        row: id of the row.
        number: of the variant, from 0.
        total: number of variants.
        seed: of the examination.
        real: whether records can be read.
    """

    def __init__(self, row: str, number: int, total: int, seed: int, real: bool) -> None:
        self.number, self.total, self.real = number, total, real
        self._key = [seed, zlib.crc32(row.encode())]
        self._used = 0
        self.rng = np.random.default_rng([*self._key, 1, number])
        self.fs_hz = FS_HZ[number % len(FS_HZ)]

    def spread(self, low: float, high: float, *, log: bool = False) -> float:
        """A number between `low` and `high`; evenly by their logarithm with `log`."""
        self._used += 1
        order = np.random.default_rng([*self._key, 2, self._used, self.total]).permutation(self.total)
        share = (order[self.number] + self.rng.random()) / self.total
        return float(low * (high / low) ** share) if log else float(low + (high - low) * share)

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices; over the variants each about as often."""
        return choices[int(self.spread(0, len(choices)))]

    def turn(self, choices: Sequence[Choice]) -> Choice:
        """The choices in turn; unlike the sampling rates, which are five in turn, so that all pairs occur."""
        return choices[(self.number // len(FS_HZ) + self.number) % len(choices)]

    def yes(self, share: float = 0.5) -> bool:
        """True for this share of the variants."""
        return self.spread(0, 1) < share


@dataclass(frozen=True)
class Row:
    """One situation.

    Attributes:
        name: e.g. `A1`.
        title: the situation.
        must: what the monitor must do.
        build: draws one variant.
        goal: share of variants that must pass.
        real: variants on real leads are among them, where records can be read.
    """

    name: str
    title: str
    must: str
    build: Callable[[Draw], Case] = field(repr=False)
    goal: float = 0.95
    real: bool = False
