"""Events of a record, detected and scored once; the alarms that they raise under several sets of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import Beat, Detector, Event, PatientReference, Quality, QualitySpan, Scorer
from detector.baseline import Calibration
from monitor.alarms import AlarmEngine
from monitor.alarms.evidence import ScoredBeat, explained
from monitor.config import AlarmsConfig
from monitor.messages import Alarm

__all__ = ["RULES", "Played", "Rules", "find"]

_PIECE = 3600
_UNGATED: Final = frozenset({Quality.TRUNCATED, Quality.LEADS_OFF, Quality.GAP})


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of an alarm engine.

    Attributes:
        changes: kind -> key -> value for every kind that knows the key; `*` = every kind.
        gated: signal that cannot be scored raises nothing.
        adaptive: the threshold is the patient's own.
    """

    changes: tuple[tuple[str, str, float], ...] = ()
    gated: bool = True
    adaptive: bool = True

    @property
    def limits(self) -> AlarmsConfig:
        """The default configuration with `changes`."""
        limits = AlarmsConfig()
        for name in msgspec.structs.fields(AlarmsConfig):
            kind = getattr(limits, name.name)
            for which, key, value in self.changes:
                if which in ("*", name.name) and getattr(kind, key) != value:
                    kind = msgspec.structs.replace(kind, **{key: type(getattr(kind, key))(value)})
            limits = msgspec.structs.replace(limits, **{name.name: kind})
        return limits


_AT_ONCE = (("*", "delay_s", 0.0), ("poor_signal", "limit", 0.0), ("leads_off", "limit", 0.0))
_EACH_ALONE = (("*", "hold_s", 0.0), ("*", "per_hour", 0), ("*", "relief", 0.0))
RULES: Final[dict[str, Rules]] = {
    "all rules": Rules(),
    "without delays": Rules(_AT_ONCE),
    "without the quality gate": Rules(gated=False),
    "one threshold for all patients": Rules(adaptive=False),
    "without grouping and hysteresis": Rules(_EACH_ALONE),
    "without any of these": Rules((*_AT_ONCE, *_EACH_ALONE), gated=False, adaptive=False),
}


@dataclass(frozen=True, slots=True)
class Played:
    """Events of one record, and the scores of its beats."""

    fs_hz: float
    events: tuple[Event, ...]
    scores: tuple[tuple[float, float] | None, ...]  # (log p, score) of each beat, in order
    calibration: Calibration

    def alarms(self, rules: Rules) -> list[Alarm]:
        """Every change of an alarm under these rules, in order, as `monitor.engine.bed` gives them."""
        engine = AlarmEngine("p1", self.fs_hz, rules.limits)
        judge = self._judge(rules.adaptive)
        scores = iter(self.scores)
        changes: list[Alarm] = []
        for event in self.events:
            item: Any = event
            if isinstance(event, Beat):
                item = _scored(event if rules.gated else _ungated(event), next(scores), judge)
            elif isinstance(event, QualitySpan) and not rules.gated and event.quality not in _UNGATED:
                item = replace(event, quality=Quality.GOOD)
            changes += engine.handle(item)
        return changes

    def _judge(self, adaptive: bool) -> Callable[[float], Any]:
        if adaptive:
            return PatientReference(self.calibration).judge
        return lambda score: PatientReference(self.calibration).judge(score)


def _ungated(beat: Beat) -> Beat:
    return beat if beat.quality in _UNGATED else replace(beat, quality=Quality.GOOD)


def _scored(beat: Beat, score: tuple[float, float] | None, judge: Callable[[float], Any]) -> ScoredBeat:
    if score is None or not beat.scorable or not np.isfinite(score).all():
        return ScoredBeat(beat)
    return explained(ScoredBeat(beat, *score, judge(score[1])))


def find(samples_mv: NDArray[np.float64], fs_hz: float, scorer: Scorer) -> Played:
    """Run the detector over a record and score its beats, also those of a quality that is not scored."""
    detector = Detector(fs_hz)
    events: list[Event] = []
    for first in range(0, len(samples_mv), _PIECE):
        events += detector.advance(samples_mv[first : first + _PIECE])
    events += detector.flush()
    beats = [event for event in events if isinstance(event, Beat)]
    usable = [np.isfinite(beat.samples).all() and beat.quality not in _UNGATED for beat in beats]
    found = scorer.score_beats([beat for beat, use in zip(beats, usable, strict=True) if use])
    each = iter(zip(found.log_prob.tolist(), found.score.tolist(), strict=True))
    scores = tuple(next(each) if use else None for use in usable)
    return Played(fs_hz, tuple(events), scores, scorer.calibration)
