"""Score one record with a bed, exactly as the monitor does, and write its folder."""

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
from monitor import VERSION
from monitor.archive.beat_table import BeatTable
from monitor.archive.inputs import InputFile, files_of, hash_files, unchanged
from monitor.archive.results import ALARMS, BEATS, STRIPS, SUMMARY, Results
from monitor.archive.strip_files import write_strips
from monitor.archive.summary import FORMAT, Summary
from monitor.archive.tally import Tally
from monitor.archive.task import RecordOutcome, Task, fingerprint, settings_of, valid_result
from monitor.archive.worst import WorstBeats
from monitor.config import SourceConfig
from monitor.engine.assembly import load_scorer
from monitor.engine.bed import Bed
from monitor.engine.bed_plan import BedPlan, open_bed
from monitor.errors import ConfigError, SourceError, first_line
from monitor.messages import Alarm, AlarmMessage, BeatMessage, encode
from monitor.sources import Notice, Source

__all__ = ["score_record"]

_PIECE_S: Final = 20.0  # per read, as the monitor reads a replay
_BATCH: Final = 64  # beats that are scored together
_WAIT_S: Final = 80.0  # longest signal before waiting beats are scored; the history of WorstBeats is longer
_EMPTY_MAX: Final = 1000  # consecutive reads without a sample before a source counts as broken


def score_record(task: Task) -> RecordOutcome:
    """Score a record and write its folder, unless its result is valid or another run scores it.

    Never raises: an error becomes one line of the outcome, and the folder of the record stays as it was.
    """
    try:
        results = Results(task.out)
        with results.lock(task.name) as ours:
            return _score(task, results) if ours else RecordOutcome(task.name, "busy")
    except (SourceError, ConfigError) as error:
        text = first_line(error)
    except UnicodeError:
        text = f"{task.spec!a}: its path is no UTF-8, no summary can name it; rename it"
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        text = f"{task.spec}: cannot be written{where} ({error.strerror or error})"
    except Exception as error:  # the other records continue
        text = f"{task.spec}: internal error: {type(error).__name__}: {first_line(error)}"
    return RecordOutcome(task.name, "failed", text)


def _score(task: Task, results: Results) -> RecordOutcome:
    if valid_result(task, results):
        return RecordOutcome(task.name, "kept")
    began_s, scored_at = time.perf_counter(), datetime.datetime.now(datetime.UTC)
    files = files_of(task.spec)
    inputs = hash_files(files, task.spec)
    mark = fingerprint(task, inputs)
    before = results.get(task.name)
    if before is not None and before.source != task.spec and before.fingerprint != mark:
        raise ConfigError(
            f"{task.spec}: {results.out / task.name} holds the result of {before.source}; give another --out, or "
            "take that folder away"
        )
    if before is not None and before.source == task.spec and before.fingerprint == mark:
        return RecordOutcome(task.name, "kept")  # its files were touched, not changed
    scorer = _scorer(task.config.model)
    if scorer.info.sha256 != task.model_sha256:
        raise ConfigError(f"{task.spec}: the model file is another one than when the run began; begin again")
    with contextlib.closing(_open(task)) as source, results.writing(task.name) as folder:
        bed = Bed(task.name, source, task.config, scorer, lambda: 0.0, scored_at, paced=False)
        record = _Record(bed, folder, task)
        record.score(scorer)
        if not unchanged(inputs, files):
            raise SourceError(f"{task.spec}: its files changed while they were read; score it again")
        summary = record.summary(inputs, mark, scored_at, began_s)
        (folder / SUMMARY).write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    return RecordOutcome(task.name, "scored", "", summary.beats, summary.duration_s, summary.took_s)


_scorer = functools.lru_cache(maxsize=1)(load_scorer)  # once per process: a worker scores many records


def _open(task: Task) -> Source:
    """The source of the record, or SourceError where it cannot be opened or has no end."""
    options = SourceConfig(spec=task.spec, **settings_of(task)["source"])
    source = open_bed(BedPlan(task.name, options), task.config)
    endless = task.spec.partition(":")[0] == "sim" and source.total_samples is None
    if source.live or endless:
        source.close()
        raise SourceError(f"{task.spec}: it has no end; " + ("say --duration" if endless else "score records"))
    return source


class _Record:
    """The output of the bed: writes the files of a record, and counts."""

    def __init__(self, bed: Bed, folder: Path, task: Task) -> None:
        fs_hz = bed.source.fs_hz
        self._bed = bed
        self._folder = folder
        self._task = task
        self._tally = Tally(fs_hz, bed.limits)
        self._worst = WorstBeats(fs_hz, task.strips)
        self._unreadable = 0
        self._end = 0
        metadata = {"record": task.spec, "lead": bed.source.lead, "model_sha256": bed.model.sha256, "version": VERSION}
        self._beats = BeatTable(folder / BEATS, fs_hz, metadata)
        self._alarms = (folder / ALARMS).open("xb")

    # -- output of the bed ---------------------------------------------------------------------------------------

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

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:
        pass

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        pass

    # -- scoring --------------------------------------------------------------------------------------------------

    def score(self, scorer: Scorer) -> None:
        """Score the whole record; close its files, also after an error."""
        try:
            while not self._bed.ended:
                self._read()
                self._bed.settle(scorer.score_beats(self._bed.input.unscored), self)
                self._worst.close_cells(ended=self._bed.ended)
            self._tally.runs.end()
            self._beats.close()
        finally:
            self._beats.abandon()
            self._alarms.close()

    def _read(self) -> None:
        """Read until a batch of beats waits to be scored.

        The detector does not use scores, and alarms depend on the order of events only: the time of scoring changes no
        result.
        """
        bed, empty, read = self._bed, 0, 0
        piece, most = round(_PIECE_S * bed.source.fs_hz), _WAIT_S * bed.source.fs_hz
        while not bed.ended and read < most and len(bed.input.unscored) < _BATCH:
            chunk = bed.process(piece, self)
            if chunk is not None and chunk.samples.size:
                samples = bed.input.samples_of(chunk)[bed.input.used]
                self._worst.history.put(chunk.first_sample, samples, bed.input.detector.last_filtered)
                read, empty = read + chunk.samples.size, 0
                self._end = bed.now
            elif not bed.ended and (empty := empty + 1) >= _EMPTY_MAX:
                raise SourceError(f"{self._task.spec}: the source gives neither samples nor an end")

    def summary(self, inputs: list[InputFile], mark: str, scored_at: datetime.datetime, began_s: float) -> Summary:
        """Draw the strips and return the summary."""
        bed, tally, task = self._bed, self._tally, self._task
        source, detector = bed.source, bed.input.detector
        (self._folder / STRIPS).mkdir()
        strips = write_strips(self._folder, STRIPS, bed, self._worst.worst())
        total = tally.total
        scored = total.beats - total.unscored
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
            beats=total.beats,
            scored=scored,
            unscored=total.unscored,
            unscored_by=dict(sorted(tally.unscored_by.items())),
            abnormal=total.abnormal,
            abnormal_share=round(total.abnormal / scored, 6) if scored else None,
            rates=tally.rates(),
            hours=tally.hours(self._end / source.fs_hz),
            runs=tally.runs.count,
            longest_run=tally.runs.longest,
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
