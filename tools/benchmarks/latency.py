"""From the instant a deciding sample was due to the instant a subscriber in another process has the message."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.process import FREE_BUS, MONITOR, announced_endpoint, run, running
from benchmarks.report import BenchError, Figure, Report, percentile

__all__ = ["measure"]

GOAL_P50_MS, GOAL_P99_MS = 50.0, 150.0


def measure(source: str, seconds: float, seed: int, model: str | None) -> Report:
    """Run a monitor in real time and listen to it from another process.

    Sample k of a source at rate fs was due at start + (k + 1) / fs. The start is read off the heartbeats, which
    tell how long the monitor has been up: the earliest start that any of them allows is late by the fastest
    message's way (some 0.1 ms), and the latencies are short by as much. Which sample decides a beat follows from
    the detector: it is run over the same source beforehand, and gives the same beats whatever the pace.

    Args:
        source: that gives the same at every run: sim, or a record.
        seconds: of signal, and of time.
        seed: of the simulator.
        model: ONNX file; None = the shipped one.

    Raises:
        BenchError: the monitor failed, or published no beat.
    """
    decided, fs_hz = _deciding_samples(source, seconds, seed)
    command = (
        *(*MONITOR, "--source", source, "--seed", str(seed), "--speed", "1", "--duration", f"{seconds:g}"),
        *("--no-dashboard", *FREE_BUS, *(() if model is None else ("--model", model))),
    )
    with running(command) as monitor:
        endpoint = announced_endpoint(monitor)
        heard = run((sys.executable, "-m", "benchmarks.listen", endpoint, f"{seconds + 30:g}"))
    received = [(at_s, body) for at_s, body in map(json.loads, heard.output.splitlines())]
    started_s = min(at_s - body["uptime_s"] for at_s, body in received if body["schema"] == "heartbeat/1")
    beats, alarms, inside, from_peak = [], [], [], []
    for at_s, body in _after_greeting(received):
        if body["schema"] == "beat/1":
            due_s = started_s + decided[body["r_sample"]] / fs_hz
            beats.append((at_s - due_s) * 1e3)
            inside.append(body["latency_ms"])
            from_peak.append(at_s - started_s - body["r_sample"] / fs_hz)
        elif body["schema"] == "alarm/1":
            alarms.append((at_s - started_s - body["alarm"]["decided_sample"] / fs_hz) * 1e3)
    if not beats:
        raise BenchError(f"{source}: no beat within {seconds:g} s; give more --seconds")
    p99 = percentile(beats, 0.99)
    return Report(
        "latency",
        {"source": source, "seconds": seconds, "seed": seed, "speed": 1},
        [
            Figure("beats received", len(beats), ""),
            Figure("deciding sample to beat received, p50", percentile(beats, 0.5), "ms", GOAL_P50_MS),
            Figure("deciding sample to beat received, p99", p99, "ms", GOAL_P99_MS),
            Figure("deciding sample to beat received, longest", max(beats), "ms"),
            Figure("  of that inside the monitor (latency_ms), p50", percentile(inside, 0.5), "ms"),
            Figure("  of that inside the monitor (latency_ms), p99", percentile(inside, 0.99), "ms"),
            Figure("alarm changes received", len(alarms), ""),
            *([Figure("deciding sample to alarm received, longest", max(alarms), "ms", GOAL_P99_MS)] if alarms else []),
            Figure("R-peak to beat received, p50", percentile(from_peak, 0.5), "s"),
            Figure("R-peak to beat received, longest", max(from_peak), "s"),
            Figure("ratio: goal / p99", GOAL_P99_MS / p99, "x"),
        ],
        (
            "The subscriber is another process on the same machine and reads the same monotonic clock.",
            "A beat is decided at the first full second 1 to 2 s after its R-peak: that wait is signal, not computing.",
        ),
    )


def _deciding_samples(source: str, seconds: float, seed: int) -> tuple[dict[int, int], float]:
    """R-peak of each beat -> number of samples (from the source's sample 0) that had to come for it; and fs, Hz."""
    from detector import Beat, Detector
    from monitor.sources import EndOfStream, SourceOptions, open_source

    stream = open_source(source, SourceOptions(seed=seed, duration_s=seconds))
    detector = Detector(stream.fs_hz, stream.rails_mv)
    events = []
    try:
        while (chunk := stream.read(round(stream.fs_hz))) is not None:
            events += detector.advance(chunk.samples, chunk.first_sample)
    except EndOfStream:
        events += detector.flush()
    finally:
        stream.close()
    return {event.r_sample: event.decided_sample for event in events if isinstance(event, Beat)}, stream.fs_hz


def _after_greeting(received: Iterable[tuple[float, dict[str, Any]]]) -> list[tuple[float, dict[str, Any]]]:
    """Messages as they were published: a newcomer is first sent what is current, and its end is a heartbeat."""
    messages = list(received)
    first = next((i for i, (_, body) in enumerate(messages) if body["schema"] == "heartbeat/1"), len(messages))
    return messages[first + 1 :]
