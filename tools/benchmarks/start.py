"""How long a person waits: for `--help`, for the first picture, for the first scored beat."""

from __future__ import annotations

import json
import re
import statistics
import sys
import time

import zmq

from benchmarks.process import FREE_BUS, MONITOR, ROOT, announced_endpoint, environment, run, running
from benchmarks.report import BenchError, Figure, Report, paired_ratio, timed

__all__ = ["measure"]

HELP_GOAL_S = 0.3
FRAME_GOAL_S = 1.0
_WAIT_S = 60.0
_SCREEN = (40, 120)  # rows, columns
# The first frame carries the bed's name in the heading and the note at its end; the second mark needs the bed's
# first status message, which names source and sampling rate.
_FRAME = re.compile("not a medical device", re.IGNORECASE)
_STATUS = re.compile(r"sim.{1,60}?250 Hz", re.DOTALL)


def measure(repeats: int, model: str | None) -> Report:
    """Start the command in the ways a person does, each time in a fresh process.

    Raises:
        BenchError: it failed, or showed nothing in time.
    """
    with_model = () if model is None else ("--model", model)
    bare, helps, frames, statuses, beats, live = [], [], [], [], [], []
    for _ in range(repeats):
        bare.append(run((sys.executable, "-c", "pass")).wall_s)
        helps.append(run((*MONITOR, "--help")).wall_s)
        frame_s, status_s = _first_frame(with_model)
        frames.append(frame_s)
        statuses.append(status_s)
        beats.append(_first_beat("max", with_model))
        live.append(_first_beat("1", with_model))
    return Report(
        "start",
        {"source": "sim", "seed": 1, "screen": f"{_SCREEN[1]}x{_SCREEN[0]}", "repeats": repeats},
        [
            timed("python -c pass", bare, "s"),
            timed("ecg-monitor --help", helps, "s", HELP_GOAL_S),
            timed("first frame of the dashboard", frames, "s", FRAME_GOAL_S),
            timed("first frame that names source and rate", statuses, "s", FRAME_GOAL_S),
            timed("first scored beat received, --speed max", beats, "s"),
            timed("first scored beat received, --speed 1", live, "s"),
            paired_ratio("ratio: --help / bare Python", helps, bare),
            Figure("ratio: goal / first frame that names the source", FRAME_GOAL_S / statistics.median(statuses), "x"),
        ],
        (
            "Times run from before the process is started. The dashboard is read from a pseudo-terminal.",
            "At --speed 1 the first beat waits for its signal: 2 s until R-peaks are decided, 1 to 2 s behind its own.",
        ),
    )


def _first_frame(with_model: tuple[str, ...]) -> tuple[float, float]:
    """Seconds until the dashboard shows its first frame, and the first with the bed's source in it."""
    import pexpect  # type: ignore[import-untyped]

    began_s = time.perf_counter()
    child = pexpect.spawn(
        MONITOR[0],
        [*MONITOR[1:], *FREE_BUS, *with_model],
        cwd=str(ROOT),
        env=environment() | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
        dimensions=_SCREEN,
        encoding="utf-8",
        timeout=_WAIT_S,
    )
    try:
        child.expect(_FRAME)
        frame_s = time.perf_counter() - began_s
        child.expect(_STATUS)
        status_s = time.perf_counter() - began_s
        child.send("q")
        child.expect(pexpect.EOF)
    except pexpect.ExceptionPexpect:
        seen = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", str(child.before)).split())
        raise BenchError(f"the dashboard did not appear within {_WAIT_S:g} s; it showed: {seen[-200:]!r}") from None
    finally:
        child.close(force=True)
    return frame_s, status_s


def _first_beat(speed: str, with_model: tuple[str, ...]) -> float:
    """Seconds until a subscriber has the first beat with a score."""
    began_s = time.perf_counter()
    command = (*MONITOR, "--speed", speed, "--duration", "600", "--no-dashboard", *FREE_BUS, *with_model)
    with running(command) as monitor, zmq.Context() as context, context.socket(zmq.SUB) as beats:
        beats.setsockopt(zmq.LINGER, 0)
        beats.connect(announced_endpoint(monitor))
        beats.subscribe("v1/p1/beat/")
        while beats.poll(round(_WAIT_S * 1000)):
            _, body = beats.recv_multipart()
            if json.loads(body)["log_prob"] is not None:
                return time.perf_counter() - began_s
    raise BenchError(f"no scored beat within {_WAIT_S:g} s")
