"""Beats with a wrong decision, drawn over the patient's template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_FS_HZ, R_INDEX
from detector.short_repr import short_repr
from train.data.detected_beats import StreamedRecord
from train.evaluate.record_decisions import RecordDecisions

__all__ = ["FailedBeat", "draw_failures", "failed_beats", "worst_records"]

Kind = Literal["missed", "false"]

_RECORDS: Final = 3  # per kind
_EXAMPLES: Final = 4  # per record


@dataclass(frozen=True, slots=True)
class FailedBeat:
    """One scored beat with a wrong decision.

    Attributes:
        record: name of the record.
        kind: `missed`: abnormal, not called anomalous; `false`: normal, called anomalous.
        label: annotated class.
        time_s: time of the R-peak from the start of the record, s.
        score: of the model, higher = more anomalous.
        rr_ratio: RR interval before it over the patient's usual one; NaN = unknown.
        beat: (187,) float32, mV.
        template: (187,) float32, mV, the patient's template at that time; NaN = unknown.
    """

    record: str
    kind: Kind
    label: str
    time_s: float
    score: float
    rr_ratio: float
    beat: NDArray[np.float32]
    template: NDArray[np.float32]

    __repr__ = short_repr


def failed_beats(streamed: StreamedRecord, decided: RecordDecisions) -> list[FailedBeat]:
    """The beats of one record that were found and scored, with a wrong decision."""
    found = decided.found()
    scored = decided.counted(decided.annotated) & (found >= 0)
    scored[scored] = np.isfinite(decided.score[found[scored]])
    failed: list[FailedBeat] = []
    for k in np.flatnonzero(scored).tolist():
        row, label = int(found[k]), str(decided.labels[k])
        if (label != "N") == bool(decided.flagged[row]):
            continue
        failed.append(
            FailedBeat(
                record=decided.name,
                kind="false" if label == "N" else "missed",
                label=label,
                time_s=float(decided.r_samples[row] / decided.fs_hz),
                score=float(decided.score[row]),
                rr_ratio=float(streamed.rr_ratios[row, 0]),
                beat=streamed.beats[row].copy(),
                template=streamed.templates[row, 0].copy(),
            )
        )
    return failed


def worst_records(failed: Sequence[FailedBeat], kind: Kind) -> list[tuple[str, int]]:
    """The records with the most failures of a kind and their number: most first, then by name."""
    counts = Counter(beat.record for beat in failed if beat.kind == kind)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_RECORDS]


def draw_failures(failed: Sequence[FailedBeat], path: Path) -> None:
    """Draw random failures of the worst records, each over the patient's template at that time, as a PNG."""
    from matplotlib.figure import Figure

    from train.figures import COLOURS, save_figure

    rows: list[tuple[Kind, str, int]] = [
        (kind, record, count) for kind in ("missed", "false") for record, count in worst_records(failed, kind)
    ]
    figure = Figure(figsize=(11, 1.6 * max(len(rows), 1) + 0.8), layout="constrained")
    grid = figure.subplots(max(len(rows), 1), _EXAMPLES, sharex=True, squeeze=False)
    time_s = (np.arange(len(failed[0].beat) if failed else 1) - R_INDEX) / BEAT_FS_HZ
    rng = np.random.default_rng(0)
    for axes in grid.flat[len(rows) * _EXAMPLES :]:
        axes.set_axis_off()
    for line, (kind, record, count) in zip(grid, rows, strict=False):
        failures = [beat for beat in failed if beat.kind == kind and beat.record == record]
        chosen = sorted(rng.permutation(len(failures))[:_EXAMPLES].tolist())
        for axes in line[len(chosen) :]:
            axes.set_axis_off()
        for axes, beat in zip(line, (failures[k] for k in chosen), strict=False):
            axes.plot(time_s, beat.template, color="#BBBBBB", linewidth=2.5)
            axes.plot(time_s, beat.beat, color=COLOURS[beat.label], linewidth=1.1)
            early = "" if np.isnan(beat.rr_ratio) else f"  RR {100 * beat.rr_ratio:.0f} %"
            minute, second = divmod(int(beat.time_s), 60)
            axes.set_title(f"{beat.label}  {minute}:{second:02d}{early}  score {beat.score:.1f}", fontsize=8)
            axes.tick_params(labelsize=7)
        decision = "abnormal, not called" if kind == "missed" else "normal, called"
        line[0].set_ylabel(f"{record}: {count}\n{decision}", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("time from the R-peak, s", fontsize=8)
    title = "Wrong decisions of the worst records (mV, drawn at random); grey: the patient's template at that time"
    figure.suptitle(title if rows else "No wrong decision", fontsize=10)
    save_figure(figure, path)
