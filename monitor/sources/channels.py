"""Which channel of a device or file is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.errors import SourceError

__all__ = ["LIKE_ECG", "channel_number"]

LIKE_ECG = re.compile(r"ecg|ekg|^(lead )?(ml?)?(i{1,3}|av[rlf]|v[1-6]|mcl ?[1-6])$", re.IGNORECASE)


def channel_number(labels: Sequence[str], wanted: str | int | None, default: int | None, name: str) -> int:
    """Number of the channel that is called `wanted`, or is number `wanted` from 0.

    Args:
        labels: names of all channels.
        wanted: as a person said; None = the default.
        default: None = there is none, one must be chosen.
        name: of the source, for the error.

    Raises:
        SourceError: no such channel, or none chosen; lists them.
    """
    if wanted is None and default is not None:
        return default
    if wanted in labels:
        return labels.index(str(wanted))
    if str(wanted).isdecimal() and int(str(wanted)) < len(labels):
        return int(str(wanted))
    listing = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
    if wanted is None:
        raise SourceError(f"{name}: no channel is called ECG; choose one with --channel: {listing}")
    raise SourceError(f"{name}: no channel {wanted!r}; channels: {listing}")
