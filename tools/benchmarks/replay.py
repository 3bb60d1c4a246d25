"""Time for half an hour of signal: the whole monitor against `neurokit2.ecg_process`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from common.programs import FREE_BUS, MONITOR, Program, data_folder

from benchmarks.report import Figure, Report, paired_ratio, timed

RECORD = "mitdb:208"
GOAL = 30.0
_LIMIT_S = 3600.0


def measure(repeats: int, seconds: float | None) -> Report:
    """Replay a record (`seconds` of it) at full speed in a fresh process, then process it with neurokit2, in turn."""
    data_folder()
    length = () if seconds is None else ("--duration", f"{seconds:g}")
    ours, theirs = [], []
    written = 0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = (
                *(*MONITOR, "--source", RECORD, "--speed", "max", "--no-dashboard", *FREE_BUS),
                *("--record", folder, *length),
            )
            with Program(command) as monitor:
                monitor.wait(_LIMIT_S)
            ours.append(monitor)
            written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        with Program((sys.executable, "-m", "benchmarks.replay", *length[1:])) as rival:
            theirs.append(json.loads(rival.wait(_LIMIT_S).splitlines()[-1]))
    wall = [monitor.wall_s for monitor in ours]
    cpu = [monitor.cpu_s for monitor in ours]
    call = [times["call_s"] for times in theirs]
    both = [times["call_s"] + times["import_s"] for times in theirs]
    return Report(
        "replay",
        {"record": RECORD, "seconds": seconds or "all", "repeats": repeats},
        [
            timed("ecg-monitor, from process start to exit", wall, "s"),
            timed("  the same, processor time", cpu, "s"),
            timed("neurokit2.ecg_process, the call alone", call, "s"),
            timed("  the same, processor time", [times["call_cpu_s"] for times in theirs], "s"),
            timed("import neurokit2", [times["import_s"] for times in theirs], "s"),
            paired_ratio("ratio: our process / their call", call, wall, GOAL),
            paired_ratio("ratio: the same, processor time", [times["call_cpu_s"] for times in theirs], cpu),
            paired_ratio("ratio: our process / their call and import", both, wall),
            Figure("files written by ecg-monitor", written / 1e6, "MB"),
        ],
        (
            "Ours finds and scores every beat, raises alarms, publishes, and writes signal, beats, annotations and "
            "journal; theirs cleans the signal, finds peaks and delineates waves.",
            "The monitor's time includes its start; neurokit2's does not: its signal is in memory, its import done.",
        ),
    )


def _rival(seconds: float | None) -> dict[str, float]:
    """Time that neurokit2 takes in this process, s."""
    from monitor.sources import EndOfStream, SourceOptions, open_source

    source = open_source(RECORD, SourceOptions(duration_s=seconds))
    pieces = []
    try:
        while (chunk := source.read(1 << 20)) is not None:
            pieces.append(chunk.samples)
    except EndOfStream:
        source.close()
    times = [(time.perf_counter(), time.process_time())]
    import neurokit2
    import numpy as np

    signal = np.concatenate(pieces)
    times.append((time.perf_counter(), time.process_time()))
    neurokit2.ecg_process(signal, sampling_rate=int(source.fs_hz))
    times.append((time.perf_counter(), time.process_time()))
    (import_s, _), (call_s, call_cpu_s) = ((b[0] - a[0], b[1] - a[1]) for a, b in pairwise(times))
    return {"import_s": import_s, "call_s": call_s, "call_cpu_s": call_cpu_s}


if __name__ == "__main__":
    print(json.dumps(_rival(float(sys.argv[1]) if len(sys.argv) > 1 else None)))
