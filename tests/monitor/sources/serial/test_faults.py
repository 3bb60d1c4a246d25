"""Each format with faults for 80 s in real time: the emulator in one process, the monitor in another.

The results are compared with a replay of the same record without faults. All formats run at once.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment
from tests.monitor.sources.helpers import wait_for

FS_HZ = 360
FAULTS = "drop=0.1%,unplug@30s for 5s,leadsoff@50s for 10s"
UNPLUGGED, LEADS_OFF = (30 * FS_HZ, 35 * FS_HZ), (50 * FS_HZ, 60 * FS_HZ)
END = 75 * FS_HZ
# Time before and after a fault in which beats may differ: a restarted detector needs 8 s of signal.
SPOILT_S = (1.5, 9.0)
PLACE = 18  # samples, 50 ms: error of the index after an unplugging on a busy machine
REOPEN_S = 2.0  # until the port is found, the board identified, and the first packet complete
TECHNICAL = {"source_lost", "no_data", "leads_off", "gap", "poor_signal", "sampling_rate"}

SCALE = {
    "lines": (),
    "openview": (),
    "chords": ("--adc-bits", "14", "--vref", "5", "--gain", "500"),
    "cyton": (),
    "olimex": ("--adc-bits", "10", "--vref", "5", "--gain", "1424"),
    "raw16": ("--format", "raw16", "--unit", "adc", "--mv-per-unit", "0.001"),
}
COUNTED = ("chords", "cyton", "olimex")  # the others have no counter: a single lost sample cannot be found

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
each = pytest.mark.parametrize("name", list(SCALE))


@dataclass(frozen=True)
class Watched:
    """Output files of a monitor."""

    beats: NDArray[np.int64]
    anomalous: NDArray[np.bool_]
    scores: NDArray[np.float64]  # NaN = not scored
    alarms: list[dict[str, Any]]
    events: list[dict[str, Any]]
    session: dict[str, Any]
    printed: str = ""
    device: dict[str, Any] | None = None

    def onsets(self) -> list[tuple[str, int]]:
        """Kind and sample of each alarm's first onset."""
        first = {a["alarm_id"]: a for a in reversed(self.alarms) if a["state"] == "onset" and not a["update"]}
        return [(a["kind"], a["onset_sample"]) for a in first.values()]

    def lasted(self, kind: str) -> list[tuple[int, int]]:
        """First and last sample of each alarm of a kind."""
        spans = {a["alarm_id"]: [a["onset_sample"], 0] for a in self.alarms if a["kind"] == kind}
        for a in self.alarms:
            if a["kind"] == kind and a["state"] == "cleared":
                spans[a["alarm_id"]][1] = a["decided_sample"]
        return [(first, last) for first, last in spans.values()]

    def gaps(self) -> list[tuple[int, int]]:
        return [(e["first_sample"], e["n_samples"]) for e in self.events if e["kind"] == "gap"]


def left_behind(folder: Path, printed: str = "", device: dict[str, Any] | None = None) -> Watched:
    rows = [line.split(",") for line in (folder / "beats.csv").read_text().splitlines()[1:]]
    return Watched(
        np.array([int(row[0]) for row in rows]),
        np.array([row[6] == "1" for row in rows]),
        np.array([float(row[4] or "nan") for row in rows]),
        [json.loads(line)["alarm"] for line in (folder / "alarms.jsonl").read_text().splitlines()],
        [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()],
        json.loads((folder / "session.json").read_text()),
        printed,
        device,
    )


@pytest.fixture(scope="module")
def plain(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("plain")
    run = ecg_monitor(
        "--source",
        "mitdb:221",
        "--speed",
        "max",
        "--duration",
        "80",
        "--no-dashboard",
        "--record",
        str(folder),
        *FREE_BUS,
    )
    assert run.returncode == 0, run.stderr
    return left_behind(folder / "p1")


def start(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen([*COMMAND, *arguments], stdout=out, stderr=subprocess.STDOUT, env=environment())


@pytest.fixture(scope="module")
def watched(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Watched]]:
    root = tmp_path_factory.mktemp("faults")
    devices, monitors = {}, {}
    for name in SCALE:
        folder = root / name
        folder.mkdir()
        play = ("emulate", "--source", "mitdb:221", "--format", name, "--faults", FAULTS, "--json", "--duration", "85")
        devices[name] = start(folder / "device.txt", *play, "--link", str(folder / "tty"))
    for name, options in SCALE.items():
        folder = root / name
        wait_for((folder / "tty").exists, f"the port of {name}")
        watch = ("--source", "serial", "--port", str(folder / "tty"), "--duration", "81", "--no-dashboard")
        monitors[name] = start(folder / "monitor.txt", *watch, "--record", str(folder / "out"), *options, *FREE_BUS)
    try:
        results = {}
        for name, monitor in monitors.items():
            assert monitor.wait(timeout=240) == 0, (root / name / "monitor.txt").read_text()
            assert devices[name].wait(timeout=60) == 0, (root / name / "device.txt").read_text()
            counts = json.loads((root / name / "device.txt").read_text().splitlines()[-1])
            results[name] = left_behind(root / name / "out" / "p1", (root / name / "monitor.txt").read_text(), counts)
        yield results
    finally:
        for process in [*monitors.values(), *devices.values()]:
            process.kill()
            process.wait()


def outside_faults(samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    before, after = (round(s * FS_HZ) for s in SPOILT_S)
    good = (samples < END) & (samples > FS_HZ)
    for first, end in (UNPLUGGED, LEADS_OFF):
        good &= (samples < first - before) | (samples > end + after)
    return good


@each
def test_the_format_is_recognised_and_its_rate_measured(watched: dict[str, Watched], name: str) -> None:
    assert watched[name].session["fs_hz"] == FS_HZ
    (text,) = [event["text"] for event in watched[name].events if event["kind"] == "format"]
    assert text.startswith(f"serial: {name}, ")
    assert text.endswith("360 Hz, measured")


@each
def test_beats_outside_the_faults_are_those_of_a_plain_replay(
    watched: dict[str, Watched], plain: Watched, name: str
) -> None:
    got, lost = watched[name], 0 if name in COUNTED else watched[name].device["dropped"]  # type: ignore[index]
    expected = plain.beats[outside_faults(plain.beats)]
    near = np.abs(got.beats[:, None] - expected[None, :]).min(axis=0)
    # A lost sample without a counter shifts all later samples by one.
    slack = 3 + lost + PLACE
    assert near.max() <= slack, f"not found: {expected[near > slack]}"
    own = got.beats[outside_faults(got.beats - lost) & outside_faults(got.beats + lost)]
    assert np.abs(plain.beats[:, None] - own[None, :]).min(axis=0).max() <= slack, "beats that do not exist"
    at = np.abs(got.beats[:, None] - expected[None, :]).argmin(axis=0)
    same = got.anomalous[at] == plain.anomalous[outside_faults(plain.beats)]
    assert same.mean() >= 0.95, "the reference learnt other beats, so a few decisions differ"
    apart = np.abs(got.scores[at] - plain.scores[outside_faults(plain.beats)])
    assert np.isfinite(apart).mean() > 0.9
    assert np.nanmedian(apart) < 0.2
    assert np.nanquantile(apart, 0.95) < 1.2, "a limit lies 4 to 14 above the usual score"


@each
def test_each_fault_is_one_alarm_of_its_length(watched: dict[str, Watched], name: str) -> None:
    got = watched[name]
    assert got.device is not None
    kinds = [kind for kind, _ in got.onsets() if kind in TECHNICAL]
    shift = 0 if name in COUNTED else got.device["dropped"]
    for kind in ("source_lost", "leads_off"):
        assert kinds.count(kind) == 1, kinds
    assert not {"no_data", "poor_signal", "sampling_rate"} & set(kinds)
    assert kinds.count("gap") >= 1
    assert [event["kind"] for event in got.events if event["kind"].startswith("source")] == [
        "source_lost",
        "source_back",
    ]
    ((first, last),) = got.lasted("leads_off")
    assert first == pytest.approx(LEADS_OFF[0], abs=FS_HZ + shift)
    assert last - first == pytest.approx(10 * FS_HZ, abs=1.01 * FS_HZ), "checked once a second"
    (longest,) = [gap for gap in got.gaps() if gap[1] > FS_HZ]
    assert longest[0] == pytest.approx(UNPLUGGED[0], abs=0.5 * FS_HZ + shift), "the bytes in transit are lost too"
    assert 5 * FS_HZ - PLACE <= longest[1] <= (5 + REOPEN_S) * FS_HZ


@each
def test_a_fault_raises_no_physiological_alarm(watched: dict[str, Watched], plain: Watched, name: str) -> None:
    known = [(kind, at) for kind, at in plain.onsets() if kind not in TECHNICAL]
    lasting = {kind: plain.lasted(kind) for kind, _ in known}
    for kind, at in watched[name].onsets():
        if kind in TECHNICAL or at > END:
            continue
        slack = 2 * FS_HZ
        if kind == "anomalous_beat" and np.abs(plain.beats[plain.anomalous] - at).min() <= slack:
            continue  # there an alarm that the faults prevented may cover it
        assert any(first - slack <= at <= (last or END) + slack for first, last in lasting.get(kind, [])), (
            f"{kind} at {at / FS_HZ:.1f} s is not in the plain replay"
        )


@each
def test_every_sample_is_read_or_reported_lost(watched: dict[str, Watched], name: str) -> None:
    got = watched[name]
    session = got.session["session"]
    assert session["samples_in"] + session["samples_lost"] == session["sample"]
    assert session["samples_lost"] == sum(n for _, n in got.gaps())
    assert session["gaps"] == len(got.gaps())
    if name in COUNTED:
        single = sum(n for _, n in got.gaps() if n <= FS_HZ)
        assert got.device is not None
        assert single == pytest.approx(got.device["dropped"], abs=3), "all except those lost while unplugged"
