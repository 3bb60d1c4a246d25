"""Explanation words of the beats of each class (`detector.explain`), and quantiles of normal beats for their limits.

The limits come from normal beats of training patients alone; the tables of the other classes only show the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector import Beat, BeatContext, Quality, Scorer
from detector.explain import LIMITS, SHAPE, WORDS, explain, pause
from detector.findings import Findings, measure
from detector.short_repr import short_repr
from train.data.detected_beats import StreamedRecord, stream_beats
from train.data.records import CLASSES, DS1, DS2
from train.evaluate.record_decisions import decide_record
from train.model.scores import BeatScores

__all__ = [
    "Explained",
    "WordTable",
    "explain_record",
    "explanation_report",
    "normal_limits",
    "report_text",
    "word_table",
]

# Findings that are not relative to the patient: quantile over all patients together, each with the same weight.
_POOLED: Final = ("rough",)
# For each limit: the finding it applies to, and its quantile of the normal beats.
_QUANTILES: Final[Mapping[str, tuple[str, float]]] = {
    "early": ("rr_ratio", 0.01),
    "late": ("rr_ratio", 0.99),
    "wider_ms": ("wider_ms", 0.99),
    "tall": ("height", 0.99),
    "small": ("height", 0.01),
    "likeness": ("likeness", 0.01),
    "st_t": ("st_t", 0.99),
    "p_wave": ("p_wave", 0.01),
    "rough": ("rough", 0.99),
    "pause": ("after_ratio", 0.99),
}


@dataclass(frozen=True, slots=True)
class Explained:
    """The scorable beats of one record that have a class and a template, in order of time.

    Attributes:
        name: of the record.
        labels: (n,) their classes.
        rows: (n,) int64, their indices among the streamed beats of the record.
        words: (n,) tuples of words, in the order of the explanation.
        findings: (n,) float64 by name: those of `Findings`, `wider_ms` and `after_ratio`; NaN = unknown.
    """

    name: str
    labels: NDArray[np.str_]
    rows: NDArray[np.int64]
    words: tuple[tuple[str, ...], ...]
    findings: Mapping[str, NDArray[np.float64]]

    __repr__ = short_repr


@dataclass(frozen=True, slots=True)
class WordTable:
    """Share of the beats of each class that get each word.

    Attributes:
        beats: number of beats of each class.
        shares: class, then word: 0 to 1. A beat may get several words; classes without a beat are left out.
        common: class, then the most frequent combinations of words and their shares.
    """

    beats: dict[str, int]
    shares: dict[str, dict[str, float]]
    common: dict[str, list[tuple[str, float]]]


def explain_record(record: StreamedRecord) -> Explained:
    """Explain every beat as the monitor would, including the pause after it."""
    kept = record.scorable & (record.matched >= 0) & np.isfinite(record.residuals)
    rows = np.flatnonzero(kept)
    words: list[tuple[str, ...]] = []
    values: list[dict[str, float | None]] = []
    for k in rows.tolist():
        beat = _beat(record, k)
        found = measure(beat)
        after_s = float(record.rr_s[k + 1]) if k + 1 < len(record.rr_s) else np.nan
        explanation = [*explain(found), None if np.isnan(after_s) else pause(beat, after_s, ended=True)]
        words.append(tuple(word.word for word in explanation if word is not None))
        values.append(asdict(found) | _derived(beat, found, after_s))
    names = list(values[0]) if values else []
    findings = {name: np.array([np.nan if v[name] is None else v[name] for v in values], float) for name in names}
    return Explained(record.name, record.annotated_labels[record.matched[rows]], rows, tuple(words), findings)


def word_table(records: Iterable[Explained], flagged: Mapping[str, NDArray[np.bool_]] | None = None) -> WordTable:
    """Share of the beats of each class that get each word, over all records together.

    Args:
        records: the explained records.
        flagged: by record, (n,) bool over its streamed beats: only these count; None = all.
    """
    by_class: dict[str, list[tuple[str, ...]]] = {name: [] for name in CLASSES}
    for record in records:
        counted = np.ones(len(record.rows), bool) if flagged is None else flagged[record.name][record.rows]
        for label, words, counts in zip(record.labels.tolist(), record.words, counted.tolist(), strict=True):
            if counts:
                by_class[label].append(words)
    by_class = {name: beats for name, beats in by_class.items() if beats}
    return WordTable(
        beats={name: len(beats) for name, beats in by_class.items()},
        shares={
            name: {word: sum(word in words for words in beats) / len(beats) for word in WORDS}
            for name, beats in by_class.items()
        },
        common={name: _common(beats) for name, beats in by_class.items()},
    )


def normal_limits(records: Iterable[Explained]) -> dict[str, float]:
    """Limit of each word from normal beats: quantile of each patient, median over the patients."""
    normal = [(record, record.labels == "N") for record in records if record.findings]
    limits: dict[str, float] = {}
    for name, (finding, quantile) in _QUANTILES.items():
        patients = [record.findings[finding][chosen] for record, chosen in normal]
        patients = [values[np.isfinite(values)] for values in patients]
        patients = [values for values in patients if values.size]
        if patients and name in _POOLED:
            weights = np.concatenate([np.full(values.size, 1.0 / values.size) for values in patients])
            values = np.concatenate(patients)
            order = np.argsort(values)
            share = np.cumsum(weights[order]) / weights.sum()
            limits[name] = float(np.interp(quantile, share, values[order]))
        elif patients:
            limits[name] = float(np.median([np.quantile(values, quantile) for values in patients]))
    return limits


def _flags(record: StreamedRecord, scorer: Scorer) -> NDArray[np.bool_]:
    """(n,) bool: the beats of a record that the monitor calls anomalous."""
    found = scorer.score(record.beats, record.templates, record.context_values)
    scores = BeatScores(found.log_prob.astype(np.float64), found.score.astype(np.float64))
    return decide_record(record, scores, scorer.calibration, 0.0).flagged


def explanation_report(scorer: Scorer, sets: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Tables of each set of records, and limits from the normal beats of DS1.

    Args:
        scorer: its anomalous beats (those the monitor explains) get separate tables.
        sets: name to records of `mitdb`; default DS1 and DS2.
    """
    report: dict[str, Any] = {"limits": asdict(LIMITS), "sets": {}}
    for name, records in (sets or {"DS1": DS1, "DS2": DS2}).items():
        explained: list[Explained] = []
        flagged: dict[str, NDArray[np.bool_]] = {}
        for record in stream_beats(records):
            explained.append(explain_record(record))
            flagged[record.name] = _flags(record, scorer)
        report["sets"][name] = {
            "all": asdict(word_table(explained)),
            "anomalous": asdict(word_table(explained, flagged)),
        }
        if set(records) <= set(DS1):  # test patients never determine a limit
            report["normal_limits"] = normal_limits(explained)
    return report


def report_text(report: Mapping[str, Any]) -> str:
    """The report as Markdown tables: one per set and selection, then the limits."""
    titles = {"all": "all beats", "anomalous": "beats called anomalous"}
    lines: list[str] = []
    for name, tables in report["sets"].items():
        for which, table in tables.items():
            classes = list(table["beats"])
            lines += [f"{name}, {titles[which]}: share that gets each word, %", ""]
            lines.append("| word | " + " | ".join(f"{c} ({table['beats'][c]:,})" for c in classes) + " |")
            lines.append("|---|" + "---:|" * len(classes))
            for word in WORDS:
                shares = [100 * table["shares"][c][word] for c in classes]
                if word == SHAPE and which == "all":
                    word = "(nothing stands out)"
                lines.append(f"| {word} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
            lines.append("")
            for c in classes:
                common = "; ".join(f"{words} {100 * share:.0f} %" for words, share in table["common"][c])
                common = common.replace(SHAPE, "nothing") if which == "all" else common
                lines.append(f"- {c} most often: {common}")
            lines.append("")
    if "normal_limits" in report:
        lines += ["| limit | in use | normal beats of DS1 |", "|---|---:|---:|"]
        measured, used = report["normal_limits"], report["limits"]
        lines += [f"| {name} | {used[name]:g} | {measured[name]:.3g} |" for name in measured]
    return "\n".join(lines).rstrip() + "\n"


def _beat(record: StreamedRecord, k: int) -> Beat:
    """The detected beat, with the fields that an explanation needs."""
    rr_s, residual = float(record.rr_s[k]), float(record.residuals[k])
    known = BeatContext(record.templates[k, 0], record.templates[k, 1], record.context_values[k])
    ratio, ratio_8 = (None if np.isnan(value) else float(value) for value in record.rr_ratios[k])
    return Beat(
        r_sample=int(record.r_samples[k]),
        rr_s=None if np.isnan(rr_s) else rr_s,
        samples=record.beats[k],
        quality=Quality.GOOD,
        residual=None if np.isnan(residual) else residual,
        rr_ratio=ratio,
        rr_ratio_8=ratio_8,
        context=None if np.isnan(residual) else known,
    )


def _derived(beat: Beat, found: Findings, after_s: float) -> dict[str, float | None]:
    wider = None if found.qrs_ms is None or found.usual_qrs_ms is None else found.qrs_ms - found.usual_qrs_ms
    known = beat.rr_s is not None and beat.rr_ratio is not None
    return {
        "wider_ms": wider,
        "after_ratio": after_s * beat.rr_ratio / beat.rr_s if known and beat.rr_s and beat.rr_ratio else None,
    }


def _common(beats: Sequence[tuple[str, ...]], most: int = 3) -> list[tuple[str, float]]:
    """The most frequent combinations; equally frequent ones in alphabetical order."""
    counts = Counter(", ".join(words) for words in beats)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(combination, count / len(beats)) for combination, count in ranked[:most]]
