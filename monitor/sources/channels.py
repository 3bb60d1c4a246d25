"""Choice of the channel to read from a device, stream or file with several."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.errors import SourceError

__all__ = ["choose_channel", "ecg_channels"]

_ECG_LABEL = re.compile(r"ecg|ekg|^(lead )?(ml?)?(i{1,3}|av[rlf]|v[1-6]|mcl ?[1-6])$", re.IGNORECASE)


def ecg_channels(labels: Sequence[str]) -> list[int]:
    """Return the numbers of the channels whose label contains ECG or names a lead."""
    return [number for number, label in enumerate(labels) if _ECG_LABEL.search(label)]


def choose_channel(labels: Sequence[str], wanted: str | int | None, preferred: Sequence[int], name: str) -> int:
    """Return the number of the channel to read, from 0.

    Args:
        labels: labels of all channels, in order.
        wanted: label or number given by the user; None = the first of `preferred`.
        preferred: channel numbers, the best first; empty = the user must choose.

    Raises:
        SourceError: no such channel, or the user must choose; the error lists all channels.
    """
    if wanted is None and preferred:
        return preferred[0]
    if wanted in labels:
        return labels.index(str(wanted))
    if str(wanted).isdecimal() and int(str(wanted)) < len(labels):
        return int(str(wanted))
    listing = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
    if wanted is None:
        raise SourceError(f"{name}: no channel is called ECG; choose one with --channel: {listing}")
    raise SourceError(f"{name}: no channel {wanted!r}; channels: {listing}")
