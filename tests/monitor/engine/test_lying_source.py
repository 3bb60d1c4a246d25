"""A source that raises anything, or lies in anything that it gives, ends its own bed at most: never another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from detector.scorer import Scorer
from monitor.errors import SourceError
from monitor.sources import Chunk, Notice
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, ecg, settings, sim

SECONDS = 12
N = round(SECONDS * FS_HZ)
SURROGATE = "odd \udcff\nname\x1b[2J"


class Mute(Exception):  # noqa: N818 - a fault of the test
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


class Liar(FedSource):
    """Gives SECONDS of signal, then once what `lie` returns, then the end."""

    def __init__(self, lie: Callable[[], Any], close: Callable[[], Any] = lambda: None) -> None:
        super().__init__("liar", live=False)
        self.feed(ecg(f"sinus={SECONDS}"))
        self._lie: Callable[[], Any] | None = lie
        self._close = close

    def read(self, max_samples: int) -> Chunk | None:
        if self._waiting:
            return super().read(max_samples)
        if self._lie is not None:
            lie, self._lie = self._lie, None
            return lie()  # type: ignore[no-any-return]
        self.end()
        return super().read(max_samples)

    def close(self) -> None:
        self._close()


def raises(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


ERRORS = (
    SourceError(SURROGATE), ZeroDivisionError("zero"), KeyboardInterrupt(), SystemExit(7), GeneratorExit(),
    StopIteration(), MemoryError(), RecursionError("deep"), BaseException("base"), Mute(), UnicodeError(SURROGATE),
    OverflowError(2**70),
)  # fmt: skip
ONE = np.ones(1)
REFUSED = {  # ends the bed
    "no chunk": lambda: 3,
    "text for samples": lambda: Chunk(N, "abc"),  # type: ignore[arg-type]
    "two leads": lambda: Chunk(N, np.ones((2, 5))),
    "too many": lambda: Chunk(N, np.ones(10_000_000)),
    "back": lambda: Chunk(3, ONE),
    "negative": lambda: Chunk(-1, ONE),
    "sample 2^53": lambda: Chunk(2**53, ONE),
    "sample 2^70": lambda: Chunk(2**70, ONE),
    "sample NaN": lambda: Chunk(float("nan"), ONE),  # type: ignore[arg-type]
    "sample inf": lambda: Chunk(float("inf"), ONE),  # type: ignore[arg-type]
    "notices None": lambda: Chunk(N, ONE, notices=None),  # type: ignore[arg-type]
    "notice of text": lambda: Chunk(N, ONE, notices=("x",)),  # type: ignore[arg-type]
    "count NaN": lambda: Chunk(N, ONE, notices=(Notice("x", "y", float("nan")),)),  # type: ignore[arg-type]
    "time of text": lambda: Chunk(N, ONE, time_s="now"),  # type: ignore[arg-type]
}
TAKEN = {  # reported, and the bed continues
    "time NaN": lambda: Chunk(N, ONE, time_s=float("nan")),
    "time 1e300": lambda: Chunk(N, ONE, time_s=1e300),
    "time -1e300": lambda: Chunk(N, ONE, time_s=-1e300),
    "arrival inf": lambda: Chunk(N, ONE, arrival_s=float("inf")),
    "arrival 1e300": lambda: Chunk(N, ONE, arrival_s=1e300),
    "surrogates": lambda: Chunk(N, ONE, notices=(Notice("bad_input", SURROGATE),)),
    "kind": lambda: Chunk(N, ONE, notices=(Notice(SURROGATE, "text"),)),
    "kind of bytes": lambda: Chunk(N, ONE, notices=(Notice(b"\xff", b"\xff"),)),  # type: ignore[arg-type]
    "count 10^30": lambda: Chunk(N, ONE, notices=(Notice("bad_input", "many", 10**30),)),
    "negative count": lambda: Chunk(N, ONE, notices=(Notice("bad_input", "few", -(10**30)),)),
    "10,000 notices": lambda: Chunk(N, ONE, notices=(Notice("format", "x"),) * 10_000),
    "a long text": lambda: Chunk(N, ONE, notices=(Notice("format", "x" * 10_000_000),)),
    "values": lambda: Chunk(N, np.array([np.inf, -np.inf, 1e308, -1e308, np.nan, 5e-324])),
    "99 years later": lambda: Chunk(round(99 * 365 * 86_400 * FS_HZ), ONE),
}
STARTS = ("9999-12-31T23:59:59", "0000-01-01", "no time", SURROGATE, "9" * 100_000, "0001-01-01T00:00:00+14:00")


def started(start_time: Any) -> Liar:
    liar = Liar(lambda: None)
    liar.start_time = start_time
    liar.live = True
    return liar


LIARS: dict[str, Callable[[], Liar]] = (
    {f"read-{type(error).__name__}": lambda error=error: Liar(raises(error)) for error in ERRORS}
    | {f"close-{type(error).__name__}": lambda error=error: Liar(lambda: None, raises(error)) for error in ERRORS}
    | {f"refused-{name}": lambda lie=lie: Liar(lie) for name, lie in REFUSED.items()}
    | {f"taken-{name}": lambda lie=lie: Liar(lie) for name, lie in TAKEN.items()}
    | {f"start-{number}": lambda start=start: started(start) for number, start in enumerate(STARTS)}
)  # fmt: skip
NAMES = {name: f"b{number}" for number, name in enumerate(LIARS)}  # of the beds


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Iterator[Run]:
    """All of them at once, with a good bed first and last, a recording, and sources whose `close` does not return."""
    never = threading.Event()
    folder = str(tmp_path_factory.mktemp("liars"))
    hanging = {f"hangs{n}": Liar(lambda: None, never.wait) for n in range(20)}
    beds = {NAMES[name]: make() for name, make in LIARS.items()}
    for bed in beds.values():
        bed.live = bed.live or bed is beds[NAMES["taken-arrival 1e300"]]
    run = Run(
        {"first": sim("sinus=20"), **beds, **hanging, "last": sim("sinus=20")},
        scorer,
        settings(record={"folder": folder}),
    )
    run.pipeline.run()
    yield run
    never.set()


def test_the_good_beds_have_all_their_beats(ran: Run) -> None:
    alone = Run({"first": sim("sinus=20")}, scorer=ran.pipeline.scorer, config=settings())
    alone.pipeline.run()
    for bed in ("first", "last"):
        assert ran.status(bed).beats == alone.status("first").beats > 15
        assert ran.status(bed).state == "ended"


@pytest.mark.parametrize("name", list(LIARS))
def test_a_lie_ends_its_own_bed_at_most(ran: Run, name: str) -> None:
    bed = NAMES[name]
    status = ran.status(bed)
    kind = name.partition("-")[0]
    lost = kind in ("read", "refused")
    assert status.state == ("source_lost" if lost else "ended"), ran.pipeline.beds[bed].fault
    assert status.beats >= SECONDS - 3, "what came before is scored"
    assert ("source_lost" in ran.onsets(bed)) == lost
    lines = [line for line in ran.notices if "liar" in line]
    assert all(line.isprintable() for line in lines)
    assert bool(ran.pipeline.beds[bed].fault) == lost


def test_each_failure_is_reported_in_a_line(ran: Run) -> None:
    lines = ran.pipeline.incomplete
    assert len([line for line in lines if "cannot be closed" in line]) == len(ERRORS)
    assert len([line for line in lines if "does not close, and is abandoned" in line]) == 20
    assert len(lines) == 20 + 2 * len(ERRORS) + len(REFUSED)


def test_a_start_that_cannot_be_used_is_reported(ran: Run) -> None:
    lines = [line for line in ran.notices if "the start time" in line]
    assert len(lines) == len(STARTS)
