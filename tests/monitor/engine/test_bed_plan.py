"""Bed plans: files of beds, many beds from one source, sources that appear later."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from detector.scorer import Scorer
from monitor.config import Config, load_beds, merge
from monitor.engine.bed_plan import open_bed, open_beds, planned_beds
from monitor.errors import ConfigError, SourceError
from monitor.sources import Source
from monitor.sources.reconnecting import ReconnectingSource
from tests.monitor.engine.helpers import FedSource, Run, ecg, settings

WARD = """
[beds.icu-1]
source = "sim:sinus=20"
[beds.icu-2]
source = "sim:sinus=20;fs=360"
seed = 7
[beds.icu-2.alarms.asystole]
limit = 3.0
"""


def ward(folder: Path, text: str, config: Config | None = None) -> Config:
    path = folder / "ward.toml"
    path.write_text(text)
    return load_beds(path, config or Config())


# -- files of beds ------------------------------------------------------------------------------------------


def test_a_bed_overrides_the_common_source(tmp_path: Path) -> None:
    config = ward(tmp_path, WARD, merge(Config(), {"source": {"start_s": 2.0, "speed": 4.0}}, "test"))
    first, second = planned_beds(config)
    assert (first.name, first.source.spec, first.source.seed, first.source.start_s) == ("icu-1", "sim:sinus=20", 1, 2.0)
    assert (second.name, second.source.seed, second.source.bed, second.source.speed) == ("icu-2", 7, "icu-2", 4.0)
    assert config.alarms_of("icu-2").asystole.limit == 3.0
    sources = open_beds(config)
    assert {name: source.fs_hz for name, source in sources.items()} == {"icu-1": 250.0, "icu-2": 360.0}
    assert len(planned_beds(Config())) == 1, "without a file: the bed of [source]"
    with pytest.raises(ConfigError, match=r"beds_count = 3 and \[beds\.icu-1\]"):
        planned_beds(ward(tmp_path, WARD, merge(Config(), {"source": {"beds_count": 3}}, "test")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"ward\.toml: no bed in it.*\[beds\.NAME\]"),
        ("[beds]", r"ward\.toml: no bed in it"),
        ('beds = "sim"', r"ward\.toml"),
        ("[source]\nspec = 'sim'", r"\[source\] is no bed; write \[beds\.NAME\]"),
        ("[beds.b1]\nstart_s = 3", r"bed b1 has no source; write source ="),
        ('[beds.b1]\nsource = "sim"\nprot = "x"', r"beds\.b1 has no key prot; it has source, .*port"),
        ('[beds.b1]\nsource = "sim"\nspeed = 3', r"beds\.b1 has no key speed"),
        ('[beds.b1]\nsource = "sim"\nstart_s = "now"', r"beds\.b1\.start_s = 'now': give a number"),
        ('[beds.b1]\nsource = "sim"\nstart_s = -4', r"beds\.b1\.start_s = -4"),
        ('[beds."a/b"]\nsource = "sim"', r"ward\.toml.*beds"),
        ('[beds.b1]\nsource = "sim"\n[beds.b1]\nsource = "sim"', r"ward\.toml: not TOML .*b1"),
    ],
)
def test_an_error_in_the_file_names_bed_key_value_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        ward(tmp_path, text)
    assert "\n" not in str(error.value)


def test_all_missing_records_are_named_together(tmp_path: Path) -> None:
    text = WARD + '[beds.x]\nsource = "csv:/nowhere.csv"\nfs_hz = 250\n[beds.y]\nsource = "sim:vtt=3"\n'
    config = ward(tmp_path, text)
    with pytest.raises(
        SourceError, match=r"beds\.x\.source = 'csv:/nowhere\.csv': .*beds\.y\.source = 'sim:vtt=3': .*vtt"
    ):
        open_beds(config)


def test_beds_without_any_device_present_are_refused(tmp_path: Path) -> None:
    config = ward(tmp_path, '[beds.b1]\nsource = "serial"\nport = "/dev/nowhere"\nfs_hz = 250\n')
    with pytest.raises(SourceError, match=r"beds\.b1\.source = 'serial': .*/dev/nowhere"):
        open_beds(config)


# -- many from one ------------------------------------------------------------------------------------------


def test_records_of_a_database_are_distributed_over_beds(data_folder: Path) -> None:
    config = settings(source={"spec": "mitdb:*", "beds_count": 100, "duration_s": 60.0, "seed": 3})
    plans = planned_beds(config)
    assert plans == planned_beds(config), "the same seed gives the same beds"
    assert [plans[0].name, plans[-1].name] == ["b0001", "b0100"]
    specs = [plan.source.spec for plan in plans]
    here = {f"mitdb:{file.stem}" for file in (data_folder / "mitdb").glob("*.hea")}
    assert set(specs[: len(here)]) == here
    assert specs[0] == specs[len(here)], "then the first record again"
    starts = [plan.source.start_s for plan in plans]
    assert len(set(starts)) == 100
    assert 0 <= min(starts) < max(starts) <= 1806 - 60, "a minute fits into every record"
    other = planned_beds(settings(source={"spec": "mitdb:*", "beds_count": 100, "duration_s": 60.0, "seed": 4}))
    assert starts != [plan.source.start_s for plan in other]


def test_copies_of_the_simulator_are_different_patients() -> None:
    plans = planned_beds(settings(source={"spec": "sim", "beds_count": 3, "seed": 5}))
    assert [(plan.name, plan.source.seed) for plan in plans] == [("b0001", 5), ("b0002", 6), ("b0003", 7)]
    assert [open_bed(plan, Config()).live for plan in plans] == [False] * 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"spec": "mitdb:*"}, r"mitdb:\*.*--beds-count"),
        ({"spec": "csv:*", "beds_count": 2}, r"csv:\*: \* stands for all records of mitdb"),
        ({"spec": "mitdb:999", "beds_count": 2}, "999"),
    ],
)
def test_sources_that_cannot_be_copied_are_refused(data_folder: Path, source: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, SourceError), match=message):
        planned_beds(settings(source=source))


def test_a_live_source_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="live source cannot be copied"):
        planned_beds(settings(source={"spec": f"zmq:ipc://{tmp_path}/s", "beds_count": 2, "fs_hz": 250.0}))


# -- sources that appear later ---------------------------------------------------------------------------------------


def test_a_bed_starts_when_its_device_appears(tmp_path: Path, scorer: Scorer) -> None:
    there, now_s = FedSource("late", fs_hz=360.0), 0.0
    plugged = False

    def open_it() -> Source:
        if not plugged:
            raise SourceError("late: no port")
        return there

    late = ReconnectingSource(open_it, "late", "late: no port; retried", clock=lambda: now_s)
    run = Run(
        {"icu-1": late, "icu-2": FedSource("other")},
        scorer,
        settings(record={"folder": str(tmp_path)}, alarms={"no_data": {"enabled": False}}),
        clock=lambda: now_s,
    )
    seen: list[str] = []

    def step() -> bool:
        nonlocal now_s, plugged
        now_s += 0.25
        bed = run.pipeline.beds["icu-1"]
        seen.append(bed.input.state)
        plugged = now_s > 12
        if bed.source.fs_hz == 360.0 and there.next == 0:
            there.feed(ecg("sinus=12", 360.0))
            there.end()
        if plugged and not bed.input.began:  # a thread opens it
            time.sleep(0.001)
            now_s -= 0.2
        return bed.ended or len(seen) > 100_000

    run.pipeline.run(step)
    assert "source_lost" in seen
    assert run.states("source_lost", "icu-1") == ["onset", "cleared"]
    assert run.onsets("icu-2") == []
    assert run.status("icu-1").beats > 8
    assert run.status("icu-1").fs_hz == 360.0
    assert run.notices[0] == "icu-1: late: no port; retried"
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "icu-1" / "events.jsonl").read_text().splitlines()]
    assert kinds == ["source_back"], "recording starts when the source opens"
    assert (tmp_path / "icu-1" / "beats.csv").read_text().count("\n") > 8
    assert there.closed


def test_waves_are_published_only_for_beds_with_a_viewer(scorer: Scorer) -> None:
    beds = {name: FedSource(name, live=False) for name in ("b1", "b10")}
    for source in beds.values():
        source.feed(ecg("sinus=20"))
    now_s = 0.0
    run = Run(dict(beds), scorer, settings(source={"speed": 1.0}), clock=lambda: now_s)
    bus = run.pipeline.bus
    with zmq.Context() as context, context.socket(zmq.SUB) as viewer:
        viewer.connect(bus.endpoints.waves)
        viewer.subscribe(b"v1/b1/wave/")

        def until(viewers: int) -> None:
            deadline_s = time.monotonic() + 60
            while bus.viewers != viewers and time.monotonic() < deadline_s:
                bus.service(0.01)
            assert bus.viewers == viewers

        until(1)
        assert [bus.has_viewers(bed) for bed in beds] == [True, False]
        counted: list[int] = []

        def step() -> bool:
            nonlocal now_s
            now_s += 0.05
            if now_s > 2 and not counted:
                counted.append(bus.counters["waves"])
                viewer.unsubscribe(b"v1/b1/wave/")
                until(0)
            return now_s > 4

        run.pipeline.run(step)
        assert counted[0] == bus.counters["waves"] > 20, "no waves without a viewer"
        topics = set()
        while viewer.poll(100):
            topics.add(viewer.recv_multipart()[0])
    assert topics <= {b"v1/b1/wave/"}
    assert run.status("b1").dropped_waves == run.status("b10").dropped_waves == 0
