"""The most likely sequence of beats among QRS candidates, by dynamic programming.

Each candidate has evidence for being a QRS, and each pair of consecutive beats has a price: for an interval that is too
short or too long for this rhythm, and for a second beat that looks like the T wave of the first. This combines the
threshold, the search back and the T-wave rule of Pan and Tompkins (1985, DOI 10.1109/TBME.1985.325532) in one sum.
Evidence and prices are in nats.

The constants were chosen, one after the other, by the R-peak errors on DS1, the paced records and nstdb; those for
intervals under 0.25 s and for blunt T waves on synthetic ECGs (150 to 300 bpm; T wave up to 1.6 times the QRS).
With the price of blunt waves one beat of mitdb 233 is missed that half of it kept; the other 47 records are
the same. On the 12 records of nstdb 5 more beats are missed and 22 fewer are false.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["REFRACTORY_S", "Candidate", "best_sequence"]

REFRACTORY_S = 0.18  # shortest interval that counts: 333/min
_SHORT_RR, _SHORT_PRICE = 0.7, 2.0  # below 70 % of the usual interval: 2 nats for each factor of e
_LONG_RR, _LONG_PRICE, _LONG_MOST = 1.3, 1.5, 4.0  # 1.5 nats for each further 1.3 intervals; bounded for pauses
# Over 240/min consecutive complexes have nearly the same height; QRS and T wave, or two parts of one QRS, do not.
_FAST_S, _FAST_PRICE = 0.25, 6.0
_T_WAVE_S, _T_WAVE_SHARE, _T_WAVE_PRICE = 0.36, 0.8, 8.0  # within 0.36 s of a QRS, and lower than 80 % of it
# ... or lower than it and over 1.35 times as wide: a T wave may be taller than its QRS, but is never as steep
_BLUNT, _BLUNT_SHARE, _BLUNT_PRICE = 1.35, 0.95, 32.0
_SILENCE_S, _SILENCE_PRICE = 4.0, 2.0  # what ends a standstill must look like a QRS by itself, or agree with others


class Candidate(NamedTuple):
    """A place that may be a QRS.

    Attributes:
        place: middle of the complex, samples.
        height: of the slope envelope, mV per sample.
        width: of its slopes, samples; 0 = not known.
        evidence: for being a QRS, nats; 0 = as likely as not.
    """

    place: int
    height: float
    width: float
    evidence: float


def best_sequence(
    candidates: list[Candidate], last: Candidate | None, rr: float | None, end: int, fs_hz: float
) -> list[Candidate]:
    """Select the candidates that are beats.

    Args:
        candidates: in order of time.
        last: the beat decided last; None = none yet.
        rr: usual interval, samples; None = not known.
        end: end of the signal that was searched, samples.
        fs_hz: sampling rate, Hz.

    Returns:
        The sequence with the largest evidence minus the prices of its intervals, including the one up to `end`.
    """
    refractory = REFRACTORY_S * fs_hz
    best: list[float] = []
    before: list[int] = []
    chosen, most = -1, 0.0
    if last is not None:
        most = -_long_price(end - last.place, rr)
    for i, beat in enumerate(candidates):
        so_far, previous = 0.0, -1
        if last is not None:
            so_far = -_price(last, beat, rr, fs_hz)
        for j in range(i - 1, -1, -1):
            if beat.place - candidates[j].place >= refractory:
                value = best[j] - _price(candidates[j], beat, rr, fs_hz)
                if value > so_far:
                    so_far, previous = value, j
        best.append(so_far + beat.evidence)
        before.append(previous)
        total = best[i] - _long_price(end - beat.place, rr)
        if total > most:
            chosen, most = i, total
    path = []
    while chosen >= 0:
        path.append(candidates[chosen])
        chosen = before[chosen]
    return path[::-1]


def _price(before: Candidate, beat: Candidate, rr: float | None, fs_hz: float) -> float:
    """Price of two consecutive beats, nats."""
    interval = beat.place - before.place
    price = _long_price(interval, rr)
    if interval > _SILENCE_S * fs_hz:
        price += _SILENCE_PRICE
    if rr is not None and interval < _SHORT_RR * rr:
        price += _SHORT_PRICE * math.log(_SHORT_RR * rr / interval)
    if interval < _FAST_S * fs_hz:
        price += _FAST_PRICE * abs(math.log(beat.height / before.height))
    if interval < _T_WAVE_S * fs_hz:
        if beat.height < _T_WAVE_SHARE * before.height:
            price += _T_WAVE_PRICE * math.log(_T_WAVE_SHARE * before.height / beat.height)
        if beat.width > _BLUNT * before.width > 0 and beat.height < _BLUNT_SHARE * before.height:
            price += _BLUNT_PRICE * math.log(beat.width / (_BLUNT * before.width))
    return price


def _long_price(interval: int, rr: float | None) -> float:
    """Price of an interval longer than usual for this rhythm, nats."""
    if rr is None or interval <= _LONG_RR * rr:
        return 0.0
    return min(_LONG_MOST, _LONG_PRICE * (interval / (_LONG_RR * rr) - 1.0))
