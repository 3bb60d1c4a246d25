"""Small losses through the clock of each kind of source: garbled lines, lost packets, late stamps, then a standstill.

As row A6 of docs/alarms.md demands: no beat is missed, no high or medium alarm of the heart comes before the flat line,
and the asystole is decided within 10 s of its begin. The clocks are moved by the test: a busy machine changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Detector
from detector.events import Gap, QualitySpan, RhythmSpan, Tick
from monitor.alarms.engine import AlarmEngine
from monitor.messages import Alarm
from monitor.sources import open_source
from tests.monitor.emulator.helpers import Bench
from tests.monitor.engine.helpers import FS_HZ, ecg
from tests.monitor.sources.helpers import Clock, gather, read_chunks

pytestmark = pytest.mark.slow

SCENARIO, SECONDS = "sinus@72=31,asystole=14", 45
BEATS, RR_S = 37, 60 / 72  # within 31 s; a device begins a little before the monitor

HELD = 500  # samples

Received = dict[int, float]  # index of a sample -> mV


def device(form: str, faults: str) -> Callable[[Path, pytest.MonkeyPatch], Received]:
    """An emulated device with faults, on a pseudo-terminal."""

    def received(folder: Path, patch: pytest.MonkeyPatch) -> Received:
        patch.setattr("tests.monitor.emulator.helpers.SOURCE", f"sim:{SCENARIO}")
        bench = Bench(folder, form, faults, format=form, fs_hz=FS_HZ)
        bench.play(SECONDS - 1)
        bench.close()
        return dict(zip(bench.places.tolist(), bench.samples.tolist(), strict=True))

    return received


def lsl_stream(_: Path, patch: pytest.MonkeyPatch) -> Received:
    """A stream of packets of four samples; 5 % are lost."""
    pytest.importorskip("pylsl", reason="pip install '.[lsl]'")
    from tests.monitor.sources.live.lsl_streams import Publisher, Server

    patch.setattr("monitor.sources.live.lsl._ALIKE_S", 0.1)
    server, name, clock = Server(), f"ecg-{uuid.uuid4().hex}", Clock()
    try:
        outlet, uv, dice = Publisher(name, server=server), 1000 * ecg(SCENARIO), np.random.default_rng(5)
        source = outlet.watched(name, clock=clock)
        got: Received = {}
        pushed = 0
        for second in range(SECONDS):
            kept = np.repeat(dice.random(-(-int(FS_HZ) // 4)) >= 0.05, 4)[: int(FS_HZ)]
            at = np.flatnonzero(kept) + second * int(FS_HZ)
            outlet.push_stamped(uv[at].tolist(), (100 + at / FS_HZ).tolist())
            clock.now_s += 1
            pushed += at.size
            # The newest samples may be held back until the order of the stamps is certain.
            wanted = pushed - len(got) - HELD
            got |= gather(source, lambda new, _, wanted=wanted: len(new) >= wanted)[0]  # type: ignore[misc]
        source.close()
    finally:
        server.kill()
    return got


def rows(late: float = 0.0, garbled: float = 0.0, lost: float = 0.0) -> Callable[[Path, pytest.MonkeyPatch], Received]:
    """A table with these shares of stamps one sample late, rows without a number, and packets of rows missing."""

    def received(folder: Path, _: pytest.MonkeyPatch) -> Received:
        mv, dice = ecg(SCENARIO), np.random.default_rng(3)
        time_s = np.arange(mv.size) / FS_HZ
        time_s[dice.random(mv.size) < late] += 1 / FS_HZ
        texts = [f"{t:.3f},{v:.4f}" for t, v in zip(time_s, mv, strict=True)]
        for i in np.flatnonzero(dice.random(mv.size) < garbled):
            texts[i] = texts[i].split(",")[0] + ",0.1x"
        kept = np.repeat(dice.random(-(-mv.size // 4)) >= lost, 4)[: mv.size]
        lines = [text for text, keep in zip(texts, kept, strict=True) if keep]
        (folder / "rows.csv").write_text("\n".join(["time,ecg_mV", *lines, ""]))
        chunks = read_chunks(open_source(f"csv:{folder / 'rows.csv'}"))
        return {c.first_sample + i: mv for c in chunks for i, mv in enumerate(c.samples.tolist())}

    return received


DOORS = {
    "serial lines, 3 % garbled": device("lines", "garble=3%"),
    "serial packets, 5 % lost": device("cyton", "drop=5%"),
    "LSL packets, 5 % lost": lsl_stream,
    "rows, 6 % late": rows(late=0.06),
    "rows, 3 % garbled": rows(garbled=0.03),
    "rows, 5 % of packets lost": rows(lost=0.05),
}


def watched(received: Received) -> tuple[NDArray[np.float64], list[Alarm]]:
    """R-peaks, s, and changes of alarms of what a source gave."""
    detector, engine = Detector(fs_hz=FS_HZ), AlarmEngine("p1", FS_HZ)
    places = np.array(sorted(received))
    r_peaks: list[int] = []
    alarms: list[Alarm] = []
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        for event in detector.advance([received[int(i)] for i in run], first_sample=int(run[0])):
            if isinstance(event, Tick):
                r_peaks += event.r_samples
            if isinstance(event, Gap | QualitySpan | RhythmSpan | Tick):
                alarms += engine.handle(event)
    return np.array(r_peaks) / FS_HZ, alarms


@pytest.mark.parametrize("door", DOORS)
def test_no_beat_is_missed_and_the_standstill_is_an_asystole_within_10_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    received = DOORS[door](tmp_path, monkeypatch)
    assert len(received) > 0.9 * (SECONDS - 2) * FS_HZ
    r_s, alarms = watched(received)
    rr_s = np.diff(r_s)
    long = np.flatnonzero(rr_s > 1.5 * RR_S)
    beats = int(long[0]) + 1 if long.size else r_s.size  # until the standstill
    assert abs(beats - BEATS) <= 2
    assert median(rr_s) == pytest.approx(RR_S, rel=0.05)
    assert min(rr_s) > 0.6 * RR_S, "a beat was made up"
    # A garbled number may be a wrong one: a spike that looks like a QRS in a flat line. It must not delay the alarm.
    assert r_s.size - beats <= ("serial lines" in door)
    onsets = [alarm for alarm in alarms if alarm.state == "onset" and alarm.category == "physiological"]
    assert [alarm.kind for alarm in onsets if alarm.priority == "high"] == ["asystole"]
    assert {alarm.kind for alarm in onsets if alarm.priority == "medium"} <= {"pause"}
    (asystole,) = [alarm for alarm in onsets if alarm.kind == "asystole"]
    assert asystole.decided_sample / FS_HZ - r_s[beats - 1] < 10
