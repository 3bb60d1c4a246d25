"""A simulated bed: detector events second by second, made by the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector import Beat, BeatContext, Judgement, Quality, QualitySpan, RhythmSpan, Tick
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, explained
from monitor.config import AlarmsConfig
from monitor.messages import Alarm

FS_HZ = 250.0
SHAPE = np.zeros(187, np.float32)
# by the state before, None = new: the states that a change of an alarm may have; `onset` again at a higher priority
LEGAL_STATES = {
    None: {"onset"},
    "onset": {"latched", "acknowledged", "cleared", "onset"},
    "latched": {"onset", "cleared"},
    "acknowledged": {"cleared", "onset"},
    "cleared": {"onset"},
}
NORMAL = Judgement(p_value=0.6, threshold=4.9, anomalous=False)
NEARLY_ODD = Judgement(p_value=0.015, threshold=4.9, anomalous=False)
ODD = Judgement(p_value=0.0005, threshold=4.9, anomalous=True)
# QRS of a beat: none, the patient's own, a ventricular one, or noise that differs from beat to beat
QrsShape = Literal["flat", "usual", "wide", "noise"]

_AT_S = (np.arange(187) - 62) / 125.0
SHAPES = {
    "flat": SHAPE,
    "usual": np.exp(-0.5 * (_AT_S / 0.012) ** 2).astype(np.float32),
    "wide": (1.3 * np.exp(-0.5 * ((_AT_S - 0.02) / 0.05) ** 2)).astype(np.float32),
}


def shape(qrs: QrsShape, r_sample: int) -> NDArray[np.float32]:
    """187 samples of a beat."""
    if qrs != "noise":
        return SHAPES[qrs]
    bumps = np.random.default_rng(r_sample).standard_normal(187)
    return np.convolve(bumps, SHAPES["wide"][52:77], "same").astype(np.float32) / 3


CONTEXT = BeatContext(SHAPES["usual"], SHAPES["usual"], np.full(8, np.nan, np.float32))


@dataclass
class SimulatedBed:
    """Drives an alarm engine second by second, as the detector would."""

    limits: AlarmsConfig | None = None
    knows_rr: bool = False
    second: int = 0
    changes: list[Alarm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = AlarmEngine("p1", FS_HZ, self.limits)
        self.last_r: int | None = None

    @property
    def now(self) -> int:
        return round(self.second * FS_HZ)

    def tick(
        self, quality: Quality = Quality.GOOD, r_samples: tuple[int, ...] = (), fibrillatory: bool | None = None
    ) -> list[Alarm]:
        """The next second; `fibrillatory` is the verdict on the last 4 s, None = no verdict."""
        first = self.now
        self.second += 1
        changes = self.engine.handle(QualitySpan(first, self.now, quality))
        if fibrillatory is not None:
            changes += self.engine.handle(RhythmSpan(max(0, self.now - round(4 * FS_HZ)), self.now, fibrillatory, 0.5))
        changes += self.engine.handle(Tick(self.now, max(0, self.now - round(0.6 * FS_HZ)), r_samples))
        self.changes += changes
        return changes

    def ticks(self, seconds: int, quality: Quality = Quality.GOOD, *, fibrillatory: bool | None = None) -> list[Alarm]:
        """Seconds without an R-peak."""
        return [alarm for _ in range(seconds) for alarm in self.tick(quality, fibrillatory=fibrillatory)]

    def beat(
        self,
        r_sample: int,
        odd: bool = False,
        quality: Quality = Quality.GOOD,
        qrs: QrsShape = "flat",
        usual: Judgement = NORMAL,
    ) -> list[Alarm]:
        rr_s = None if self.last_r is None else (r_sample - self.last_r) / FS_HZ
        self.last_r = r_sample
        ratio = rr_s / 0.5 if self.knows_rr and rr_s is not None else None
        decided, context = self.now + round(FS_HZ), None if qrs == "flat" else CONTEXT
        beat = Beat(r_sample, rr_s, shape(qrs, r_sample), quality, None, ratio, ratio, decided, context)
        good = quality is Quality.GOOD
        scored = ScoredBeat(beat)
        if good:
            scored = ScoredBeat(beat, -150.0, 7.3, ODD) if odd else ScoredBeat(beat, -80.0, 1.2, usual)
        changes = self.engine.handle(explained(scored))
        self.changes += changes
        return changes

    def rhythm(self, seconds: int, rr_s: float, odd: bool = False, qrs: QrsShape = "flat") -> list[Alarm]:
        """Beats at a fixed RR interval for some seconds."""
        before = len(self.changes)
        end = self.now + round(seconds * FS_HZ)
        next_r = self.now if self.last_r is None else self.last_r + round(rr_s * FS_HZ)
        while self.now < end:
            upto = self.now + round(FS_HZ)
            here = []
            while next_r < upto:
                here.append(next_r)
                next_r += round(rr_s * FS_HZ)
            for r_sample in here:
                self.beat(r_sample, odd, qrs=qrs)
            self.tick(r_samples=tuple(here))
        return self.changes[before:]

    def kinds(self, state: str = "onset") -> list[str]:
        return [alarm.kind for alarm in self.changes if alarm.state == state and not alarm.update]


def running_bed(limits: AlarmsConfig | None = None, *, seconds: int = 10, qrs: QrsShape = "flat") -> SimulatedBed:
    """A bed after some seconds of a usual rhythm, 75 bpm."""
    bed = SimulatedBed(limits)
    bed.rhythm(seconds, 0.8, qrs=qrs)
    return bed


def states(changes: list[Alarm], *kinds: str) -> list[tuple[str, str]]:
    """Kind and state of each change that is not an update."""
    return [(a.kind, a.state) for a in changes if not a.update and (not kinds or a.kind in kinds)]


def run(bed: SimulatedBed, beats: int, rr_s: float, qrs: QrsShape = "wide") -> list[Alarm]:
    """Consecutive anomalous beats."""
    before = len(bed.changes)
    end = (bed.last_r or 0) + round(beats * rr_s * FS_HZ)
    while (bed.last_r or 0) < end:
        here = []
        while (r := (bed.last_r or 0) + round(rr_s * FS_HZ)) < bed.now + round(FS_HZ) and r <= end:
            bed.beat(r, odd=True, qrs=qrs)
            here.append(r)
        bed.tick(r_samples=tuple(here))
    return bed.changes[before:]


def single_beats(bed: SimulatedBed, n: int, every_s: int) -> list[Alarm]:
    """Single early anomalous beats in a usual rhythm."""
    before = len(bed.changes)
    for _ in range(n):
        bed.beat((bed.last_r or 0) + 130, odd=True, qrs="usual")
        bed.rhythm(every_s, 0.8, qrs="usual")
    return bed.changes[before:]
