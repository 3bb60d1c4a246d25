"""Many beds on all cores: `ecg-monitor fleet` on this machine, from due sample to what a subscriber of the hub has."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.proc import cpu_s, need_proc
from benchmarks.process import FREE_BUS, MONITOR, announced_endpoint, data_folder, run, running
from benchmarks.report import BenchError, Figure, Report, percentile

__all__ = ["measure"]

GOAL_P99_MS = 1000.0
_START_S = 120.0  # Ray, workers, shards
_SLOWEST = 5.0  # so many times the signal's length a fleet that cannot keep up may take
_LOOK_S = 1.0
_MARK = "BENCHMARK_MARK"


def measure(beds: int, minutes: float, shards: int, source: str, seed: int) -> Report:
    """Hold so many beds in real time, on all cores.

    When a bed began is read off its own alarms: each says how long after its deciding sample was due it was published;
    the earliest start that any of them allows is late by the fastest one's way through the hub.

    Raises:
        BenchError: no /proc, no Ray, no records, or the fleet failed.
    """
    need_proc()
    if find_spec("ray") is None:
        raise BenchError("a fleet needs Ray: pip install 'ecg-monitor[cluster]'")
    if not source.startswith("sim"):
        data_folder()
    seconds = 60 * minutes
    mark = secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ[_MARK] = mark
        stack.callback(os.environ.pop, _MARK)
        command = (
            *(*MONITOR, "fleet", "--source", source, "--beds-count", str(beds), "--seed", str(seed)),
            *("--duration", f"{seconds:g}", "--shards", str(shards), "--folder", folder, *FREE_BUS),
        )
        fleet = stack.enter_context(running(command))
        endpoint = announced_endpoint(fleet, _START_S)
        look = _Look(mark)
        limit_s = _START_S + _SLOWEST * seconds
        listener = (sys.executable, "-m", "benchmarks.ward_listener", endpoint, f"{limit_s:g}")
        heard = json.loads(run(listener).output.splitlines()[-1])
        look.end()
        code = fleet.wait(60)
    if code or not heard["goodbye"]:
        raise BenchError(f"the fleet of {beds} beds ended with exit code {code}, before it said goodbye")
    return _report(heard, look, beds, minutes, shards, source, seed)


def _report(
    heard: dict[str, Any], look: _Look, beds: int, minutes: float, shards: int, source: str, seed: int
) -> Report:
    seconds = 60 * minutes
    alarms_ms = sorted(_alarms_ms(heard)) or [0.0]
    short = sum(round(seconds * fs_hz) - came + lost for fs_hz, came, lost in heard["beds"].values())
    overloads = sum(kind == "overload" and state == "onset" for _, _, kind, state, *_ in heard["alarms"])
    p99 = percentile(alarms_ms, 0.99)
    complete = len(heard["beds"]) == beds and not short
    held = p99 <= GOAL_P99_MS and complete and not heard["lost"] and not overloads
    return Report(
        "fleet",
        {"beds": beds, "minutes": minutes, "shards": shards or "1 a core", "source": source, "seed": seed},
        [
            Figure("held in real time: in time, nothing lost, no overload (1 = yes)", float(held), ""),
            Figure("beds seen", len(heard["beds"]), ""),
            Figure("alarm messages received", len(heard["alarms"]), ""),
            Figure("deciding sample to alarm received, p50", percentile(alarms_ms, 0.5), "ms"),
            Figure("deciding sample to alarm received, p99", p99, "ms", GOAL_P99_MS),
            Figure("deciding sample to alarm received, longest", alarms_ms[-1], "ms"),
            Figure("deciding sample to beat published by its shard, p99", percentile(heard["beats_ms"], 0.99), "ms"),
            Figure("beats received", heard["beats"], ""),
            Figure("beats and alarms lost", heard["lost"], ""),
            Figure("samples not watched", short, ""),
            Figure("alarms overload", overloads, ""),
            Figure("processor, a second of a bed, all processes", look.cpu_s / (beds * seconds) * 1e3, "ms"),
            Figure("processor, cores in use on the mean", look.cpu_s / seconds, ""),
            Figure("resident, all processes (shared pages once), most", look.pss_mb, "MB"),
            Figure("ratio: goal / p99", GOAL_P99_MS / max(p99, 1e-3), "x"),
        ],
        (
            "All on this machine: the command, Ray, the hub, one worker a core, and the subscriber.",
            "Processor time counts the start, too; the subscriber's does not.",
        ),
    )


def _alarms_ms(heard: dict[str, Any]) -> Iterator[float]:
    """Deciding sample due to alarm received, of each message."""
    began_s: dict[str, float] = {}
    timed = [alarm for alarm in heard["alarms"] if alarm[-1] is not None and alarm[1] in heard["beds"]]
    for at_s, bed, _, _, decided, latency_ms in timed:
        start_s = at_s - latency_ms / 1e3 - decided / heard["beds"][bed][0]
        began_s[bed] = min(start_s, began_s.get(bed, start_s))
    for at_s, bed, _, _, decided, _ in timed:
        yield (at_s - began_s[bed] - decided / heard["beds"][bed][0]) * 1e3


class _Look:
    """Looks at all processes that carry a mark in their environment: processor time, and memory."""

    def __init__(self, mark: str) -> None:
        self.pss_mb = 0.0
        self._mark = f"{_MARK}={mark}".encode()
        self._ours: dict[int, bool] = {os.getpid(): False}
        self._cpu: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu.values())

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        turn = 0
        while not self._stop.wait(_LOOK_S):
            turn += 1
            pss_kb = 0
            for folder in Path("/proc").glob("[0-9]*"):
                pid = int(folder.name)
                with contextlib.suppress(OSError, IndexError, ValueError):  # it is leaving
                    if pid not in self._ours:
                        self._ours[pid] = (
                            self._mark in (folder / "environ").read_bytes()
                            and b"ward_listener" not in (folder / "cmdline").read_bytes()
                        )
                    if self._ours[pid]:
                        self._cpu[pid] = cpu_s(pid)
                        if turn % 10 == 0:
                            told = (folder / "smaps_rollup").read_text().split("Pss:", 1)[1]
                            pss_kb += int(told.split()[0])
            self.pss_mb = max(self.pss_mb, pss_kb / 1e3)
