"""The beats of a record as arrays, and their RR intervals as text."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from detector.variability import is_nn

__all__ = ["RR_HEADER", "HolterBeats", "and_before", "write_rr_csv", "write_rr_text"]

RR_HEADER: Final = ("time_s", "rr_ms", "nn", "kind", "quality")


@dataclass(frozen=True, slots=True, eq=False)
class HolterBeats:
    """Beats of one record, in order.

    Attributes:
        fs_hz: sampling rate, Hz.
        r_sample: (n,) int64, R-peaks, samples of the record from its sample 0.
        rr_s: (n,) float64, interval to the beat before, s; NaN at the start and after a gap.
        score: (n,) float64, higher = more anomalous; NaN where the beat was not scored.
        anomalous: (n,) bool.
        quality: one per beat: `good`, or why it was not scored.
        labels: of a reviewer, one per beat: a key of `decisions.BEAT_VERDICTS`, empty = none; () = no review.
    """

    fs_hz: float
    r_sample: NDArray[np.int64]
    rr_s: NDArray[np.float64]
    score: NDArray[np.float64]
    anomalous: NDArray[np.bool_]
    quality: tuple[str, ...]
    labels: tuple[str, ...] = ()

    @property
    def time_s(self) -> NDArray[np.float64]:
        """(n,) R-peaks, s from sample 0 of the record."""
        return self.r_sample / self.fs_hz

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(n,) whether the beat was scored."""
        return np.isfinite(self.score)

    @property
    def between_scored(self) -> NDArray[np.bool_]:
        """(n,) whether the RR interval is known, and the beats at both its ends were scored."""
        return and_before(self.scored) & np.isfinite(self.rr_s)

    def labelled(self, *labels: str) -> NDArray[np.bool_]:
        """(n,) whether a reviewer gave the beat one of these labels."""
        own = self.labels or ("",) * self.r_sample.size
        return np.fromiter((label in labels for label in own), np.bool_, self.r_sample.size)

    @property
    def nn(self) -> NDArray[np.bool_]:
        """(n,) whether the RR interval is normal-to-normal: between two scored beats, neither of them anomalous."""
        usual = self.scored & ~self.anomalous
        return is_nn(np.isfinite(self.rr_s), usual, np.append(False, usual)[: usual.size])


def and_before(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether the flag of a beat and that of the beat before are set; False for the first beat."""
    both = np.zeros_like(flags)
    both[1:] = flags[1:] & flags[:-1]
    return both


def write_rr_text(beats: HolterBeats, out: TextIO, *, only_nn: bool = False) -> int:
    """Write RR intervals, ms with one decimal, one a line; return their number.

    Raises:
        OSError: it cannot be written.
    """
    chosen = beats.nn if only_nn else np.isfinite(beats.rr_s)
    out.writelines(f"{1000.0 * rr_s:.1f}\n" for rr_s in beats.rr_s[chosen].tolist())
    return int(chosen.sum())


def write_rr_csv(beats: HolterBeats, out: TextIO, *, only_nn: bool = False) -> int:
    """Write RR intervals as CSV with RR_HEADER; return their number.

    `time_s` is the R-peak that ends the interval, s; `nn` is 1 for a normal-to-normal interval; `kind` and `quality`
    are those of that beat.

    Raises:
        OSError: it cannot be written.
    """
    nn, scored = beats.nn, beats.scored
    chosen = nn if only_nn else np.isfinite(beats.rr_s)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(RR_HEADER)
    for at in np.flatnonzero(chosen).tolist():
        kind = "not scored" if not scored[at] else "anomalous" if beats.anomalous[at] else "usual"
        row = (f"{beats.r_sample[at] / beats.fs_hz:.4f}", f"{1000.0 * beats.rr_s[at]:.1f}", int(nn[at]), kind)
        writer.writerow((*row, beats.quality[at]))
    return int(chosen.sum())
