"""A source that cannot be opened at first."""

from __future__ import annotations

import time

from monitor.errors import SourceError
from monitor.sources import Source
from monitor.sources.reconnecting import RETRY_S, ReconnectingSource
from tests.monitor.engine.helpers import FedSource


def test_a_missing_source_is_retried_until_it_opens() -> None:
    now_s, tries, there = 0.0, [], FedSource()

    def open_it() -> Source:
        tries.append(now_s)
        if len(tries) < 3:
            raise SourceError("not yet")
        return there

    late = ReconnectingSource(open_it, "serial", "no port", 500.0, lambda: now_s)
    first = late.read(10)
    assert first is not None
    assert [(notice.kind, notice.text) for notice in first.notices] == [("source_lost", "no port")]
    assert late.read(10) is None
    assert late.opened() is None
    assert tries == [], "no retry at once"
    deadline_s = time.monotonic() + 60
    while (source := late.opened()) is None and time.monotonic() < deadline_s:
        now_s += RETRY_S / 10
        time.sleep(0.001)
    assert source is there
    assert len(tries) == 3
    late.close()
    assert not there.closed, "the caller of `opened` closes it"
