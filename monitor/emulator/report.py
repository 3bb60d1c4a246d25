"""Lines of `ecg-monitor emulate` for the user: faults as they begin and end, and the counts at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping

from monitor.emulator.device import FaultReport

__all__ = ["counts_line", "fault_line"]


def fault_line(fault: FaultReport) -> str:
    """The begin or end of a fault.

    >>> fault_line(FaultReport(61.5, 15375, "stall@61.5s for 2s begins"))
    '   1:01.500  sample 15375: stall@61.5s for 2s begins'
    """
    minutes, seconds = divmod(fault.at_s, 60)
    return f"{minutes:4.0f}:{seconds:06.3f}  sample {fault.sample}: {fault.text}"


def counts_line(counts: Mapping[str, int], settings: Mapping[str, object] | None) -> str:
    """The counts at the end.

    Args:
        settings: what was played; the line is then JSON. None = words.
    """
    if settings is not None:
        return json.dumps({**settings, **counts})
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
