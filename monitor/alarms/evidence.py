"""Evidence of an alarm: its beats in numbers and words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from detector import Beat, Gap, Judgement
from detector.explain import SHAPE, WORDS, Word, explain
from detector.findings import Findings, measure, qrs_duration_ms
from monitor.messages import Evidence

__all__ = [
    "EVIDENCE_BEATS",
    "ScoredBeat",
    "beat_evidence",
    "beat_text",
    "explained",
    "gap_text",
    "measured",
    "rounded",
    "run_text",
]

EVIDENCE_BEATS: Final = 20  # newest beats in an alarm; keeps its message small


class _BeatNumbers(NamedTuple):
    """One beat's entry in each field of `Evidence` of that name, and its threshold."""

    r_samples: int
    log_prob: float | None
    score: float | None
    p_value: float | None
    words: tuple[str, ...]
    rr_ratio: float | None
    qrs_ms: float | None
    usual_qrs_ms: float | None
    residual: float | None
    threshold: float | None


@dataclass(frozen=True)
class ScoredBeat:
    """A beat with its score; all but `beat` is empty if the beat was not scorable.

    Attributes:
        log_prob: exact log p(x), nats; higher = more normal.
        score: anomaly score, all evidence; higher = more anomalous.
        judgement: the score against the patient's own reference.
        found: measurements of an anomalous beat; None for others.
        words: why it is unusual, `then a pause` last once that is known; empty for other beats.
    """

    beat: Beat
    log_prob: float | None = None
    score: float | None = None
    judgement: Judgement | None = None
    found: Findings | None = None
    words: tuple[Word, ...] = ()

    @property
    def anomalous(self) -> bool:
        """Scored, and too unusual for this patient."""
        return self.judgement is not None and self.judgement.anomalous

    @cached_property
    def qrs_ms(self) -> float:
        """QRS duration, ms; 0 for a flat beat."""
        return qrs_duration_ms(self.beat.samples.astype(np.float64)) or 0.0

    @cached_property
    def numbers(self) -> _BeatNumbers:
        """Its rounded numbers and its words; cached because a lasting alarm contains the same beats repeatedly."""
        beat, judgement, found = self.beat, self.judgement, self.found or Findings(rr_ratio=self.beat.rr_ratio)
        return _BeatNumbers(
            beat.r_sample,
            rounded(self.log_prob, 3),
            rounded(self.score, 3),
            rounded(judgement.p_value if judgement else None, 6),
            tuple(word.word for word in self.words),
            rounded(found.rr_ratio, 3),
            rounded(found.qrs_ms, 1),
            rounded(found.usual_qrs_ms, 1),
            rounded(beat.residual, 3),
            rounded(judgement.threshold if judgement else None, 3),
        )


def explained(scored: ScoredBeat) -> ScoredBeat:
    """The beat with its reasons if it is anomalous."""
    if not scored.anomalous:
        return scored
    found = measure(scored.beat)
    words = tuple(_shape_number(word, scored) if word.word == SHAPE else word for word in explain(found))
    return replace(scored, found=found, words=words)


def beat_text(scored: ScoredBeat) -> str:
    """Why one beat is anomalous, with the numbers: `wide (QRS 148 ms, usual 92), early (RR 62 % of usual)`."""
    return ", ".join(map(str, scored.words)) or "unlike this patient"


def run_text(beats: Sequence[ScoredBeat], head: str) -> str:
    """`head` and the words that at least half of the beats share."""
    counts = Counter(word.word for scored in beats for word in scored.words)
    common = [word for word in WORDS if 2 * counts[word] >= len(beats) > 0]
    return f"{head}: {', '.join(common)}" if common else head


def beat_evidence(beats: Sequence[ScoredBeat]) -> Evidence:
    """Numbers and words of the newest beats; the rule adds the alarm's own numbers with `measured`."""
    shown = [scored.numbers for scored in beats[-EVIDENCE_BEATS:]]
    if not shown:
        return Evidence()
    fields: dict[str, Any] = dict(zip(_BeatNumbers._fields, zip(*shown, strict=True), strict=True))
    fields["threshold"] = shown[-1].threshold
    if not any(fields["words"]):
        fields |= {"words": (), "qrs_ms": (), "usual_qrs_ms": ()}
    return Evidence(**fields)


def measured(evidence: Evidence, value: float | None, limit: float | None, unit: str) -> Evidence:
    """The evidence with the measured value and the limit that it crossed."""
    return msgspec.structs.replace(evidence, value=rounded(value, 3), limit=limit, limit_unit=unit)


def gap_text(gap: Gap, fs_hz: float) -> str:
    """A gap in words: `1 sample (3 ms) missing`."""
    n, lost_s = gap.n_samples, gap.n_samples / fs_hz
    duration = f"{lost_s:.1f} s" if lost_s >= 1 else f"{1e3 * lost_s:.0f} ms"
    return f"{n} sample{'s' if n > 1 else ''} ({duration}) missing"


def rounded(value: float | None, digits: int) -> float | None:
    """Round a number; None stays None."""
    return None if value is None else round(float(value), digits)


def _shape_number(word: Word, scored: ScoredBeat) -> Word:
    """If no measurement stands out, the word gets the score as its number."""
    if scored.judgement is None or scored.score is None:
        return word
    return Word(word.word, f"score {scored.score:.1f}, limit {scored.judgement.threshold:.1f}")
