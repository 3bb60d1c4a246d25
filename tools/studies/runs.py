"""Runs of a study: records through a whole bed, in parallel, and kept in a file, so that a study continues."""

from __future__ import annotations

import datetime
import functools
import json
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from common.pages import save_json
from common.programs import ToolError
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from detector import Gap, Scorer
from monitor.config import Config
from monitor.engine.bed import Bed
from monitor.messages import Alarm, AlarmMessage, BeatMessage
from monitor.sources import Chunk, EndOfStream, Notice

PIECE = 360  # samples

Jobs = Mapping[str, tuple[Any, ...]]
"""Name of each run -> what its measurement takes before the scorer."""

shipped_scorer = functools.cache(Scorer)  # one a process


class Runs:
    """The runs of a study that are measured so far, in a file that need not exist.

    Attributes:
        runs: name -> figures of the run.
        command: command line that measured them.
        model: SHA-256 of the shipped model.

    Raises:
        ToolError: the file is of another tool, or was measured with another model.
    """

    def __init__(self, path: Path, tool: str) -> None:
        self.command = ""
        self.model = shipped_scorer().info.sha256
        self.runs: dict[str, dict[str, Any]] = {}
        self._path = path
        if not path.is_file():
            return
        try:
            content = json.loads(path.read_text("utf-8"))
            self.runs, model, self.command = content["runs"], content["model_sha256"], content["command"]
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError(f"{path}: no figures of {tool} ({error!r}); move it away") from None
        if model != self.model:
            raise ToolError(f"{path}: measured with model {model[:12]}, not {self.model[:12]}; move it away")

    def keep(self, key: str, run: dict[str, Any]) -> None:
        """Add a run, and write the file."""
        self.runs[key] = run
        save_json(self._path, {"command": self.command, "model_sha256": self.model, "runs": self.runs}, indent=None)

    def measure(self, jobs: Jobs, measure: Callable[..., dict[str, Any]]) -> None:
        """Measure the jobs that the file lacks, with a progress bar; keep each run at once."""
        self.command = " ".join(["python tools/study.py", *sys.argv[1:]])
        todo = [(measure, key, words) for key, words in jobs.items() if key not in self.runs]
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            done = pool.map(_run, todo)
            for key, run in track(done, f"{len(todo)} of {len(jobs)} runs", len(todo), console=Console(stderr=True)):
                self.keep(key, run)


def _run(task: tuple[Callable[..., dict[str, Any]], str, tuple[Any, ...]]) -> tuple[str, dict[str, Any]]:
    measure, key, words = task
    return key, measure(*words, shipped_scorer())


def chosen(jobs: Jobs, only: str) -> Jobs:
    """The jobs whose name has one of the words of `only` (with commas); all by default. ToolError: a word has none."""
    words = [word for word in only.split(",") if word]
    if unknown := [word for word in words if not any(word in key for key in jobs)]:
        raise ToolError(f"no run {', '.join(unknown)}: there are {', '.join([*jobs][:3])} and others")
    return {key: job for key, job in jobs.items() if not words or any(word in key for word in words)}


class Signal:
    """A source of samples in memory: of one lead, or of two."""

    live = False
    rails_mv: tuple[float, float] | None = None
    start_time: str | None = None

    def __init__(
        self,
        lead: str,
        fs_hz: float,
        samples_mv: NDArray[np.float64],
        second: tuple[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.name, self.lead, self.fs_hz = "study", lead, fs_hz
        self.leads = (lead,) if second is None else (lead, second[0])
        self.total_samples: int | None = len(samples_mv)
        self._samples, self._at = samples_mv, 0
        self._second = None if second is None else second[1]

    def read(self, max_samples: int) -> Chunk | None:
        if self._at >= len(self._samples):
            raise EndOfStream
        first, self._at = self._at, self._at + max_samples
        second = None if self._second is None else self._second[first : self._at]
        return Chunk(first, self._samples[first : self._at], second=second)

    def close(self) -> None:
        pass


class Kept:
    """An output of a bed that keeps beats and alarms."""

    def __init__(self) -> None:
        self.beats: list[BeatMessage] = []
        self.alarms: list[Alarm] = []

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:
        self.alarms.append(message.alarm)

    def beat(self, bed: Bed, message: BeatMessage) -> None:
        self.beats.append(message)

    def gap(self, bed: Bed, gap: Gap) -> None:
        pass

    def notice(self, bed: Bed, notice: Notice) -> None:
        pass

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        pass

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        pass


def play(signal: Signal, scorer: Scorer) -> Kept:
    """Run a whole signal through a bed with default settings, at full speed."""
    started = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    bed = Bed("p1", signal, Config(), scorer, lambda: 0.0, started, paced=False)
    kept = Kept()
    while not bed.ended:
        bed.process(PIECE, kept)
        bed.settle(scorer.score_beats(bed.input.unscored), kept)
    return kept
