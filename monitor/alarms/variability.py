"""Heart rate variability of the last 5 minutes, or the reason why there is none.

The Task Force (1996, doi:10.1161/01.CIR.93.5.1043) prefers short-term recordings free of ectopic beats, missing data
and noise, and asks to state how much was left out; its figures describe sinus rhythm. Here they need NN intervals of
4 of the 5 minutes, so that at most a fifth is left out, and the message states the sum of those used. Atrial
fibrillation and paced rhythms, which studies of variability exclude, give no figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from detector.variability import WINDOW_S, ShortTermWindow
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import ScoredBeat
from monitor.messages import Alarm, BeatMessage, ShortTermHrv

__all__ = ["NEEDED_S", "Variability"]

NEEDED_S: Final = 240.0  # of NN intervals in the window
_IRREGULAR: Final = "irregular_rhythm"


class Variability:
    """Variability of one bed.

    Args:
        book: alarms of the bed; while `irregular_rhythm` is up, and 5 minutes after, there is no figure.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._window = ShortTermWindow(book.fs_hz)
        self._irregular_until = -math.inf  # sample

    def on_beat(self, scored: ScoredBeat) -> None:
        """Take the next beat, scored or not; the rule on irregular rhythms has taken it before."""
        beat, known = scored.beat, scored.score is not None
        self._window.push(beat.r_sample, beat.rr_s, scored=known, anomalous=scored.anomalous, paced=beat.paced)
        self._note_irregular()

    def restore(self, changes: Iterable[Alarm], beats: Iterable[BeatMessage]) -> None:
        """Continue after an earlier run, with the book restored.

        Args:
            changes: of its alarms, in order.
            beats: of its last 5 minutes, in order.
        """
        for alarm in changes:
            if alarm.kind == _IRREGULAR:
                self._irregular_until = alarm.decided_sample
        self._note_irregular()  # one that lasts may have changed long ago
        for beat in beats:
            known = beat.score is not None
            self._window.push(beat.r_sample, beat.rr_s, scored=known, anomalous=beat.anomalous, paced=beat.paced)

    def figures(self, sample: int) -> ShortTermHrv:
        """Figures of the 5 minutes before `sample`."""
        self._window.forget(sample)
        found, why = self._window.time_domain(), self._why_none(sample)
        nn_s = round(self._window.nn_s, 1)
        if why or found.sdnn_ms is None or found.rmssd_ms is None or found.pnn50 is None:
            return ShortTermHrv(intervals=found.intervals, nn_s=nn_s, why=why)
        return ShortTermHrv(
            sdnn_ms=round(found.sdnn_ms, 1),
            rmssd_ms=round(found.rmssd_ms, 1),
            pnn50=round(found.pnn50, 4),
            intervals=found.intervals,
            nn_s=nn_s,
        )

    def _note_irregular(self) -> None:
        if self._book.up(_IRREGULAR) is not None:
            self._irregular_until = self._book.sample

    def _why_none(self, sample: int) -> str:
        window = self._window
        if sample - self._irregular_until < WINDOW_S * self._book.fs_hz:
            return "irregular rhythm"
        if window.nn_s < NEEDED_S:
            if window.nn_s + window.ectopic_s >= NEEDED_S:
                return "ectopic beats"
            return f"needs {math.ceil(NEEDED_S - window.nn_s)} s more"
        return "paced rhythm" if window.nn_s - window.paced_s < NEEDED_S else ""
