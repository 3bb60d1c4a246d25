"""A tape through the whole monitor, and the output of its bed."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from studies.runs import Kept

from clinical_rows.cases import Case
from clinical_rows.tapes import Tape, TapeSource
from detector import Scorer
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.messages import Alarm, Request, StatusMessage
from monitor.sources import Notice

HIGH: Final = "high"
MATCH_S: Final = 0.15
PIECE_S: Final = 0.5
_STARTED: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Stretch:
    """An alarm while its cause holds: from `onset` (or a recurrence) until it is latched or cleared.

    Attributes:
        kind, priority, category: as in the message.
        since_s, until_s: when that was decided; the end of the tape where it went on.
        alarm_id: of the alarm.
    """

    kind: str
    priority: str
    category: str
    since_s: float
    until_s: float
    alarm_id: str


class Received(Kept):
    """Output of a bed that keeps everything, with the questions of the verdicts. Times are s of the sample clock.

    Attributes:
        tape: what was played.
        alarms, beats, notices: messages in order.
        rates: (time, heart rate shown or None), twice a second.
        qualities: (time, quality of the last second), with `rates`.
        rhythms: (time, rhythm in words), with `rates`.
        status: the last one before the end.
        pacer_s: pacing pulses that the monitor has marked.
        stretches: every alarm while its cause held; after the end.

    Many attributes: one for each kind of message.
    """

    def __init__(self, tape: Tape, acknowledge: bool) -> None:
        super().__init__()
        self.tape = tape
        self.notices: list[tuple[float, Notice]] = []
        self.rates: list[tuple[float, float | None]] = []
        self.qualities: list[tuple[float, str]] = []
        self.rhythms: list[tuple[float, str]] = []
        self.status: StatusMessage | None = None
        self.pacer_s: list[float] = []
        self.stretches: list[Stretch] = []
        self.acknowledge = acknowledge

    # -- output of a bed --------------------------------------------------------------------------------------

    def notice(self, bed: Bed, notice: Notice) -> None:
        self.notices.append((bed.now / self.tape.fs_hz, notice))

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        self.pacer_s += [sample / self.tape.fs_hz for sample in samples]

    # -- after the end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Find the stretches."""
        up: dict[str, Alarm] = {}
        fs_hz = self.tape.fs_hz
        for alarm in self.alarms:
            before = up.get(alarm.alarm_id)
            holds = alarm.state in ("onset", "acknowledged")
            if before is not None and (not holds or alarm.priority != before.priority):
                self._end(up.pop(alarm.alarm_id), alarm.decided_sample / fs_hz)
            if holds and alarm.alarm_id not in up:
                up[alarm.alarm_id] = alarm
        for alarm in up.values():
            self._end(alarm, self.tape.seconds)
        self.stretches.sort(key=lambda each: each.since_s)

    def _end(self, alarm: Alarm, until_s: float) -> None:
        since_s = alarm.decided_sample / self.tape.fs_hz
        self.stretches.append(Stretch(alarm.kind, alarm.priority, alarm.category, since_s, until_s, alarm.alarm_id))

    def of(
        self, kinds: Iterable[str] = (), *, priorities: Sequence[str] = ("high", "medium", "low"), since_s: float = 0.0,
        until_s: float = np.inf, category: str = "physiological",
    ) -> list[Stretch]:  # fmt: skip
        """Stretches of these kinds (all without any) that overlap a time."""
        kinds = tuple(kinds)
        return [
            each
            for each in self.stretches
            if (not kinds or each.kind in kinds)
            and each.priority in priorities
            and (category == "" or each.category == category)
            and each.since_s < until_s
            and each.until_s > since_s
        ]

    def up_share(self, kinds: Iterable[str], since_s: float, until_s: float) -> float:
        """Share of a time in which one of the kinds was up."""
        grid = np.arange(since_s, until_s, 0.1)
        up = np.zeros(grid.size, bool)
        for each in self.of(kinds, category=""):
            up |= (grid >= each.since_s) & (grid < each.until_s)
        return float(up.mean()) if grid.size else 0.0

    def rates_between(self, since_s: float, until_s: float) -> list[float]:
        """Heart rates shown in a time, bpm."""
        return [rate for at_s, rate in self.rates if rate is not None and since_s < at_s <= until_s]

    @property
    def found_s(self) -> Floats:
        """R-peaks found, s."""
        return np.array([beat.r_sample for beat in self.beats]) / self.tape.fs_hz

    def missed(self, true_s: Sequence[float]) -> list[float]:
        """True beats without an R-peak within 150 ms."""
        found = self.found_s
        return [at_s for at_s in true_s if not found.size or np.abs(found - at_s).min() > MATCH_S]

    def extra(self, since_s: float, until_s: float) -> list[float]:
        """R-peaks found that are no beat."""
        true = np.array(self.tape.beats_s)
        return [
            float(at_s)
            for at_s in self.found_s
            if since_s <= at_s < until_s and (not true.size or np.abs(true - at_s).min() > MATCH_S)
        ]

    def events_of(self, *words: str) -> list[tuple[float, str]]:
        """Time and text of events, and of the onsets of technical alarms, whose kind has one of the words."""
        fs_hz = self.tape.fs_hz
        said = [(at_s, notice.kind, notice.text) for at_s, notice in self.notices]
        said += [
            (alarm.decided_sample / fs_hz, alarm.kind, alarm.text)
            for alarm in self.alarms
            if alarm.category == "technical" and alarm.state == "onset" and not alarm.update
        ]
        return sorted((at_s, text) for at_s, kind, text in said if any(word in kind for word in words))


Floats = NDArray[np.float64]


def config_of(patient: str) -> Config:
    """The default configuration for a patient of this category; empty = the default one."""
    if not patient:
        return Config()
    return msgspec.convert({"beds": {"p1": {"source": "sim:", "patient": patient}}}, Config)


def play(case: Case, scorer: Scorer) -> Received:
    """Run the tape of a case through a bed at full speed."""
    tape = case.tape
    received = Received(tape, case.acknowledge)
    bed = Bed("p1", TapeSource(tape, "clinical"), config_of(case.patient), scorer, lambda: 0.0, _STARTED, paced=False)
    piece = round(PIECE_S * tape.fs_hz)
    while True:
        known = len(received.alarms)
        bed.process(piece, received)
        bed.settle(scorer.score_beats(bed.input.unscored), received)
        if case.acknowledge:
            for alarm in received.alarms[known:]:
                if alarm.state == "onset" and alarm.alarm_id in {each.alarm_id for each in bed.engine.active}:
                    bed.answer(Request(op="acknowledge", alarm_id=alarm.alarm_id, who="examiner"), received)
        if bed.ended:
            break
        status = bed.status()
        at_s = bed.now / tape.fs_hz
        received.rates.append((at_s, status.heart_rate_bpm))
        received.qualities.append((at_s, status.quality))
        received.rhythms.append((at_s, status.rhythm))
        received.status = status
    received.close()
    return received
