"""A record under review, made of beats with a known shape, and clients of its page."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from monitor.recording.review_file import ReviewFiles
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.clusters import Shape
from monitor.reports.holter.events import events_of
from monitor.reports.holter.measures import Episode, kinds_of
from monitor.web.review.desk import ReviewDesk, ReviewRecord
from monitor.web.review.routes import review_site
from monitor.web.review.signal_store import SignalStore
from monitor.web.server import WebOptions
from tests.monitor.reports.holter.helpers import FS_HZ, beats_of_rr
from tests.monitor.web.helpers import served

NOW = datetime.datetime(2026, 11, 30, 6, 11, 52, tzinfo=datetime.UTC)
RUN = NOW.isoformat()  # names the start of a review
ODD = frozenset({5, 9, 13, 20, 21, 22})
ODD_SHAPE = frozenset({5, 9, 13, 20})


def beats() -> HolterBeats:
    return beats_of_rr([0.8] * 39, odd=set(ODD), unscored={30})


@contextlib.contextmanager
def desk_in(folder: Path, now: datetime.datetime = NOW) -> Iterator[ReviewDesk]:
    """40 beats, 6 anomalous of two shapes, and two alarms."""
    found = beats()
    rows = np.arange(40)
    of_shape = np.isin(rows, sorted(ODD_SHAPE))
    shapes = [Shape(rows[~of_shape], np.zeros(96), 1.0), Shape(rows[of_shape], np.ones(96), 0.2)]
    episodes = (Episode("asystole", 2000, 3000, "no beat"), Episode("ventricular_run", 4000, -1, "3 beats"))
    groups, events = events_of(found, kinds_of(found, shapes), shapes, episodes)
    with contextlib.closing(SignalStore()) as signal:
        signal.put(0, np.sin(np.arange(9000) / 20))
        record = ReviewRecord(
            "p1", "sim", "II", "2026-11-30T00:00:00Z", 9000, found, groups, events, shapes[0].mean_mv, signal
        )
        yield ReviewDesk(record, ReviewFiles([(folder / "signal", 0)]), lambda: now)


@contextlib.contextmanager
def served_review(
    folder: Path, options: WebOptions | None = None, *, listen: str = "127.0.0.1:0", now: datetime.datetime = NOW
) -> Iterator[str]:
    """The page of that record; gives the address."""
    with desk_in(folder, now) as desk, served(options, site=review_site(desk, "anna"), listen=listen) as address:
        yield address


class Client:
    """A page without a browser, with the decisions and the number of the last change that it received."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self.seen = 0
        self.known: dict[tuple[int, str], str] = {}

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        async with self._session.get(f"{self._address}api/review{path}", params=query) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, str]:
        """Status and text; a change is taken over."""
        async with self._session.post(f"{self._address}api/review{path}", json=body, headers=headers) as answer:
            if answer.status == 200:
                self._merge(await answer.json())
            return answer.status, await answer.text()

    async def decide(self, verdict: str, *marks: tuple[int, str], **more: Any) -> tuple[int, str]:
        return await self.post("/decide", {"run": RUN, "seen": self.seen, "verdict": verdict, "marks": marks, **more})

    async def step(self, what: str) -> tuple[int, str]:
        return await self.post(f"/{what}", {"run": RUN, "seen": self.seen})

    async def look(self) -> None:
        self._merge(await self.get("/changes", seen=self.seen))

    def _merge(self, found: dict[str, Any]) -> None:
        self.seen = found["number"]
        for sample, alarm, verdict, *_ in found["changed"]:
            if verdict is None:
                self.known.pop((sample, alarm), None)
            else:
                self.known[sample, alarm] = verdict


__all__ = ["FS_HZ", "NOW", "ODD", "ODD_SHAPE", "RUN", "Client", "beats", "desk_in", "served_review"]
