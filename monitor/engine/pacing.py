"""Read intervals: how often each bed is read, and how much at once.

A read costs about the same however many samples it returns. So few beds are read often, and many beds as seldom as
their results allow: a replay when the next full second of the detector is due, a live source a few times a second.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LOOP_S", "WARM_UP_S", "piece_s", "read_every_s", "stagger_s", "turn_s"]

LOOP_S: Final = 0.02  # few beds: longest wait of a sample; costs about 2 % of a core
WARM_UP_S: Final = 30.0  # of signal: libraries load with the first window, so the first seconds may be late
REPLAY_COST_S: Final = 0.005  # per bed: reads between full seconds take about 5 % of a core for any number of beds
LIVE_COST_S: Final = 0.0005  # per bed: live samples arrive at unknown times, so live sources are read more often
STAGGER_S: Final = 0.002  # longest time between the starts of two replays
_MOST_S: Final = 1.0
_TURN_COST_S: Final = 0.005  # per bed: the model scores 16 beats in the time of one, so beats are collected
_TURN_MOST_S: Final = 0.1
_PIECE_MAX_S: Final = 20.0  # longest piece: bounds memory and the time a request waits
_PIECES_S: Final = 200.0  # the same for all beds together


def read_every_s(beds: int, *, live: bool) -> float:
    """Interval between reads of one of `beds` beds, s; a replay is also read when its next full second is due."""
    return min(_MOST_S, max(LOOP_S, beds * (LIVE_COST_S if live else REPLAY_COST_S)))


def turn_s(beds: int) -> float:
    """Shortest duration of a turn of the loop, s."""
    return min(_TURN_MOST_S, beds * _TURN_COST_S)


def piece_s(beds: int) -> float:
    """Longest piece read at once from one of `beds` beds, s of signal; limits a source that floods, too."""
    return max(1.0, min(_PIECE_MAX_S, _PIECES_S / max(1, beds)))


def stagger_s(number: int, beds: int, speed: float) -> float:
    """Delay of the start of replay `number` (from 0), s: the full seconds of all beds must not coincide."""
    return 0.0 if speed <= 0 else number * min(1.0 / beds, STAGGER_S) / speed
