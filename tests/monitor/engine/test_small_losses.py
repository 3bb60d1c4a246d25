"""Small losses through the clock of each kind of source: garbled lines, lost packets, late stamps, then a standstill.

As row A6 of docs/alarms.md demands: no beat is missed, no high or medium alarm of the heart comes before the flat line,
and the asystole is decided within 10 s of its begin.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pytest

from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.engine.helpers import FS_HZ, ecg

pytestmark = pytest.mark.slow

SCENARIO = "sinus@72=31,asystole=14"
BEATS, RR_S = 37, 60 / 72  # within 31 s, one more or less at the ends

LSL = """
import sys, time, numpy, pylsl
name, path = sys.argv[1:]
mv, dice, packet, fs = numpy.load(path), numpy.random.default_rng(5), 4, 250.0
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "ECG", 1, fs, "float32", name))
outlet.wait_for_consumers(60.0)
begin = pylsl.local_clock()
for first in range(0, mv.size - packet, packet):
    wait = begin + first / fs - pylsl.local_clock()
    if wait > 0:
        time.sleep(wait)
    if dice.random() > 0.05:
        stamp = begin + (first + packet - 1) / fs
        outlet.push_chunk([[float(value)] for value in mv[first : first + packet]], stamp)
outlet.wait_for_consumers(5.0)
time.sleep(60)
"""


class Seen(NamedTuple):
    """What a monitor has recorded: its errors, alarms, R-peaks (s) and RR intervals (s)."""

    errors: str
    alarms: list[dict[str, object]]
    r_s: list[float]
    rr_s: list[float]


def device(folder: Path, running: ExitStack, kind: str, faults: str) -> tuple[str, ...]:
    """An emulated device with faults on a port of its own."""
    port = folder / "port"
    device = ("emulate", "--source", f"sim:{SCENARIO}", "--format", kind, "--faults", faults, "--link", str(port))
    process = subprocess.Popen([*COMMAND, *device], stdout=subprocess.PIPE, text=True, env=environment())
    running.callback(end, process)
    assert process.stdout is not None
    while "it begins when the port is opened" not in process.stdout.readline():
        assert process.poll() is None
    return ("--source", "serial", "--port", str(port), "--format", kind, "--fs", "250", "--duration", "44")


def lsl_stream(folder: Path, running: ExitStack) -> tuple[str, ...]:
    """A stream of packets of which 5 % are lost."""
    pytest.importorskip("pylsl", reason="pip install '.[lsl]'")
    np.save(folder / "mv.npy", ecg(SCENARIO))
    name = f"losses-{folder.parent.name}"
    process = subprocess.Popen([sys.executable, "-c", LSL, name, str(folder / "mv.npy")], stdout=subprocess.DEVNULL)
    running.callback(end, process)
    return ("--source", f"lsl:{name}", "--unit", "mV", "--duration", "44")


def rows(folder: Path, late: float = 0.0, garbled: float = 0.0, lost: float = 0.0) -> tuple[str, ...]:
    """A table with these shares of stamps one sample late, rows without a number, and rows that are missing."""
    mv, dice = ecg(SCENARIO), np.random.default_rng(3)
    time_s = np.arange(mv.size) / FS_HZ
    time_s[dice.random(mv.size) < late] += 1 / FS_HZ
    texts = [f"{t:.3f},{v:.4f}" for t, v in zip(time_s, mv, strict=True)]
    for i in np.flatnonzero(dice.random(mv.size) < garbled):
        texts[i] = texts[i].split(",")[0] + ",0.1x"
    kept = np.repeat(dice.random(-(-mv.size // 4)) >= lost, 4)[: mv.size]  # in packets of four
    (folder / "rows.csv").write_text("time,ecg_mV\n" + "".join(f"{t}\n" for t, k in zip(texts, kept, strict=True) if k))
    return ("--source", f"csv:{folder / 'rows.csv'}", "--speed", "max")


DOORS: dict[str, Callable[[Path, ExitStack], tuple[str, ...]]] = {
    "serial lines, 3 % garbled": lambda folder, running: device(folder, running, "lines", "garble=3%"),
    "serial packets, 5 % lost": lambda folder, running: device(folder, running, "cyton", "drop=5%"),
    "LSL packets, 5 % lost": lsl_stream,
    "rows, 6 % late": lambda folder, _: rows(folder, late=0.06),
    "rows, 3 % garbled": lambda folder, _: rows(folder, garbled=0.03),
    "rows, 5 % of packets lost": lambda folder, _: rows(folder, lost=0.05),
}


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def monitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """All at the same time: those of a device last as long in the real world."""
    with ExitStack() as running:
        processes = {}
        for name, door in DOORS.items():
            folder = tmp_path_factory.mktemp("door")
            command = [*COMMAND, *door(folder, running), "--no-dashboard", *FREE_BUS, "--record", str(folder / "out")]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            processes[name] = process, folder / "out" / "p1"
        seen = {}
        for name, (process, out) in processes.items():
            errors = process.communicate(timeout=200)[1].decode()
            assert process.returncode == 0, errors
            alarms = [json.loads(line)["alarm"] for line in (out / "alarms.jsonl").read_text().splitlines()]
            beats = list(csv.DictReader((out / "beats.csv").read_text().splitlines()))
            intervals = [float(beat["rr_s"]) for beat in beats if beat["rr_s"]]
            seen[name] = Seen(errors, alarms, [float(beat["time_s"]) for beat in beats], intervals)
        yield seen


@pytest.mark.parametrize("door", DOORS)
def test_no_beat_is_missed_and_the_standstill_is_an_asystole_within_10_s(monitors: dict[str, Seen], door: str) -> None:
    errors, alarms, r_s, rr_s = monitors[door]
    assert abs(len(r_s) - BEATS) <= 2, errors
    assert median(rr_s) == pytest.approx(RR_S, rel=0.05)
    assert max(rr_s) < 1.5 * RR_S, "a beat was missed"
    assert min(rr_s) > 0.6 * RR_S, "a beat was made up"
    onsets = [alarm for alarm in alarms if alarm["state"] == "onset" and alarm["category"] == "physiological"]
    assert [alarm["kind"] for alarm in onsets if alarm["priority"] == "high"] == ["asystole"]
    assert {alarm["kind"] for alarm in onsets if alarm["priority"] == "medium"} <= {"pause"}
    (asystole,) = [alarm for alarm in onsets if alarm["kind"] == "asystole"]
    assert asystole["decided_sample"] / FS_HZ - r_s[-1] < 10  # type: ignore[operator]
