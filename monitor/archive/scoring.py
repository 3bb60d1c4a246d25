"""One record through a bed, exactly as a monitor would watch it, into its folder."""

from __future__ import annotations

import contextlib
import datetime
import functools
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import Gap, Scorer
from detector.lockstep import Steps, run
from monitor import VERSION
from monitor.archive.beat_table import BeatTable
from monitor.archive.inputs import InputFile, files_of, look_at, unchanged
from monitor.archive.results import ALARMS, BEATS, STRIPS, SUMMARY, Results
from monitor.archive.strip_files import write_strips
from monitor.archive.summary import FORMAT, Summary
from monitor.archive.tally import Tally
from monitor.archive.task import Outcome, Task, fingerprint, settings_of, still_stands
from monitor.archive.worst import WorstBeats
from monitor.engine.assembly import load_scorer
from monitor.engine.bed import Bed
from monitor.errors import ConfigError, SourceError
from monitor.messages import Alarm, AlarmMessage, BeatMessage, encode
from monitor.sources import Notice, Source, SourceOptions, open_source

__all__ = ["score_record", "scoring_record"]

_PIECE_S: Final = 20.0  # as the monitor reads a replay
_BATCH: Final = 64  # beats that are worth a batch
_WAIT_S: Final = 80.0  # of signal at most until they are scored; WorstBeats' history is longer
_EMPTY_MAX: Final = 1000  # pieces without a sample, one after the other, of a source that is broken


def score_record(task: Task) -> Outcome:
    """Score a record and write its folder, unless its result still stands or another run is at it.

    Never raises: what goes wrong is one line, and the record's folder is what it was before.
    """
    return run(scoring_record(task))


def scoring_record(task: Task) -> Steps[Outcome]:
    """`score_record` as a routine, in step with other records."""
    try:
        results = Results(task.out)
        with results.lock(task.name) as ours:
            outcome = (yield from _scoring(task, results)) if ours else Outcome(task.name, "busy")
        return outcome
    except (SourceError, ConfigError) as error:
        return Outcome(task.name, "failed", _line(error))
    except UnicodeError:
        return Outcome(task.name, "failed", f"{task.spec!a}: its path is no UTF-8, no summary can name it; rename it")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return Outcome(task.name, "failed", f"{task.spec}: cannot be written{where} ({error.strerror or error})")
    except Exception as error:  # whatever is wrong with one record, the others go on
        return Outcome(task.name, "failed", f"{task.spec}: internal error: {type(error).__name__}: {_line(error)}")


def _scoring(task: Task, results: Results) -> Steps[Outcome]:
    if still_stands(task, results):
        return Outcome(task.name, "there")
    began_s, scored_at = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    files = files_of(task.spec)
    inputs = look_at(files, task.spec)
    mark = fingerprint(task, inputs)
    before = results.get(task.name)
    if before is not None and before.source != task.spec and before.fingerprint != mark:
        raise ConfigError(
            f"{task.spec}: {results.out / task.name} holds the result of {before.source}; give another --out, or "
            "take that folder away"
        )
    if before is not None and before.source == task.spec and before.fingerprint == mark:
        return Outcome(task.name, "there")  # its files were touched, not changed
    scorer = _scorer(task.config.model)
    if scorer.info.sha256 != task.model_sha256:
        raise ConfigError(f"{task.spec}: the model file is another one than when the run began; begin again")
    with contextlib.closing(_open(task)) as source, results.making(task.name) as folder:
        bed = Bed(task.name, source, task.config, scorer, lambda: 0.0, scored_at, paced=False)
        record = _Record(bed, folder, task)
        yield from record.playing(scorer)
        if not unchanged(inputs, files):
            raise SourceError(f"{task.spec}: its files changed while they were read; score it again")
        summary = record.summary(inputs, mark, scored_at, began_s)
        (folder / SUMMARY).write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return Outcome(task.name, "scored", "", summary.beats, summary.duration_s, summary.took_s)


_scorer = functools.lru_cache(maxsize=1)(load_scorer)  # once per process: a worker scores many records


def _open(task: Task) -> Source:
    """The record.

    Raises:
        SourceError: it cannot be opened, or has no end.
    """
    s = task.config.source
    source = open_source(
        task.spec,
        SourceOptions(
            fs_hz=s.fs_hz or None,
            channel=_number_or_name(s.channel),
            start_s=s.start_s,
            duration_s=s.duration_s or None,
            seed=s.seed,
            column=_number_or_name(s.column),
            unit=s.unit or None,
            mv_per_unit=s.mv_per_unit or None,
        ),
    )
    endless = task.spec.partition(":")[0] == "sim" and source.total_samples is None
    if source.live or endless:
        source.close()
        raise SourceError(f"{task.spec}: it has no end; " + ("say --duration" if endless else "score records"))
    return source


def _number_or_name(text: str) -> int | str | None:
    return int(text) if text.isdigit() else text or None


class _Record:
    """The output of a bed that writes a record's files and counts."""

    def __init__(self, bed: Bed, folder: Path, task: Task) -> None:
        fs_hz = bed.source.fs_hz
        self._bed = bed
        self._folder = folder
        self._task = task
        self._tally = Tally(fs_hz, bed.limits)
        self._worst = WorstBeats(fs_hz, task.strips)
        self._unreadable = 0
        self._end = 0
        about = {"record": task.spec, "lead": bed.source.lead, "model_sha256": bed.model.sha256, "version": VERSION}
        self._beats = BeatTable(folder / BEATS, fs_hz, about)
        self._alarms = (folder / ALARMS).open("xb")

    # -- the output of the bed, of which there is one ------------------------------------------------------------

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:  # noqa: ARG002
        self._tally.alarm(message.alarm)
        self._alarms.write(encode(message) + b"\n")

    def beat(self, bed: Bed, message: BeatMessage) -> None:  # noqa: ARG002
        self._tally.beat(message)
        self._worst.put(message)
        self._beats.put(message)

    def gap(self, bed: Bed, gap: Gap) -> None:  # noqa: ARG002
        self._end = max(self._end, gap.first_sample + gap.n_samples)

    def notice(self, bed: Bed, notice: Notice) -> None:  # noqa: ARG002
        if notice.kind == "bad_input":
            self._unreadable += notice.count

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        pass

    # -- the whole of it --------------------------------------------------------------------------------------

    def playing(self, scorer: Scorer) -> Steps[None]:
        """All of the record, and its files; closed also where it breaks."""
        try:
            while not self._bed.ended:
                yield from self._reading()
                self._bed.settle(scorer.score_beats(self._bed.unscored), self)
                self._worst.settle(ended=self._bed.ended)
            self._tally.end()
            self._beats.close()
        finally:
            self._beats.abandon()
            self._alarms.close()

    def _reading(self) -> Steps[None]:
        """Read until a batch is worth scoring.

        The bed's detector does not look at scores, and its alarms look at events in their order alone: when beats are
        scored changes nothing.
        """
        bed, empty, taken = self._bed, 0, 0
        piece, most = round(_PIECE_S * bed.source.fs_hz), _WAIT_S * bed.source.fs_hz
        while not bed.ended and taken < most and len(bed.unscored) < _BATCH:
            chunk = yield from bed.process(piece, self)
            if chunk is not None and chunk.samples.size:
                self._worst.history.put(chunk.first_sample, chunk.samples, bed.input.detector.last_filtered)
                taken, empty = taken + chunk.samples.size, 0
                self._end = bed.now
            elif not bed.ended and (empty := empty + 1) >= _EMPTY_MAX:
                raise SourceError(f"{self._task.spec}: the source gives neither samples nor an end")

    def summary(self, inputs: list[InputFile], mark: str, scored_at: datetime.datetime, began_s: float) -> Summary:
        """What came of it, with its strips drawn."""
        bed, tally, task = self._bed, self._tally, self._task
        source, detector = bed.source, bed.input.detector
        (self._folder / STRIPS).mkdir()
        strips = write_strips(self._folder, STRIPS, bed, self._worst.worst())
        scored = tally.beats - tally.unscored
        return Summary(
            format=FORMAT,
            name=task.name,
            source=task.spec,
            lead=source.lead,
            fs_hz=source.fs_hz,
            start_time=source.start_time,
            first_sample=bed.input.first_sample,
            end_sample=self._end,
            duration_s=round((self._end - bed.input.first_sample) / source.fs_hz, 3),
            samples=detector.samples_in,
            samples_lost=detector.samples_lost,
            gaps=bed.counts["gaps"],
            unreadable=self._unreadable,
            beats=tally.beats,
            scored=scored,
            unscored=tally.unscored,
            unscored_by=dict(sorted(tally.unscored_by.items())),
            abnormal=tally.abnormal,
            abnormal_share=round(tally.abnormal / scored, 6) if scored else None,
            rates=tally.rates(),
            hours=tally.hours(self._end / source.fs_hz),
            runs=tally.runs,
            longest_run=tally.longest_run,
            pauses=tally.pauses(),
            alarms=dict(sorted(tally.alarms.items())),
            strips=strips,
            model=bed.model,
            version=VERSION,
            settings=settings_of(task),
            command=task.command,
            inputs=tuple(inputs),
            fingerprint=mark,
            scored_at=scored_at.isoformat(timespec="seconds"),
            took_s=round(time.perf_counter() - began_s, 3),
        )


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
