"""Reply to the request `history`: the runs and beds of the journal, or the operator actions about one alarm."""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.bus.requests import INT64_MAX
from monitor.journal import JournalReader
from monitor.messages import Reply, Request

__all__ = ["history_reply"]

_RUNS: Final = 1_000  # newest runs, so that a reply has at most about 1 MB
_SESSIONS: Final = 5_000  # newest beds of runs
_BEATS: Final = 1_000
_BEAT_SAMPLES: Final = 1_000_000  # longest range
_ACTIONS: Final = 100_000  # newest operator actions that are searched


def history_reply(journal: JournalReader, request: Request) -> Reply:
    """Answer from the journal.

    Returns:
        `data`: `runs` and `sessions`, oldest first; or, where the request names an alarm, its `actions`, oldest first,
        and in `messages` the beats of its bed and run between `first_sample` and `n` samples later.
    """
    if request.alarm_id:
        actions = [
            {"wall_s": action.wall_s, "who": action.who, "what": action.what, "detail": action.detail}
            for action in journal.actions(_ACTIONS)
            if action.alarm_id == request.alarm_id and request.epoch in ("", action.epoch)
        ]
        beats: list[bytes] = []
        if request.first_sample is not None and request.n is not None:
            bed = request.alarm_id.partition("/")[0]
            last = request.first_sample + min(request.n, _BEAT_SAMPLES) - 1
            beats = journal.beats(bed, request.epoch or journal.epoch, request.first_sample, min(last, INT64_MAX))
        messages = tuple(map(msgspec.Raw, beats[:_BEATS]))
        return Reply(ok=True, messages=messages, data={"actions": actions})
    sessions = [
        {"epoch": row.epoch, "bed": row.bed, "source": row.source, "lead": row.lead, "fs_hz": row.fs_hz}
        for row in journal.sessions()[-_SESSIONS:]
    ]
    return Reply(ok=True, data={"runs": [run._asdict() for run in journal.runs()[-_RUNS:]], "sessions": sessions})
