"""Beats of a record that are on the disk already: the folder of a recorded bed, or of a record that was scored.

What is not there yet is scored first, into a folder that is deleted afterwards.
"""

from __future__ import annotations

import contextlib
import csv
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.archive.inputs import InputFile, files_of, unchanged
from monitor.archive.results import ALARMS, BEATS, SIGNAL, SUMMARY
from monitor.archive.summary import FORMAT, Summary
from monitor.config import Config, SourceConfig
from monitor.engine.bed_plan import WAITED_FOR, BedPlan, open_bed
from monitor.errors import ConfigError, SourceError
from monitor.messages import Alarm, AlarmMessage, ModelInfo, decode
from monitor.recording.review_file import ReviewFiles
from monitor.reports.holter.beats import HolterBeats
from monitor.reports.holter.measures import Episode
from monitor.reports.holter.reviewed import ReviewSummary, aligned, reviewed_beats, reviewed_episodes, summary_of
from monitor.sources import EndOfStream

__all__ = ["StoredRecord", "as_reviewed", "signal_of", "stored_or_scored", "stored_record"]

_SESSION: Final = "session.json"
_RECORDED: Final = "beats.csv"
_PIECE_S: Final = 20.0  # per read
_NAMED: Final = 8  # folders in an error


@dataclass(frozen=True, slots=True, eq=False)
class StoredRecord:
    """A record with its beats.

    Attributes:
        name: of the bed or record.
        source, lead: e.g. `mitdb:208`, `MLII`, or `MLII,V1` of two leads.
        start_time: ISO 8601 time of sample 0; None if unknown.
        samples_lost: samples missing in gaps.
        model: that scored the beats.
        beats: in order.
        episodes: alarms, in the order in which they were raised.
        signals: source of each piece of the signal, and its first sample.
        settings: keys of `[source]` with which the signal is opened.
        inputs: files of a scored record, as they were then.
        pieces: WFDB record beside which the decisions of a reviewer are, and its first sample, for each piece.
    """

    name: str
    source: str
    lead: str
    start_time: str | None
    samples_lost: int
    model: ModelInfo
    beats: HolterBeats
    episodes: tuple[Episode, ...]
    signals: tuple[tuple[str, int], ...]
    settings: dict[str, Any]
    inputs: tuple[InputFile, ...] = ()
    pieces: tuple[tuple[Path, int], ...] = ()

    @property
    def drawn_lead(self) -> str:
        """The lead that `signal_of` gives: of two the first one."""
        first, comma, _ = self.lead.partition(",")
        return f"{first} (of {self.lead})" if comma else self.lead


@contextlib.contextmanager
def stored_or_scored(asked: str, config: Config) -> Iterator[StoredRecord]:
    """The record of a folder (of a recording, or of results of `score`), or of a source, which is scored first.

    Raises:
        ConfigError: a folder without a record, with several, or with files that cannot be read.
        SourceError: a source that cannot be read, or has no end.
    """
    if Path(asked).is_dir():
        yield stored_record(Path(asked))
        return
    if asked.partition(":")[0] in WAITED_FOR and not Path(asked).exists():
        raise ConfigError(f"{asked}: a live source has no end; record it with --record DIR, then name that folder")
    from monitor.archive.beat_table import pyarrow_or_error
    from monitor.archive.scoring import score_record
    from monitor.archive.task import Task
    from monitor.engine.assembly import load_scorer

    pyarrow_or_error()
    with tempfile.TemporaryDirectory(prefix="ecg-monitor-") as folder:
        name, sha256 = "record", load_scorer(config.model).info.sha256
        outcome = score_record(Task(name, asked, Path(folder), config, sha256, 0, tuple(sys.argv)))
        if outcome.state == "failed":
            raise SourceError(outcome.text)
        yield replace(stored_record(Path(folder, name)), name=asked)


def stored_record(folder: Path) -> StoredRecord:
    """The record of a folder, or of the only folder below it that holds one.

    Raises:
        ConfigError: none, several, or files that cannot be read.
    """
    try:
        found = [folder] if _holds_record(folder) else sorted(path for path in folder.iterdir() if _holds_record(path))
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from None
    if len(found) > 1:
        names = ", ".join(str(path) for path in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        raise ConfigError(f"{folder}: holds {len(found)} records; name one of {names}")
    if not found:
        raise ConfigError(
            f"{folder}: neither a recording (--record) nor results of ecg-monitor score; name the folder of one, or a "
            "record, e.g. mitdb:208 or FILE.edf"
        )
    return _recording(found[0]) if (found[0] / _SESSION).is_file() else _result(found[0])


def as_reviewed(record: StoredRecord) -> tuple[StoredRecord, ReviewSummary | None]:
    """The record with the labels of its review; the review is None where there is none.

    Raises:
        ConfigError: a review that cannot be read.
    """
    decisions = aligned(ReviewFiles(record.pieces).read() if record.pieces else {}, record.beats)
    summary = summary_of(decisions, record.beats, record.episodes)
    if summary is None:
        return record, None
    beats, episodes = reviewed_beats(record.beats, decisions), reviewed_episodes(record.episodes, decisions)
    return replace(record, beats=beats, episodes=episodes), summary


def signal_of(record: StoredRecord) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The signal of a record: first sample and (n,) samples, mV, NaN = no valid sample, piece by piece.

    Raises:
        SourceError: it cannot be read, has changed since it was scored, or has another rate than the beats.
    """
    if record.inputs and not unchanged(record.inputs, files_of(record.source)):
        raise SourceError(f"{record.source}: its files were moved or changed since it was scored; score it again")
    for spec, first_sample in record.signals:
        options = SourceConfig(spec=spec, **record.settings)
        with contextlib.closing(open_bed(BedPlan(record.name, options), Config(source=options))) as source:
            if source.fs_hz != record.beats.fs_hz:
                raise SourceError(
                    f"{spec}: has {source.fs_hz:g} Hz, its beats were found at {record.beats.fs_hz:g} Hz; "
                    "score it again"
                )
            with contextlib.suppress(EndOfStream):
                while (chunk := source.read(round(_PIECE_S * source.fs_hz))) is not None:
                    yield first_sample + chunk.first_sample, chunk.samples


def _holds_record(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in ((_SESSION, _RECORDED), (SUMMARY, BEATS)))


def _result(folder: Path) -> StoredRecord:
    from monitor.archive.beat_table import pyarrow_or_error

    arrow = pyarrow_or_error()
    import pyarrow.parquet as parquet

    try:
        summary = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=Summary)
        if summary.format != FORMAT:
            raise ConfigError(f"{folder / SUMMARY}: of another version ({summary.format}); score the record again")
        columns = ["r_sample", "rr_s", "score", "anomalous", "quality"]
        table = parquet.ParquetFile(folder / BEATS).read(columns=columns)
        beats = HolterBeats(
            summary.fs_hz,
            table["r_sample"].to_numpy(),
            table["rr_s"].to_numpy().astype(np.float64),
            table["score"].to_numpy().astype(np.float64),
            table["anomalous"].to_numpy().astype(np.bool_),
            tuple(table["quality"].to_pylist()),
        )
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror or 'cannot be read'}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, arrow.ArrowException, KeyError) as error:
        raise ConfigError(f"{folder}: damaged ({str(error).splitlines()[0]}); score the record again") from None
    return StoredRecord(
        summary.name, summary.source, summary.lead, summary.start_time, summary.samples_lost, summary.model, beats,
        _episodes(folder / ALARMS, summary.fs_hz), ((summary.source, 0),), dict(summary.settings["source"]),
        summary.inputs, ((folder / SIGNAL, 0),),
    )  # fmt: skip


def _recording(folder: Path) -> StoredRecord:
    try:
        about: dict[str, Any] = msgspec.json.decode((folder / _SESSION).read_bytes())
        if not 0 < (fs_hz := float(about["fs_hz"])) < math.inf:
            raise ValueError(f"fs_hz {fs_hz}")
        pieces = [(folder.resolve() / segment["record"], int(segment["first_sample"])) for segment in about["segments"]]
        return StoredRecord(
            about["bed"], about["config"]["source"]["spec"], about["lead"], about["start_time"],
            about["recorded"]["lost_samples"], msgspec.convert(about["model"], ModelInfo),
            _recorded_beats(folder / _RECORDED, fs_hz),
            _episodes(folder / ALARMS, fs_hz), tuple((f"wfdb:{path}", first) for path, first in pieces),
            settings={"channel": "0"}, pieces=tuple(pieces or [(folder.resolve() / SIGNAL, 0)]),
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise ConfigError(f"{folder / _SESSION}: not the session file of a recording of this version") from None


def _recorded_beats(path: Path, fs_hz: float) -> HolterBeats:
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # a monitor that still runs may be writing the last line
    rows: list[tuple[int, float, float, bool, str]] = []
    for number, row in enumerate(csv.DictReader(whole.splitlines()), 2):
        try:
            r_sample = int(np.int64(int(row["r_sample"])))  # OverflowError where it is no sample number
            numbers = _number(row["rr_s"]), _number(row["score"])
            rows.append((r_sample, *numbers, row["anomalous"] == "1", str(row["quality"])))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ConfigError(f"{path}: line {number} is no beat; take it out, or give another recording") from None
    columns = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    r_samples, rr_s, score, anomalous, quality = columns
    return HolterBeats(
        fs_hz,
        np.array(r_samples, np.int64),
        np.array(rr_s, np.float64),
        np.array(score, np.float64),
        np.array(anomalous, np.bool_),
        tuple(quality),
    )


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _episodes(path: Path, fs_hz: float) -> tuple[Episode, ...]:
    """Alarms as episodes; a last line that is not whole is left out. One that lasts at the end has no end: -1."""
    found: list[Episode] = []
    newest: dict[str, int] = {}  # alarm_id -> its episode
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            message = decode(line)
        except ValueError:
            raise ConfigError(f"{path}: line {number} is no alarm; take it out") from None
        if not isinstance(message, AlarmMessage):
            continue
        alarm = message.alarm
        at = newest.get(alarm.alarm_id)
        known = None if at is None else found[at]
        end = alarm.decided_sample if alarm.state in ("latched", "cleared") else -1
        if at is not None and known is not None and known.end_sample < 0:
            found[at] = Episode(alarm.kind, known.first_sample, end, alarm.text)
        elif known is None or alarm.state == "onset":  # a latched alarm that comes back keeps its id
            newest[alarm.alarm_id] = len(found)
            found.append(Episode(alarm.kind, _first_sample(alarm, known, fs_hz), end, alarm.text))
    return tuple(found)


def _first_sample(alarm: Alarm, before: Episode | None, fs_hz: float) -> int:
    """Onset of an alarm. When it comes back, its `onset_sample` is still the first one.

    Then it begins with its first beat; one without beats as long before the decision as its cause has lasted.
    """
    if before is None:
        return alarm.onset_sample
    lasted_s, unit = alarm.evidence.value, alarm.evidence.limit_unit
    if unit == "s" and lasted_s is not None:
        return max(before.end_sample, alarm.decided_sample - round(lasted_s * fs_hz))
    beats = [sample for sample in alarm.evidence.r_samples if sample > before.end_sample]
    return min([*beats, alarm.decided_sample])
