"""Isolation: a bed that fails, hangs or floods does not change the results of other beds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.scorer import Scorer
from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, Source
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, Script, ecg, kept, settings, sim

STORY = "sinus=14,pvc=6,asystole=6,sinus=8"
OTHERS = {"a": STORY, "c": f"{STORY};seed=3", "d": "sinus=16,vt=8,sinus=10;seed=4;fs=360"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Path:
    """Recordings of the other beds without the bad one."""
    folder = tmp_path_factory.mktemp("alone")
    beds = {bed: sim(story) for bed, story in OTHERS.items()}
    Run(beds, scorer, settings(record={"folder": str(folder)})).pipeline.run()
    return folder


class BadSource(FedSource):
    """Gives 10 s of signal, then calls `then` for each read."""

    def __init__(self, then: Callable[[], Chunk | None], seconds: float = 10.0, *, live: bool = False) -> None:
        super().__init__("bad", live=live)
        self.feed(ecg("sinus=30")[: round(seconds * FS_HZ)])
        self._then = then

    def read(self, max_samples: int) -> Chunk | None:
        return super().read(max_samples) if self._waiting else self._then()


def with_bad(bad: Source, folder: Path, scorer: Scorer, **sections: dict[str, Any]) -> Run:
    sources = {"a": sim(OTHERS["a"]), "bad": bad} | {bed: sim(OTHERS[bed]) for bed in ("c", "d")}
    return Run(sources, scorer, settings(record={"folder": str(folder)}, **sections))


def same_as_alone(folder: Path, alone: Path) -> None:
    for bed in OTHERS:
        assert kept(folder, bed) == kept(alone, bed)
    assert len(kept(alone, "a")[1]) > 5


def fails(error: Exception) -> Callable[[], Chunk | None]:
    def then() -> Chunk | None:
        raise error

    return then


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (fails(SourceError("bad: unplugged")), "bad: unplugged"),
        (fails(ZeroDivisionError("division by zero")), r"ZeroDivisionError: division by zero (test_isolation"),
        pytest.param(
            lambda: Chunk(3, np.ones(5)), "bad gave first_sample 3, at least 2500 was due", marks=pytest.mark.slow
        ),
        pytest.param(lambda: Chunk(5000, np.ones((2, 5))), "bad gave samples of shape (2, 5)", marks=pytest.mark.slow),
        pytest.param(lambda: "no chunk", "bad gave no chunk (AttributeError", marks=pytest.mark.slow),
    ],
    ids=["source", "bug", "past", "shape", "type"],
)
def test_a_failing_source_ends_its_bed_only(
    tmp_path: Path, alone: Path, scorer: Scorer, then: Callable[[], Chunk | None], reason: str
) -> None:
    run = with_bad(BadSource(then), tmp_path, scorer)
    run.pipeline.run()
    assert run.onsets("bad")[-1] == "source_lost"
    assert run.status("bad").beats >= 7, "beats before the failure are scored"
    assert run.status("bad").state == "source_lost"
    last = json.loads((tmp_path / "bad" / "events.jsonl").read_text().splitlines()[-1])
    assert last["kind"] == "source_lost"
    assert reason in last["text"]
    assert len(run.pipeline.incomplete) == 1
    assert run.pipeline.incomplete == run.notices
    assert "\n" not in run.pipeline.incomplete[0]
    same_as_alone(tmp_path, alone)


def test_a_hanging_read_raises_no_data(tmp_path: Path, alone: Path, scorer: Scorer) -> None:
    """The other beds end normally, and the hanging read does not delay the end of the run."""
    never = threading.Event()

    def hang() -> Chunk | None:
        never.wait()
        return None

    run = with_bad(BadSource(hang, live=True), tmp_path, scorer, alarms={"no_data": {"limit": 0.3}})
    others = [run.pipeline.beds[bed] for bed in OTHERS]
    run.pipeline.run(lambda: all(bed.ended for bed in others) and "no_data" in run.onsets("bad"))
    text = next(m.alarm.text for m in run.alarms if m.alarm.kind == "no_data")
    assert "read does not come back" in text
    assert run.status("bad").samples_in == 10 * FS_HZ
    same_as_alone(tmp_path, alone)
    never.set()


@pytest.mark.slow
def test_a_flooding_source_is_read_in_bounded_pieces(tmp_path: Path, alone: Path, scorer: Scorer) -> None:
    class Flood(BadSource):
        def __init__(self) -> None:
            super().__init__(lambda: None, live=True)
            self.most: list[int] = []

        def read(self, max_samples: int) -> Chunk | None:
            self.most.append(max_samples)
            if len(self.most) < 40:
                self.feed(np.tile(ecg("sinus=1"), 10))
            elif not self._waiting:
                raise EndOfStream
            return super().read(max_samples)

    source = Flood()
    run = with_bad(source, tmp_path, scorer)
    run.pipeline.run()
    assert max(source.most) <= 20 * FS_HZ
    assert run.status("bad").samples_in == (10 + 39 * 10) * FS_HZ, "all samples are read, more slowly than they arrive"
    same_as_alone(tmp_path, alone)


def scripted(scorer: Scorer, beds: int, folder: Path) -> Run:
    """Replays at speed 1 that start within a second, by a clock of the test."""
    stories = {f"b{number}": f"sinus=4,vt=6,sinus=4;seed={number % 3 + 1}" for number in range(beds)}
    script = Script([(16.0, int)], step_s=0.25)
    sources: dict[str, Source] = {bed: sim(story) for bed, story in stories.items()}
    config = settings(source={"speed": 1.0}, record={"folder": str(folder)})
    run = Run(sources, scorer, config, clock=script.clock)
    run.pipeline.run(script)
    return run


@pytest.mark.slow
def test_many_beds_give_the_same_results_as_few(tmp_path: Path, scorer: Scorer) -> None:
    """The beats of many beds are scored in a thread, in larger batches, with the same scores and alarms."""
    few, many = scripted(scorer, 3, tmp_path / "few"), scripted(scorer, 30, tmp_path / "many")
    assert few.pipeline.counters.batch_beats.read()[0] != many.pipeline.counters.batch_beats.read()[0]
    for number in range(30):
        of_few, of_many = kept(tmp_path / "few", f"b{number % 3}"), kept(tmp_path / "many", f"b{number}")
        for message in (*of_few[1], *of_many[1]):  # an id starts with the name of the bed
            message["alarm"]["covered_by"] = message["alarm"]["covered_by"].partition("/")[2]
        assert of_many == of_few
        assert of_few[0].count("\n") > 12
        assert of_few[1]
