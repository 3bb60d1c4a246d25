"""Latency of one bed: from the instant a deciding sample was due to the message at a subscriber in another process."""

from __future__ import annotations

from common.programs import FREE_BUS, MONITOR, Program, ToolError

from benchmarks.listener import listen
from benchmarks.report import Figure, Report, percentile

# No missing samples: the last beats before a loss wait until it ends or lasts 1.5 s.
SOURCE, SEED = "sim:sinus=20,pvc=12,vt=8,sinus=8,asystole=6,sinus=6", 1
GOAL_P50_MS, GOAL_P99_MS = 50.0, 150.0


def measure(seconds: float) -> Report:
    """Run a monitor in real time and listen to it from another process.

    Sample k of a source at rate fs is due at start + (k + 1) / fs. The start is the earliest that any heartbeat allows
    (time of reception minus the uptime in it): late by the transport of the fastest message, about 0.1 ms, so the
    latencies are short by as much. Which sample decides a beat follows from the detector: it runs over the same source
    beforehand, and gives the same beats at any pace.
    """
    decided, fs_hz = _deciding_samples(seconds)
    command = (
        *(*MONITOR, "--source", SOURCE, "--seed", str(SEED), "--speed", "1", "--duration", f"{seconds:g}"),
        *("--no-dashboard", *FREE_BUS),
    )
    with Program(command) as monitor:
        received = listen(monitor.endpoint(), seconds + 30)
    started_s = min(at_s - uptime_s for at_s, uptime_s, _, _ in received["heartbeats"])
    joined_s = received["heartbeats"][0][0]  # what came before are last values, sent to a new subscriber
    beats = [beat for beat in received["beats"] if beat[0] > joined_s]
    if not beats:
        raise ToolError(f"{SOURCE}: no beat within {seconds:g} s; give more --seconds")
    beats_ms = [(at_s - started_s - decided[r_sample] / fs_hz) * 1e3 for at_s, r_sample, _ in beats]
    inside_ms = [latency_ms for *_, latency_ms in beats]
    after_peak_s = [at_s - started_s - r_sample / fs_hz for at_s, r_sample, _ in beats]
    alarms_ms = [
        (at_s - started_s - decided_sample / fs_hz) * 1e3
        for at_s, _, _, _, decided_sample, _ in received["alarms"]
        if at_s > joined_s
    ]
    p99 = percentile(beats_ms, 99)
    longest = [Figure("deciding sample to alarm received, longest", max(alarms_ms, default=0.0), "ms", GOAL_P99_MS)]
    return Report(
        "latency",
        {"source": SOURCE, "seconds": seconds, "seed": SEED, "speed": 1},
        [
            Figure("beats received", len(beats), ""),
            Figure("deciding sample to beat received, p50", percentile(beats_ms, 50), "ms", GOAL_P50_MS),
            Figure("deciding sample to beat received, p99", p99, "ms", GOAL_P99_MS),
            Figure("deciding sample to beat received, longest", max(beats_ms), "ms"),
            Figure("  of that inside the monitor (latency_ms), p50", percentile(inside_ms, 50), "ms"),
            Figure("  of that inside the monitor (latency_ms), p99", percentile(inside_ms, 99), "ms"),
            Figure("alarm changes received", len(alarms_ms), ""),
            *(longest if alarms_ms else []),
            Figure("R-peak to beat received, p50", percentile(after_peak_s, 50), "s"),
            Figure("R-peak to beat received, longest", max(after_peak_s), "s"),
            Figure("ratio: goal / p99", GOAL_P99_MS / p99, "x"),
        ],
        (
            "The subscriber is another process on the same machine and reads the same monotonic clock.",
            "A beat is decided at the first full second 1 to 2 s after its R-peak: that wait is signal, not computing.",
        ),
    )


def _deciding_samples(seconds: float) -> tuple[dict[int, int], float]:
    """R-peak of each beat -> number of samples (from sample 0 of the source) that had to come for it; and fs, Hz."""
    from detector import Beat, Detector
    from monitor.sources import EndOfStream, SourceOptions, open_source

    stream = open_source(SOURCE, SourceOptions(seed=SEED, duration_s=seconds))
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
