"""The strip of a past alarm on ECG paper. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from detector.pacer import find_pulses
from monitor.messages import BeatMessage, decode
from monitor.reports.episodes import PastAlarm
from monitor.reports.marked_beats import marked_beats
from monitor.reports.strip_svg import StripPicture, draw_strip

__all__ = ["draw_alarm_strip"]


def draw_alarm_strip(
    alarm: PastAlarm,
    first_sample: int,
    fs_hz: float,
    rows: NDArray[np.float32],
    beats: Iterable[bytes],
    *,
    lead: str = "",
    source: str = "",
    raw: bool = False,
) -> str:
    """Draw the strip of an alarm as an SVG document.

    Args:
        alarm: the alarm.
        first_sample: index of the first column, source samples.
        fs_hz: sampling rate, Hz.
        rows: (channels, n) mV: raw, and filtered where it was kept; NaN = no valid sample.
        beats: bodies of the beat messages in that range.
        lead, source: for the header.
        raw: draw the unfiltered signal.
    """
    first = alarm.messages[0].alarm
    raw = raw or len(rows) < 2
    bodies = [body for body in map(decode, beats) if isinstance(body, BeatMessage)]
    return draw_strip(
        StripPicture(
            first_sample,
            fs_hz,
            rows[0] if raw else np.where(np.isfinite(rows[0]), rows[1], np.nan),
            first,
            marked_beats(bodies, alarm.last),
            f"{alarm.onset_time:%Y-%m-%d %H:%M:%S}",
            lead,
            source,
            "unfiltered" if raw else "filter 0.5 to 40 Hz",
            f"{first.alarm_id}  ·  run {alarm.epoch}  ·  model {alarm.messages[0].model.name}",
            pulses=find_pulses(rows[0], fs_hz, first_sample),
        )
    )
