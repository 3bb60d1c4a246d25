"""R-peaks of a strip with score and reasons, from beat messages and the alarm's evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from monitor.messages import Alarm, BeatMessage

__all__ = ["MarkedBeat", "marked_beats"]


class MarkedBeat(NamedTuple):
    """An R-peak of the strip, by source sample, with the reasons of an anomalous beat, e.g. `("wide", "early")`.

    Score (higher = more anomalous) and threshold are None if the beat was not scored.
    """

    r_sample: int
    score: float | None
    threshold: float | None
    anomalous: bool
    words: tuple[str, ...]


def marked_beats(beats: Iterable[BeatMessage], alarm: Alarm) -> list[MarkedBeat]:
    """Merge journalled beats with the beats of the alarm's evidence, sorted by R-peak.

    The evidence may have more reasons than the beat message (the pause that followed), and it remains after the
    journal has deleted the beats.
    """
    found = {b.r_sample: MarkedBeat(b.r_sample, b.score, b.threshold, b.anomalous, b.words) for b in beats}
    evidence = alarm.evidence
    for n, r_sample in enumerate(evidence.r_samples):
        score = evidence.score[n] if n < len(evidence.score) else None
        words = evidence.words[n] if n < len(evidence.words) else ()
        known = found.get(r_sample)
        if known is not None:
            found[r_sample] = known._replace(words=words or known.words)
        else:
            over = score is not None and evidence.threshold is not None and score > evidence.threshold
            found[r_sample] = MarkedBeat(r_sample, score, evidence.threshold, bool(words) or over, words)
    return [found[r_sample] for r_sample in sorted(found)]
