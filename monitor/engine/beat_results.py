"""Beat results: each scored beat judged against its patient, counted, and described as a message."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detector import Beat, TwoLeadReference
from detector.baseline import Calibration
from monitor.alarms.evidence import ScoredBeat, explained
from monitor.engine.bed_input import BedInput
from monitor.engine.latency import LatencyPercentiles
from monitor.messages import BeatMessage

__all__ = ["BeatResults"]


class BeatResults:
    """The results of one bed.

    Args:
        name: name of the bed.
        bed_input: times of its samples.
        counts: counts of the bed; beats are counted here.
        calibration: of the model.
        own: the patient is compared with itself alone, because the model was trained on others.
    """

    def __init__(
        self, name: str, bed_input: BedInput, counts: dict[str, int], calibration: Calibration, own: bool = False
    ) -> None:
        self.latencies = LatencyPercentiles()
        self._name = name
        self._input = bed_input
        self._counts = counts
        self._score_max = calibration.score_max
        self._reference = TwoLeadReference(calibration, own)

    def judge(self, beat: Beat, given: Sequence[tuple[float, float]]) -> ScoredBeat:
        """Judge and explain a beat; a score that is not finite counts as none, and one beyond the highest as that.

        Args:
            beat: scorable or not.
            given: log p and score, of the beat and of `beat.other`; empty for a beat that is not scorable.
        """
        finite = [math.isfinite(log_prob) and math.isfinite(score) for log_prob, score in given]
        if not (finite and finite[0]):
            return ScoredBeat(beat)
        scores = [min(score, self._score_max) for _, score in given]
        other = scores[1] if len(scores) > 1 and finite[1] else None
        score, judgement = self._reference.judge(beat.lead, scores[0], other)
        return explained(ScoredBeat(beat, given[0][0], score, judgement))

    def message(self, scored: ScoredBeat, heart_rate_bpm: float | None) -> BeatMessage:
        """Count a beat, and describe it."""
        beat, judgement = scored.beat, scored.judgement
        self._counts["beats"] += 1
        self._counts["anomalous_beats"] += scored.anomalous
        self._counts["unscored_beats"] += judgement is None
        latency_ms = self._input.arrivals.latency_ms(beat.decided_sample)
        if latency_ms is not None:
            self.latencies.put(latency_ms)
        return BeatMessage(
            sample=beat.r_sample,
            time=self._input.time_of(beat.r_sample),
            bed=self._name,
            r_sample=beat.r_sample,
            rr_s=None if beat.rr_s is None else round(beat.rr_s, 4),
            log_prob=None if scored.log_prob is None else round(scored.log_prob, 3),
            score=None if scored.score is None else round(scored.score, 3),
            p_value=None if judgement is None else round(judgement.p_value, 6),
            threshold=None if judgement is None else round(judgement.threshold, 3),
            anomalous=scored.anomalous,
            quality=beat.quality.value,
            heart_rate_bpm=heart_rate_bpm,
            latency_ms=latency_ms,
            words=tuple(word.word for word in scored.words),
            paced=beat.paced,
        )
