"""What `--record DIR` leaves behind, one folder a bed, valid up to the last write at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.atomic_file import replace_file
from monitor.errors import RecorderError
from monitor.messages import BeatMessage, ModelInfo
from monitor.recording.wfdb_writer import AnnotationFile, AppendFile, SignalFile

__all__ = ["BEATS_HEADER", "BeatRow", "Recorder"]

BEATS_HEADER = "r_sample,time_s,rr_s,log_prob,score,p_value,anomalous,quality"


@dataclass(frozen=True, slots=True)
class BeatRow:
    """One row of beats.csv; fields as in BeatMessage."""

    r_sample: int
    rr_s: float | None
    log_prob: float | None
    score: float | None
    p_value: float | None
    anomalous: bool
    quality: str


def _field(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


class Recorder:
    """Writes one bed to `folder/bed/`.

    - `beats.csv`: BEATS_HEADER; `r_sample` in the source's own samples, `time_s` = r_sample / fs_hz, empty = None.
    - `alarms.jsonl`, `events.jsonl`: each message as it was published.
    - `signal.hea`, `signal.dat`: WFDB, format 16, mV; missing samples are marked invalid, so sample numbers hold.
    - `signal.ecg`: WFDB annotations: N normal, Q anomalous, ? not scored; log p(x) in the aux note.
    - `session.json`: configuration, model, counts; `state` is `recording`, and `closed` after close().

    Samples in the WFDB files count from `first_sample` in session.json, which is 0 unless the replay began later.
    Nothing is buffered in the process, so what was handed over survives kill -9.

    Args:
        folder: what the user named; made if it is not there.
        bed: name of the bed.
        fs_hz: sampling rate, Hz.
        lead: name of the lead.
        start_time: ISO 8601 time of the source's sample 0; None if not known.
        config: the whole configuration, for session.json.
        model: name and hash of the model.
        rails_mv: what the source can give at most, (low, high) mV; None if not known.

    Raises:
        RecorderError: the folder holds a recording already, or cannot be written (from every method too).
        ValueError: a bed name that is no folder name.
    """

    def __init__(
        self,
        folder: Path,
        bed: str,
        fs_hz: float,
        lead: str,
        start_time: str | None,
        config: Mapping[str, Any],
        model: ModelInfo,
        *,
        rails_mv: tuple[float, float] | None = None,
    ) -> None:
        if not bed or bed in (".", "..") or Path(bed).name != bed:
            raise ValueError(f"bed {bed!r} is no folder name")
        self.folder = folder / bed
        self._fs_hz = fs_hz
        self._start_time = start_time
        self._origin: int | None = None
        self._failed = False
        self._closed = False
        self._beats = self._alarms = self._events = self._gaps = self._lost = 0
        self._about: dict[str, Any] = {
            "state": "recording",
            "bed": bed,
            "fs_hz": fs_hz,
            "lead": lead,
            "start_time": start_time,
            "first_sample": None,
            "model": model,
            "config": dict(config),
        }
        with self._disk():
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise RecorderError(
                    f"recording to {self.folder}: the folder is not empty; name another one or move it away"
                )
            self._beats_file = AppendFile(self.folder / "beats.csv")
            self._beats_file.append(f"{BEATS_HEADER}\n".encode())
            self._alarms_file = AppendFile(self.folder / "alarms.jsonl")
            self._events_file = AppendFile(self.folder / "events.jsonl")
            self._annotations = AnnotationFile(self.folder / "signal.ecg")
            self._signal = SignalFile(self.folder, fs_hz=fs_hz, lead=lead, rails_mv=rails_mv)
            self._write_about()

    def signal(self, first_sample: int, samples: NDArray[np.float64]) -> None:
        """Append raw samples.

        Args:
            first_sample: index of samples[0] in the source; a jump forward is filled as missing.
            samples: (n,) float64, mV; NaN = no valid sample.

        Raises:
            ValueError: `first_sample` lies before what is written already.
        """
        with self._disk():
            self._advance(first_sample)
            self._signal.append(samples)

    def gap(self, first_sample: int, lost: int) -> None:
        """`lost` samples from `first_sample` on never came."""
        with self._disk():
            self._advance(first_sample)
            self._advance(first_sample + lost)
        self._gaps += 1
        self._lost += lost

    def beat(self, row: BeatRow | BeatMessage) -> None:
        """Append one beat to beats.csv and to the annotations; in order of time, after the signal it lies in."""
        if self._origin is None:
            raise ValueError(f"beat at sample {row.r_sample} before any signal")
        symbol = "?" if row.score is None else "Q" if row.anomalous else "N"
        fields = (
            str(row.r_sample),
            _field(row.r_sample / self._fs_hz, 6),
            _field(row.rr_s, 6),
            _field(row.log_prob, 4),
            _field(row.score, 4),
            _field(row.p_value, 6),
            "1" if row.anomalous else "0",
            row.quality,
        )
        with self._disk():
            self._annotations.add(row.r_sample - self._origin, symbol, _field(row.log_prob, 4))
            self._beats_file.append((",".join(fields) + "\n").encode())
        self._beats += 1

    def alarm(self, body: bytes) -> None:
        """Append one alarm message, the JSON as published."""
        with self._disk():
            self._alarms_file.append(body + b"\n")
        self._alarms += 1

    def event(self, body: bytes) -> None:
        """Append one event message, the JSON as published."""
        with self._disk():
            self._events_file.append(body + b"\n")
        self._events += 1

    def close(self, session: Mapping[str, Any] | None = None) -> None:
        """Finish: header with length and time, session.json with `session` (counts, latency, ...); once.

        After a failure the files are only closed: they hold what was written until then.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._about.update(session or {})
                self._about["state"] = "closed"
                with self._disk():
                    self._signal.write_header(self._start(), final=True)
                    self._write_about()
        finally:
            for file in (self._signal, self._annotations, self._beats_file, self._alarms_file, self._events_file):
                with suppress(OSError):
                    file.close()

    def _advance(self, sample: int) -> None:
        if self._origin is None:
            self._origin = sample
            self._about["first_sample"] = sample
            self._write_about()
        missing = sample - self._origin - self._signal.samples
        if missing < 0:
            raise ValueError(f"signal from sample {sample}, but {-missing} samples from there on are written")
        if missing:
            self._signal.fill(missing)

    def _start(self) -> tuple[str, str] | None:
        """Time and date of the first sample as a WFDB header has them (UTC)."""
        if self._start_time is None or self._origin is None:
            return None
        start = datetime.fromisoformat(self._start_time)
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        start += timedelta(seconds=self._origin / self._fs_hz)
        return f"{start:%H:%M:%S}.{start.microsecond // 1000:03d}", f"{start:%d/%m/%Y}"

    def _write_about(self) -> None:
        counts = {
            "samples": self._signal.samples,
            "invalid_samples": self._signal.invalid,
            "clipped_samples": self._signal.clipped,
            "beats": self._beats,
            "alarms": self._alarms,
            "events": self._events,
            "gaps": self._gaps,
            "lost_samples": self._lost,
        }
        text = msgspec.json.format(msgspec.json.encode(self._about | {"recorded": counts}), indent=2)
        replace_file(self.folder / "session.json", text.decode() + "\n")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        if self._failed:
            raise RecorderError(f"recording to {self.folder}: stopped after an earlier failure")
        try:
            yield
        except OSError as error:
            self._failed = True
            reason = error.strerror or os.strerror(error.errno or 0)
            raise RecorderError(
                f"recording to {self.folder}: {reason}; free space or name another folder (what was written is whole)"
            ) from None
