"""How a bed is watched, in words: rate limits, rhythm, variability, "not watched", why there is no rate. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UnsetType

from monitor.dashboard.bed import DashboardBed
from monitor.dashboard.canvas import Canvas, Ink
from monitor.messages import StatusMessage

__all__ = ["NoRate", "draw_no_rate", "hrv_words", "limit_words", "no_rate", "not_watched", "rhythm_words"]

NOT_WATCHED_AFTER_S = 5.0  # as in the rhythm of the status
NO_HEARTBEAT = {"asystole": ("ASYSTOLE", "━"), "ventricular_fibrillation": ("V-FIB", "∿")}  # kind -> word, sign
NO_ELECTRODE = ("leads_off", "flat")


class NoRate(NamedTuple):
    """What stands in place of the rate: a word in a line of signs, which differ without colour, too."""

    word: str
    sign: str
    ink: Ink


def limit_words(status: StatusMessage | None) -> tuple[str, str]:
    """Lower and upper limit of the rate alarms, `off` where the alarm is off; empty where the status does not say."""
    if status is None:
        return "", ""
    low, high = status.rate_low_bpm, status.rate_high_bpm
    if isinstance(low, UnsetType) or isinstance(high, UnsetType):  # an older monitor
        return "", ""
    return "off" if low is None else f"{low:.0f}", "off" if high is None else f"{high:.0f}"


def hrv_words(status: StatusMessage | None, cells: int) -> tuple[str, Ink] | None:
    """Heart rate variability of 5 minutes, or why there is none; None without either, or where it does not fit."""
    hrv = None if status is None else status.hrv
    if hrv is None or (hrv.sdnn_ms is None and not hrv.why):
        return None
    if hrv.sdnn_ms is None or hrv.rmssd_ms is None or hrv.pnn50 is None:
        texts, ink = [f"HRV -- {hrv.why}"], Ink.DIM
    else:
        both, share = f"SDNN {hrv.sdnn_ms:.0f} RMSSD {hrv.rmssd_ms:.0f} ms", f"pNN50 {100 * hrv.pnn50:.0f}%"
        texts, ink = [f"HRV {both} {share}", f"{both} {share}", both], Ink.PLAIN
    return next(((text, ink) for text in texts if len(text) <= cells), None)


def not_watched(bed: DashboardBed, now_s: float) -> tuple[str, Ink] | None:
    """`NOT WATCHED 0:42` and its colour, where a live bed has had no good signal for 5 s or more; else None.

    With an electrode off it is `LEADS OFF 0:42`.

    The colour is that of the technical alarm that is up, at least that of a medium one.
    """
    status = bed.status
    if status is None or status.unwatched_s < NOT_WATCHED_AFTER_S or bed.stream_condition(now_s) != "live":
        return None
    seconds = int(status.unwatched_s)
    high = any(alarm.priority == "high" and alarm.category == "technical" for alarm in bed.alarms.active.values())
    word = "LEADS OFF" if status.quality in NO_ELECTRODE else "NOT WATCHED"
    return f"{word} {seconds // 60}:{seconds % 60:02d}", Ink.HIGH if high else Ink.MEDIUM


def no_rate(bed: DashboardBed, now_s: float) -> NoRate | None:
    """Why a live bed has no rate: no heartbeat, electrode off, or not watched; None = not known yet."""
    for alarm in bed.alarms.active.values():
        if alarm.kind in NO_HEARTBEAT and alarm.state != "latched":
            return NoRate(*NO_HEARTBEAT[alarm.kind], Ink.HIGH)
    if bed.status is not None and bed.status.quality in NO_ELECTRODE:
        return NoRate("LEADS OFF", "╌", Ink.MEDIUM)
    unseen = not_watched(bed, now_s)
    return None if unseen is None else NoRate("NOT WATCHED", "░", unseen[1])


def draw_no_rate(canvas: Canvas, row: int, col: int, cells: int, why: NoRate) -> None:
    """Draw it in one line of that many cells."""
    canvas.fill(row, col, 1, cells, why.sign, Ink.BOLD)
    word = f" {why.word} " if len(why.word) + 4 <= cells else why.word
    canvas.text(row, col + max(0, (cells - len(word)) // 2), word, why.ink, cells)


def rhythm_words(bed: DashboardBed, now_s: float) -> tuple[str, Ink]:
    """The rhythm in words with its colour, or that the bed is not watched."""
    unseen = not_watched(bed, now_s)
    if unseen is not None:
        return f" {unseen[0]} ", unseen[1]
    if bed.status is None or not bed.status.rhythm or bed.stream_condition(now_s) != "live":
        return "rhythm --", Ink.DIM
    return bed.status.rhythm, Ink.BOLD
