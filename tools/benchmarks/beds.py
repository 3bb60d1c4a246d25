"""Many beds in real time: from the instant a deciding sample was due to the instant another process has the alarm."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.proc import cpu_s, need_proc, rss_mb
from benchmarks.process import FREE_BUS, MONITOR, announced_endpoint, data_folder, run, running
from benchmarks.report import BenchError, Figure, Report, percentile

__all__ = ["WardRun", "measure", "watch"]

GOAL_P99_MS = 1000.0
GOAL_MB = 1.0
_SLOWEST = 20.0  # so many times the signal's length a monitor that cannot keep up may take
_ALONE_S = 20.0  # of signal at most, for what one bed takes
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class WardRun:
    """What many beds cost.

    Attributes:
        beds: how many.
        seconds: of signal of each.
        wall_s: it took to watch them; as long as the signal where they were held in real time.
        cpu_s: of the monitor while it watched, all threads.
        opened_s: until it listened.
        rss_mb: resident memory of the monitor, most.
        alarm_ms: sorted; deciding sample due to alarm received, each message.
        beat_ms: sorted; deciding sample due to beat published, by the monitor's own clock.
        beats, lost: messages received; beats and alarms that were published and not received.
        samples_short: samples that should have been watched and were not, or were lost.
        overloads: alarms `overload`.
        late_s: how late a bed was looked at, most.
        thinned_s: how long waves or status were left out.
        listener_cpu_s: of the subscriber.
    """

    beds: int
    seconds: float
    wall_s: float
    cpu_s: float
    opened_s: float
    rss_mb: float
    alarm_ms: list[float]
    beat_ms: list[float]
    beats: int
    lost: int
    samples_short: int
    overloads: int
    late_s: float
    thinned_s: float
    listener_cpu_s: float

    @property
    def cpu_ms(self) -> float:
        """Processor time for a second of a bed, ms."""
        return self.cpu_s / (self.beds * self.seconds) * 1e3

    @property
    def held(self) -> bool:
        """Whether all was in time, and nothing was lost."""
        in_time = not self.alarm_ms or percentile(self.alarm_ms, 0.99) <= GOAL_P99_MS
        return in_time and not self.lost and not self.samples_short and not self.overloads


def measure(beds: int, minutes: float, source: str, seed: int, journal: bool, model: str | None) -> Report:
    """Hold so many beds in real time.

    Raises:
        BenchError: no /proc, no records, or the monitor failed.
    """
    alone = watch(1, min(_ALONE_S, 60 * minutes), source, seed, journal, model)
    ward = watch(beds, 60 * minutes, source, seed, journal, model)
    each_mb = (ward.rss_mb - alone.rss_mb) / max(1, beds - 1)
    alarms_ms = ward.alarm_ms or [0.0]
    p99 = percentile(alarms_ms, 0.99)
    return Report(
        "beds",
        {"beds": beds, "minutes": minutes, "source": source, "seed": seed, "journal": journal},
        [
            Figure("held in real time: in time, nothing lost, no overload (1 = yes)", float(ward.held), ""),
            Figure("alarm messages received", len(ward.alarm_ms), ""),
            Figure("deciding sample to alarm received, p50", percentile(alarms_ms, 0.5), "ms"),
            Figure("deciding sample to alarm received, p99", p99, "ms", GOAL_P99_MS),
            Figure("deciding sample to alarm received, longest", max(alarms_ms), "ms"),
            Figure(
                "deciding sample to beat published (latency_ms), p99", percentile(ward.beat_ms or [0.0], 0.99), "ms"
            ),
            Figure("beats received", ward.beats, ""),
            Figure("beats and alarms lost", ward.lost, ""),
            Figure("samples not watched", ward.samples_short, ""),
            Figure("alarms overload", ward.overloads, ""),
            Figure("a bed looked at late, most", ward.late_s, "s"),
            Figure("waves or status thinned for", ward.thinned_s, "s"),
            Figure("wall time to signal", ward.wall_s / ward.seconds, "x"),
            Figure("start until it listens", ward.opened_s, "s"),
            Figure("processor, share of one core", 100 * ward.cpu_s / ward.wall_s, "%"),
            Figure("processor, a second of a bed", ward.cpu_ms, "ms"),
            Figure("processor, the subscriber's, share of one core", 100 * ward.listener_cpu_s / ward.wall_s, "%"),
            Figure("resident, most", ward.rss_mb, "MB"),
            Figure("resident, one bed alone", alone.rss_mb, "MB"),
            Figure("resident, each further bed", each_mb, "MB", GOAL_MB),
            Figure("ratio: goal / p99", GOAL_P99_MS / max(p99, 1e-3), "x"),
        ],
        (
            "Each bed replays a record at its own pace of 1 from a seeded random place on; its samples are due so.",
            "The subscriber is another process on the same machine and reads the same monotonic clock.",
            "All messages count, from the first second on, what ends an alarm too.",
        ),
    )


def watch(beds: int, seconds: float, source: str, seed: int, journal: bool, model: str | None) -> WardRun:
    """Run a monitor with so many beds for so many seconds of signal, and listen to it.

    Raises:
        BenchError: no /proc, no records, or the monitor failed.
    """
    need_proc()
    if not source.startswith("sim"):
        data_folder()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = (
            *(*MONITOR, "--source", source, "--beds-count", str(beds), "--seed", str(seed), "--speed", "1"),
            *("--duration", f"{seconds:g}", "--no-dashboard", *FREE_BUS),
            *(("--journal", f"{folder}/journal.sqlite") if journal else ()),
            *(() if model is None else ("--model", model)),
        )
        if beds == 1:  # of `mitdb:*` one bed is one record
            command = tuple("mitdb:100" if word == "mitdb:*" else word for word in command)
        began_s = time.monotonic()
        monitor = stack.enter_context(running(command))
        endpoint = announced_endpoint(monitor)
        opened_s = time.monotonic() - began_s
        look = _Look(monitor)
        limit_s = 60 + _SLOWEST * seconds
        heard = json.loads(
            run((sys.executable, "-m", "benchmarks.ward_listener", endpoint, f"{limit_s:g}")).output.splitlines()[-1]
        )
        look.end()
        code = monitor.wait(60)
    if code or not heard["goodbye"]:
        raise BenchError(f"the monitor of {beds} beds ended with exit code {code}, before it said goodbye")
    return _found(beds, seconds, source, seed, heard, look, opened_s)


def _found(
    beds: int, seconds: float, source: str, seed: int, heard: dict[str, Any], look: _Look, opened_s: float
) -> WardRun:
    firsts, began_s = _starts(beds, seconds, source, seed, heard)
    alarm_ms = sorted(
        (at_s - began_s[bed] - (decided - firsts[bed]) / heard["beds"][bed][0]) * 1e3
        for at_s, bed, _, _, decided, _ in heard["alarms"]
    )
    heartbeats = heard["heartbeats"]
    wanted = {bed: round(seconds * fs_hz) for bed, (fs_hz, _, _) in heard["beds"].items()}
    return WardRun(
        beds=beds,
        seconds=seconds,
        wall_s=heartbeats[-1][1],
        cpu_s=look.cpu_s,
        opened_s=opened_s,
        rss_mb=look.rss_mb,
        alarm_ms=alarm_ms,
        beat_ms=heard["beats_ms"],
        beats=heard["beats"],
        lost=heard["lost"],
        samples_short=sum(wanted[bed] - came + lost for bed, (_, came, lost) in heard["beds"].items()),
        overloads=sum(kind == "overload" and state == "onset" for _, _, kind, state, *_ in heard["alarms"]),
        late_s=max(late_s for _, _, late_s, _ in heartbeats),
        thinned_s=float(sum(bool(thinned) for *_, thinned in heartbeats)),
        listener_cpu_s=heard["cpu_s"],
    )


def _starts(
    beds: int, seconds: float, source: str, seed: int, heard: dict[str, Any]
) -> tuple[dict[str, int], dict[str, float]]:
    """First sample of each bed, and the instant at which its replay began, by the clock that all processes share.

    Which bed begins where follows from the seed; when the monitor began is read off its heartbeats, which tell how
    long it has been up: the earliest start that any of them allows is late by the fastest message's way (some 0.1 ms).
    """
    from monitor.config import Config, merge
    from monitor.engine.bed_plan import planned_beds
    from monitor.engine.schedule import stagger_s

    settings = {"spec": source, "beds_count": beds, "duration_s": seconds, "seed": seed}
    if beds == 1:
        settings["spec"] = source.replace("mitdb:*", "mitdb:100")
    plans = planned_beds(merge(Config(), {"source": settings}, "bench"))
    started_s = min(at_s - uptime_s for at_s, uptime_s, _, _ in heard["heartbeats"])
    firsts = {plan.name: round(plan.source.start_s * heard["beds"][plan.name][0]) for plan in plans}
    return firsts, {plan.name: started_s + stagger_s(i, beds, 1.0) for i, plan in enumerate(plans)}


class _Look:
    """Looks at a process from outside while it runs: memory, and processor time from now on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._pid = process.pid
        self._first_s = cpu_s(self._pid)
        self._last_s = self._first_s
        self._rss: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def cpu_s(self) -> float:
        return self._last_s - self._first_s

    @property
    def rss_mb(self) -> float:
        """Most; of a program that has just started, as it was when it ran."""
        return max(self._rss) if self._rss else statistics.nan

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, IndexError, ValueError):  # it is leaving
                self._last_s = max(self._last_s, cpu_s(self._pid))
                self._rss.append(rss_mb(self._pid))
            self._stop.wait(_LOOK_S)
