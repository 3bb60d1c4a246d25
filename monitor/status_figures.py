"""Figures of a status message that cover a time of their own: the last hour, the last 5 minutes. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["HourCounts", "ShortTermHrv"]


class HourCounts(msgspec.Struct, frozen=True):
    """Ventricular-looking beats of the last hour and their patterns, as counted by `monitor.alarms.ectopy`.

    Attributes:
        ventricular_beats: beats whose QRS differs from the patient's own and that do not come late.
        couplets: two of them in a row.
        runs: three or more in a row.
        bigeminy, trigeminy: episodes in which every second or third beat is one, three cycles or longer.
        r_on_t: those that follow a usual beat within its QT interval.
        watched_s: time with signal that could be scored, s; the counts are of that time.
    """

    ventricular_beats: int = 0
    couplets: int = 0
    runs: int = 0
    bigeminy: int = 0
    trigeminy: int = 0
    r_on_t: int = 0
    watched_s: int = 0


class ShortTermHrv(msgspec.Struct, frozen=True):
    """Heart rate variability of the last 5 minutes, of normal-to-normal (NN) intervals (`detector.variability`).

    Attributes:
        sdnn_ms: standard deviation of the NN intervals, ms; None without a figure, see `why`.
        rmssd_ms: root mean square of the differences between successive NN intervals, ms; None as `sdnn_ms`.
        pnn50: share of these differences above 50 ms, 0 to 1; None as `sdnn_ms`.
        intervals: number of NN intervals.
        nn_s: their sum, s; figures need 240 of the 300 s.
        why: reason for no figure: `needs 60 s more`, `ectopic beats`, `irregular rhythm`, `paced rhythm`; empty where
            there is one, while the bed does not run, and in messages of older monitors.
    """

    sdnn_ms: float | None = None
    rmssd_ms: float | None = None
    pnn50: float | None = None
    intervals: int = 0
    nn_s: float = 0.0
    why: str = ""
