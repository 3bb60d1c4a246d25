"""Many beds in real time, in one process or a fleet: latency from a due sample to the received alarm, losses, cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import psutil
from common.programs import FREE_BUS, MONITOR, Program, ToolError, Watch, data_folder, rss_mb

from benchmarks.listener import listen
from benchmarks.report import Figure, Report, percentile

SOURCE, SEED = "mitdb:*", 1  # all records in turn
GOAL_P99_MS = 1000.0
GOAL_MB = 1.0
_ALONE_S = 20.0  # signal of the run with one bed, at most
_SLOWEST = 20.0  # a monitor that is too slow may take this many times the length of the signal
_START_S = 120.0  # start of Ray, workers and shards


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a monitor or a fleet."""

    received: dict[str, Any]  # what `benchmarks.listener` printed
    cpu_s: float  # of all processes
    memory_mb: float  # the most
    opened_s: float  # from the start of the command to its sockets


def measure_beds(beds: int, minutes: float) -> Report:
    """Watch `beds` beds with one process, in real time."""
    data_folder()
    seconds = 60 * minutes
    alone = _run_beds(1, min(_ALONE_S, seconds))
    run = _run_beds(beds, seconds)
    heartbeats = run.received["heartbeats"]
    wall_s = heartbeats[-1][1]
    each_mb = (run.memory_mb - alone.memory_mb) / max(1, beds - 1)
    figures = [
        Figure("a bed looked at late, most", max(late_s for _, _, late_s, _ in heartbeats), "s"),
        Figure("waves or status thinned for", float(sum(bool(thinned) for *_, thinned in heartbeats)), "s"),
        Figure("wall time to signal", wall_s / seconds, "x"),
        Figure("start until it listens", run.opened_s, "s"),
        Figure("processor, share of one core", 100 * run.cpu_s / wall_s, "%"),
        Figure("processor, a second of a bed", run.cpu_s / (beds * seconds) * 1e3, "ms"),
        Figure("processor, the subscriber's, share of one core", 100 * run.received["cpu_s"] / wall_s, "%"),
        Figure("resident, most", run.memory_mb, "MB"),
        Figure("resident, one bed alone", alone.memory_mb, "MB"),
        Figure("resident, each further bed", each_mb, "MB", GOAL_MB),
    ]
    settings = {"beds": beds, "minutes": minutes, "source": SOURCE, "seed": SEED, "journal": True}
    return _report("beds", settings, run, _planned_starts(beds, seconds, run.received), figures, (
        "Each bed replays a record at its own pace of 1 from a seeded random place on; its samples are due so.",
        "The subscriber is another process on the same machine and reads the same monotonic clock.",
        "All messages count, from the first second on, the end of an alarm too.",
    ))  # fmt: skip


def measure_fleet(beds: int, minutes: float, shards: int) -> Report:
    """Watch `beds` beds with a fleet on all cores of this machine, in real time."""
    data_folder()
    if find_spec("ray") is None:
        raise ToolError("a fleet needs Ray: pip install 'ecg-monitor[cluster]'")
    seconds = 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        command = (
            *(*MONITOR, "fleet", "--source", SOURCE, "--beds-count", str(beds), "--seed", str(SEED)),
            *("--duration", f"{seconds:g}", "--shards", str(shards), "--folder", folder, *FREE_BUS),
        )
        run = _run(command, seconds, lambda main: (main, *main.children(recursive=True)), _pss_mb, memory_every=10)
    figures = [
        Figure("beds seen", len(run.received["beds"]), ""),
        Figure("processor, a second of a bed, all processes", run.cpu_s / (beds * seconds) * 1e3, "ms"),
        Figure("processor, cores in use on the mean", run.cpu_s / seconds, ""),
        Figure("resident, all processes (shared pages once), most", run.memory_mb, "MB"),
    ]
    settings = {"beds": beds, "minutes": minutes, "shards": shards or "1 a core", "source": SOURCE, "seed": SEED}
    return _report("fleet", settings, run, _earliest_starts(run.received), figures, (
        "All on this machine: the command, Ray, the hub, one worker a core, and the subscriber.",
        "Processor time includes the start, and leaves out the subscriber.",
    ))  # fmt: skip


def _report(
    name: str, settings: dict[str, Any], run: _Run, started_s: dict[str, float], figures: list[Figure],
    notes: tuple[str, ...],
) -> Report:  # fmt: skip
    """The report; `started_s` is the monotonic time at which sample 0 of each bed was due, s."""
    received, seconds = run.received, 60 * settings["minutes"]
    late_ms = [
        (at_s - started_s[bed] - decided / received["beds"][bed][0]) * 1e3
        for at_s, bed, _, _, decided, latency_ms in received["alarms"]
        if bed in started_s and (name == "beds" or latency_ms is not None)
    ] or [0.0]
    beats_ms = [latency_ms for *_, latency_ms in received["beats"] if latency_ms is not None] or [0.0]
    p99 = percentile(late_ms, 99)
    missing = sum(round(seconds * fs_hz) - came + lost for fs_hz, came, lost in received["beds"].values())
    overloads = sum(kind == "overload" and state == "onset" for _, _, kind, state, *_ in received["alarms"])
    complete = len(received["beds"]) == settings["beds"] and not missing and not received["lost"]
    held = p99 <= GOAL_P99_MS and complete and not overloads
    common = [
        Figure("held in real time: in time, nothing lost, no overload (1 = yes)", float(held), ""),
        Figure("alarm messages received", len(received["alarms"]), ""),
        Figure("deciding sample to alarm received, p50", percentile(late_ms, 50), "ms"),
        Figure("deciding sample to alarm received, p99", p99, "ms", GOAL_P99_MS),
        Figure("deciding sample to alarm received, longest", max(late_ms), "ms"),
        Figure("deciding sample to beat published (latency_ms), p99", percentile(beats_ms, 99), "ms"),
        Figure("beats received", len(received["beats"]), ""),
        Figure("beats and alarms lost", received["lost"], ""),
        Figure("samples not watched", missing, ""),
        Figure("alarms overload", overloads, ""),
    ]
    ratio = Figure("ratio: goal / p99", GOAL_P99_MS / max(p99, 1e-3), "x")
    return Report(name, settings, [*common, *figures, ratio], notes)


def _run_beds(beds: int, seconds: float) -> _Run:
    with tempfile.TemporaryDirectory() as folder:
        command = (
            *(*MONITOR, "--source", _source(beds), "--beds-count", str(beds), "--seed", str(SEED), "--speed", "1"),
            *("--duration", f"{seconds:g}", "--no-dashboard", *FREE_BUS, "--journal", f"{folder}/journal.sqlite"),
        )
        return _run(command, seconds, lambda main: (main,), rss_mb)


def _run(
    command: tuple[str, ...],
    seconds: float,
    processes: Callable[[psutil.Process], Iterable[psutil.Process]],
    memory_mb: Callable[[psutil.Process], float],
    memory_every: int = 1,
) -> _Run:
    """Run a command until its end, and listen to its bus."""
    with Program(command) as program:
        endpoint = program.endpoint(_START_S)
        opened_s = program.age_s
        watch = Watch(lambda: processes(program.usage), memory_mb, memory_every=memory_every)
        start_cpu_s = watch.cpu_s if memory_every == 1 else 0.0
        received = listen(endpoint, _START_S + _SLOWEST * seconds)
        watch.end()
        program.wait(60)
    if not received["goodbye"]:
        raise ToolError("the monitor ended before it said goodbye")
    return _Run(received, watch.cpu_s - start_cpu_s, watch.most_mb, opened_s)


def _pss_mb(process: psutil.Process) -> float:
    """Memory with each shared page divided among its users, MB."""
    return float(process.memory_full_info().pss) / 1e6


def _planned_starts(beds: int, seconds: float, received: dict[str, Any]) -> dict[str, float]:
    """Monotonic time at which sample 0 of each bed was due, s.

    Which sample a bed begins with follows from the seed. The monitor's start is the earliest that any heartbeat
    allows (time of reception minus the uptime in it): late by the transport of the fastest message, about 0.1 ms.
    """
    from monitor.config import Config, merge
    from monitor.engine.bed_plan import planned_beds
    from monitor.engine.pacing import stagger_s

    settings = {"spec": _source(beds), "beds_count": beds, "duration_s": seconds, "seed": SEED}
    plans = planned_beds(merge(Config(), {"source": settings}, "bench"))
    started_s = min(at_s - uptime_s for at_s, uptime_s, _, _ in received["heartbeats"])
    return {
        plan.name: started_s + stagger_s(i, beds, 1.0) - round(plan.source.start_s * fs_hz) / fs_hz
        for i, plan in enumerate(plans)
        for fs_hz in (received["beds"][plan.name][0],)
    }


def _earliest_starts(received: dict[str, Any]) -> dict[str, float]:
    """The same from the bed's own alarms: each has its latency in the shard; the earliest start that any allows."""
    started_s: dict[str, float] = {}
    for at_s, bed, _, _, decided, latency_ms in received["alarms"]:
        if bed in received["beds"] and latency_ms is not None:
            start_s = at_s - latency_ms / 1e3 - decided / received["beds"][bed][0]
            started_s[bed] = min(start_s, started_s.get(bed, start_s))
    return started_s


def _source(beds: int) -> str:
    return SOURCE if beds > 1 else "mitdb:100"  # one bed of `mitdb:*` is one record
